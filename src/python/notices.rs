//! What the Python thread of listeners asks for: to be woken, and what waits. Who listens is `ldclient.tracking`'s
//! question.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::client::PyClient;
use super::waiting;
use crate::client::{Client, notices};
use crate::source::{State, Status};
use crate::store::{Change, DataKind};

/// (kind, HTTP status, seconds since 1970, message)
type ErrorTuple = (&'static str, u16, f64, String);
/// (state, since when in seconds since 1970, the last error)
type StatusTuple = (&'static str, f64, Option<ErrorTuple>);

/// No thread may be in a native wait for long when the interpreter ends.
const LONGEST_WAIT: f64 = 1.0;

/// Waits until the bell was rung since it had been rung `seen` times, at most so many seconds; returns how often it has
/// been rung.
#[pyfunction]
pub fn wait_for_notices(py: Python<'_>, seen: u64, timeout: f64) -> PyResult<u64> {
    let timeout = Duration::from_secs_f64(timeout.clamp(0.0, LONGEST_WAIT));
    waiting::for_notices(py, seen, timeout)
}

/// Wakes the thread that is in `wait_for_notices`.
#[pyfunction]
pub fn wake_listeners() {
    notices::ring();
}

/// The status in the form that Python makes its own of.
fn status_tuple(status: Status) -> StatusTuple {
    let error = status.error.map(|error| {
        (
            error.kind.as_str(),
            error.status,
            seconds(error.time_ms),
            error.message,
        )
    });
    (status.state.as_str(), seconds(status.since_ms), error)
}

/// Everything that waits for this client's listeners: keys of flags, states of the source, and whether that is the end.
/// A forked process that has not asked the client anything yet has nothing of it.
fn take(client: &Client) -> (Vec<String>, Vec<StatusTuple>, bool) {
    let Some(live) = client.live_here() else {
        return (Vec::new(), Vec::new(), false);
    };
    // Asked first: what is taken afterwards is all there will be.
    let ended = live.runtime.status().state == State::Off;
    let taken = live.runtime.notices().take();
    let statuses = taken.statuses.into_iter().map(status_tuple).collect();
    let flags = taken.flags.iter().map(|key| String::from(&**key)).collect();
    (flags, statuses, ended)
}

/// Reads a change: of everything without a kind, else of one item.
pub fn change(kind: Option<&str>, key: &str, json: &str) -> PyResult<Change> {
    let kind = match kind {
        None => None,
        Some("features") => Some(DataKind::Flag),
        Some("segments") => Some(DataKind::Segment),
        Some(other) => {
            return Err(PyValueError::new_err(format!(
                "there is no kind of data {other:?}"
            )));
        }
    };
    match kind {
        None => Change::full(json.as_bytes()),
        Some(kind) => Change::upsert(kind, key, json),
    }
    .map_err(|error| PyValueError::new_err(error.to_string()))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit for as long as anyone will ask"
)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// Starts the thread of listeners in a process that inherited them.
#[cold]
pub fn attend(py: Python<'_>, client: &Client) {
    if client.live().runtime.notices().attend() {
        drop(
            py.import("ldclient.tracking")
                .and_then(|tracking| tracking.call_method0("start")),
        );
    }
}

#[pymethods]
impl PyClient {
    /// Says what listeners want to hear of from now on.
    fn _want_notices(&self, flags: bool, source: bool) -> PyResult<()> {
        self.client()?.want_notices(flags, source);
        Ok(())
    }

    /// Everything that waits for listeners: keys of flags that changed, states of the data source, whether that is all.
    fn _take_notices(&self) -> PyResult<(Vec<String>, Vec<StatusTuple>, bool)> {
        Ok(take(self.client()?))
    }

    /// The status of the data source.
    fn _source_status(&self, py: Python<'_>) -> PyResult<StatusTuple> {
        let client = self.client()?;
        let status = Self::live(py, client).runtime.status();
        Ok(status_tuple(status))
    }
}
