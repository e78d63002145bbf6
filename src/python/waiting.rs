//! How a call waits: in slices, so that Ctrl-C is heard, and so that a gevent hub goes on while one of its greenlets
//! waits. What is waited for is the caller's question; nothing is lost by a wait that is broken off.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::client::{Client, Ending, Signal};
use crate::events::{Events, FlushReport};

/// How long a wait lasts at most before Python may handle a signal.
const SLICE: Duration = Duration::from_millis(50);
/// How long a greenlet sleeps between two looks: less at first, as most waits are short.
const NAPS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// Waits until `step` says that there is nothing to wait for, at most so long; tells whether it said so. `step` waits as
/// long as it is told, not attached to Python. Raises what a signal handler raises.
fn until(
    py: Python<'_>,
    timeout: Duration,
    mut step: impl FnMut(Duration) -> bool + Send,
) -> PyResult<bool> {
    if py.detach(|| step(Duration::ZERO)) {
        return Ok(true);
    }
    let end = Instant::now() + timeout;
    let sleep = sleep_of_greenlets(py);
    let mut nap = NAPS.0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let done = match &sleep {
            None => py.detach(|| step(left.min(SLICE))),
            Some(sleep) => {
                sleep.call1((left.min(nap).as_secs_f64(),))?;
                nap = (nap * 2).min(NAPS.1);
                py.detach(|| step(Duration::ZERO))
            }
        };
        if done {
            return Ok(true);
        }
        py.check_signals()?;
    }
}

/// Waits for flags; tells whether there are any.
pub(super) fn for_flags(py: Python<'_>, client: &Client, timeout: Duration) -> PyResult<bool> {
    until(py, timeout, |slice| {
        client.wait_for_initialization(slice) || client.live().runtime.is_settled()
    })?;
    Ok(client.is_initialized())
}

/// Waits until the source has delivered in this process.
pub(super) fn for_refresh(py: Python<'_>, client: &Client, timeout: Duration) -> PyResult<()> {
    until(py, timeout, |slice| client.wait_for_refresh(slice)).map(drop)
}

/// Flushes, and waits for that.
pub(super) fn for_flush(
    py: Python<'_>,
    events: &Events,
    timeout: Duration,
) -> PyResult<FlushReport> {
    let mut flushing = events.begin_flush();
    until(py, timeout, |slice| flushing.wait(slice))?;
    Ok(events.flushed(&flushing))
}

/// Waits for the end of clients that are closing.
pub(super) fn for_end(py: Python<'_>, mut ending: Ending, timeout: Duration) -> PyResult<()> {
    // The last slice of it is the cut.
    if !until(py, timeout, |slice| ending.wait(slice))? {
        py.detach(|| ending.wait(Duration::ZERO));
    }
    Ok(())
}

/// What a greenlet sleeps with; `None` where the calling thread may be kept waiting. gevent is looked for only where the
/// application has imported it.
fn sleep_of_greenlets(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let modules = py.import("sys").ok()?.getattr("modules").ok()?;
    let modules = modules.cast::<PyDict>().ok()?;
    modules.get_item("gevent").ok().flatten()?;
    let sleep = py
        .import("ldclient._gevent")
        .and_then(|gevent| gevent.call_method0("sleep_of_this_greenlet"))
        .ok()?;
    (!sleep.is_none()).then_some(sleep)
}

/// The number by which Python knows a socket, which is Python's to close from now on.
#[cfg(unix)]
pub(super) fn descriptor(signal: Signal) -> i64 {
    use std::os::fd::IntoRawFd;
    signal.into_raw_fd().into()
}

/// The number by which Python knows a socket, which is Python's to close from now on.
#[cfg(windows)]
pub(super) fn descriptor(signal: Signal) -> i64 {
    use std::os::windows::io::IntoRawSocket;
    i64::try_from(signal.into_raw_socket()).unwrap_or(-1)
}

/// Waits for the bell of listeners, as `ldclient.tracking`'s thread does, which is a greenlet where threads are patched.
pub(super) fn for_notices(py: Python<'_>, seen: u64, timeout: Duration) -> PyResult<u64> {
    let mut rung = seen;
    until(py, timeout, |slice| {
        rung = crate::client::notices::wait(seen, slice);
        rung != seen
    })?;
    Ok(rung)
}
