//! The names that every call with a dict user asks for, made at import: a cell that is filled at first use could be half
//! filled at a fork, and the child would wait for it for ever. (So does `pyo3::intern!`: it is not used in this folder.)

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// A name.
pub struct Name(&'static str, PyOnceLock<Py<PyString>>);

/// `key`.
pub static KEY: Name = Name("key", PyOnceLock::new());
/// `kind`.
pub static KIND: Name = Name("kind", PyOnceLock::new());
/// `custom`.
pub static CUSTOM: Name = Name("custom", PyOnceLock::new());

impl Name {
    /// The name as Python has it.
    #[inline]
    pub fn get<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        match self.1.get(py) {
            Some(name) => name.bind(py).clone(),
            None => PyString::new(py, self.0),
        }
    }
}

/// Fills all names. Called at import.
pub fn install(py: Python<'_>) {
    for name in [&KEY, &KIND, &CUSTOM] {
        drop(name.1.set(py, PyString::intern(py, name.0).unbind()));
    }
}
