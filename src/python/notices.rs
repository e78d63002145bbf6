//! What the Python thread of listeners asks for: to be woken, and what waits. Who listens is `ldclient.tracking`'s
//! question.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::client::PyClient;
use super::waiting;
use crate::client::{Client, notices};
use crate::source::{ErrorInfo, ErrorKind, State, Status};
use crate::store::{Change, DataKind};

/// (kind, HTTP status, seconds since 1970, message)
type ErrorTuple = (&'static str, u16, f64, String);
/// The same, from Python.
type GivenError = (String, u16, f64, String);
/// (state, since when in seconds since 1970, the last error)
type StatusTuple = (&'static str, f64, Option<ErrorTuple>);

/// (available, whether it has to be filled again)
type StoreTuple = (bool, bool);
/// Keys of flags, states of the source, states of the store, and whether that is the end.
type Waiting = (Vec<String>, Vec<StatusTuple>, Vec<StoreTuple>, bool);

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

/// Takes in what a data source of the application's own tells of itself.
fn source_says(client: &Client, state: &str, error: Option<GivenError>) -> PyResult<()> {
    let state = State::named(state)
        .ok_or_else(|| PyValueError::new_err(format!("there is no state {state:?}")))?;
    let error = error.map(|(kind, status, time, message)| ErrorInfo {
        kind: ErrorKind::named(&kind),
        status,
        #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
        time_ms: (time * 1_000.0) as i64,
        message,
    });
    client.source_says(state, error);
    Ok(())
}

/// Everything that waits for this client's listeners. A forked process that has not asked the client anything yet has nothing
/// of it.
fn take(client: &Client) -> Waiting {
    let Some(live) = client.live_here() else {
        return (Vec::new(), Vec::new(), Vec::new(), false);
    };
    // Asked first: what is taken afterwards is all there will be.
    let ended = live.runtime.status().state == State::Off;
    let taken = live.runtime.notices().take();
    let statuses = taken.statuses.into_iter().map(status_tuple).collect();
    let flags = taken.flags.iter().map(|key| String::from(&**key)).collect();
    let stores = taken.stores.iter();
    let stores = stores.map(|status| (status.available, status.refresh_needed));
    (flags, statuses, stores.collect(), ended)
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

/// Starts the thread of listeners in a process that inherited them, and the data source that the application brought.
#[cold]
pub fn attend(py: Python<'_>, client: &Client) {
    if !client.live().runtime.notices().attend() {
        return;
    }
    drop(
        py.import("ldclient.tracking")
            .and_then(|tracking| tracking.call_method0("start")),
    );
    if let Some(number) = client.settings().own_source {
        drop(
            py.import("ldclient._sources")
                .and_then(|sources| sources.call_method1("renew", (number,))),
        );
    }
}

#[pymethods]
impl PyClient {
    /// Says what listeners want to hear of from now on.
    fn _want_notices(&self, flags: bool, source: bool, store: bool) -> PyResult<()> {
        self.client()?.want_notices(flags, source, store);
        Ok(())
    }

    /// Everything that waits for listeners: keys of flags that changed, states of the data source and of the store,
    /// whether that is all.
    fn _take_notices(&self) -> PyResult<Waiting> {
        Ok(take(self.client()?))
    }

    /// A data source of the application's own tells its state, and an error: (kind, HTTP status, seconds since 1970,
    /// message).
    fn _set_source_status(&self, state: &str, error: Option<GivenError>) -> PyResult<()> {
        source_says(self.client()?, state, error)
    }

    /// The status of the data source.
    fn _source_status(&self, py: Python<'_>) -> PyResult<StatusTuple> {
        let client = self.client()?;
        let status = Self::live(py, client).runtime.status();
        Ok(status_tuple(status))
    }
}
