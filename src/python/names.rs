//! Names that calls with a dict user ask for, as Python has them. The fixed ones are made at import: a cell that is filled
//! at first use could be half filled at a fork, and the child would wait for it for ever. (So does `pyo3::intern!`: it is
//! not used in this folder.)

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::model::AttributeRef;

/// A name.
pub struct Name(&'static str, PyOnceLock<Py<PyString>>);

/// `key`.
pub static KEY: Name = Name("key", PyOnceLock::new());
/// `kind`.
pub static KIND: Name = Name("kind", PyOnceLock::new());
/// `custom`.
pub static CUSTOM: Name = Name("custom", PyOnceLock::new());
/// `name`.
pub static NAME: Name = Name("name", PyOnceLock::new());
/// `anonymous`.
pub static ANONYMOUS: Name = Name("anonymous", PyOnceLock::new());
/// `_meta`.
pub static META: Name = Name("_meta", PyOnceLock::new());
/// No name at all.
pub static EMPTY: Name = Name("", PyOnceLock::new());
/// `user`, a kind.
pub static USER: Name = Name("user", PyOnceLock::new());

impl Name {
    /// What a dict has under the name. No code in Python runs.
    #[inline]
    pub fn of<'py>(&self, dict: &Bound<'py, PyDict>) -> Option<Bound<'py, PyAny>> {
        let py = dict.py();
        match self.1.get(py) {
            Some(name) => dict.get_item(name.bind(py)),
            None => dict.get_item(self.0),
        }
        .ok()
        .flatten()
    }

    /// Whether the text is this name.
    #[inline]
    pub fn is(&self, text: &Bound<'_, PyString>) -> bool {
        let name = self.1.get(text.py());
        name.is_some_and(|name| name.as_ptr() == text.as_ptr()) || text == self.0
    }
}

/// Fills all names. Called at import.
pub fn install(py: Python<'_>) {
    for name in [
        &KEY, &KIND, &CUSTOM, &NAME, &ANONYMOUS, &META, &EMPTY, &USER,
    ] {
        drop(name.1.set(py, PyString::intern(py, name.0).unbind()));
    }
}

/// How many names of attributes are kept.
const KEPT: usize = 256;

/// Names of attributes that clauses asked for lately, each at the place that its hash gives. It is never waited for: who
/// finds it taken, be it by a thread that is not in this forked process, makes a new text.
static ATTRIBUTES: Mutex<[Option<Py<PyString>>; KEPT]> = Mutex::new([const { None }; KEPT]);

/// What a dict has under the name of an attribute.
pub fn attribute_of<'py>(
    dict: &Bound<'py, PyDict>,
    attribute: &AttributeRef,
) -> Option<Bound<'py, PyAny>> {
    let (py, name) = (dict.py(), attribute.name());
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the low bits are what is wanted"
    )]
    let place = attribute.name_hash() as usize % KEPT;
    let kept = match ATTRIBUTES.try_lock() {
        Ok(kept) => kept[place].as_ref().map(|kept| kept.clone_ref(py)),
        Err(_) => None,
    };
    let kept = kept.filter(|kept| kept.bind(py) == name);
    let text = match kept {
        Some(kept) => kept.into_bound(py),
        None => {
            let text = PyString::intern(py, name);
            let replaced = match ATTRIBUTES.try_lock() {
                Ok(mut kept) => kept[place].replace(text.clone().unbind()),
                Err(_) => None,
            };
            drop(replaced);
            text
        }
    };
    dict.get_item(text).ok().flatten()
}
