//! The methods of a client that evaluate a flag. What they share is `asking`'s question.

use pyo3::prelude::*;

use super::asking::wanted_by;
use super::client::PyClient;
use super::detail::EvaluationDetail;

#[pymethods]
impl PyClient {
    /// The value of a flag for a user or context; the default where there is none. Never raises. Type checkers take the
    /// value to have the default's type, which is the flag's to keep: what it serves is returned, of whatever type. To have
    /// another type replaced by the default, with the reason `WRONG_TYPE`, call `bool_variation` or a sibling of it.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "variation", key, context.or(user), default)
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(slf, "variation_detail", key, context.or(user), default)
    }

    /// The value of a flag that serves booleans; the default if it serves anything else.
    #[pyo3(signature = (key, context=None, default=false, *, user=None))]
    fn bool_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: bool,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(
            slf,
            "bool_variation",
            key,
            context.or(user),
            Some(&bound(slf.py(), default)?),
        )
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context=None, default=false, *, user=None))]
    fn bool_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: bool,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(
            slf,
            "bool_variation_detail",
            key,
            context.or(user),
            Some(&bound(slf.py(), default)?),
        )
    }

    /// The value of a flag that serves whole numbers; the default if it serves anything else.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn int_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "int_variation", key, context.or(user), default)
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn int_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(slf, "int_variation_detail", key, context.or(user), default)
    }

    /// The value of a flag that serves numbers, as a float; the default if it serves anything else.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn float_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "float_variation", key, context.or(user), default)
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn float_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(
            slf,
            "float_variation_detail",
            key,
            context.or(user),
            default,
        )
    }

    /// The value of a flag that serves text; the default if it serves anything else.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn str_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "str_variation", key, context.or(user), default)
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn str_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(slf, "str_variation_detail", key, context.or(user), default)
    }

    /// The value of a flag that serves any JSON.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn json_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "json_variation", key, context.or(user), default)
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn json_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(slf, "json_variation_detail", key, context.or(user), default)
    }

    /// What the method of that name does, without hooks.
    #[pyo3(signature = (method, key, context, default))]
    fn _evaluate<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        let with_reason = method.ends_with("_detail");
        let wanted = wanted_by(method);
        let Some(processor) = self.processor.get() else {
            return self.detail(py, key, context, default, wanted, with_reason);
        };
        processor.around(py, context, |telling| {
            self.ask(
                py,
                key,
                context,
                default,
                wanted,
                with_reason,
                Some(telling),
                |value, answer| {
                    Bound::new(
                        py,
                        EvaluationDetail::new(value.unbind(), answer.outcome, answer.flag),
                    )
                },
            )
        })
    }
}

fn bound(py: Python<'_>, value: bool) -> PyResult<Bound<'_, PyAny>> {
    Ok(value.into_pyobject(py)?.to_owned().into_any())
}
