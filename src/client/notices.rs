//! What listeners in Python are to hear: flags that changed, states of the data source and of the store. Kept here until
//! a Python thread takes it; native threads never touch the interpreter.
//!
//! 1. While nobody listens nothing is kept, and nothing is worked out: one atomic load says so.
//! 2. What is kept is bounded: of more than `FLAGS` changes a flag that waits already is not kept again, and of more
//!    than `STATUSES` states the oldest goes.
//! 3. One bell a process wakes the one thread that takes what waits. A forked child makes its own bell, and marks every
//!    client that is listened to as unattended: the next API call starts the thread there.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::fork;
use super::storing::StoreStatus;
use crate::source::{State, Status};

/// How many changes of flags wait at most, repetitions included.
const FLAGS: usize = 10_000;
/// How many states of the source, and of the store, wait at most.
const STATUSES: usize = 1_000;

/// What a client's listeners want to hear of. It outlives forks.
#[derive(Debug, Default)]
pub struct Wanted(AtomicU8);

impl Wanted {
    const FLAGS: u8 = 1;
    const SOURCE: u8 = 2;
    const STORE: u8 = 4;

    /// Says what is wanted from now on.
    pub fn set(&self, flags: bool, source: bool, store: bool) {
        let bits = [
            (flags, Self::FLAGS),
            (source, Self::SOURCE),
            (store, Self::STORE),
        ];
        let bits = bits.iter().map(|(wanted, bit)| u8::from(*wanted) * bit);
        self.0.store(bits.sum(), Ordering::Release);
    }

    fn has(&self, bit: u8) -> bool {
        self.0.load(Ordering::Acquire) & bit != 0
    }

    /// Whether anybody listens to flags.
    #[inline]
    pub(super) fn wants_flags(&self) -> bool {
        self.has(Self::FLAGS)
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

/// What waits for one client's listeners in one process.
#[derive(Debug)]
pub struct Notices {
    wanted: Arc<Wanted>,
    waiting: Mutex<Waiting>,
    unattended: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    flags: VecDeque<Arc<str>>,
    /// The keys in `flags`.
    keys: HashSet<Arc<str>>,
    statuses: VecDeque<Status>,
    stores: VecDeque<StoreStatus>,
}

/// What was taken.
#[derive(Debug, Default)]
pub struct Taken {
    /// Keys of flags that changed, in order; one may occur twice.
    pub flags: Vec<Arc<str>>,
    /// States of the data source, in order.
    pub statuses: Vec<Status>,
    /// States of the store, in order.
    pub stores: Vec<StoreStatus>,
}

impl Notices {
    /// Nothing waits. `inherited` says whether whoever listens did so before a fork, so that no thread takes anything.
    pub(super) fn new(wanted: Arc<Wanted>, inherited: bool) -> Notices {
        let unattended = inherited && wanted.any();
        Notices {
            wanted,
            waiting: Mutex::default(),
            unattended: AtomicBool::new(unattended),
        }
    }

    /// Whether somebody listens but no thread takes what waits, or something else is to begin again.
    #[inline]
    pub fn is_unattended(&self) -> bool {
        self.unattended.load(Ordering::Relaxed)
    }

    /// Has the next API call see to what Python has to begin.
    pub(super) fn wants_attention(&self) {
        self.unattended.store(true, Ordering::Release);
    }

    /// Takes the task of starting that thread; only one caller gets it.
    pub fn attend(&self) -> bool {
        self.unattended.swap(false, Ordering::AcqRel)
    }

    /// These flags changed.
    pub(super) fn flags(&self, keys: Vec<Box<str>>) {
        if keys.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let key: Arc<str> = key.into();
            if waiting.keys.insert(key.clone()) || waiting.flags.len() < FLAGS {
                waiting.flags.push_back(key);
            }
        }
        drop(waiting);
        ring();
    }

    /// The source has another status.
    pub(super) fn status(&self, status: &Status) {
        if !self.wanted.has(Wanted::SOURCE) {
            if status.state == State::Off && self.wanted.any() {
                // The thread may have nothing to wait for any more.
                ring();
            }
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        keep_last(&mut waiting.statuses, status.clone());
        drop(waiting);
        ring();
    }

    /// The store has another status.
    pub(super) fn store(&self, status: StoreStatus) {
        if self.wanted.has(Wanted::STORE) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            keep_last(&mut waiting.stores, status);
            drop(waiting);
            ring();
        }
    }

    /// Takes everything.
    pub fn take(&self) -> Taken {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut *waiting);
        Taken {
            flags: waiting.flags.into(),
            statuses: waiting.statuses.into(),
            stores: waiting.stores.into(),
        }
    }
}

fn keep_last<T>(waiting: &mut VecDeque<T>, status: T) {
    if waiting.len() == STATUSES {
        waiting.pop_front();
    }
    waiting.push_back(status);
}

/// Wakes the thread that waits in [`wait`].
struct Bell {
    generation: u64,
    rung: Mutex<u64>,
    ringing: Condvar,
}

static BELL: ArcSwapOption<Bell> = ArcSwapOption::const_empty();

/// The bell of this process.
fn bell() -> Arc<Bell> {
    let generation = fork::generation();
    loop {
        let current = BELL.load_full();
        if let Some(bell) = &current
            && bell.generation == generation
        {
            return bell.clone();
        }
        let fresh = Arc::new(Bell {
            generation,
            rung: Mutex::new(0),
            ringing: Condvar::new(),
        });
        BELL.compare_and_swap(&current, Some(fresh));
        // An inherited lock may be held for ever; not even its destructor may run.
        std::mem::forget(current);
    }
}

/// Wakes the thread that takes what waits.
pub fn ring() {
    let bell = bell();
    *bell.rung.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    bell.ringing.notify_all();
}

/// Waits until the bell was rung since it had been rung `seen` times, at most so long; returns how often it has been.
#[must_use]
pub fn wait(seen: u64, timeout: Duration) -> u64 {
    let bell = bell();
    let rung = bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
    let (rung, _) = bell
        .ringing
        .wait_timeout_while(rung, timeout, |rung| *rung == seen)
        .unwrap_or_else(PoisonError::into_inner);
    *rung
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices(flags: bool, source: bool) -> Notices {
        let wanted = Arc::new(Wanted::default());
        wanted.set(flags, source, false);
        Notices::new(wanted, false)
    }

    #[test]
    fn what_nobody_wants_is_not_kept() {
        let notices = notices(false, false);
        notices.status(&Status::new(1));
        assert!(!notices.wanted.wants_flags());
        assert!(notices.take().statuses.is_empty());
    }

    #[test]
    fn what_waits_is_taken_once_and_in_order() {
        let notices = notices(true, true);
        notices.flags(vec!["a".into(), "b".into()]);
        notices.flags(vec!["a".into()]);
        let mut status = Status::new(1);
        status.update(State::Valid, None, 2);
        notices.status(&status);
        let taken = notices.take();
        let keys: Vec<&str> = taken.flags.iter().map(|key| &**key).collect();
        assert_eq!(keys, ["a", "b", "a"]);
        assert_eq!(taken.statuses, [status]);
        assert!(notices.take().flags.is_empty());
    }

    #[test]
    fn of_too_many_changes_every_flag_is_kept_once() {
        let notices = notices(true, false);
        for _ in 0..FLAGS {
            notices.flags(vec!["busy".into()]);
        }
        notices.flags(vec!["busy".into(), "rare".into()]);
        let taken = notices.take().flags;
        assert_eq!(taken.len(), FLAGS + 1);
        assert_eq!(&**taken.last().unwrap(), "rare");
    }

    #[test]
    fn of_too_many_states_the_last_ones_are_kept() {
        let notices = notices(false, true);
        for now in 0..=1_000 {
            notices.status(&Status::new(now));
        }
        let taken = notices.take().statuses;
        assert_eq!((taken.len(), taken[0].since_ms), (STATUSES, 1));
    }

    #[test]
    fn states_of_the_store_wait_for_those_who_listen_to_it() {
        let wanted = Arc::new(Wanted::default());
        let notices = Notices::new(wanted.clone(), false);
        let status = |available| StoreStatus {
            available,
            refresh_needed: false,
        };
        notices.store(status(false));
        wanted.set(false, false, true);
        notices.store(status(true));
        notices.store(status(false));
        assert_eq!(notices.take().stores, [status(true), status(false)]);
        assert!(notices.take().stores.is_empty());
    }

    #[test]
    fn only_one_caller_attends_to_what_was_inherited() {
        let wanted = Arc::new(Wanted::default());
        assert!(!Notices::new(wanted.clone(), true).is_unattended());
        wanted.set(true, false, false);
        assert!(!Notices::new(wanted.clone(), false).is_unattended());
        let notices = Notices::new(wanted, true);
        assert!(notices.is_unattended());
        assert_eq!((notices.attend(), notices.attend()), (true, false));
    }

    #[test]
    fn a_bell_that_was_rung_before_the_wait_ends_it_at_once() {
        let seen = wait(u64::MAX, Duration::ZERO);
        ring();
        // Other tests ring the same bell, so more than once may have been heard.
        assert!(wait(seen, Duration::from_secs(60)) > seen);
    }
}
