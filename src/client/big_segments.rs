//! What a client knows of big segments: who is in them, whether their store answers, and how old its data is.
//!
//! 1. The store is asked on the caller's thread, about a context that nothing is remembered of. Nothing else waits for it.
//! 2. No lock is held while the store is asked: it may be slow, ask this client, or fork. What it answers is remembered
//!    only in the process that asked.
//! 3. A store that fails costs the answers about big segments, which say so. That is logged when it begins and when it
//!    is over. No failure is remembered, but one that takes its time to fail is left alone for a while (`rest`).
//! 4. Its state is asked for every `poll_interval` by whoever calls `poll_big_segments`, and by an evaluation or a status
//!    query only as long as nothing is known of it. Of several threads that want it one asks, the others wait.
//! 5. A closed client asks no more.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::memberships::Memberships;
use super::rest::Rest;
use super::{Client, Live};
use crate::evaluation::{self, BigSegmentsStatus, Membership};
use crate::events::log::Level;
use crate::store::{BigSegmentStore, StoreError, context_hash};

/// How long a thread waits for the one that asks for the state of the store, before it goes on without.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a single wait of those lasts.
const SLICE: Duration = Duration::from_millis(50);

/// How a client looks up big segments.
pub struct BigSegments {
    /// Where.
    pub store: Box<dyn BigSegmentStore>,
    /// How many contexts are remembered.
    pub cache_size: usize,
    /// For how long.
    pub cache_time: Duration,
    /// How often the state of the store is to be asked for.
    pub poll_interval: Duration,
    /// How old its data may get.
    pub stale_after: Duration,
    /// Who asks for its state.
    pub watcher: Box<dyn Watcher>,
}

/// Sees to it that somebody calls `poll_big_segments`.
pub trait Watcher: Send + Sync {
    /// Begins, or begins again in a forked process, until the client is closed or gone.
    fn begin(&self, client: Weak<Client>);
    /// Ends it.
    fn end(&self);
}

/// Whether the store answers, and with current data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BigSegmentStoreStatus {
    /// Whether it answers.
    pub available: bool,
    /// Whether what it answers is out of date.
    pub stale: bool,
}

impl BigSegmentStoreStatus {
    const UNAVAILABLE: BigSegmentStoreStatus = BigSegmentStoreStatus {
        available: false,
        stale: false,
    };

    fn worth(self) -> BigSegmentsStatus {
        match (self.available, self.stale) {
            (false, _) => BigSegmentsStatus::StoreError,
            (true, true) => BigSegmentsStatus::Stale,
            (true, false) => BigSegmentsStatus::Healthy,
        }
    }
}

/// What is known of the store in one process.
#[derive(Default)]
pub(super) struct Memory {
    memberships: Mutex<Memberships>,
    /// Of questions about memberships.
    rest: Mutex<Rest>,
    status: AtomicU8,
    /// The thread that asks for the state, and how many times over.
    asking: Mutex<Option<(ThreadId, usize)>>,
    answered: Condvar,
    /// By what was asked: whether the last answer was a failure.
    failing: [AtomicBool; 2],
    /// Whether nobody polls yet.
    unwatched: AtomicBool,
}

/// What a store is asked for.
#[derive(Clone, Copy)]
enum Asked {
    Membership = 0,
    State = 1,
}

impl Memory {
    const UNKNOWN: u8 = 0;
    const AVAILABLE: u8 = 2;
    const STALE: u8 = 4;

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody has to poll from now.
    pub(super) fn wants_watch(&self) {
        self.unwatched.store(true, Ordering::Release);
    }

    fn status(&self) -> Option<BigSegmentStoreStatus> {
        let bits = self.status.load(Ordering::Acquire);
        (bits != Memory::UNKNOWN).then_some(BigSegmentStoreStatus {
            available: bits & Memory::AVAILABLE != 0,
            stale: bits & Memory::STALE != 0,
        })
    }

    /// Whether this thread may ask for the state; otherwise another one does.
    fn begin(&self) -> bool {
        let me = thread::current().id();
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *asking {
            None => *asking = Some((me, 1)),
            Some((thread, _)) if *thread != me => return false,
            // Green threads take turns on one thread: to wait would stop the one that is waited for.
            Some((_, depth)) => *depth += 1,
        }
        true
    }

    fn end(&self, status: BigSegmentStoreStatus) {
        let mut bits = 1;
        if status.available {
            bits |= Memory::AVAILABLE;
        }
        if status.stale {
            bits |= Memory::STALE;
        }
        self.status.store(bits, Ordering::Release);
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        *asking = asking
            .filter(|(_, depth)| *depth > 1)
            .map(|(thread, depth)| (thread, depth - 1));
        self.answered.notify_all();
    }

    fn wait(&self) {
        let asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.answered
                .wait_timeout_while(asking, SLICE, |asking| asking.is_some()),
        );
    }
}

impl Client {
    /// Has the store watched, once a process; tells whether that began just now. Runs the watcher: no lock may be held.
    #[inline]
    pub fn watch_big_segments(&self, live: &Live) -> bool {
        let unwatched = &live.runtime.big_segments.unwatched;
        let begin = unwatched.load(Ordering::Relaxed) && unwatched.swap(false, Ordering::AcqRel);
        if let (true, Some(setup)) = (begin, &self.settings.big_segments) {
            setup.watcher.begin(self.this.clone());
        }
        begin
    }

    /// Ends the watch and lets the store go. For a client that is closed. Runs the watcher and the store: no lock may
    /// be held.
    pub fn stop_big_segments(&self) {
        if let Some(setup) = &self.settings.big_segments {
            setup.watcher.end();
            setup.store.stop();
        }
    }

    /// How often the state of the store is to be asked for.
    #[must_use]
    pub fn big_segments_poll_interval(&self) -> Option<Duration> {
        let setup = self.settings.big_segments.as_ref()?;
        Some(setup.poll_interval)
    }

    /// Whether the store answers, as was last seen; asks it when nothing is known yet, and waits for that.
    pub fn big_segment_store_status(&self) -> BigSegmentStoreStatus {
        self.store_status(false)
    }

    /// The same, asked anew.
    pub fn poll_big_segments(&self) -> BigSegmentStoreStatus {
        self.store_status(true)
    }

    fn store_status(&self, mut anew: bool) -> BigSegmentStoreStatus {
        let Some(setup) = &self.settings.big_segments else {
            return BigSegmentStoreStatus::UNAVAILABLE;
        };
        let end = Instant::now() + PATIENCE;
        loop {
            let live = self.live();
            let memory = &live.runtime.big_segments;
            let known = memory.status();
            if self.is_closed() || self.settings.offline {
                return known.unwrap_or(BigSegmentStoreStatus::UNAVAILABLE);
            }
            if let (false, Some(status)) = (anew, known) {
                return status;
            }
            if memory.begin() {
                let answer = setup.store.last_updated_ms();
                self.tell(Asked::State, answer.as_ref().err());
                let status = match answer {
                    Err(_) => BigSegmentStoreStatus::UNAVAILABLE,
                    Ok(last) => BigSegmentStoreStatus {
                        available: true,
                        stale: is_stale(last, now_ms(), setup.stale_after),
                    },
                };
                if live.is_here() {
                    memory.end(status);
                }
                return status;
            }
            if Instant::now() >= end {
                return known.unwrap_or(BigSegmentStoreStatus::UNAVAILABLE);
            }
            setup.store.aside(&mut || memory.wait());
            anew = false;
        }
    }

    /// Logs that the store fails, when it did not before; and that it answers again.
    fn tell(&self, asked: Asked, failure: Option<&StoreError>) {
        // Python may have run, and forked: the log of this process.
        let live = self.live();
        let was = live.runtime.big_segments.failing[asked as usize]
            .swap(failure.is_some(), Ordering::AcqRel);
        match (was, failure) {
            (false, Some(StoreError(why))) => {
                let what = match asked {
                    Asked::Membership => "the segments of a context",
                    Asked::State => "its state",
                };
                live.runtime.log(
                    Level::Error,
                    format!(
                        "The Big Segment store failed when asked for {what} ({why}). Flags are evaluated without, with \
                         the status STORE_ERROR, and it is asked again."
                    ),
                );
            }
            (true, None) => live
                .runtime
                .log(Level::Info, "The Big Segment store answers again.".into()),
            _ => {}
        }
    }
}

/// Big segments as one evaluation, or one state of all flags, sees them.
pub(super) struct View<'a> {
    client: &'a Client,
    live: &'a Live,
    /// What was asked here before, so that a store that fails or is not to be remembered is asked once.
    seen: RefCell<Vec<Seen>>,
}

struct Seen {
    context_key: Box<str>,
    membership: Option<Arc<Membership>>,
    status: BigSegmentsStatus,
}

impl<'a> View<'a> {
    pub(super) fn new(client: &'a Client, live: &'a Live) -> View<'a> {
        View {
            client,
            live,
            seen: RefCell::default(),
        }
    }

    fn look_up(&self, context_key: &str) -> (Option<Arc<Membership>>, BigSegmentsStatus) {
        let Some(setup) = &self.client.settings.big_segments else {
            return (None, BigSegmentsStatus::NotConfigured);
        };
        // Asked anew: an earlier question of this evaluation may have forked the process.
        if !self.live.is_here() {
            return View::new(self.client, &self.client.live()).look_up(context_key);
        }
        let memory = &self.live.runtime.big_segments;
        let memberships = &memory.memberships;
        let lock = || memberships.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = lock().get(context_key, Instant::now(), setup.cache_time);
        let membership = match remembered {
            Some(membership) => membership,
            None if self.client.is_closed() => return (None, BigSegmentsStatus::StoreError),
            None => {
                let begin = Instant::now();
                if !memory.rest().may_ask(begin) {
                    return (None, BigSegmentsStatus::StoreError);
                }
                let answer = setup.store.membership(&context_hash(context_key));
                if self.live.is_here() {
                    let end = Instant::now();
                    memory.rest().asked(answer.is_err(), end - begin, end);
                }
                self.client.tell(Asked::Membership, answer.as_ref().err());
                let Ok(membership) = answer else {
                    return (None, BigSegmentsStatus::StoreError);
                };
                let membership = Arc::new(membership.unwrap_or_default());
                if self.live.is_here() {
                    lock().put(
                        context_key,
                        membership.clone(),
                        Instant::now(),
                        setup.cache_time,
                        setup.cache_size,
                    );
                }
                membership
            }
        };
        let status = self.client.big_segment_store_status().worth();
        (Some(membership), status)
    }
}

impl evaluation::BigSegments for View<'_> {
    fn membership(&self, context_key: &str) -> (Option<Arc<Membership>>, BigSegmentsStatus) {
        let seen = self
            .seen
            .borrow()
            .iter()
            .find(|seen| *seen.context_key == *context_key)
            .map(|seen| (seen.membership.clone(), seen.status));
        seen.unwrap_or_else(|| {
            let (membership, status) = self.look_up(context_key);
            self.seen.borrow_mut().push(Seen {
                context_key: context_key.into(),
                membership: membership.clone(),
                status,
            });
            (membership, status)
        })
    }
}

/// Data that was never brought up to date is as good as too old.
fn is_stale(last_updated_ms: Option<i64>, now_ms: i64, stale_after: Duration) -> bool {
    let allowed = i64::try_from(stale_after.as_millis()).unwrap_or(i64::MAX);
    last_updated_ms.is_none_or(|last| now_ms.saturating_sub(last) >= allowed)
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "big_segments_tests.rs"]
mod tests;
