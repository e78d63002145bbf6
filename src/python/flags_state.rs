//! What a client gives a front end: the state of all flags for one context, and the secure mode hash. The JSON text of a
//! state is written by the engine, without Python objects.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::caller::{Caller, with_caller};
use super::client::PyClient;
use super::convert::{reason, to_python};
use super::warn;
use crate::client::{FlagsState, StateOptions};

/// What `all_flags_state` returns.
#[pyclass(frozen, name = "FeatureFlagsState", module = "ldclient.evaluation")]
#[derive(Default)]
pub struct FeatureFlagsState {
    state: FlagsState,
    /// A state that was made valid by hand has no flags.
    valid: bool,
}

impl FeatureFlagsState {
    /// The state of an evaluation.
    pub fn new(state: FlagsState) -> FeatureFlagsState {
        FeatureFlagsState {
            valid: state.is_valid(),
            state,
        }
    }
}

#[pymethods]
impl FeatureFlagsState {
    #[new]
    fn __new__(valid: bool) -> FeatureFlagsState {
        FeatureFlagsState {
            state: FlagsState::default(),
            valid,
        }
    }

    /// Whether it is the state of anything: False when offline, before flags arrived, and without a user.
    #[getter]
    pub fn valid(&self) -> bool {
        self.valid
    }

    /// The value of a flag; None if it has none, or there is no such flag.
    fn get_flag_value<'py>(
        &self,
        py: Python<'py>,
        key: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.state
            .flag(key)
            .map(|flag| to_python(py, flag.value()))
            .transpose()
    }

    /// The reason of a flag's value as a dict; None if reasons were not asked for, or there is no such flag.
    fn get_flag_reason<'py>(
        &self,
        py: Python<'py>,
        key: &str,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let view = self.state.flag(key);
        view.and_then(|flag| flag.reason())
            .map(|(outcome, flag)| reason(py, outcome, flag))
            .transpose()
    }

    /// All values by flag key. To bootstrap the JavaScript SDK use `to_json_dict` or `to_json_string` instead.
    pub fn to_values_map<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for flag in self.state.flags() {
            dict.set_item(flag.key(), to_python(py, flag.value())?)?;
        }
        Ok(dict)
    }

    /// What the JavaScript SDK bootstraps from, as a dict.
    fn to_json_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = self.to_values_map(py)?;
        let states = PyDict::new(py);
        for flag in self.state.flags() {
            states.set_item(flag.key(), to_python(py, &flag.metadata())?)?;
        }
        dict.set_item("$flagsState", states)?;
        dict.set_item("$valid", self.valid)?;
        Ok(dict)
    }

    /// The same as JSON text.
    fn to_json_string(&self) -> String {
        if self.valid && !self.state.is_valid() {
            return r#"{"$flagsState":{},"$valid":true}"#.to_owned();
        }
        self.state.to_json()
    }

    fn __getstate__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.to_json_dict(py)
    }
}

#[pymethods]
impl PyClient {
    /// All flags' values by key; None when offline, before flags arrived, and without a user.
    #[pyo3(signature = (context=None, *, user=None))]
    fn all_flags<'py>(
        &self,
        py: Python<'py>,
        context: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let state = self.all_flags_state(py, context, false, false, false, user)?;
        if state.valid() {
            state
                .to_values_map(py)
                .map(|map| Some(map.into_any().unbind()))
        } else {
            Ok(None)
        }
    }

    /// All flags' state for a user or context, for the front end. Sends no event. Never raises.
    #[pyo3(signature = (context=None, client_side_only=false, with_reasons=false, details_only_for_tracked_flags=false, *, user=None))]
    fn all_flags_state<'py>(
        &self,
        py: Python<'py>,
        context: Option<&Bound<'py, PyAny>>,
        client_side_only: bool,
        with_reasons: bool,
        details_only_for_tracked_flags: bool,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<FeatureFlagsState> {
        let opened = self.opened()?;
        let client = &opened.client;
        let mut live = Self::live(py, client);
        if opened.pinned.is_some() {
            live = opened.answering(live);
        } else if live.runtime.storage().is_some() {
            drop(live);
            py.detach(|| client.read_store(None));
            live = Self::live(py, client);
        }
        let options = StateOptions {
            client_side_only,
            with_reasons,
            details_only_for_tracked_flags,
        };
        if client.is_offline() {
            warn::once(py, "all offline", || {
                "all_flags_state() was called, but the client is offline; the state is empty."
                    .to_owned()
            });
        } else if !live.snapshot.initialized() {
            warn::once(py, "all early", || {
                "all_flags_state() was called before flag data arrived; the state is empty."
                    .to_owned()
            });
        } else if let Some(state) = with_caller(
            py,
            context.or(user),
            "tell all flags for",
            |caller| match caller {
                Caller::Context(context) => client.flags_state(&live, *context, options, now_ms()),
                Caller::User(user) => client.flags_state(&live, user, options, now_ms()),
            },
        ) {
            return Ok(FeatureFlagsState::new(state));
        }
        Ok(FeatureFlagsState::default())
    }

    /// The hash that the JavaScript SDK's secure mode asks for; "" without a user or an SDK key.
    #[pyo3(signature = (context=None, *, user=None))]
    fn secure_mode_hash<'py>(
        &self,
        py: Python<'py>,
        context: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<String> {
        let client = self.client()?;
        let hash = with_caller(
            py,
            context.or(user),
            "make a secure mode hash for",
            |caller| match caller {
                Caller::Context(context) => client.secure_mode_hash(context.fully_qualified_key()),
                Caller::User(user) => client.secure_mode_hash(crate::evaluation::Part::key(user)),
            },
        );
        Ok(hash.unwrap_or_default())
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
