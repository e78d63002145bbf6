//! What evaluating a migration flag gives Python: a stage, and what a tracker must know of the flag.
//! The operations, and what is measured of them, are `ldclient.migrations`' question.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::detail::EvaluationDetail;
use super::warn;
use crate::client::Answer;
use crate::evaluation::{ErrorKind, Outcome};

/// The values that a migration flag may serve.
const STAGES: [&str; 6] = ["off", "dualwrite", "shadow", "live", "rampdown", "complete"];

/// The detail; and version, sampling ratio and check ratio of the flag, if there is one.
pub type Asked<'py> = (Bound<'py, EvaluationDetail>, Option<Known>);

type Known = (i64, Option<u64>, Option<u64>);

/// The answer to the question for a stage. `value` is the flag's, or its default; one that is no stage is replaced by
/// the caller's default, with `WRONG_TYPE` (as launchdarkly-server-sdk 9.20).
pub fn asked<'py>(
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
