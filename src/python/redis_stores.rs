//! Redis as Python sees it: connections, and the stores on them. Other threads of Python run while the network is waited
//! for. Which options mean what is the question of `ldclient.integrations`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::stores::{dict_of, kind_of, texts};
use crate::evaluation::Membership;
use crate::store::redis::{RedisConnections, RedisOptions};
use crate::store::{BigSegmentStore, PersistentStore, RedisBigSegments, RedisStore, StoreError};

/// The connections to one server.
#[pyclass(frozen, name = "RedisConnections", module = "ldclient._ldclient")]
pub struct PyRedisConnections(Arc<RedisConnections>);

#[pymethods]
impl PyRedisConnections {
    /// Reads the address; nothing is connected yet.
    #[new]
    #[pyo3(signature = (url, *, username, password, database, connect_timeout, timeout, most))]
    fn new(
        url: String,
        username: Option<String>,
        password: Option<String>,
        database: Option<i64>,
        connect_timeout: f64,
        timeout: f64,
        most: usize,
    ) -> PyResult<PyRedisConnections> {
        let seconds = |seconds| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| PyValueError::new_err("a time-out must be a positive number"))
        };
        let connections = RedisConnections::new(RedisOptions {
            url,
            username,
            password,
            database,
            connect_timeout: seconds(connect_timeout)?,
            timeout: seconds(timeout)?,
            most,
        })
        .map_err(|StoreError(why)| PyValueError::new_err(why))?;
        Ok(PyRedisConnections(Arc::new(connections)))
    }
}

/// Flags and segments in Redis, as JSON text.
#[pyclass(frozen, name = "RedisStore", module = "ldclient._ldclient")]
pub struct PyRedisStore(Arc<RedisStore>);

impl PyRedisStore {
    /// The same, for the client to ask without a call into Python.
    pub fn store(&self) -> Arc<RedisStore> {
        self.0.clone()
    }
}

#[pymethods]
impl PyRedisStore {
    #[new]
    fn new(connections: &PyRedisConnections, prefix: &str) -> PyRedisStore {
        PyRedisStore(Arc::new(RedisStore::new(connections.0.clone(), prefix)))
    }

    /// All items of a kind, deleted ones too: key -> JSON text.
    fn all<'py>(&self, py: Python<'py>, kind: &str) -> PyResult<Bound<'py, PyDict>> {
        let kind = kind_of(kind)?;
        let texts = py.detach(|| self.0.all(kind)).map_err(raised)?;
        dict_of(py, &texts)
    }

    /// The JSON text of an item, or None.
    fn get(&self, py: Python<'_>, kind: &str, key: &str) -> PyResult<Option<String>> {
        let (kind, keys) = (kind_of(kind)?, [key.into()]);
        let texts = py.detach(|| self.0.get(kind, &keys)).map_err(raised)?;
        Ok(texts.into_iter().next().flatten().map(Into::into))
    }

    /// Replaces everything.
    fn init(
        &self,
        py: Python<'_>,
        features: &Bound<'_, PyDict>,
        segments: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let (flags, segments) = (texts(features)?, texts(segments)?);
        py.detach(|| self.0.init(&flags, &segments)).map_err(raised)
    }

    /// Puts an item in unless that version or a newer one is there.
    fn upsert(
        &self,
        py: Python<'_>,
        kind: &str,
        key: &str,
        version: i64,
        text: &str,
    ) -> PyResult<()> {
        let kind = kind_of(kind)?;
        py.detach(|| self.0.upsert(kind, key, version, text))
            .map_err(raised)
    }

    /// Whether anyone ever wrote whole data.
    fn initialized(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.0.initialized()).map_err(raised)
    }
}

/// Big segments in Redis.
#[pyclass(frozen, name = "RedisBigSegments", module = "ldclient._ldclient")]
pub struct PyRedisBigSegments(Arc<RedisBigSegments>);

impl PyRedisBigSegments {
    /// The same, for the client to ask without a call into Python.
    pub fn store(&self) -> Box<dyn BigSegmentStore> {
        Box::new(Detached(self.0.clone()))
    }
}

#[pymethods]
impl PyRedisBigSegments {
    #[new]
    fn new(connections: &PyRedisConnections, prefix: &str) -> PyRedisBigSegments {
        PyRedisBigSegments(Arc::new(RedisBigSegments::new(
            connections.0.clone(),
            prefix,
        )))
    }

    /// Segment reference -> whether the context is included; None if no segment names it.
    fn membership<'py>(
        &self,
        py: Python<'py>,
        context_hash: &str,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(membership) = py
            .detach(|| self.0.membership(context_hash))
            .map_err(raised)?
        else {
            return Ok(None);
        };
        let dict = PyDict::new(py);
        for (segment, included) in &membership {
            dict.set_item(&**segment, *included)?;
        }
        Ok(Some(dict))
    }

    /// Milliseconds since 1970; None if it never was brought up to date.
    fn last_updated_ms(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        py.detach(|| self.0.last_updated_ms()).map_err(raised)
    }
}

fn raised(StoreError(why): StoreError) -> PyErr {
    PyConnectionError::new_err(why)
}

/// Lets other threads of Python run while the network is waited for.
struct Detached(Arc<RedisBigSegments>);

fn detached<R: Send>(ask: impl FnOnce() -> R + Send) -> R {
    Python::attach(|py| py.detach(ask))
}

impl BigSegmentStore for Detached {
    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError> {
        detached(|| self.0.membership(context_hash))
    }

    fn last_updated_ms(&self) -> Result<Option<i64>, StoreError> {
        detached(|| self.0.last_updated_ms())
    }

    fn aside(&self, wait: &mut (dyn FnMut() + Send)) {
        detached(wait);
    }
}
