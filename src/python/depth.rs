//! The end of a store written in Python that asks its own client for what makes the client ask it again: the stack of the
//! thread has one, and an evaluation must not reach it.

use pyo3::exceptions::PyRecursionError;
use pyo3::prelude::*;

use super::ending::Inside;

/// How many times over a store may be asked by what it asks itself.
const DEEPEST: u32 = 8;

/// How many calls of stores this context of Python is in: a thread, or a green thread.
pub struct Depth(Py<PyAny>);

impl Depth {
    /// The one of this interpreter.
    pub fn new(py: Python<'_>) -> PyResult<Depth> {
        let depth = py.import("ldclient._depth")?.getattr("depth")?;
        Ok(Depth(depth.unbind()))
    }

    /// Asks a store, unless that would be one call too deep.
    pub fn within<'py, R>(
        &self,
        py: Python<'py>,
        ask: impl FnOnce() -> PyResult<R>,
    ) -> PyResult<R> {
        let depth = self.0.bind(py);
        let deep: u32 = depth.call_method0("get")?.extract()?;
        if deep >= DEEPEST {
            return Err(PyRecursionError::new_err(
                "it asked its own client without end",
            ));
        }
        let before = depth.call_method1("set", (deep + 1,))?;
        let inside = Inside::enter(py);
        let answer = ask();
        drop(inside);
        depth.call_method1("reset", (before,))?;
        answer
    }
}
