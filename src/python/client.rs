//! `Client`: the native base of `LDClient`, and its life cycle. Its other methods stand in the file of their question:
//! `variation`, `recording`, `event_processor`, `flags_state`, `migration`, `resolving`, `notices`, `delivery`, `stats`,
//! `pinned`.
//! Whom a call means has two names: `context` since 8.0 of the API, `user` before.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::Guard;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::ending::Inside;
use super::event_processor::Processor;
use super::pinned::Pinned;
use super::{notices, options, registry, stores, waiting};
use crate::client::{Client, Live};

/// A client; `ldclient.client.LDClient` is made of it.
#[pyclass(
    frozen,
    subclass,
    weakref,
    name = "Client",
    module = "ldclient._ldclient"
)]
pub struct PyClient {
    opened: OnceLock<Opened>,
    /// The module `ldclient._hooks`, once there is a hook: it runs the stages around evaluations and `track`.
    pub(super) hooks: OnceLock<Py<PyAny>>,
    /// What is told of events instead of the recorder. Who has one has the module of hooks, too.
    pub(super) processor: OnceLock<Processor>,
}

/// What a client has once it was initialized.
pub(super) struct Opened {
    pub(super) client: Arc<Client>,
    /// Values that stand for the default of a call, by flag key.
    pub(super) defaults: Option<Py<PyDict>>,
    /// Set in a view of another client.
    pub(super) pinned: Option<Pinned>,
}

impl PyClient {
    pub(super) fn opened(&self) -> PyResult<&Opened> {
        self.opened.get().ok_or_else(|| {
            PyRuntimeError::new_err("the client was not initialized: call LDClient.__init__")
        })
    }

    pub(super) fn client(&self) -> PyResult<&Arc<Client>> {
        self.opened().map(|opened| &opened.client)
    }

    pub(super) fn set_opened(&self, opened: Opened) -> Result<(), Opened> {
        self.opened.set(opened)
    }

    /// What to answer from now; sees to it that waiting log lines reach Python.
    pub(super) fn live(py: Python<'_>, client: &Client) -> Guard<Arc<Live>> {
        let live = client.live();
        if client.watch_big_segments(&live) {
            // Python ran: it may have forked.
            return Self::live(py, client);
        }
        if live.runtime.calls_for_python() {
            let _inside = Inside::enter(py);
            if live.runtime.has_logs() {
                start_drain(py);
                // A store written in Python asks for its thread by a line in the log.
                drop(stores::lend_thread(py, client));
            }
            notices::attend(py, client);
            // Python ran: it may have forked.
            return client.live();
        }
        live
    }
}

#[pymethods]
impl PyClient {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClient {
        PyClient {
            opened: OnceLock::new(),
            hooks: OnceLock::new(),
            processor: OnceLock::new(),
        }
    }

    /// Starts the client with the options that `Config` made, and waits at most `start_wait` seconds for flags.
    fn _open(&self, py: Python<'_>, options: &Bound<'_, PyDict>, start_wait: f64) -> PyResult<()> {
        let settings = options::read(options)?;
        let defaults = options
            .get_item("defaults")?
            .filter(|d| !d.is_none())
            .map(Bound::cast_into::<PyDict>);
        let defaults = defaults
            .transpose()
            .map_err(|_| PyValueError::new_err("defaults must be a dict"))?;
        let opened = Opened {
            client: Client::open(settings),
            defaults: defaults.map(Bound::unbind),
            pinned: None,
        };
        registry::add(&opened.client);
        if self.opened.set(opened).is_err() {
            return Err(PyRuntimeError::new_err(
                "the client was initialized already",
            ));
        }
        stores::lend_thread(py, self.client()?)?;
        Self::live(py, self.client()?);
        self.wait_for_initialization(py, start_wait)?;
        drain(py)
    }

    /// Has the functions `evaluate` and `track` of a module called instead of evaluating and tracking. Later calls do
    /// nothing.
    fn _set_hooks(&self, module: Py<PyAny>) {
        let _ = self.hooks.set(module);
    }

    /// The service's name for the environment, once it told; kept over a fork.
    fn _environment_id(&self) -> PyResult<Option<String>> {
        let live = self.client()?.live();
        Ok(live.runtime.environment_id().map(|id| String::clone(&id)))
    }

    /// Whether the client connects to nothing and answers with defaults.
    fn is_offline(&self) -> PyResult<bool> {
        Ok(self.client()?.is_offline())
    }

    /// Whether the client has flags to answer from.
    fn is_initialized(&self, py: Python<'_>) -> PyResult<bool> {
        let client = self.client()?;
        Self::live(py, client);
        Ok(client.is_initialized())
    }

    /// Waits until the client has flags, at most so many seconds; tells whether it has.
    fn wait_for_initialization(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let client = self.client()?.clone();
        waiting::for_flags(py, &client, seconds(timeout)?)
    }

    /// A socket that ends when `wait_for_initialization` would, by its number; None when it would return at once.
    fn _signal(&self) -> PyResult<Option<i64>> {
        let signal = self.client()?.live().runtime.signal()?;
        Ok(signal.map(waiting::descriptor))
    }

    /// Goes on with another SDK key.
    fn _rotate(&self, py: Python<'_>, sdk_key: &str) -> PyResult<()> {
        let client = self.client()?.clone();
        py.detach(|| client.rotate(sdk_key));
        Ok(())
    }

    /// Delivers what waits, stops all threads and closes all connections, within so many seconds. More calls do nothing.
    #[pyo3(signature = (timeout=2.0))]
    fn close(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        let Some(opened) = self.opened.get() else {
            return Ok(());
        };
        let (client, timeout) = (opened.client.clone(), seconds(timeout)?);
        let ending = py.detach(|| client.begin_close(timeout));
        waiting::for_end(py, ending, timeout)?;
        client.stop_big_segments();
        drain(py)
    }

    /// Whether `close` was called.
    fn is_closed(&self) -> PyResult<bool> {
        Ok(self.client()?.is_closed())
    }

    /// Starts the client anew in a forked process, which the next call would do by itself, and waits until the flags
    /// are those that the service has now, at most so many seconds.
    #[pyo3(signature = (start_wait=5.0))]
    fn postfork(&self, py: Python<'_>, start_wait: f64) -> PyResult<()> {
        waiting::for_refresh(py, self.client()?, seconds(start_wait)?)
    }
}

/// Nobody holds the client any more. Not left to the last owner of the inner one: that may be a background thread.
impl Drop for PyClient {
    fn drop(&mut self) {
        if let Some(opened) = self.opened.get()
            && opened.pinned.is_none()
        {
            registry::leave(&opened.client);
        }
    }
}

/// Seconds as a span of time; negative ones count as none, endless ones as a year.
pub(super) fn seconds(seconds: f64) -> PyResult<Duration> {
    if seconds.is_nan() {
        return Err(PyValueError::new_err(
            "a time-out must be a number of seconds",
        ));
    }
    Ok(Duration::from_secs_f64(seconds.clamp(0.0, 31_536_000.0)))
}

/// Lets waiting log lines reach Python's logging from a thread of their own.
#[cold]
fn start_drain(py: Python<'_>) {
    drop(
        py.import("ldclient.logs")
            .and_then(|logs| logs.call_method0("start_drain")),
    );
}

/// Emits waiting log lines now, on this thread, which waited anyway.
pub(super) fn drain(py: Python<'_>) -> PyResult<()> {
    let _inside = Inside::enter(py);
    py.import("ldclient.logs")?.call_method0("drain").map(drop)
}
