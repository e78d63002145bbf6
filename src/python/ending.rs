//! Keeps the interpreter's end away from calls of Python code that native code waits for. Before 3.14 a daemon thread that
//! wants to run on once the interpreter has begun to end is unwound by force, and a native frame on its way aborts the
//! process. What a client sends at the end is left to `ldclient._exit`.
//!
//! 1. Whatever calls Python code that may let other threads run holds an [`Inside`] meanwhile.
//! 2. The last exit handler waits for a moment until nobody is inside. After it, who wants to go inside waits, detached:
//!    once the interpreter ends it never comes back. For a moment only, for a later exit handler may wait for it.
//! 3. All of it runs attached, and the counter is changed without a pause in between: it needs no atomic addition.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// How long others are kept out. From the last exit handler to the end it is some milliseconds, as a rule.
const KEPT_OUT: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_micros(200);

static INSIDE: AtomicUsize = AtomicUsize::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);
/// The thread that ends the interpreter, and until when others are kept out. Taken for a moment, attached.
static END: Mutex<Option<(ThreadId, Instant)>> = Mutex::new(None);

/// Held by native code that waits for Python code.
pub struct Inside(());

impl Inside {
    /// Goes inside.
    #[inline]
    pub fn enter(py: Python<'_>) -> Inside {
        if ENDING.load(Ordering::Relaxed) {
            stay_out(py);
        }
        INSIDE.store(INSIDE.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Inside(())
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        // Not below 0, where a forked process has begun to count anew.
        let inside = INSIDE.load(Ordering::Relaxed);
        INSIDE.store(inside.saturating_sub(1), Ordering::Relaxed);
    }
}

#[cold]
fn stay_out(py: Python<'_>) {
    let end = *END.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((ender, until)) = end
        && ender != thread::current().id()
    {
        py.detach(|| thread::sleep(until.saturating_duration_since(Instant::now())));
    }
}

/// Waits at most so many seconds until no other thread is inside, and keeps them out from then on.
#[pyfunction]
pub fn keep_out(py: Python<'_>, timeout: f64) {
    let now = Instant::now();
    let until = now + Duration::from_secs_f64(timeout.clamp(0.0, 60.0));
    *END.lock().unwrap_or_else(PoisonError::into_inner) =
        Some((thread::current().id(), until + KEPT_OUT));
    ENDING.store(true, Ordering::Relaxed);
    while INSIDE.load(Ordering::Relaxed) > 0 && Instant::now() < until {
        py.detach(|| thread::sleep(STEP));
    }
}

/// Forgets who was inside: in a forked process they are not there.
#[pyfunction]
pub fn nobody_inside() {
    INSIDE.store(0, Ordering::Relaxed);
    ENDING.store(false, Ordering::Relaxed);
}
