//! The native big segment store in Redis, as `ldclient.integrations._big_segments` wraps it. Other threads of Python run
//! while it is asked.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::evaluation::Membership;
use crate::store::redis::{RedisConnections, RedisOptions};
use crate::store::{BigSegmentStore, RedisBigSegments, StoreError};

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
    #[pyo3(signature = (url, prefix, *, username, password, database, connect_timeout, timeout, connections))]
    #[allow(clippy::too_many_arguments, reason = "they are named by the caller")]
    fn new(
        url: String,
        prefix: &str,
        username: Option<String>,
        password: Option<String>,
        database: Option<i64>,
        connect_timeout: f64,
        timeout: f64,
        connections: usize,
    ) -> PyResult<PyRedisBigSegments> {
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
            most: connections,
        })
        .map_err(|StoreError(why)| PyValueError::new_err(why))?;
        Ok(PyRedisBigSegments(Arc::new(RedisBigSegments::new(
            Arc::new(connections),
            prefix,
        ))))
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
