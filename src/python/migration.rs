//! What evaluating a migration flag gives Python: a stage, and what a tracker must know of the flag; and the event of
//! a step. The operations, and what is measured of them, are `ldclient.migrations`' question.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::client::PyClient;
use super::context::PyContext;
use super::convert::from_python;
use super::detail::EvaluationDetail;
use super::event_processor::Telling;
use super::warn;
use crate::client::{Answer, Wanted};
use crate::evaluation::{ErrorKind, Outcome};

/// The values that a migration flag may serve.
const STAGES: [&str; 6] = ["off", "dualwrite", "shadow", "live", "rampdown", "complete"];

/// The detail; and version, sampling ratio and check ratio of the flag, if there is one.
type Asked<'py> = (Bound<'py, EvaluationDetail>, Option<Known>);

type Known = (i64, Option<u64>, Option<u64>);

/// The answer to the question for a stage. `value` is the flag's, or its default; one that is no stage is replaced by
/// the caller's default, with `WRONG_TYPE` (as launchdarkly-server-sdk 9.20).
fn asked<'py>(
    key: &Bound<'py, PyAny>,
    value: Bound<'py, PyAny>,
    default: &Bound<'py, PyAny>,
    answer: &Answer<'_>,
) -> PyResult<Asked<'py>> {
    let py = value.py();
    let is_stage = value
        .cast::<PyString>()
        .is_ok_and(|text| STAGES.contains(&&*text.to_string_lossy()));
    let detail = if is_stage {
        EvaluationDetail::new(value.unbind(), answer.outcome, answer.flag)
    } else {
        warn::once(py, &format!("stage:{key}"), || {
            format!(
                "Feature flag \"{key}\" has a value that is no migration stage; the default stage is used."
            )
        });
        let outcome = Outcome::error(ErrorKind::WrongType);
        EvaluationDetail::new(default.clone().unbind(), outcome, None)
    };
    let known = answer
        .flag
        .map(|flag| (flag.version, flag.sampling_ratio, flag.check_ratio));
    Ok((Bound::new(py, detail)?, known))
}

#[pymethods]
impl PyClient {
    /// The detail of a migration flag, whose value is a stage, and what a tracker needs to know of the flag, if there
    /// is one: version, sampling ratio, check ratio. Without hooks.
    fn _migration_detail<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Asked<'py>> {
        let ask = |telling: Option<&mut Telling<'_, 'py>>| {
            self.ask(
                py,
                key,
                Some(context),
                Some(default),
                Wanted::Any,
                false,
                telling,
                |value, answer| asked(key, value, default, answer),
            )
        };
        match self.processor.get() {
            None => ask(None),
            Some(processor) => processor.around(py, Some(context), |telling| ask(Some(telling))),
        }
    }

    /// Records a step of a migration. `members` are the event's own; kind, date and context are added.
    fn _track_migration_op(
        &self,
        py: Python<'_>,
        context: &Bound<'_, PyContext>,
        members: &Bound<'_, PyAny>,
        sampling_ratio: Option<u64>,
    ) -> PyResult<()> {
        let live = Self::live(py, self.client()?);
        if let (Some(events), Ok(context)) = (live.runtime.events(), &context.get().context) {
            let members = from_python(members).map_err(|why| PyValueError::new_err(why.0))?;
            events.migration_op(context, members, sampling_ratio);
        }
        Ok(())
    }
}
