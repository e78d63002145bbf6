//! `stats()`: how a client is doing, as a dict.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::client::PyClient;
use crate::client::{Client, Stats};

/// The dict; its members are described in the README.
fn to_dict<'py>(py: Python<'py>, stats: &Stats, client: &Client) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("state", stats.state.as_str())?;
    dict.set_item("state_since_ms", stats.since_ms)?;
    dict.set_item("initialized", client.is_initialized())?;
    dict.set_item("offline", client.is_offline())?;
    dict.set_item("closed", client.is_closed())?;
    dict.set_item(
        "data_age_seconds",
        stats.data_age.map(|age| age.as_secs_f64()),
    )?;
    dict.set_item(
        "contact_age_seconds",
        stats.contact_age.map(|age| age.as_secs_f64()),
    )?;
    dict.set_item("environment_id", stats.environment_id.as_deref())?;
    let error = match &stats.error {
        Some(error) => {
            let members = PyDict::new(py);
            members.set_item("kind", error.kind.as_str())?;
            members.set_item("status_code", error.status)?;
            members.set_item("time_ms", error.time_ms)?;
            members.set_item("message", &error.message)?;
            Some(members)
        }
        None => None,
    };
    dict.set_item("last_error", error)?;
    dict.set_item("flags", stats.size.0)?;
    dict.set_item("segments", stats.size.1)?;
    dict.set_item("updates", stats.updates)?;
    dict.set_item("reconnects", stats.reconnects)?;
    dict.set_item("failed_connections", stats.failed_connections)?;
    dict.set_item("generation", stats.generation)?;
    dict.set_item("threads", stats.threads)?;
    dict.set_item("lookups", stats.lookups)?;
    let events = PyDict::new(py);
    if let Some(ledger) = &stats.ledger {
        events.set_item("accepted", ledger.accepted)?;
        events.set_item("sent", ledger.sent)?;
        events.set_item("pending", ledger.pending)?;
        let dropped = PyDict::new(py);
        for (reason, count) in ledger.dropped.iter().filter(|(_, count)| *count > 0) {
            dropped.set_item(reason, count)?;
        }
        events.set_item("dropped", dropped)?;
    }
    dict.set_item("events", events)?;
    Ok(dict)
}

#[pymethods]
impl PyClient {
    /// How the client is doing, as a dict: see the documentation for its members.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let client = self.client()?;
        let live = Self::live(py, client);
        to_dict(py, &live.runtime.stats(live.snapshot.size()), client)
    }
}
