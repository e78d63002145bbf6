//! `EvaluationDetail`: a value with the reason for it. The dict of the reason is made when it is first asked for.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use super::convert;
use crate::evaluation::{Outcome, Reason};
use crate::model::Flag;

/// What a copy is made from: value, variation index, reason.
type Arguments = (Py<PyAny>, Option<usize>, Py<PyAny>);

/// What `variation_detail` returns.
#[pyclass(frozen, name = "EvaluationDetail", module = "ldclient.evaluation")]
pub struct EvaluationDetail {
    value: Py<PyAny>,
    variation_index: Option<usize>,
    reason: OnceLock<Py<PyAny>>,
    /// What the reason is made of.
    outcome: Option<(Outcome, Option<Box<str>>)>,
}

impl EvaluationDetail {
    /// The detail of an evaluation of `flag`, if there was one.
    pub fn new(value: Py<PyAny>, outcome: Outcome, flag: Option<&Flag>) -> EvaluationDetail {
        let text = match (outcome.reason, flag) {
            (Reason::RuleMatch { index, .. }, Some(flag)) => {
                flag.rules.get(index).and_then(|rule| rule.id.clone())
            }
            (Reason::PrerequisiteFailed { index }, Some(flag)) => flag
                .prerequisites
                .get(index)
                .map(|prerequisite| Box::from(&*prerequisite.key)),
            _ => None,
        };
        let variation_index = outcome.variation;
        EvaluationDetail {
            value,
            variation_index,
            reason: OnceLock::new(),
            outcome: Some((outcome, text)),
        }
    }
}

#[pymethods]
impl EvaluationDetail {
    #[new]
    #[pyo3(signature = (value, variation_index, reason))]
    fn __new__(
        value: Py<PyAny>,
        variation_index: Option<usize>,
        reason: Py<PyAny>,
    ) -> EvaluationDetail {
        EvaluationDetail {
            value,
            variation_index,
            reason: OnceLock::from(reason),
            outcome: None,
        }
    }

    /// `EvaluationDetail[bool]`, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        class
            .py()
            .import("types")?
            .getattr("GenericAlias")?
            .call1((class, item))
    }

    /// The value: one of the flag's variations, or the default.
    #[getter]
    pub fn value(&self, py: Python<'_>) -> Py<PyAny> {
        self.value.clone_ref(py)
    }

    /// The position of the value among the flag's variations; None for the default.
    #[getter]
    fn variation_index(&self) -> Option<usize> {
        self.variation_index
    }

    /// Why, as a dict with at least `kind`.
    #[getter]
    fn reason(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(reason) = self.reason.get() {
            return Ok(reason.clone_ref(py));
        }
        let reason = match &self.outcome {
            Some((outcome, text)) => reason(py, outcome, text.as_deref())?.into_any().unbind(),
            None => py.None(),
        };
        Ok(self.reason.get_or_init(|| reason).clone_ref(py))
    }

    /// Whether the value is the default rather than a variation.
    fn is_default_value(&self) -> bool {
        self.variation_index.is_none()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<EvaluationDetail>() else {
            return Ok(false);
        };
        let (py, other) = (other.py(), other.get());
        Ok(self.variation_index == other.variation_index
            && self.value.bind(py).eq(&other.value)?
            && self.reason(py)?.bind(py).eq(other.reason(py)?)?)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let index = self
            .variation_index
            .map_or_else(|| "None".to_owned(), |index| index.to_string());
        let (value, reason) = (self.value.bind(py).str()?, self.reason(py)?);
        Ok(format!(
            "(value={value}, variation_index={index}, reason={})",
            reason.bind(py).str()?
        ))
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<(Py<PyType>, Arguments)> {
        let class = py.get_type::<EvaluationDetail>().unbind();
        Ok((
            class,
            (
                self.value.clone_ref(py),
                self.variation_index,
                self.reason(py)?,
            ),
        ))
    }
}

/// The reason's dict, without the flag: `text` is what it would have been asked for.
fn reason<'py>(
    py: Python<'py>,
    outcome: &Outcome,
    text: Option<&str>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = convert::reason(py, outcome, None)?;
    match outcome.reason {
        Reason::RuleMatch { .. } => dict.set_item("ruleId", text)?,
        Reason::PrerequisiteFailed { .. } => dict.set_item("prerequisiteKey", text)?,
        _ => {}
    }
    Ok(dict)
}
