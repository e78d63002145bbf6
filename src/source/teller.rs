//! What all sources do alike: tell the sink, log each thing once, and wait so that a stop ends the wait.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Sink;
use super::outage::Outage;
use super::status::{ErrorInfo, ErrorKind, State, Status};
use super::stop::Stop;
use crate::events::log::{Level, Log, Part};
use crate::store::{Change, Snapshot};
use crate::transport::Failure;
use crate::transport::retry::{FailureKind, classify_status};
use crate::transport::standstill::{Clocks, Watch};

/// How many different remarks are remembered. A remark may be logged again after so many others.
const REMEMBERED: usize = 1_000;
/// A remark can quote a key of any length.
const LONGEST_REMARK: usize = 1_000;

/// The times that a test makes shorter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long a stream may be silent. The service sends a comment every few minutes at most.
    pub(super) idle: Duration,
    /// From the wait that a rule asks for to the one that is kept.
    pub(super) wait: fn(Duration) -> Duration,
    /// By which a standstill of the machine is noticed while waiting for the next attempt.
    pub(super) clocks: Clocks,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            idle: Duration::from_secs(5 * 60),
            wait: |duration| duration,
            clocks: Clocks::default(),
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) kind: ErrorKind,
    /// The HTTP status, or 0.
    pub(super) status: u16,
    pub(super) reason: String,
    /// Whether nothing failed but the time that went by: the next attempt follows at once.
    pub(super) at_once: bool,
}

impl Trouble {
    pub(super) fn new(kind: ErrorKind, reason: impl Into<String>) -> Trouble {
        Trouble {
            kind,
            status: 0,
            reason: reason.into(),
            at_once: false,
        }
    }

    pub(super) fn of_status(status: u16) -> Trouble {
        let reason = match status {
            401 => "the service does not accept the SDK key (status 401)".to_owned(),
            403 => "the service denies access (status 403)".to_owned(),
            404 => "the service does not know the address (status 404); check the URI".to_owned(),
            _ => format!("the service answered with status {status}"),
        };
        Trouble {
            kind: ErrorKind::ErrorResponse,
            status,
            reason,
            at_once: false,
        }
    }

    /// Whether the service should recover by itself.
    pub(super) fn failure_kind(&self) -> FailureKind {
        classify_status(self.status)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        let kind = match failure {
            Failure::TooLarge => ErrorKind::InvalidData,
            Failure::Invalid(_) => ErrorKind::Unknown,
            _ => ErrorKind::NetworkError,
        };
        Trouble {
            at_once: failure == Failure::StoodStill,
            ..Trouble::new(kind, failure.to_string())
        }
    }
}

pub(super) struct Teller {
    sink: Arc<dyn Sink>,
    log: Arc<dyn Log>,
    stop: Arc<Stop>,
    pace: Pace,
    /// When the last attempt failed, until the wait that follows begins.
    failed_at: Option<Watch>,
    status: Status,
    outage: Outage,
    /// Hashes of the remarks that were logged.
    remarked: hashbrown::HashSet<u64, foldhash::fast::FixedState>,
    hasher: RandomState,
}

impl Teller {
    pub(super) fn new(
        sink: Arc<dyn Sink>,
        log: Arc<dyn Log>,
        stop: Arc<Stop>,
        pace: Pace,
    ) -> Teller {
        Teller {
            sink,
            log,
            stop,
            pace,
            failed_at: None,
            status: Status::new(now_ms()),
            outage: Outage::default(),
            remarked: hashbrown::HashSet::default(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_asked()
    }

    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// Waits; says whether the source is to end. A standstill of the machine ends the wait: what is known may be old.
    pub(super) fn pause(&mut self, duration: Duration) -> bool {
        let Clocks { read, tick } = self.pace.clocks;
        let mut watch = self.failed_at.take().unwrap_or_else(|| Watch::new(read()));
        let mut left = (self.pace.wait)(duration);
        loop {
            let slice = left.min(tick);
            if self.stop.wait(slice) {
                return true;
            }
            left -= slice;
            if left.is_zero() || watch.stood_still(slice, read()) {
                return false;
            }
        }
    }

    /// The connection is not to be waited for, because the machine stood still: the next attempt follows at once.
    pub(super) fn connects_anew(&self, trouble: &Trouble) {
        let line = format!("Connecting anew: {}.", trouble.reason);
        self.log(Level::Debug, line);
    }

    /// Waits for the end, however long it takes.
    pub(super) fn rest(&self) {
        while !self.stop.wait(Duration::from_secs(3600)) {}
    }

    pub(super) fn log(&self, level: Level, message: String) {
        self.log.log(level, message);
    }

    /// Logs a warning, unless its like was logged already.
    pub(super) fn remark(&mut self, mut text: String) {
        if text.len() > LONGEST_REMARK {
            text = text.chars().take(LONGEST_REMARK / 4).chain(['…']).collect();
        }
        if self.remarked.len() >= REMEMBERED {
            self.remarked.clear();
        }
        if self.remarked.insert(self.hasher.hash_one(&text)) {
            self.log(Level::Warning, text);
        }
    }

    /// What the sink knows, with which all data is compared.
    pub(super) fn known(&self) -> Arc<Snapshot> {
        self.sink.known()
    }

    /// Applies all data; `json` is the text that it was read from.
    pub(super) fn apply_whole(&mut self, change: Change, json: &[u8]) {
        let change = if self.sink.wants_text() {
            change.with_text(json)
        } else {
            change
        };
        self.apply(change);
    }

    pub(super) fn apply(&mut self, mut change: Change) {
        for remark in std::mem::take(&mut change.remarks) {
            self.remark(remark);
        }
        self.sink.apply(change);
    }

    /// All data has been applied, or is what is known already.
    pub(super) fn valid(&mut self) {
        self.status.update(State::Valid, None, now_ms());
        // Told even where the state stays: the sink may note how fresh the data is.
        self.sink.status(State::Valid, None);
        let fails = self.outage.is_on();
        if let Some((level, text)) = self.outage.ended(Instant::now()) {
            if fails {
                self.log.recovered(Part::Flags, text);
            } else {
                self.log(level, text);
            }
        }
    }

    /// An attempt failed; the next one follows after the delay.
    pub(super) fn trouble(&mut self, trouble: &Trouble, delay: Duration) {
        self.failed_at = Some(Watch::new((self.pace.clocks.read)()));
        let person = trouble.failure_kind() == FailureKind::Unexpected;
        let (level, text) = self
            .outage
            .failed(Instant::now(), &trouble.reason, delay, person);
        if level == Level::Debug && !self.log.is_news(Part::Flags) {
            self.log(level, text);
        } else {
            let level = if person { Level::Error } else { Level::Warning };
            self.log.failed(Part::Flags, level, text);
        }
        self.interrupted(trouble);
    }

    /// The same for those who log by themselves.
    pub(super) fn interrupted(&mut self, trouble: &Trouble) {
        let error = ErrorInfo {
            kind: trouble.kind,
            status: trouble.status,
            time_ms: now_ms(),
            message: trouble.reason.clone(),
        };
        self.tell(State::Interrupted, Some(error));
    }

    pub(super) fn off(&mut self) {
        self.tell(State::Off, None);
    }

    /// Bytes arrived, whatever they say: the connection lives.
    pub(super) fn heard(&self) {
        self.sink.heard();
    }

    /// No data will ever come.
    pub(super) fn gave_up(&self) {
        self.sink.gave_up();
    }

    pub(super) fn environment(&self, header: Option<&str>) {
        if let Some(id) = header.filter(|id| !id.is_empty()) {
            self.sink.environment_id(id);
        }
    }

    pub(super) fn stream_init(&self, started: Instant, failed: bool) {
        let duration = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.sink.stream_init(now_ms(), duration, failed);
    }

    fn tell(&mut self, state: State, error: Option<ErrorInfo>) {
        if self.status.update(state, error.clone(), now_ms()) {
            self.sink.status(self.status.state, error);
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

/// Uniform in `0.0..1.0`.
#[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
pub(super) fn random() -> f64 {
    // Every state has keys of its own.
    (RandomState::new().hash_one(Instant::now()) >> 11) as f64 / (1_u64 << 53) as f64
}
