//! The native side of `explain`: whom it is about and which flags are asked, as `asking` settles it, without hooks, events
//! and log lines about the flag. Its text is `ldclient/explanation.py`'s question.

use pyo3::prelude::*;

use super::caller::{Caller, with_caller};
use super::client::PyClient;
use super::ending::Inside;

#[pymethods]
impl PyClient {
    /// Why a user or context is served what `variation` returns. Records no event.
    #[pyo3(signature = (key, context=None, *, user=None))]
    fn explain<'py>(
        slf: &Bound<'py, Self>,
        key: &str,
        context: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let _inside = Inside::enter(py);
        let module = py.import("ldclient.explanation")?;
        module.call_method1("explain", (slf, key, context.or(user)))
    }

    /// What `variation` would answer to the key and context, and all that leads to it, as JSON.
    fn _explain(
        &self,
        py: Python<'_>,
        key: &str,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let opened = self.opened()?;
        let client = &opened.client;
        let mut live = Self::live(py, client);
        if opened.pinned.is_some() {
            live = opened.answering(live);
        } else if client.needs_store(&live, key) {
            drop(live);
            py.detach(|| client.read_store(Some(key)));
            live = Self::live(py, client);
        }
        let explanation = with_caller(py, context, "explain a flag to", |caller| match caller {
            Caller::Context(context) => client.explain(&live, key, *context),
            Caller::User(user) => client.explain(&live, key, user),
        });
        let explanation = explanation.unwrap_or_else(|| client.explain_to_nobody(&live, key));
        Ok(explanation.to_json())
    }
}
