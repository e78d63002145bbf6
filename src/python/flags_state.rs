//! `FeatureFlagsState`: all flags for one context. Its JSON text is written by the engine, without Python objects.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::convert::{reason, to_python};
use crate::client::FlagsState;

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
