//! A view of a client that answers from what the client knew at one moment. The view is a `Client` itself, so every
//! method of one works on it; how long it is kept is the question of `python/ldclient/_pinned.py`.
//!
//! 1. A view costs one reference count and copies nothing.
//! 2. Of a client with a persistent store everything is read first; the view then never asks the store.
//! 3. Events and hooks are the client's. In a forked process they are those of the fork, the flags stay.

use std::sync::Arc;

use arc_swap::Guard;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::client::{Opened, PyClient};
use crate::client::Live;

/// What makes a client a view of another one.
pub(super) struct Pinned {
    live: Arc<Live>,
    /// Lives as long as its views: a client that nobody holds ends.
    _of: Py<PyClient>,
}

impl Opened {
    /// What to answer from, of a client that is `live` now.
    #[inline]
    pub(super) fn answering(&self, live: Guard<Arc<Live>>) -> Guard<Arc<Live>> {
        match &self.pinned {
            None => live,
            Some(pinned) => Guard::from_inner(live.with_flags_of(&pinned.live)),
        }
    }
}

#[pymethods]
impl PyClient {
    /// Makes this client, which must not be open, a view of another one as it is now.
    fn _pin(&self, py: Python<'_>, of: &Bound<'_, PyClient>) -> PyResult<()> {
        let opened = of.get().opened()?;
        let client = &opened.client;
        let mut live = Self::live(py, client);
        if live.runtime.storage().is_some() && opened.pinned.is_none() {
            drop(live);
            py.detach(|| client.read_store(None));
            live = Self::live(py, client);
        }
        let view = Opened {
            client: client.clone(),
            defaults: opened.defaults.as_ref().map(|dict| dict.clone_ref(py)),
            pinned: Some(Pinned {
                live: Guard::into_inner(opened.answering(live)),
                _of: of.clone().unbind(),
            }),
        };
        if let Some(hooks) = of.get().hooks.get() {
            let _ = self.hooks.set(hooks.clone_ref(py));
        }
        if let Some(processor) = of.get().processor.get() {
            let _ = self.processor.set(processor.shared(py));
        }
        self.set_opened(view)
            .map_err(|_| PyRuntimeError::new_err("the client was initialized already"))
    }
}
