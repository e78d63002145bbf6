//! One question for one flag, with the stages of hooks around it or without: who is meant, which default counts, what is
//! answered, in which type. The methods that ask are in `variation`; the answer itself is the engine's.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::caller::{Caller, with_caller};
use super::client::PyClient;
use super::convert::{from_python, to_python, type_name};
use super::detail::EvaluationDetail;
use super::ending::Inside;
use super::event_processor::Telling;
use super::warn;
use crate::client::{Answer, Client, Live, Question, Wanted};
use crate::evaluation::{self, ErrorKind};
use crate::events;
use crate::model::Value;

impl PyClient {
    #[inline]
    pub(super) fn variation_as<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if let Some(detail) = Self::with_hooks(slf, method, key, context, default)? {
            return Ok(detail.get().value(slf.py()));
        }
        let wanted = wanted_by(method);
        slf.get().ask(
            slf.py(),
            key,
            context,
            default,
            wanted,
            false,
            None,
            |value, _| Ok(value.unbind()),
        )
    }

    #[inline]
    pub(super) fn detail_as<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        match Self::with_hooks(slf, method, key, context, default)? {
            Some(detail) => Ok(detail),
            None => slf
                .get()
                .detail(slf.py(), key, context, default, wanted_by(method), true),
        }
    }

    pub(super) fn detail<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        wanted: Wanted,
        with_reason: bool,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        self.ask(
            py,
            key,
            context,
            default,
            wanted,
            with_reason,
            None,
            |value, answer| {
                let detail = EvaluationDetail::new(value.unbind(), answer.outcome, answer.flag);
                Bound::new(py, detail)
            },
        )
    }

    /// The same evaluation with the stages of hooks around it; `None` if there is no hook.
    #[inline]
    pub(super) fn with_hooks<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, EvaluationDetail>>> {
        match slf.get().hooks.get() {
            None => Ok(None),
            Some(hooks) => {
                hooked(hooks.bind(slf.py()), slf, method, key, context, default).map(Some)
            }
        }
    }

    /// Asks for a flag and hands the value, or the default, to `then`.
    #[allow(
        clippy::too_many_arguments,
        reason = "the three above, migrations and resolving are all that call it"
    )]
    pub(super) fn ask<'py, R>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        wanted: Wanted,
        with_reason: bool,
        mut telling: Option<&mut Telling<'_, 'py>>,
        then: impl FnOnce(Bound<'py, PyAny>, &Answer<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let opened = self.opened()?;
        let client = &opened.client;
        let replaced = opened
            .defaults
            .as_ref()
            .and_then(|defaults| defaults.bind(py).get_item(key).ok().flatten());
        let default = replaced.as_ref().or(default);
        let or_default = |value: Option<Bound<'py, PyAny>>| {
            value.unwrap_or_else(|| default.map_or_else(|| py.None().into_bound(py), Clone::clone))
        };
        let Ok(key) = key.cast::<PyString>() else {
            warn::once(py, "key", || {
                format!(
                    "A flag key must be text; one of type {} was asked for, which no flag has.",
                    type_name(key)
                )
            });
            return then(or_default(None), &Answer::error(ErrorKind::FlagNotFound));
        };
        let key = key.to_string_lossy();
        let mut live = Self::live(py, client);
        if opened.pinned.is_some() {
            live = opened.answering(live);
        } else if client.needs_store(&live, &key) {
            drop(live);
            py.detach(|| client.read_store(Some(&key)));
            live = Self::live(py, client);
        }
        let question = Question {
            key: &key,
            default: || {
                default.map_or(Value::Null, |default| {
                    from_python(default).unwrap_or_else(|why| {
                        warn::attribute_not_sent(py, "default", &why);
                        Value::Null
                    })
                })
            },
            with_reason,
            wanted,
        };
        let answer = match with_caller(py, context, "evaluate a flag for", |caller| match caller {
            Caller::Context(context) => answer(client, &live, *context, &question, &mut telling),
            Caller::User(user) => answer(client, &live, user, &question, &mut telling),
        }) {
            Some(answer) => answer,
            // As launchdarkly-server-sdk 9.20: before there is data, the context is not looked at.
            None if client.is_offline() || !live.snapshot.initialized() => {
                Answer::error(ErrorKind::ClientNotReady)
            }
            None => Answer::error(ErrorKind::UserNotSpecified),
        };
        let value = match answer.value() {
            Some(value) => Some(typed(py, value, wanted)?),
            None => {
                tell_about(py, client, &key, &answer);
                None
            }
        };
        let value = or_default(value);
        if let Some(telling) = telling {
            telling.note(&live, &key, &value, default, with_reason, &answer)?;
        }
        then(value, &answer)
    }
}

/// Answers, and counts it or tells what takes the place of counting.
#[inline]
fn answer<'l, S, D>(
    client: &Client,
    live: &'l Live,
    subject: &S,
    question: &Question<'_, D>,
    telling: &mut Option<&mut Telling<'_, '_>>,
) -> Answer<'l>
where
    S: evaluation::Subject + events::Subject,
    D: Fn() -> Value,
{
    match telling {
        None => client.answer(live, subject, question),
        Some(telling) => client.answer_to(live, subject, question, telling.recorder()),
    }
}

/// The type that a method's name asks for.
#[inline]
pub(super) fn wanted_by(method: &str) -> Wanted {
    match method.as_bytes().first() {
        Some(b'b') => Wanted::Bool,
        Some(b'i') => Wanted::Int,
        Some(b'f') => Wanted::Float,
        Some(b's') => Wanted::Text,
        _ => Wanted::Any,
    }
}

/// An evaluation with the stages of hooks around it. What goes wrong there and is not contained there costs the stages,
/// not the answer.
#[cold]
fn hooked<'py>(
    hooks: &Bound<'py, PyAny>,
    client: &Bound<'py, PyClient>,
    method: &str,
    key: &Bound<'py, PyAny>,
    context: Option<&Bound<'py, PyAny>>,
    default: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, EvaluationDetail>> {
    let py = client.py();
    let _inside = Inside::enter(py);
    let arguments = (client, method, key, context, default);
    match hooks.call_method1("evaluate", arguments) {
        Ok(detail) => Ok(detail.cast_into::<EvaluationDetail>()?),
        Err(error) if error.is_instance_of::<PyException>(py) => {
            let with_reason = method.ends_with("_detail");
            let (client, wanted) = (client.get(), wanted_by(method));
            client.detail(py, key, context, default, wanted, with_reason)
        }
        Err(error) => Err(error),
    }
}

/// The value as Python has it, a number in the type that was asked for.
#[inline]
fn typed<'py>(py: Python<'py>, value: &Value, wanted: Wanted) -> PyResult<Bound<'py, PyAny>> {
    match (wanted, value) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "only whole numbers in range"
        )]
        (Wanted::Int, Value::Float(number)) if number.abs() < 9e15 => {
            to_python(py, &Value::Int(*number as i64))
        }
        (Wanted::Int, Value::Float(_)) => to_python(py, value)?.call_method0("__int__"),
        (Wanted::Float, Value::Int(_) | Value::BigInt(_)) => {
            to_python(py, &Value::Float(value.as_f64().unwrap_or_default()))
        }
        _ => to_python(py, value),
    }
}

/// Whose flag was asked for in vain is told once a flag and reason.
#[cold]
fn tell_about(py: Python<'_>, client: &Client, key: &str, answer: &Answer<'_>) {
    use crate::evaluation::Reason::Error;
    let Error(kind) = answer.outcome.reason else {
        return;
    };
    match kind {
        ErrorKind::FlagNotFound => warn::inform_once(py, &format!("unknown:{key}"), || {
            format!(
                "There is no feature flag with the key \"{key}\"; the default value is returned."
            )
        }),
        ErrorKind::ClientNotReady if !client.is_offline() => warn::once(py, "not-ready", || {
            format!(
                "Feature flag \"{key}\" was evaluated before flag data arrived; default values are returned until it does."
            )
        }),
        ErrorKind::MalformedFlag => warn::once(py, &format!("malformed:{key}"), || {
            format!(
                "Feature flag \"{key}\" cannot be evaluated: its data is malformed. The default value is returned."
            )
        }),
        ErrorKind::WrongType => warn::once(py, &format!("type:{key}"), || {
            format!(
                "Feature flag \"{key}\" has a value of another type than was asked for; the default value is returned."
            )
        }),
        _ => {}
    }
}
