//! One flush: takes what waits, writes it, sends it, and keeps the state of the connection to the service.
//! When a flush happens is the flusher's question, a single attempt to send the sender's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Settings;
use super::diagnostics::Diary;
use super::ledger::Loss;
use super::log::{Level, Part};
use super::output::{Packer, Payload, Writer, WrittenSummary};
use super::recorder::{Batch, Recorder};
use super::redaction::{self, Gate};
use super::sender::{Failure, Sender, status_text};
use crate::model::AttributeRef;

/// The longest pause between attempts while the service cannot be reached.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The same while it refuses what it gets.
const LONGEST_PAUSE_REJECTED: Duration = Duration::from_secs(300);

/// How it went lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Delivering,
    Failing { since_ms: i64, rejected: bool },
}

/// Sends batches, one at a time.
pub(super) struct Delivery {
    recorder: Arc<Recorder>,
    sender: Sender,
    gate: Arc<Gate>,
    diary: Option<Diary>,
    bulk_url: String,
    diagnostic_url: String,
    flush_interval: Duration,
    health: Health,
    failures: u32,
    /// No periodic flush before this.
    resume_at: Option<Instant>,
    warned_too_deep: bool,
}

impl Delivery {
    pub(super) fn new(settings: &Settings, recorder: Arc<Recorder>, sender: Sender) -> Delivery {
        let base = settings.uri.trim_end_matches('/');
        let now_ms = recorder.clock.now_ms();
        let public = settings.public_attributes.iter().flatten();
        for name in settings.private_attributes.iter().chain(public) {
            if let Err(error) = AttributeRef::parse(name) {
                let line = format!("the attribute reference \"{name}\" names nothing: {error}");
                recorder.log.log(Level::Warning, line);
            }
        }
        Delivery {
            gate: Arc::new(Gate::new(settings)),
            diary: settings
                .diagnostics
                .clone()
                .map(|about| Diary::new(about, now_ms)),
            bulk_url: format!("{base}/bulk"),
            diagnostic_url: format!("{base}/diagnostic"),
            flush_interval: settings.flush_interval,
            recorder,
            sender,
            health: Health::Delivering,
            failures: 0,
            resume_at: None,
            warned_too_deep: false,
        }
    }

    /// Sends what waits, unless the last failures ask for patience.
    pub(super) fn flush_unless_failing(&mut self, now: Instant) {
        if self.resume_at.is_none_or(|at| now >= at) {
            self.flush(now);
        }
    }

    /// Sends what waits; `now` is when the flush began.
    pub(super) fn flush(&mut self, now: Instant) {
        let Batch { events, summary } = self.recorder.take();
        if let Some(diary) = &mut self.diary {
            diary.events_in_last_batch = events.len() as u64;
        }
        let end_ms = self.recorder.clock.now_ms();
        let mut packer = Packer::new();
        let gate = self.gate.clone();
        let mut writer = Writer::new(&gate);
        // Each event is released as soon as it is written.
        for event in events {
            if let Some(name) = redaction::too_deep(&event.context) {
                self.warn_too_deep(name);
            }
            let full = packer.add_written(|out| writer.write(&event, out));
            self.packed(full, now);
        }
        if let Some(summary) = summary {
            let full = packer.add(&WrittenSummary {
                summary: &summary,
                end_ms,
            });
            self.packed(full, now);
        }
        if let Some(last) = packer.finish() {
            self.send(&last, now);
        }
    }

    fn packed(&mut self, full: Result<Option<Payload>, serde_json::Error>, now: Instant) {
        match full {
            Ok(None) => {}
            Ok(Some(payload)) => self.send(&payload, now),
            Err(error) => {
                self.recorder.settle(1, Some(Loss::Unencodable));
                self.recorder.log.log(
                    Level::Warning,
                    format!("an event cannot be written as JSON and was dropped: {error}"),
                );
            }
        }
    }

    fn send(&mut self, payload: &Payload, now: Instant) {
        if self.recorder.abandoned.load(Ordering::Acquire) {
            self.recorder.settle(payload.events, Some(Loss::Closed));
            return;
        }
        let end = self
            .sender
            .deliver(&self.recorder, &self.bulk_url, &payload.body, false);
        let abandoned = self.recorder.abandoned.load(Ordering::Acquire);
        let loss = match end {
            Ok(()) => None,
            Err(_) if abandoned => Some(Loss::Closed),
            Err(Failure::Rejected(_)) => Some(Loss::Rejected),
            Err(Failure::Undeliverable(_)) => Some(Loss::Undeliverable),
        };
        self.recorder.settle(payload.events, loss);
        match end {
            Ok(()) => self.delivered(),
            Err(_) if abandoned => {}
            Err(failure) => self.failed(failure, payload.events, now),
        }
    }

    fn delivered(&mut self) {
        self.failures = 0;
        self.resume_at = None;
        if let Health::Failing { since_ms, .. } = self.health {
            let seconds = (self.recorder.clock.now_ms() - since_ms).max(0) / 1000;
            self.recorder.log.recovered(
                Part::Events,
                format!("events are delivered again after {seconds} s"),
            );
            self.health = Health::Delivering;
        }
    }

    fn failed(&mut self, failure: Failure, events: u64, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let rejected = matches!(failure, Failure::Rejected(_));
        self.resume_at = now.checked_add(pause(self.failures, rejected, self.flush_interval));
        let since_ms = match self.health {
            Health::Failing {
                rejected: before, ..
            } if before == rejected && !self.recorder.log.is_news(Part::Events) => return,
            Health::Failing { since_ms, .. } => since_ms,
            Health::Delivering => self.recorder.clock.now_ms(),
        };
        self.health = Health::Failing { since_ms, rejected };
        let (level, why) = match failure {
            Failure::Rejected(status) => (
                Level::Error,
                format!("the service refuses events with {}", status_text(status)),
            ),
            Failure::Undeliverable(error) => (
                Level::Warning,
                format!("events cannot be delivered ({error})"),
            ),
        };
        self.recorder.log.failed(
            Part::Events,
            level,
            format!("{why}: {events} were dropped; later ones go on being tried"),
        );
    }

    fn warn_too_deep(&mut self, name: &str) {
        if !std::mem::replace(&mut self.warned_too_deep, true) {
            let line = format!(
                "the context attribute \"{name}\" is nested too deeply and is left out of events"
            );
            self.recorder.log.log(Level::Warning, line);
        }
    }

    /// The SDK key is another one: whatever failed before says nothing of it.
    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
        self.resume_at = None;
    }

    /// Sends the first diagnostic event.
    pub(super) fn send_first_diagnostics(&self) {
        if let Some(Ok(body)) = self.diary.as_ref().map(Diary::init) {
            self.send_diagnostics(&body);
        }
    }

    /// Sends what happened since the last diagnostic event.
    pub(super) fn send_later_diagnostics(&mut self) {
        let Some(diary) = &mut self.diary else { return };
        if let Ok(body) = diary.periodic(&self.recorder.take_facts(), self.recorder.clock.now_ms())
        {
            self.send_diagnostics(&body);
        }
    }

    /// Closes the connections that were kept for the next flush: there is none.
    pub(super) fn hang_up(&self) {
        self.sender.post.shut_down();
    }

    /// Nobody misses a diagnostic event, so a failure is no news.
    fn send_diagnostics(&self, body: &[u8]) {
        if self
            .sender
            .deliver(&self.recorder, &self.diagnostic_url, body, true)
            .is_err()
        {
            self.recorder.log.log(
                Level::Debug,
                "a diagnostic event was not delivered".to_owned(),
            );
        }
    }
}

/// How long periodic flushes pause after so many failures in a row: the interval, doubled each time, up to a bound.
fn pause(failures: u32, rejected: bool, interval: Duration) -> Duration {
    let longest = if rejected {
        LONGEST_PAUSE_REJECTED
    } else {
        LONGEST_PAUSE
    };
    let factor = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    interval.saturating_mul(factor).min(longest.max(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_never_go_below_the_interval() {
        let s = Duration::from_secs;
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 99].map(|n| pause(n, false, s(5))),
            [5, 10, 20, 40, 60, 60, 60].map(s)
        );
        assert_eq!(pause(u32::MAX, true, s(5)), s(300));
        assert_eq!(pause(3, false, s(600)), s(600));
    }
}
