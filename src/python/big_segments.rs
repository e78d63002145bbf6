//! Big segment stores that are Python objects, and the handle by which a Python thread watches one. What their answers
//! are worth is the client's question; the thread and the listeners are `ldclient._big_segments`'.
//!
//! A store in Python is called on the thread that evaluates. Whatever it raises is its failure: an evaluation goes on. So
//! is asking its own client for what makes the client ask it again, without end: the stack of the thread has one.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyKeyboardInterrupt, PyRecursionError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyString, PyTuple};

use super::convert::type_name;
use super::ending::Inside;
use super::redis_stores::PyRedisBigSegments;
use crate::client::{BigSegmentStoreStatus, Client, Watcher};
use crate::evaluation::Membership;
use crate::store::{BigSegmentStore, StoreError};

/// How many characters of an error are told at most.
const LONGEST: usize = 300;
/// How many times over a store may be asked by what it asks itself.
const DEEPEST: u32 = 8;

/// The store that `BigSegmentsConfig` holds.
pub fn store(object: &Bound<'_, PyAny>) -> PyResult<Box<dyn BigSegmentStore>> {
    if let Some(native) = native(object) {
        return Ok(native);
    }
    let depth = object
        .py()
        .import("ldclient._big_segments")?
        .getattr("depth")?;
    Ok(Box::new(PythonStore {
        store: object.clone().unbind(),
        depth: depth.unbind(),
        stopped: AtomicBool::new(false),
    }))
}

/// The native store behind the object. One of a subclass is asked by its methods, which may be its own.
fn native(object: &Bound<'_, PyAny>) -> Option<Box<dyn BigSegmentStore>> {
    let native = object.getattr("_native").ok()?;
    let native = native.cast_into::<PyRedisBigSegments>().ok()?;
    let module = object
        .py()
        .import("ldclient.integrations._big_segments")
        .ok()?;
    let class = module.getattr("RedisBigSegmentStore").ok()?;
    class.is(object.get_type()).then(|| native.get().store())
}

/// The status provider of a client.
pub fn watcher(provider: &Bound<'_, PyAny>) -> Box<dyn Watcher> {
    Box::new(StatusProvider(provider.clone().unbind()))
}

/// An `ldclient.interfaces.BigSegmentStore`, or whatever has its methods.
struct PythonStore {
    store: Py<PyAny>,
    /// How many calls of a store this context of Python is in: a thread, or a green thread.
    depth: Py<PyAny>,
    stopped: AtomicBool,
}

impl PythonStore {
    /// Asks the store by one of its methods.
    fn ask<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        arguments: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let depth = self.depth.bind(py);
        let deep: u32 = depth.call_method0("get")?.extract()?;
        if deep >= DEEPEST {
            return Err(PyRecursionError::new_err(
                "it asked its own client without end",
            ));
        }
        let before = depth.call_method1("set", (deep + 1,))?;
        let inside = Inside::enter(py);
        let answer = self.store.bind(py).call_method1(method, arguments);
        drop(inside);
        depth.call_method1("reset", (before,))?;
        answer
    }
}

impl BigSegmentStore for PythonStore {
    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError> {
        attached(|py| {
            let hash = PyTuple::new(py, [context_hash])?;
            let answer = self.ask(py, "get_membership", hash)?;
            if answer.is_none() {
                return Ok(Ok(None));
            }
            let dict = match answer.cast_into::<PyDict>() {
                Ok(dict) => dict,
                Err(error) => {
                    let answer = error.into_inner();
                    let dict = PyDict::new(py);
                    match dict.call_method1("update", (&answer,)) {
                        Ok(_) => dict,
                        Err(_) => return Ok(Err(not_a("get_membership", "a dict", &answer))),
                    }
                }
            };
            let mut membership = Membership::default();
            for (segment, included) in dict.iter() {
                // None says nothing, as launchdarkly-server-sdk 9.20 reads it.
                if let (Ok(segment), false) = (segment.cast::<PyString>(), included.is_none()) {
                    let segment = segment.to_string_lossy();
                    membership.insert((*segment).into(), included.is_truthy()?);
                }
            }
            Ok(Ok(Some(membership)))
        })
    }

    fn last_updated_ms(&self) -> Result<Option<i64>, StoreError> {
        attached(|py| {
            let answer = self.ask(py, "get_metadata", PyTuple::empty(py))?;
            if answer.is_none() {
                return Ok(Ok(None));
            }
            let time = answer.getattr("last_up_to_date")?;
            if time.is_none() {
                return Ok(Ok(None));
            }
            #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
            if let Ok(time) = time.cast::<PyFloat>() {
                return Ok(Ok(Some(time.value() as i64)));
            }
            Ok(time
                .extract()
                .map(Some)
                .map_err(|_| not_a("get_metadata", "a time in milliseconds", &time)))
        })
    }

    fn aside(&self, wait: &mut (dyn FnMut() + Send)) {
        Python::attach(|py| py.detach(wait));
    }

    fn stop(&self) {
        if self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        let stopped = attached(|py| {
            let stop = self.store.bind(py).getattr("stop")?;
            stop.call0().map(|_| Ok(()))
        });
        if let Err(StoreError(why)) = stopped {
            Python::attach(|py| {
                super::warn::once(py, "big segment store stop", || {
                    format!("The Big Segment store could not be stopped: {why}")
                });
            });
        }
    }
}

/// Calls into Python; an error is the store's failure.
fn attached<T>(
    call: impl FnOnce(Python<'_>) -> PyResult<Result<T, StoreError>>,
) -> Result<T, StoreError> {
    Python::attach(|py| call(py).unwrap_or_else(|error| Err(failure(py, &error))))
}

fn failure(py: Python<'_>, error: &PyErr) -> StoreError {
    let kind = error.get_type(py);
    let name = kind
        .name()
        .map_or_else(|_| String::new(), |n| n.to_string_lossy().into_owned());
    let said = error.value(py).str();
    let said = said.map_or_else(|_| String::new(), |s| s.to_string_lossy().into_owned());
    let mut told = if said.is_empty() {
        name
    } else {
        format!("{name}: {said}")
    };
    if let Some((end, _)) = told.char_indices().nth(LONGEST) {
        told.truncate(end);
        told.push('…');
    }
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        // An evaluation never raises: the interrupt comes again where the application goes on. Last here, because
        // Python handles signals even to make a text.
        drop(
            py.import("_thread")
                .and_then(|thread| thread.call_method0("interrupt_main")),
        );
    }
    StoreError(told)
}

fn not_a(method: &str, wanted: &str, answer: &Bound<'_, PyAny>) -> StoreError {
    StoreError(format!(
        "{method}() returned {}, not {wanted}",
        type_name(answer)
    ))
}

/// `ldclient._big_segments.StatusProvider`, which polls on a thread of its own.
struct StatusProvider(Py<PyAny>);

impl Watcher for StatusProvider {
    fn begin(&self, client: Weak<Client>) {
        Python::attach(|py| {
            let watch = BigSegmentWatch { client };
            let begun = Bound::new(py, watch)
                .and_then(|watch| self.0.bind(py).call_method1("_begin", (watch,)));
            if let Err(error) = begun {
                error.write_unraisable(py, Some(self.0.bind(py)));
            }
        });
    }

    fn end(&self) {
        Python::attach(|py| {
            if let Err(error) = self.0.bind(py).call_method0("_end") {
                error.write_unraisable(py, Some(self.0.bind(py)));
            }
        });
    }
}

/// A look at the big segment store of a client, for as long as the client is there.
#[pyclass(frozen, module = "ldclient._ldclient")]
pub struct BigSegmentWatch {
    client: Weak<Client>,
}

#[pymethods]
impl BigSegmentWatch {
    /// Seconds between two polls; None when there is no client any more.
    #[getter]
    fn interval(&self) -> Option<f64> {
        let client = self.client.upgrade().filter(|client| !client.is_closed())?;
        Some(client.big_segments_poll_interval()?.as_secs_f64())
    }

    /// (available, stale), as last seen. Asks the store when nothing is known yet.
    fn status(&self) -> (bool, bool) {
        let client = self.client.upgrade();
        members(client.map(|client| client.big_segment_store_status()))
    }

    /// The same, asked anew.
    fn poll(&self) -> (bool, bool) {
        let client = self.client.upgrade();
        members(client.map(|client| client.poll_big_segments()))
    }
}

fn members(status: Option<BigSegmentStoreStatus>) -> (bool, bool) {
    status.map_or((false, false), |status| (status.available, status.stale))
}
