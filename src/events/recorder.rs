//! Takes what happened, on the caller's thread: counts it, notes the context as seen, keeps the events that must be sent
//! whole. Everything is behind one mutex that is held for a few steps in memory, never across a wait, a conversion, the
//! clock or a log line. Who takes the events out and sends them is the flusher's question.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Settings;
use super::clock::Clock;
use super::custom::Custom;
use super::diagnostics::StreamInit;
use super::event::{Evaluation, Event, What};
use super::ledger::{Books, Ledger, Loss};
use super::log::{Level, Log};
use super::sampling::Sampler;
use super::seen::Seen;
use super::subject::Subject;
use super::summary::Summary;
use crate::evaluation::Outcome;
use crate::model::{Context, Flag, Value};

/// How many stream connections are remembered between two diagnostic events.
const MOST_STREAM_INITS: usize = 1_000;

/// One evaluation, as its caller tells it.
#[derive(Debug)]
pub struct Evaluated<'a, D> {
    /// The key that was asked for.
    pub key: &'a str,
    /// The flag; `None` if there is none of that key.
    pub flag: Option<&'a Flag>,
    /// The answer.
    pub outcome: &'a Outcome,
    /// Gives the caller's default, called without a lock. Called only when the default is needed: at the first count of
    /// a flag since the last flush, and for an event of its own. Not called for a prerequisite, whose default is null.
    pub default: D,
    /// Whether the caller asked for the reason.
    pub with_reason: bool,
    /// The key of the flag that this one is a prerequisite of.
    pub prerequisite_of: Option<&'a str>,
}

/// The state that callers and the flusher share.
pub(super) struct Recorder {
    state: Mutex<State>,
    /// The latest time that the service has told.
    server_ms: AtomicI64,
    /// Whether the close gave up: nothing more is to be sent.
    pub(super) abandoned: AtomicBool,
    capacity: usize,
    omit_anonymous: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) log: Arc<dyn Log>,
}

#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct State {
    closed: bool,
    /// Whether the counters that came after the close were put down as a lost summary.
    late_summary: bool,
    summary: Summary,
    seen: Seen,
    sampler: Sampler,
    buffer: Vec<Event>,
    full: bool,
    /// Whether a line about the full buffer is due.
    warn: bool,
    books: Books,
    facts: Facts,
}

/// What the diagnostic events tell; counted since the last one.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) deduplicated: u64,
    /// All that were ever lost for want of room.
    pub(super) dropped_ever: u64,
    pub(super) stream_inits: Vec<StreamInit>,
}

/// What a flush takes; all of it counts as under way until it is settled.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) summary: Option<Summary>,
}

/// What is left to do for an evaluation after its quick part.
#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "each is a step of its own")]
struct Rest {
    count: bool,
    index: bool,
    feature: bool,
    experiment: bool,
}

impl Recorder {
    pub(super) fn new(settings: &Settings, clock: Arc<dyn Clock>, log: Arc<dyn Log>) -> Recorder {
        Recorder {
            state: Mutex::new(State {
                closed: false,
                late_summary: false,
                summary: Summary::default(),
                seen: Seen::new(settings.context_keys_capacity),
                sampler: Sampler::new(),
                buffer: Vec::new(),
                full: false,
                warn: false,
                books: Books::default(),
                facts: Facts::default(),
            }),
            server_ms: AtomicI64::new(0),
            abandoned: AtomicBool::new(false),
            capacity: settings.capacity,
            omit_anonymous: settings.omit_anonymous,
            clock,
            log,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash of the key by which the context is known; `None` if it is not to be told at all.
    #[inline]
    fn key_to_note(&self, subject: &impl Subject) -> Option<u64> {
        if self.omit_anonymous {
            subject.named_key_hash()
        } else {
            Some(subject.key_hash())
        }
    }

    /// What of the context may be told.
    fn telling(&self, context: Arc<Context>) -> Option<Arc<Context>> {
        if self.omit_anonymous
            && context
                .individuals()
                .iter()
                .any(crate::model::Individual::anonymous)
        {
            context.without_anonymous().map(Arc::new)
        } else {
            Some(context)
        }
    }

    /// Records an evaluation. In the common case (counted before, context seen, nothing tracked) it allocates nothing
    /// and reads no clock.
    #[inline]
    pub(super) fn evaluated<D: Fn() -> Value>(
        &self,
        subject: &impl Subject,
        what: &Evaluated<'_, D>,
    ) {
        let mut rest = Rest {
            count: true,
            index: false,
            feature: false,
            experiment: false,
        };
        let mut debugged = false;
        if let Some(flag) = what.flag {
            rest.count = !flag.exclude_from_summaries;
            rest.experiment = what.outcome.is_experiment(flag);
            rest.feature = flag.track_events || rest.experiment;
            debugged = flag.debug_events_until_ms.is_some();
        }
        let key = self.key_to_note(subject);
        let mut state = self.lock();
        if state.closed {
            state.evaluated_late(rest);
            return;
        }
        if rest.count {
            rest.count = !state
                .summary
                .count(what.key, what.flag, what.outcome.variation, subject);
        }
        rest.index = state.is_new(key);
        drop(state);
        if rest.count || rest.index || rest.feature || debugged {
            self.evaluated_rest(subject, what, rest);
        }
    }

    #[cold]
    #[inline(never)]
    fn evaluated_rest<D: Fn() -> Value>(
        &self,
        subject: &impl Subject,
        what: &Evaluated<'_, D>,
        rest: Rest,
    ) {
        let now_ms = self.clock.now_ms();
        let until_ms = what.flag.and_then(|flag| flag.debug_events_until_ms);
        let debug = until_ms
            .is_some_and(|until| until > now_ms && until > self.server_ms.load(Ordering::Relaxed));
        let whole = rest.feature || debug;
        let default = match what.prerequisite_of {
            None if rest.count || whole => (what.default)(),
            _ => Value::Null,
        };
        let context = if whole || rest.index {
            subject.to_context()
        } else {
            None
        };
        let index = context
            .clone()
            .filter(|_| rest.index)
            .and_then(|context| self.telling(context));
        let evaluation = whole.then(|| Arc::new(evaluation(what, &default, rest.experiment)));
        let ratio = what.flag.and_then(|flag| flag.sampling_ratio);

        let mut state = self.lock();
        if rest.count && !state.closed {
            if what.flag.is_some() || state.summary.unknown_flags() < self.capacity {
                state.summary.begin(
                    what.key,
                    what.flag,
                    what.outcome.variation,
                    &default,
                    now_ms,
                    subject,
                );
            } else {
                // An application that asks for ever new keys must not fill the memory with counters of them.
                state.warn |= !mem::replace(&mut state.full, true);
            }
        }
        if rest.index {
            state.keep(self.capacity, now_ms, index, What::Index);
        }
        if let Some(evaluation) = evaluation {
            if rest.feature && state.sampler.picks(ratio) {
                state.keep(
                    self.capacity,
                    now_ms,
                    context.clone(),
                    What::Feature(evaluation.clone()),
                );
            }
            if debug && state.sampler.picks(ratio) {
                state.keep(self.capacity, now_ms, context, What::Debug(evaluation));
            }
        }
        self.release(state);
    }

    /// Records that the application named a context.
    pub(super) fn identify(&self, context: Arc<Context>) -> bool {
        let Some(context) = self.telling(context) else {
            return false;
        };
        let now_ms = self.clock.now_ms();
        let mut state = self.lock();
        state.is_new(Some(context.key_hash()));
        let kept = state.keep(self.capacity, now_ms, Some(context), What::Identify);
        self.release(state);
        kept
    }

    /// Records an event of the application.
    pub(super) fn track(&self, custom: Custom, subject: &impl Subject) -> bool {
        let what = custom.members().map(What::Custom);
        if what.is_none() {
            self.log.log(
                Level::Warning,
                "an event cannot be written as JSON and was dropped".to_owned(),
            );
        }
        self.record(subject, what, true, None)
    }

    /// Records a step of a migration.
    pub(super) fn migration_op(
        &self,
        subject: &impl Subject,
        members: Value,
        sampling_ratio: Option<u64>,
    ) -> bool {
        self.record(
            subject,
            Some(What::MigrationOp(members)),
            false,
            sampling_ratio,
        )
    }

    fn record(
        &self,
        subject: &impl Subject,
        what: Option<What>,
        with_index: bool,
        ratio: Option<u64>,
    ) -> bool {
        let now_ms = self.clock.now_ms();
        let context = subject.to_context();
        let key = context.as_ref().and_then(|_| self.key_to_note(subject));
        // Where it is not simply the context, it is made before the lock.
        let named = if self.omit_anonymous {
            context.clone().and_then(|context| self.telling(context))
        } else {
            None
        };
        let mut state = self.lock();
        if state.is_new(key) && with_index && !state.closed {
            let index = named.or_else(|| context.clone());
            state.keep(self.capacity, now_ms, index, What::Index);
        }
        let kept = state.sampler.picks(ratio) && state.keep(self.capacity, now_ms, context, what);
        self.release(state);
        kept
    }

    /// Unlocks, and says what was found while locked.
    fn release(&self, mut state: MutexGuard<'_, State>) {
        let warn = mem::take(&mut state.warn);
        drop(state);
        if warn {
            let line = format!(
                "more than {} events are waiting to be sent: new ones are dropped until there is room",
                self.capacity
            );
            self.log.log(Level::Warning, line);
        }
    }

    /// Takes all that waits, to be sent now.
    pub(super) fn take(&self) -> Batch {
        let mut state = self.lock();
        let batch = Batch {
            events: mem::take(&mut state.buffer),
            summary: Some(mem::take(&mut state.summary)).filter(|summary| !summary.is_empty()),
        };
        state.books.depart(batch.events.len() as u64);
        if batch.summary.is_some() {
            state.books.accept();
            state.books.depart(1);
        }
        batch
    }

    /// Puts down what became of events that were taken.
    pub(super) fn settle(&self, events: u64, loss: Option<Loss>) {
        self.lock().books.settle(events, loss);
    }

    /// Puts down everything that was taken and not settled as lost.
    pub(super) fn settle_rest(&self, loss: Loss) {
        let mut state = self.lock();
        let rest = state.books.in_flight();
        state.books.settle(rest, Some(loss));
    }

    /// From now on everything that comes is dropped.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Drops what still waits, and tells the flusher not to send any more.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        let Batch { events, summary } = self.take();
        self.settle(
            events.len() as u64 + u64::from(summary.is_some()),
            Some(Loss::Closed),
        );
    }

    /// The books, and whether nothing waits or is under way.
    pub(super) fn books(&self) -> (Ledger, bool) {
        let state = self.lock();
        let ledger = state.books.read(state.buffer.len());
        (ledger, ledger.pending == 0 && state.summary.is_empty())
    }

    pub(super) fn forget_seen(&self) {
        self.lock().seen.clear();
    }

    pub(super) fn set_server_time(&self, ms: i64) {
        self.server_ms.store(ms, Ordering::Relaxed);
    }

    pub(super) fn stream_init(&self, init: StreamInit) {
        let mut state = self.lock();
        if state.facts.stream_inits.len() < MOST_STREAM_INITS {
            state.facts.stream_inits.push(init);
        }
    }

    pub(super) fn take_facts(&self) -> Facts {
        let mut state = self.lock();
        let dropped_ever = state.books.lost(Loss::Capacity);
        Facts {
            dropped_ever,
            ..mem::take(&mut state.facts)
        }
    }

    #[cfg(test)]
    pub(super) fn seed_sampler(&self, seed: u64) {
        self.lock().sampler = Sampler::with_seed(seed);
    }
}

impl State {
    /// Notes the key; tells whether it is the first sight of it.
    #[inline]
    fn is_new(&mut self, key: Option<u64>) -> bool {
        let Some(key) = key else { return false };
        let known = self.seen.note(key);
        self.facts.deduplicated += u64::from(known);
        !known
    }

    /// Puts an event into the buffer, or down as lost.
    fn keep(
        &mut self,
        capacity: usize,
        at_ms: i64,
        context: Option<Arc<Context>>,
        what: impl Into<Option<What>>,
    ) -> bool {
        self.books.accept();
        if self.closed {
            self.books.refuse(Loss::Closed);
            return false;
        }
        let (Some(context), Some(what)) = (context, what.into()) else {
            self.books.refuse(Loss::Unencodable);
            return false;
        };
        if self.buffer.len() >= capacity {
            self.books.refuse(Loss::Capacity);
            self.warn |= !mem::replace(&mut self.full, true);
            return false;
        }
        self.full = false;
        self.buffer.push(Event {
            at_ms,
            context,
            what,
        });
        true
    }

    /// Puts down what the evaluation would have sent, had the client not been closed.
    #[cold]
    fn evaluated_late(&mut self, rest: Rest) {
        let summary = rest.count && !mem::replace(&mut self.late_summary, true);
        for _ in 0..u8::from(summary) + u8::from(rest.feature) {
            self.books.accept();
            self.books.refuse(Loss::Closed);
        }
    }
}

fn evaluation<D>(what: &Evaluated<'_, D>, default: &Value, experiment: bool) -> Evaluation {
    let served = what.flag.and_then(|flag| what.outcome.value(flag));
    Evaluation {
        key: what.flag.map_or(what.key, |flag| &flag.key).into(),
        value: served.unwrap_or(default).clone(),
        default: default.clone(),
        version: what.flag.map(|flag| flag.version),
        variation: what.outcome.variation,
        reason: (what.with_reason || experiment).then(|| what.outcome.reason_value(what.flag)),
        prerequisite_of: what.prerequisite_of.map(Into::into),
    }
}
