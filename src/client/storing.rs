//! The persistent store of a client: what is read from it, what is written to it, and when. How it keeps things is the
//! store's question.
//!
//! 1. The store's content is what the client answers from; the snapshot is the cache in front of it. What a source
//!    delivers is in the snapshot at once and in the store soon after.
//! 2. One thread, `ld-store` or one that Python lends, writes, refreshes and waits for a store that is down.
//! 3. Kept for a time: everything is read at the start and again before the time is over; evaluations do not wait. While
//!    the store is down the last known flags are served. In daemon mode a question that comes before the first reading
//!    reads everything on its caller's thread, as nothing else can answer it.
//! 4. Kept for ever: a flag is read, with all that it rests on, when it is first asked for, and never again. The caller
//!    waits for it, unless a source delivers flags: then it is looked for in the background.
//! 5. Not kept: each evaluation reads its flag, with all that it rests on, on the caller's thread. While the store is
//!    down, or is still to be written to, the last known flags are served: no caller waits for a store that failed until
//!    the thread has found it well again.
//! 6. Before a source has delivered anything, a store that was ever filled is answered from. In daemon mode (there is no
//!    source) the store is never written to, and it need not have been marked as filled.
//! 7. What could not be written is kept, one text an item, and written when the store answers again.
//! 8. One log line when the store fails, one when it answers again, one for each malformed text, however often it is
//!    read. No lock is held while the store is asked.

mod reading;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::{Client, Live};
use crate::events::log::{Level, Log};
use crate::store::fetch::Known;
use crate::store::{Original, PersistentStore, StoreError};

/// How long a store that failed is left alone.
const RECOVERY: Duration = Duration::from_millis(500);
/// How many malformed texts are known to have been told.
const MOST_TOLD: usize = 10_000;
/// Compiling the deepest data takes less; see `source`.
const STACK: usize = 2 * 1024 * 1024;

/// Which store, and how a client uses it.
#[derive(Clone)]
pub struct StoreSettings {
    /// The store.
    pub store: Arc<dyn PersistentStore>,
    /// How long what was read is kept.
    pub caching: Caching,
    /// Whether there is no source: flags are only read.
    pub daemon: bool,
    /// Whether the store's thread is one that Python lends, because the store is written in Python.
    pub lent_thread: bool,
}

/// How long what was read from a store is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Not at all.
    Off,
    /// For so long.
    For(Duration),
    /// As long as the client lives.
    Forever,
}

/// How a store is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether it answers.
    pub available: bool,
    /// Whether it may have lost what was written, and gets all data when the source next delivers it.
    pub refresh_needed: bool,
}

/// The store in one process.
pub struct Storage {
    settings: StoreSettings,
    client: Weak<Client>,
    generation: u64,
    log: Arc<dyn Log>,
    known: Mutex<Known>,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether something is still to be written.
    behind: AtomicBool,
    /// Whether the source has delivered all data.
    fed: AtomicBool,
    /// Whether everything was read, where it is kept for ever.
    complete: AtomicBool,
}

struct State {
    writes: Writes,
    wanted: Vec<Box<str>>,
    stopping: bool,
    running: bool,
    available: bool,
    /// Whether it failed and was not read from since. That it is available again does not yet tell what is in it.
    mute: bool,
    refresh_needed: bool,
    /// When the store may be asked again after a failure.
    retry_at: Option<Instant>,
    refresh_at: Option<Instant>,
    /// Hashes of what was told of malformed texts.
    told: HashSet<u64, FixedState>,
}

#[derive(Default)]
struct Writes {
    whole: Option<Box<[u8]>>,
    items: Vec<Original>,
}

impl Writes {
    fn is_empty(&self) -> bool {
        self.whole.is_none() && self.items.is_empty()
    }

    fn add(&mut self, original: Original) {
        match original {
            Original::Whole(text) => {
                self.whole = Some(text);
                self.items.clear();
            }
            Original::Item { kind, ref key, .. } => {
                // Of an item only the last text counts.
                self.items.retain(|old| !matches!(old, Original::Item { kind: k, key: name, .. } if *k == kind && name == key));
                self.items.push(original);
            }
        }
    }
}

/// What the thread does next.
enum Task {
    Write(Writes),
    Fetch(Vec<Box<str>>),
    Refresh,
    Check,
    End,
}

impl Storage {
    pub(super) fn new(
        settings: StoreSettings,
        client: Weak<Client>,
        generation: u64,
        fed: bool,
        log: Arc<dyn Log>,
    ) -> Arc<Storage> {
        Arc::new(Storage {
            settings,
            client,
            generation,
            log,
            known: Mutex::default(),
            state: Mutex::new(State {
                writes: Writes::default(),
                wanted: Vec::new(),
                stopping: false,
                running: false,
                available: true,
                mute: false,
                refresh_needed: false,
                retry_at: None,
                refresh_at: Some(Instant::now()),
                told: HashSet::default(),
            }),
            changed: Condvar::new(),
            behind: AtomicBool::new(false),
            fed: AtomicBool::new(fed),
            complete: AtomicBool::new(false),
        })
    }

    /// Starts the thread, where it is not Python's to lend.
    pub(super) fn start(self: &Arc<Storage>) -> io::Result<()> {
        if self.settings.lent_thread {
            // Noticed by the next API call, in a forked child too.
            self.log.log(
                Level::Debug,
                "The feature store is asked on a thread of Python's.".to_owned(),
            );
            return Ok(());
        }
        let storage = Arc::clone(self);
        thread::Builder::new()
            .name("ld-store".to_owned())
            .stack_size(STACK)
            .spawn(move || storage.run())
            .map(drop)
    }

    /// Whether a thread is still to be lent.
    pub fn wants_thread(&self) -> bool {
        let state = self.state();
        self.settings.lent_thread && !state.running && !state.stopping
    }

    /// Does the thread's work until the client is closed. A second caller returns at once.
    pub fn run(&self) {
        if std::mem::replace(&mut self.state().running, true) {
            return;
        }
        let ended = EndsWhenDropped(self);
        loop {
            match self.next() {
                Task::Write(writes) => self.write_all(writes),
                Task::Fetch(keys) => {
                    for key in keys {
                        let _ = self.fetch(&key);
                    }
                }
                Task::Refresh => self.refresh(),
                Task::Check => {
                    if self.settings.store.is_available() {
                        self.answered();
                    } else {
                        self.failed(None);
                    }
                }
                Task::End => break,
            }
        }
        drop(ended);
    }

    fn next(&self) -> Task {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let resting = state.retry_at.filter(|at| *at > now);
            if state.stopping {
                if state.available && !state.writes.is_empty() {
                    return Task::Write(std::mem::take(&mut state.writes));
                }
                return Task::End;
            }
            if resting.is_none() {
                if !state.available {
                    return Task::Check;
                }
                if !state.writes.is_empty() {
                    return Task::Write(std::mem::take(&mut state.writes));
                }
                if !state.wanted.is_empty() {
                    return Task::Fetch(std::mem::take(&mut state.wanted));
                }
                if state.refresh_at.is_some_and(|at| at <= now) {
                    return Task::Refresh;
                }
            }
            let wait = match (resting, state.refresh_at) {
                (Some(at), _) | (None, Some(at)) => at.saturating_duration_since(now),
                (None, None) => Duration::from_secs(3600),
            };
            state = self
                .changed
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Takes in what the source delivered. Never waits for the store.
    pub(super) fn delivered(&self, original: Option<Original>, whole: bool) {
        if whole {
            self.fed.store(true, Ordering::Release);
        }
        self.known().clear();
        if self.settings.daemon {
            return;
        }
        let Some(original) = original else { return };
        self.behind.store(true, Ordering::Release);
        let mut state = self.state();
        state.writes.add(original);
        self.changed.notify_all();
    }

    fn write_all(&self, mut writes: Writes) {
        let mut result = Ok(());
        if let Some(text) = &writes.whole {
            result = match Original::items(text) {
                Some((flags, segments)) => self.settings.store.init(&flags, &segments),
                None => Ok(()),
            };
            if result.is_ok() {
                writes.whole = None;
                let mut state = self.state();
                if std::mem::take(&mut state.refresh_needed) {
                    self.tell_listeners(&state);
                }
            }
        }
        if result.is_ok() {
            let mut left = std::mem::take(&mut writes.items).into_iter();
            for original in left.by_ref() {
                let Original::Item {
                    kind,
                    key,
                    version,
                    text,
                } = &original
                else {
                    continue;
                };
                result = self.settings.store.upsert(*kind, key, *version, text);
                if result.is_err() {
                    writes.items.push(original);
                    break;
                }
            }
            writes.items.extend(left);
        }
        match result {
            Ok(()) => {
                let mut state = self.state();
                if let Caching::For(time) = self.settings.caching {
                    state.refresh_at = Some(Instant::now() + ahead(time));
                }
                if state.writes.is_empty() {
                    self.behind.store(false, Ordering::Release);
                }
            }
            Err(error) => {
                let mut state = self.state();
                let newer = std::mem::replace(&mut state.writes, writes);
                if let Some(text) = newer.whole {
                    state.writes.add(Original::Whole(text));
                }
                for item in newer.items {
                    state.writes.add(item);
                }
                drop(state);
                self.failed(Some(&error));
            }
        }
    }

    /// The store did not do what it was asked.
    fn failed(&self, error: Option<&StoreError>) {
        let mut state = self.state();
        state.retry_at = Some(Instant::now() + RECOVERY);
        state.mute = true;
        if !state.available {
            return;
        }
        state.available = false;
        self.tell_listeners(&state);
        drop(state);
        let reason = error.map_or_else(|| "it does not answer".to_owned(), ToString::to_string);
        self.log.log(
            Level::Warning,
            format!(
                "The feature store failed: {reason}. The last known flags go on being served; it is tried again every 0.5 s, further failures are not logged."
            ),
        );
        self.changed.notify_all();
    }

    /// The store answered.
    fn answered(&self) {
        let fed = self.is_fed();
        let lost = |state: &State| {
            fed && !self.settings.daemon && !state.available && state.writes.whole.is_none()
        };
        // A server that came back may have come back empty.
        let empty = lost(&self.state())
            && self
                .settings
                .store
                .initialized()
                .is_ok_and(|initialized| !initialized);
        let mut state = self.state();
        state.retry_at = None;
        if state.available {
            return;
        }
        state.available = true;
        state.refresh_needed = empty && state.writes.whole.is_none();
        self.tell_listeners(&state);
        let refresh = state.refresh_needed;
        drop(state);
        self.log.log(
            Level::Warning,
            "The feature store is available again.".to_owned(),
        );
        if refresh && let Some(client) = self.client.upgrade() {
            client.deliver_again(self.generation);
        }
    }

    /// How the store is doing.
    pub fn status(&self) -> StoreStatus {
        self.state().status()
    }

    /// Has listeners hear of the new status, under the lock, so that they hear of states in their order.
    fn tell_listeners(&self, state: &State) {
        if let Some(client) = self.client.upgrade() {
            let live = client.live.load();
            if live.generation == self.generation {
                live.runtime.notices().store(state.status());
            }
        }
    }

    /// Asks the thread to end and waits for it, at most until then; tells whether it has ended.
    pub(super) fn stop(&self, end: Instant) -> bool {
        let mut state = self.state();
        state.stopping = true;
        self.changed.notify_all();
        while state.running {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Whether a native thread of its own runs.
    pub(super) fn has_thread(&self) -> bool {
        !self.settings.lent_thread && self.state().running
    }

    fn is_fed(&self) -> bool {
        self.fed.load(Ordering::Acquire)
    }

    fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn status(&self) -> StoreStatus {
        StoreStatus {
            available: self.available,
            refresh_needed: self.refresh_needed,
        }
    }
}

impl Live {
    /// Whether a store is all there is to answer from, and does not answer.
    pub(super) fn is_mute(&self) -> bool {
        self.runtime
            .storage()
            .is_some_and(|storage| !storage.is_fed() && storage.state().mute)
    }
}

/// However the thread ends, its end is told.
struct EndsWhenDropped<'s>(&'s Storage);

impl Drop for EndsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.state().running = false;
        self.0.changed.notify_all();
    }
}

/// So long before the time is over that reading is done by then.
fn ahead(time: Duration) -> Duration {
    time.mul_f64(0.8).max(Duration::from_millis(1))
}
