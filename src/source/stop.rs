//! How a source is told to end, and how it says that it has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shared by the handle and the thread.
#[derive(Debug, Default)]
pub(super) struct Stop {
    asked: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
        // Between a waiter's look at the flag and its sleep it holds the lock: taking it means no wake-up is missed.
        drop(self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits that long, or until the end is asked for; says whether it is.
    pub(super) fn wait(&self, duration: Duration) -> bool {
        self.wait_until(duration, |_| self.is_asked())
    }

    /// Waits that long for the thread's end; says whether it came.
    pub(super) fn wait_for_end(&self, duration: Duration) -> bool {
        self.wait_until(duration, |ended| ended)
    }

    fn wait_until(&self, duration: Duration, done: impl Fn(bool) -> bool) -> bool {
        let end = Instant::now().checked_add(duration);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if done(*ended) {
                return true;
            }
            let left = end.map_or(duration, |end| {
                end.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return false;
            }
            ended = self
                .changed
                .wait_timeout(ended, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Held by the thread: however it ends, the end is told.
pub(super) struct EndsWhenDropped(pub(super) Arc<Stop>);

impl Drop for EndsWhenDropped {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}
