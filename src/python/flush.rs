//! `FlushResult`: what became of the events that waited.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::events::FlushReport;

/// What `flush(timeout=…)` returns.
#[pyclass(frozen, name = "FlushResult", module = "ldclient.client")]
pub struct FlushResult {
    report: Option<FlushReport>,
}

impl FlushResult {
    /// `None` stands for a client that has no events.
    pub fn new(report: Option<FlushReport>) -> FlushResult {
        FlushResult { report }
    }
}

#[pymethods]
impl FlushResult {
    /// How many events were delivered during the call.
    #[getter]
    fn sent(&self) -> u64 {
        self.report.as_ref().map_or(0, |report| report.sent)
    }

    /// How many events still wait.
    #[getter]
    fn pending(&self) -> u64 {
        self.report.as_ref().map_or(0, |report| report.pending)
    }

    /// How many events were lost during the call, by reason.
    #[getter]
    fn dropped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (reason, count) in self
            .report
            .iter()
            .flat_map(|report| &report.dropped)
            .filter(|(_, count)| *count > 0)
        {
            dict.set_item(reason, count)?;
        }
        Ok(dict)
    }

    /// Whether everything that was recorded before the call has been delivered or dropped.
    #[getter]
    fn complete(&self) -> bool {
        self.report.as_ref().is_none_or(|report| report.complete)
    }

    /// Whether everything arrived: complete, and nothing was lost.
    fn __bool__(&self) -> bool {
        self.complete()
            && self
                .report
                .iter()
                .flat_map(|report| &report.dropped)
                .all(|(_, count)| *count == 0)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (sent, pending, dropped) = (self.sent(), self.pending(), self.dropped(py)?);
        let complete = if self.complete() { "True" } else { "False" };
        Ok(format!(
            "FlushResult(sent={sent}, pending={pending}, dropped={}, complete={complete})",
            dropped.repr()?
        ))
    }
}
