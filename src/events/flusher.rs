//! The face of the events to the client, and the thread behind it: when to flush, and how to stop.
//! What a flush does is the delivery's question.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{
    Receiver, RecvTimeoutError, Sender as Channel, TryRecvError, bounded, select, unbounded,
};

use super::Settings;
use super::clock::Clock;
use super::custom::Custom;
use super::delivery::Delivery;
use super::diagnostics::StreamInit;
use super::ledger::{FlushReport, Ledger, Loss};
use super::log::{Level, Log};
use super::recorder::{Evaluated, Recorder};
use super::sender::{Never, Post, Sender};
use super::subject::Subject;
use crate::model::{Context, Value};

/// Enough for a TLS handshake; the system provides only what is used.
const STACK_BYTES: usize = 512 * 1024;
/// Intervals below this would keep a processor busy.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Records what happens and delivers it. Made anew by each process; see the rules at the top of the folder.
pub struct Events {
    recorder: Arc<Recorder>,
    post: Arc<dyn Post>,
    commands: Channel<Command>,
    /// Whether a flush that nobody waits for is on its way to the thread already.
    flush_asked: Arc<AtomicBool>,
    /// Dropped to close.
    open: Mutex<Option<Channel<Never>>>,
    /// Ends when the thread does.
    running: Receiver<Never>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Command {
    Flush,
    /// Flush whatever the state of the connection, and answer.
    FlushAndTell(Channel<()>),
    /// What failed before says nothing any more: flush.
    Anew,
}

/// A flush that somebody waits for.
pub struct Flushing {
    before: Ledger,
    told: Receiver<()>,
    is_done: bool,
}

impl Flushing {
    /// Waits at most so long; tells whether there is nothing to wait for any more.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        match self.told.recv_timeout(timeout) {
            Ok(()) => self.is_done = true,
            Err(RecvTimeoutError::Timeout) => return self.is_done,
            Err(RecvTimeoutError::Disconnected) => {}
        }
        true
    }
}

impl Events {
    /// Starts the thread. If the system has none to give, events are recorded and one line tells why none will arrive.
    #[must_use]
    pub fn start(
        settings: &Settings,
        post: Box<dyn Post>,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
    ) -> Events {
        let recorder = Arc::new(Recorder::new(settings, clock, log));
        let post: Arc<dyn Post> = Arc::from(post);
        let (commands, inbox) = unbounded();
        let (open, closing) = bounded(0);
        let (alive, running) = bounded(0);
        let flush_asked = Arc::new(AtomicBool::new(false));
        let sender = Sender {
            post: post.clone(),
            gzip: settings.gzip,
            retry_delay: settings.retry_delay,
            closing: closing.clone(),
        };
        let flusher = Flusher {
            delivery: Delivery::new(settings, recorder.clone(), sender),
            recorder: recorder.clone(),
            inbox,
            closing,
            flush_asked: flush_asked.clone(),
            flush: Timer::new(settings.flush_interval),
            forget: Timer::new(settings.context_keys_flush_interval),
            diagnostics: Timer::new(settings.diagnostic_interval),
            _alive: alive,
        };
        let thread = thread::Builder::new()
            .name("ld-events".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || flusher.run())
            .inspect_err(|error| {
                let line = format!(
                    "events will not be delivered, the system has no thread for them: {error}"
                );
                recorder.log.log(Level::Error, line);
            })
            .ok();
        Events {
            recorder,
            post,
            commands,
            flush_asked,
            open: Mutex::new(Some(open)),
            running,
            thread: Mutex::new(thread),
        }
    }

    /// Records an evaluation. Allocates nothing and reads no clock when the same was counted since the last flush, the
    /// context was seen, and the flag is neither tracked nor debugged.
    #[inline]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "callers build it for this call"
    )]
    pub fn evaluated<D: Fn() -> Value>(&self, subject: &impl Subject, what: Evaluated<'_, D>) {
        self.recorder.evaluated(subject, &what);
    }

    /// Records that the application named a context; tells whether the event was kept.
    #[allow(clippy::must_use_candidate, reason = "most callers do not care")]
    pub fn identify(&self, context: Arc<Context>) -> bool {
        self.recorder.identify(context)
    }

    /// Records an event of the application; tells whether it was kept.
    pub fn track(&self, custom: Custom, subject: &impl Subject) -> bool {
        self.recorder.track(custom, subject)
    }

    /// Records a step of a migration; tells whether the event was kept. `members` is an object of the event's own
    /// members (operation, evaluation, measurements, …); kind, date and context are added.
    pub fn migration_op(
        &self,
        subject: &impl Subject,
        members: Value,
        sampling_ratio: Option<u64>,
    ) -> bool {
        self.recorder.migration_op(subject, members, sampling_ratio)
    }

    /// Notes an attempt to connect to the stream, for the diagnostic events.
    pub fn stream_init(&self, timestamp_ms: i64, duration_ms: i64, failed: bool) {
        self.recorder.stream_init(StreamInit {
            timestamp: timestamp_ms,
            duration_millis: duration_ms,
            failed,
        });
    }

    /// What became of all events so far.
    #[must_use]
    pub fn stats(&self) -> Ledger {
        self.recorder.books().0
    }

    /// Asks for a flush and returns. After failures it waits as the periodic flushes do.
    pub fn flush(&self) {
        if !self.flush_asked.swap(true, Ordering::AcqRel) {
            let _ = self.commands.send(Command::Flush);
        }
    }

    /// Flushes and waits until all that was accepted before this call is sent or dropped, at most so long.
    #[must_use]
    pub fn flush_within(&self, timeout: Duration) -> FlushReport {
        let mut flushing = self.begin_flush();
        flushing.wait(timeout);
        self.flushed(&flushing)
    }

    /// Begins what [`Events::flush_within`] does, for those who wait in slices. Who stops waiting loses nothing.
    #[must_use]
    pub fn begin_flush(&self) -> Flushing {
        let (before, _) = self.recorder.books();
        let (tell, told) = bounded(1);
        let _ = self.commands.send(Command::FlushAndTell(tell));
        Flushing {
            before,
            told,
            is_done: false,
        }
    }

    /// What became of everything since that flush began.
    #[must_use]
    pub fn flushed(&self, flushing: &Flushing) -> FlushReport {
        let (after, nothing_waits) = self.recorder.books();
        // Without a thread (closed, or none to be had) nothing will move: complete is what has nothing left.
        after.since(&flushing.before, flushing.is_done || nothing_waits)
    }

    /// Sends everything with another SDK key from now on, at once what waits.
    pub fn authorize(&self, sdk_key: &str) {
        self.post.authorize(sdk_key);
        let _ = self.commands.send(Command::Anew);
    }

    /// Waits at most so long for the thread's end; tells whether it came.
    #[must_use]
    pub fn has_ended_by(&self, timeout: Duration) -> bool {
        match self.running.recv_timeout(timeout) {
            Ok(never) => match never {},
            Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }

    /// Sends what waits and ends the thread, within the deadline: what has not left by then is dropped. A payload under
    /// way at the deadline is cut off, and stays pending for the moment that this takes. Tells whether the thread has
    /// ended. May be called again, and from several threads.
    #[allow(
        clippy::must_use_candidate,
        reason = "there is nothing more to do either way"
    )]
    pub fn close(&self, deadline: Duration) -> bool {
        self.leave();
        let ended = self.has_ended_by(deadline);
        // Also where there never was a thread, so that nothing stays pending for ever.
        self.recorder.abandon();
        if ended {
            let thread = self
                .thread
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(thread) = thread {
                let _ = thread.join();
            }
        } else {
            self.post.shut_down();
        }
        ended
    }

    /// Begins to close and returns: the thread sends what waits, in its own time, and ends.
    pub fn leave(&self) {
        self.recorder.close();
        drop(
            self.open
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.running.try_recv(), Err(TryRecvError::Disconnected))
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The thread. It ends when the client closes or is dropped.
struct Flusher {
    delivery: Delivery,
    recorder: Arc<Recorder>,
    inbox: Receiver<Command>,
    closing: Receiver<Never>,
    flush_asked: Arc<AtomicBool>,
    flush: Timer,
    forget: Timer,
    diagnostics: Timer,
    /// Dropped last: tells those who wait for the end.
    _alive: Channel<Never>,
}

impl Flusher {
    fn run(mut self) {
        self.guarded(|delivery| delivery.send_first_diagnostics());
        loop {
            let next = self.flush.at.min(self.forget.at).min(self.diagnostics.at);
            let wait = next.saturating_duration_since(Instant::now());
            select! {
                recv(self.inbox) -> command => match command {
                    Ok(Command::Flush) => {
                        self.flush_asked.store(false, Ordering::Release);
                        self.guarded(|delivery| delivery.flush_unless_failing(Instant::now()));
                    }
                    Ok(Command::FlushAndTell(tell)) => {
                        self.guarded(|delivery| delivery.flush(Instant::now()));
                        let _ = tell.send(());
                    }
                    Ok(Command::Anew) => self.guarded(|delivery| {
                        delivery.forget_failures();
                        delivery.flush(Instant::now());
                    }),
                    Err(_) => break,
                },
                recv(self.closing) -> _ => break,
                default(wait) => {}
            }
            let now = Instant::now();
            if self.forget.is_due(now) {
                self.recorder.forget_seen();
            }
            if self.flush.is_due(now) {
                self.guarded(|delivery| delivery.flush_unless_failing(now));
            }
            if self.diagnostics.is_due(now) {
                self.guarded(Delivery::send_later_diagnostics);
            }
        }
        self.guarded(|delivery| delivery.flush(Instant::now()));
        self.guarded(|delivery| delivery.hang_up());
    }

    /// A defect costs the events under way, not the thread.
    fn guarded(&mut self, work: impl FnOnce(&mut Delivery)) {
        if catch_unwind(AssertUnwindSafe(|| work(&mut self.delivery))).is_err() {
            self.recorder.settle_rest(Loss::Internal);
            self.recorder.log.log(
                Level::Error,
                "an internal error: the events under way were dropped".to_owned(),
            );
        }
    }
}

/// A moment that comes again.
struct Timer {
    interval: Duration,
    at: Instant,
}

impl Timer {
    fn new(interval: Duration) -> Timer {
        // A century is for ever, and can be added to any instant.
        let interval = interval.clamp(SHORTEST_INTERVAL, Duration::from_secs(3_155_760_000));
        Timer {
            interval,
            at: Instant::now() + interval,
        }
    }

    /// Whether the moment has come; sets the next one.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.at;
        if due {
            self.at = now + self.interval;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_due_once_an_interval_and_does_not_catch_up() {
        let s = Duration::from_secs;
        let mut timer = Timer::new(s(5));
        let start = timer.at;
        assert!(!timer.is_due(Instant::now()));
        assert!(timer.is_due(start));
        assert!(!timer.is_due(start + s(4)));
        assert!(timer.is_due(start + s(60)));
        assert!(!timer.is_due(start + s(64)));
    }

    #[test]
    fn any_interval_is_a_timer() {
        assert_eq!(Timer::new(Duration::ZERO).interval, SHORTEST_INTERVAL);
        assert!(!Timer::new(Duration::MAX).is_due(Instant::now()));
    }
}
