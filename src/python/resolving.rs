//! What `ldclient.openfeature` asks: a detail, and of the flag that it was decided by what no reason says. Both from one
//! evaluation of one snapshot. The vocabulary of its reasons is that module's question.

use pyo3::prelude::*;

use super::asking::wanted_by;
use super::client::PyClient;
use super::detail::EvaluationDetail;
use super::event_processor::Telling;
use crate::model::{Choice, Flag};

/// The detail; and of the flag, if there is one, its version and what its fallthrough rests on.
type Resolved<'py> = (Bound<'py, EvaluationDetail>, Option<(i64, &'static str)>);

/// What decides for those whom nothing in the flag matches: a share of all contexts (`rollout`), that nothing matched
/// (`rules`), or nothing at all, the flag being the same for everybody (`static`).
fn fallthrough_rests_on(flag: &Flag) -> &'static str {
    if matches!(flag.fallthrough, Choice::Rollout(_)) {
        "rollout"
    } else if flag.rules.is_empty() && flag.targets.is_empty() && flag.prerequisites.is_empty() {
        "static"
    } else {
        "rules"
    }
}

#[pymethods]
impl PyClient {
    /// What the method of that name (`bool_variation_detail`, ...) answers, with version and structure of the flag.
    /// Without hooks.
    fn _resolve<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Resolved<'py>> {
        let ask = |telling: Option<&mut Telling<'_, 'py>>| {
            self.ask(
                py,
                key,
                Some(context),
                Some(default),
                wanted_by(method),
                true,
                telling,
                |value, answer| {
                    let detail = EvaluationDetail::new(value.unbind(), answer.outcome, answer.flag);
                    let known = answer
                        .flag
                        .map(|flag| (flag.version, fallthrough_rests_on(flag)));
                    Ok((Bound::new(py, detail)?, known))
                },
            )
        };
        match self.processor.get() {
            None => ask(None),
            Some(processor) => processor.around(py, Some(context), |telling| ask(Some(telling))),
        }
    }
}
