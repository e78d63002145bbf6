//! The methods by which flag data that Python holds reaches a client: from sources and stores of the application's own,
//! and from test data.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::client::PyClient;
use super::{notices, stores};
use crate::store::{Change, DataError};

#[pymethods]
impl PyClient {
    /// Takes all data from a source or store of the application's own, as JSON text: `{"flags", "segments"}`.
    fn _deliver(&self, py: Python<'_>, text: &str, write: bool) -> PyResult<()> {
        let client = self.client()?;
        py.detach(|| {
            let change = Change::full_after(&client.live().snapshot, text.as_bytes())?
                .with_text(text.as_bytes());
            client.deliver(change, write);
            Ok(())
        })
        .map_err(|error: DataError| PyValueError::new_err(error.to_string()))
    }

    /// Takes one flag (`features`) or segment (`segments`), as JSON text.
    fn _deliver_item(
        &self,
        py: Python<'_>,
        kind: &str,
        key: &str,
        text: &str,
        write: bool,
    ) -> PyResult<()> {
        let (client, kind) = (self.client()?, stores::kind_of(kind)?);
        py.detach(|| {
            client.deliver(Change::upsert(kind, key, text)?, write);
            Ok(())
        })
        .map_err(|error: DataError| PyValueError::new_err(error.to_string()))
    }

    /// Takes the deletion of one flag or segment.
    fn _deliver_deletion(&self, kind: &str, key: &str, version: i64, write: bool) -> PyResult<()> {
        let client = self.client()?;
        client.deliver(Change::delete(stores::kind_of(kind)?, key, version), write);
        Ok(())
    }

    /// A source of the application's own says that it is ready.
    fn _set_ready(&self) -> PyResult<()> {
        self.client()?.set_ready();
        Ok(())
    }

    /// Whether the feature store answers, and whether it has to be filled again.
    fn _store_status(&self, py: Python<'_>) -> PyResult<(bool, bool)> {
        let live = Self::live(py, self.client()?);
        Ok(live.runtime.storage().map_or((true, false), |storage| {
            let status = storage.status();
            (status.available, status.refresh_needed)
        }))
    }

    /// Takes all data, or with a kind ("features", "segments") and a key one item, as JSON. A closed client takes none.
    #[pyo3(signature = (json, kind=None, key=""))]
    fn _apply(&self, py: Python<'_>, json: &str, kind: Option<&str>, key: &str) -> PyResult<()> {
        let client = self.client()?.clone();
        py.detach(|| {
            client.apply(notices::change(kind, key, json)?);
            Ok(())
        })
    }
}
