//! What a client has in one process: the source's thread, the events' thread, and what they tell.
//! After a fork the child makes a new one and never touches or drops the inherited one.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;

use super::arrival::{Arrival, Signal};
use super::big_segments::Memory;
use super::logs::{LogQueue, Record};
use super::notices::Notices;
use super::storing::Storage;
use super::{Client, Settings};
use crate::events::log::{Level, Log};
use crate::events::{Events, Ledger, SystemClock};
use crate::source::{ErrorInfo, Sink, Source, State, Status};
use crate::store::{Change, Snapshot};
use crate::transport::{self, Http, lookups_running};

/// Threads, counters and logs of a client in one process.
pub struct Runtime {
    generation: u64,
    /// Done when the threads are there, or never will be.
    started: Once,
    events: OnceLock<Events>,
    source: OnceLock<Source>,
    /// The source that took over from the first one.
    later: Mutex<Option<Source>>,
    /// Which source is heard: what one that was replaced still says is not.
    turn: AtomicU64,
    storage: OnceLock<Arc<Storage>>,
    /// Held while the next snapshot is put in place, never while anything waits.
    publishing: Mutex<()>,
    logs: Arc<LogQueue>,
    pub(super) big_segments: Memory,
    notices: Notices,
    status: Mutex<Status>,
    environment_id: ArcSwapOption<String>,
    arrival: Arrival,
    /// Whether it was told to end, so that nothing is started any more.
    left: AtomicBool,
    last_data_ms: AtomicI64,
    last_contact_ms: AtomicI64,
    updates: AtomicU64,
    connections: AtomicU64,
    failed_connections: AtomicU64,
}

/// How a client is doing.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Of the data source.
    pub state: State,
    /// When that state began, in milliseconds since 1970.
    pub since_ms: i64,
    /// The last error of the data source.
    pub error: Option<ErrorInfo>,
    /// The service's name for the environment.
    pub environment_id: Option<String>,
    /// How long ago data last arrived or was confirmed.
    pub data_age: Option<Duration>,
    /// How long ago the source last gave a sign of life: bytes on the stream, an answer to a poll, a look at files.
    pub contact_age: Option<Duration>,
    /// How many changes arrived in this process.
    pub updates: u64,
    /// How many streams were opened in this process after the first one.
    pub reconnects: u64,
    /// How many attempts to open a stream failed in this process.
    pub failed_connections: u64,
    /// How many flags and segments are known.
    pub size: (usize, usize),
    /// The number of this process in its line of forks.
    pub generation: u64,
    /// How many background threads run.
    pub threads: usize,
    /// Look-ups of names that the system has not answered yet, in the whole process.
    pub lookups: usize,
    /// What became of all events.
    pub ledger: Option<Ledger>,
}

impl Runtime {
    /// What a forked process goes on with; it keeps what is known of the environment.
    pub(super) fn renewed(&self, generation: u64, notices: Notices) -> Runtime {
        Runtime {
            environment_id: ArcSwapOption::new(self.environment_id()),
            ..Runtime::new(generation, notices)
        }
    }

    pub(super) fn new(generation: u64, notices: Notices) -> Runtime {
        Runtime {
            generation,
            started: Once::new(),
            events: OnceLock::new(),
            source: OnceLock::new(),
            later: Mutex::new(None),
            turn: AtomicU64::new(0),
            storage: OnceLock::new(),
            publishing: Mutex::new(()),
            logs: Arc::new(LogQueue::new()),
            big_segments: Memory::default(),
            notices,
            status: Mutex::new(Status::new(now_ms())),
            environment_id: ArcSwapOption::empty(),
            arrival: Arrival::default(),
            left: AtomicBool::new(false),
            last_data_ms: AtomicI64::new(0),
            last_contact_ms: AtomicI64::new(0),
            updates: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            failed_connections: AtomicU64::new(0),
        }
    }

    /// Starts the threads; only the first call does, and others wait until it has. What cannot be started is logged:
    /// evaluation goes on without.
    pub(super) fn start(
        &self,
        settings: &Settings,
        transport: &transport::Options,
        client: &Weak<Client>,
        ready: bool,
    ) {
        if !settings.offline {
            self.started
                .call_once_force(|_| self.start_threads(settings, transport, client, ready));
        }
    }

    fn start_threads(
        &self,
        settings: &Settings,
        transport: &transport::Options,
        client: &Weak<Client>,
        ready: bool,
    ) {
        if settings.big_segments.is_some() {
            self.big_segments.wants_watch();
        }
        let log: Arc<dyn Log> = self.logs.clone();
        let http = |what: &str| match Http::new(transport) {
            Ok(http) => Some(http),
            Err(error) => {
                log.log(Level::Error, format!("{what} will not work: {error}"));
                None
            }
        };
        if let Some(settings) = &settings.events
            && let Some(http) = http("Delivering events")
        {
            let events =
                Events::start(settings, Box::new(http), log.clone(), Arc::new(SystemClock));
            let _ = self.events.set(events);
        }
        if let Some(store) = &settings.store {
            let storage = Storage::new(
                store.clone(),
                client.clone(),
                self.generation,
                ready,
                log.clone(),
            );
            if let Err(error) = storage.start() {
                log.log(
                    Level::Error,
                    format!(
                        "the feature store will not be used, the system has no thread for it: {error}"
                    ),
                );
            }
            let _ = self.storage.set(storage);
        }
        if let Some(source) = self.new_source(settings, transport, client, 0) {
            let _ = self.source.set(source);
        }
    }

    /// Starts a source; `turn` tells it from those before it.
    fn new_source(
        &self,
        settings: &Settings,
        transport: &transport::Options,
        client: &Weak<Client>,
        turn: u64,
    ) -> Option<Source> {
        let plan = settings.plan.as_ref()?;
        let log: Arc<dyn Log> = self.logs.clone();
        // The source and the events each have an agent of their own: stopping one must not cut off the other.
        let http = match plan.uri().map(|_| Http::new(transport)) {
            Some(Err(error)) => {
                log.log(
                    Level::Error,
                    format!("Receiving flags will not work: {error}"),
                );
                return None;
            }
            Some(Ok(http)) => Some(http),
            None => None,
        };
        let sink = Arc::new(ClientSink {
            client: client.clone(),
            generation: self.generation,
            turn,
        });
        Source::start(plan.clone(), http, sink, log.clone())
            .map_err(|error| {
                log.log(
                    Level::Error,
                    format!("flags will not arrive, the system has no thread for them: {error}"),
                );
            })
            .ok()
    }

    /// Starts the source anew, so that it delivers all data once more. Does not wait for the one before it, which is not
    /// heard any more; what is known goes on being served.
    pub(super) fn deliver_again(
        &self,
        settings: &Settings,
        transport: &transport::Options,
        client: &Weak<Client>,
    ) {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        if self.left.load(Ordering::Acquire) {
            return;
        }
        let Some(current) = later.as_ref().or(self.source.get()) else {
            return;
        };
        let turn = self.turn.fetch_add(1, Ordering::AcqRel) + 1;
        current.stop(Duration::ZERO);
        *later = self.new_source(settings, transport, client, turn);
    }

    /// Where evaluations are counted; `None` when there are no events.
    #[inline]
    pub fn events(&self) -> Option<&Events> {
        self.events.get()
    }

    /// The persistent store; `None` when there is none.
    #[inline]
    pub fn storage(&self) -> Option<&Arc<Storage>> {
        self.storage.get()
    }

    pub(super) fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are log records to take.
    #[inline]
    pub fn has_logs(&self) -> bool {
        self.logs.is_waiting()
    }

    pub(super) fn log(&self, level: Level, message: String) {
        self.logs.log(level, message);
    }

    /// What waits for listeners.
    #[inline]
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Whether Python has something to do: log records to take, or a thread for listeners to start.
    #[inline]
    pub fn calls_for_python(&self) -> bool {
        self.has_logs() || self.notices.is_unattended()
    }

    /// The status of the data source.
    pub fn status(&self) -> Status {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The log records of the background threads.
    pub fn take_logs(&self) -> Vec<Record> {
        self.logs.take()
    }

    /// Whether it belongs to this process. One that does not must not even be dropped.
    pub fn is_of_this_process(&self) -> bool {
        self.generation == super::fork::generation()
    }

    /// Ends the threads without waiting for them; what waits is sent.
    pub(super) fn leave(&self) {
        // A start on another thread comes first; one that comes later starts nothing.
        self.started.call_once_force(|_| ());
        self.left.store(true, Ordering::Release);
        let later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        for source in self.source.get().into_iter().chain(later.as_ref()) {
            source.stop(Duration::ZERO);
        }
        drop(later);
        if let Some(storage) = self.storage.get() {
            storage.stop(Instant::now());
        }
        self.events.get().into_iter().for_each(Events::leave);
        self.logs.leave();
        self.arrival.over();
        self.set_status(State::Off, None);
    }

    /// Whether nothing of it runs or waits any more, after it was left.
    pub fn has_left(&self) -> bool {
        self.has_left_by(Instant::now())
    }

    /// The same, waited for until the given moment.
    pub(super) fn has_left_by(&self, until: Instant) -> bool {
        let left = || until.saturating_duration_since(Instant::now());
        // The events are the last to end, as a rule; a thread that has ended is joined.
        let events = self.events.get().is_none_or(|e| e.has_ended_by(left()));
        let stored = self.storage.get().is_none_or(|s| s.stop(until));
        let later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sources = self.source.get().into_iter().chain(later.as_ref());
        sources.all(|source| source.stop(left())) && events && stored
    }

    /// Ends the threads, cutting off whatever they do; what waits is dropped. Returns at the given moment at the latest;
    /// tells whether that was done in time.
    pub fn stop(&self, end: Instant) -> bool {
        self.leave();
        let left = || end.saturating_duration_since(Instant::now());
        let events = self.events.get().is_none_or(|events| events.close(left()));
        self.has_left_by(end) && events
    }

    pub(super) fn wait_for_data(&self, timeout: Duration) {
        self.arrival.wait(timeout);
    }

    /// Whether there is no point in waiting for data any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.arrival.is_settled()
    }

    /// What an event loop waits for instead; `None` when there is nothing to wait for.
    ///
    /// # Errors
    /// The system has no socket to give.
    pub fn signal(&self) -> io::Result<Option<Signal>> {
        self.arrival.signal()
    }

    /// Whether there is a source that has delivered nothing in this process.
    pub(super) fn source_is_silent(&self) -> bool {
        self.source.get().is_some() && !self.arrival.is_settled()
    }

    /// Notes that the source told something that can be used, or confirmed what is known.
    pub(super) fn data_is_good(&self) {
        self.last_data_ms.store(now_ms(), Ordering::Relaxed);
        self.heard();
        self.set_status(State::Valid, None);
    }

    /// Something arrived; `enough` says whether the client is initialized now.
    pub(super) fn data_arrived(&self, enough: bool) {
        self.updates.fetch_add(1, Ordering::Relaxed);
        if enough {
            self.arrival.data();
        }
    }

    fn heard(&self) {
        self.last_contact_ms.store(now_ms(), Ordering::Relaxed);
    }

    pub(super) fn source_says(&self, state: State, error: Option<ErrorInfo>) {
        match state {
            State::Valid => self.data_is_good(),
            state => self.set_status(state, error),
        }
    }

    fn set_status(&self, state: State, error: Option<ErrorInfo>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.update(state, error, now_ms()) {
            // Under the lock, so that listeners hear of states in their order.
            self.notices.status(&status);
        }
    }

    /// The service's name for the environment, once it told.
    pub fn environment_id(&self) -> Option<Arc<String>> {
        self.environment_id.load_full()
    }

    /// How it is doing.
    pub fn stats(&self, size: (usize, usize)) -> Stats {
        let status = self.status();
        let age = |at: &AtomicI64| {
            let at = at.load(Ordering::Relaxed);
            let age = u64::try_from(now_ms().saturating_sub(at)).unwrap_or(0);
            (at != 0).then(|| Duration::from_millis(age))
        };
        let later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = self.source.get().into_iter().chain(later.as_ref());
        let sources = sources.filter(|source| !source.has_ended()).count();
        Stats {
            state: status.state,
            since_ms: status.since_ms,
            error: status.error,
            environment_id: self.environment_id().map(|id| String::clone(&id)),
            data_age: age(&self.last_data_ms),
            contact_age: self.source.get().and_then(|_| age(&self.last_contact_ms)),
            updates: self.updates.load(Ordering::Relaxed),
            reconnects: self.connections.load(Ordering::Relaxed).saturating_sub(1),
            failed_connections: self.failed_connections.load(Ordering::Relaxed),
            size,
            generation: self.generation,
            threads: usize::from(self.events.get().is_some_and(|events| !events.has_ended()))
                + sources
                + usize::from(
                    self.storage
                        .get()
                        .is_some_and(|storage| storage.has_thread()),
                ),
            lookups: lookups_running(),
            ledger: self.events.get().map(Events::stats),
        }
    }
}

/// What the source tells the client. Weak, so that a client that nobody holds can go.
struct ClientSink {
    client: Weak<Client>,
    generation: u64,
    turn: u64,
}

impl ClientSink {
    fn with_runtime(&self, tell: impl FnOnce(&Runtime)) {
        if let Some(client) = self.client.upgrade() {
            let live = client.live.load();
            if live.generation == self.generation
                && live.runtime.turn.load(Ordering::Acquire) == self.turn
            {
                tell(&live.runtime);
            }
        }
    }
}

impl Sink for ClientSink {
    fn wants_text(&self) -> bool {
        self.client
            .upgrade()
            .is_some_and(|client| client.settings.store.is_some())
    }

    fn known(&self) -> Arc<Snapshot> {
        let client = self.client.upgrade();
        client.map_or_else(Arc::default, |client| client.live.load().snapshot.clone())
    }

    fn apply(&self, change: Change) {
        if let Some(client) = self.client.upgrade()
            && client.live.load().runtime.turn.load(Ordering::Acquire) == self.turn
        {
            client.publish(self.generation, change);
        }
    }

    fn status(&self, state: State, error: Option<ErrorInfo>) {
        self.with_runtime(|runtime| runtime.source_says(state, error));
    }

    fn heard(&self) {
        self.with_runtime(Runtime::heard);
    }

    fn gave_up(&self) {
        self.with_runtime(|runtime| runtime.arrival.over());
    }

    fn stream_init(&self, timestamp_ms: i64, duration_ms: i64, failed: bool) {
        self.with_runtime(|runtime| {
            let count = if failed {
                &runtime.failed_connections
            } else {
                &runtime.connections
            };
            count.fetch_add(1, Ordering::Relaxed);
            if let Some(events) = runtime.events.get() {
                events.stream_init(timestamp_ms, duration_ms, failed);
            }
        });
    }

    fn environment_id(&self, id: &str) {
        self.with_runtime(|runtime| {
            runtime.environment_id.store(Some(Arc::new(id.to_owned())));
        });
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
