//! `Client`: the native base of `LDClient`. Its evaluation methods are reached without a Python frame in between.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::Guard;
use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::context::PyContext;
use super::convert::{from_python, members_of, name_of, to_python, type_name};
use super::detail::EvaluationDetail;
use super::flags_state::FeatureFlagsState;
use super::flush::FlushResult;
use super::migration::{self, Asked};
use super::user::{self, DictUser};
use super::{names, notices, options, registry, stores, warn};
use crate::client::{Answer, Client, Live, Question, StateOptions, Wanted};
use crate::evaluation::ErrorKind;
use crate::events::Events;
use crate::model::{Context, Value};
use crate::store::{Change, DataError};

/// How long a wait lasts at most before Python may handle a signal.
const SLICE: Duration = Duration::from_millis(50);

/// A client; `ldclient.client.LDClient` is made of it.
#[pyclass(
    frozen,
    subclass,
    weakref,
    name = "Client",
    module = "ldclient._ldclient"
)]
pub struct PyClient {
    opened: OnceLock<Opened>,
    /// The module `ldclient._hooks`, once there is a hook: it runs the stages around the methods below.
    hooks: OnceLock<Py<PyAny>>,
}

struct Opened {
    client: Arc<Client>,
    /// Values that stand for the default of a call, by flag key.
    defaults: Option<Py<PyDict>>,
}

/// Whom a caller asks for.
enum Caller<'a, 'py> {
    Context(&'a Arc<Context>),
    User(DictUser<'a, 'py>),
}

impl PyClient {
    fn opened(&self) -> PyResult<&Opened> {
        self.opened.get().ok_or_else(|| {
            PyRuntimeError::new_err("the client was not initialized: call LDClient.__init__")
        })
    }

    fn client(&self) -> PyResult<&Arc<Client>> {
        self.opened().map(|opened| &opened.client)
    }

    /// What to answer from now; sees to it that waiting log lines reach Python.
    fn live(py: Python<'_>, client: &Client) -> Guard<Arc<Live>> {
        let live = client.live();
        if client.watch_big_segments(&live) {
            // Python ran: it may have forked.
            return Self::live(py, client);
        }
        if live.runtime.calls_for_python() {
            if live.runtime.has_logs() {
                start_drain(py);
                // A store written in Python asks for its thread by a line in the log.
                drop(stores::lend_thread(py, client));
            }
            notices::attend(py, client);
            // Python ran: it may have forked.
            return client.live();
        }
        live
    }

    #[inline]
    fn variation_as<'py>(
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
            |value, _| Ok(value.unbind()),
        )
    }

    #[inline]
    fn detail_as<'py>(
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

    fn detail<'py>(
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
            |value, answer| {
                let detail = EvaluationDetail::new(value.unbind(), answer.outcome, answer.flag);
                Bound::new(py, detail)
            },
        )
    }

    /// The same evaluation with the stages of hooks around it; `None` if there is no hook.
    #[inline]
    fn with_hooks<'py>(
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
        reason = "the three above and migrations are all that call it"
    )]
    fn ask<'py, R>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        wanted: Wanted,
        with_reason: bool,
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
        if client.needs_store(&live, &key) {
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
            Caller::Context(context) => client.answer(&live, *context, &question),
            Caller::User(user) => client.answer(&live, user, &question),
        }) {
            Some(answer) => answer,
            None if client.is_offline() => Answer::error(ErrorKind::ClientNotReady),
            None => Answer::error(ErrorKind::UserNotSpecified),
        };
        let value = match answer.value() {
            Some(value) => Some(typed(py, value, wanted)?),
            None => {
                tell_about(py, client, &key, &answer);
                None
            }
        };
        then(or_default(value), &answer)
    }

    /// Records an event of the application.
    fn record<'py>(
        &self,
        py: Python<'py>,
        event_name: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        data: Option<&Bound<'py, PyAny>>,
        metric_value: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let client = self.client()?;
        let live = Self::live(py, client);
        let Some(events) = live.runtime.events() else {
            return Ok(());
        };
        let data = data.map(data_of).filter(|data| !data.is_null());
        let metric = metric_value.and_then(|number| match from_python(number) {
            Ok(number @ (Value::Int(_) | Value::Float(_) | Value::BigInt(_))) => Some(number),
            _ => {
                warn::once(py, "metric", || {
                    format!(
                        "A metric value must be a finite number; one of type {} was left out.",
                        type_name(number)
                    )
                });
                None
            }
        });
        let Ok(name) = event_name.str() else {
            warn::once(py, "event name", || {
                format!(
                    "An event whose name has no text (type {}) was not recorded.",
                    type_name(event_name)
                )
            });
            return Ok(());
        };
        let name = name.to_string_lossy();
        with_caller(py, context, "track an event for", |caller| match caller {
            Caller::Context(context) => events.track(&name, *context, data, metric),
            Caller::User(user) => events.track(&name, user, data, metric),
        });
        Ok(())
    }
}

/// The type that a method's name asks for.
#[inline]
fn wanted_by(method: &str) -> Wanted {
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

/// Reads whom the caller means, and calls `then`. Says once what is wrong with it where nobody is meant.
#[inline]
fn with_caller<'py, R>(
    py: Python<'py>,
    context: Option<&Bound<'py, PyAny>>,
    purpose: &str,
    then: impl FnOnce(&Caller<'_, 'py>) -> R,
) -> Option<R> {
    let Some(context) = context else {
        warn::once(py, &format!("nobody:{purpose}"), || {
            format!("There is no user or context to {purpose}.")
        });
        return None;
    };
    if let Ok(context) = context.cast::<PyContext>() {
        return match &context.get().context {
            Ok(context) => Some(then(&Caller::Context(context))),
            Err(error) => {
                warn::once(py, &format!("invalid:{error}"), || {
                    format!("A context is invalid ({error}); there is nobody to {purpose}.")
                });
                None
            }
        };
    }
    let Ok(dict) = context.cast::<PyDict>() else {
        warn::once(py, &format!("type:{}", type_name(context)), || {
            format!(
                "A user must be a dict or a Context, not {}; there is nobody to {purpose}.",
                type_name(context)
            )
        });
        return None;
    };
    if is_context_json(dict) {
        let context = user::context_from_dict(dict);
        return match &context.context {
            Ok(context) => Some(then(&Caller::Context(context))),
            Err(error) => {
                warn::once(py, &format!("invalid:{error}"), || {
                    format!("A context is invalid ({error}); there is nobody to {purpose}.")
                });
                None
            }
        };
    }
    let (mut holder, text) = (None, user::text_key(dict));
    let Some(key) = user::key_of(dict, &mut holder, text.as_ref()) else {
        warn::once(py, "no key", || {
            format!("A user has no \"key\"; there is nobody to {purpose}.")
        });
        return None;
    };
    Some(then(&Caller::User(DictUser::new(dict, key))))
}

fn is_context_json(dict: &Bound<'_, PyDict>) -> bool {
    dict.contains(names::KIND.get(dict.py())).unwrap_or(false)
}

/// Either name of the argument: `context` since 8.0, `user` before.
macro_rules! either {
    ($context:expr, $user:expr) => {
        $context.or($user)
    };
}

#[pymethods]
impl PyClient {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClient {
        PyClient {
            opened: OnceLock::new(),
            hooks: OnceLock::new(),
        }
    }

    /// Starts the client with the options that `Config` made, and waits at most `start_wait` seconds for flags.
    fn _open(&self, py: Python<'_>, options: &Bound<'_, PyDict>, start_wait: f64) -> PyResult<()> {
        let settings = options::read(options)?;
        let defaults = options
            .get_item("defaults")?
            .filter(|d| !d.is_none())
            .map(Bound::cast_into::<PyDict>);
        let defaults = defaults
            .transpose()
            .map_err(|_| PyValueError::new_err("defaults must be a dict"))?;
        let opened = Opened {
            client: Client::open(settings),
            defaults: defaults.map(Bound::unbind),
        };
        registry::add(&opened.client);
        if self.opened.set(opened).is_err() {
            return Err(PyRuntimeError::new_err(
                "the client was initialized already",
            ));
        }
        stores::lend_thread(py, self.client()?)?;
        Self::live(py, self.client()?);
        self.wait_for_initialization(py, start_wait)?;
        drain(py)
    }

    /// Takes all data from a source or store of the application's own, as JSON text: `{"flags", "segments"}`.
    fn _deliver(&self, py: Python<'_>, text: &str, write: bool) -> PyResult<()> {
        let client = self.client()?;
        py.detach(|| {
            let change = Change::full(text.as_bytes())?.with_text(text.as_bytes());
            client.deliver(change, write);
            Ok(())
        })
        .map_err(|error: DataError| PyValueError::new_err(error.to_string()))
    }

    /// Takes one flag (`features`) or segment (`segments`), as JSON text.
    fn _deliver_item(
        &self,
        py: Python<'_>,
        kind: &str,
        key: &str,
        text: &str,
        write: bool,
    ) -> PyResult<()> {
        let (client, kind) = (self.client()?, stores::kind_of(kind)?);
        py.detach(|| {
            client.deliver(Change::upsert(kind, key, text)?, write);
            Ok(())
        })
        .map_err(|error: DataError| PyValueError::new_err(error.to_string()))
    }

    /// Takes the deletion of one flag or segment.
    fn _deliver_deletion(&self, kind: &str, key: &str, version: i64, write: bool) -> PyResult<()> {
        let client = self.client()?;
        client.deliver(Change::delete(stores::kind_of(kind)?, key, version), write);
        Ok(())
    }

    /// A source of the application's own says that it is ready.
    fn _set_ready(&self) -> PyResult<()> {
        self.client()?.set_ready();
        Ok(())
    }

    /// Whether the feature store answers, and whether it has to be filled again.
    fn _store_status(&self, py: Python<'_>) -> PyResult<(bool, bool)> {
        let live = Self::live(py, self.client()?);
        Ok(live.runtime.storage().map_or((true, false), |storage| {
            let status = storage.status();
            (status.available, status.refresh_needed)
        }))
    }

    /// The value of a flag for a user or context; the default where there is none. Never raises.
    #[pyo3(signature = (key, context=None, default=None, *, user=None))]
    fn variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "variation", key, either!(context, user), default)
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
        Self::detail_as(
            slf,
            "variation_detail",
            key,
            either!(context, user),
            default,
        )
    }

    /// The value of a flag that serves booleans; the default if it serves anything else.
    #[pyo3(signature = (key, context, default=false))]
    fn bool_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: bool,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(
            slf,
            "bool_variation",
            key,
            Some(context),
            Some(&bound(slf.py(), default)?),
        )
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context, default=false))]
    fn bool_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: bool,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(
            slf,
            "bool_variation_detail",
            key,
            Some(context),
            Some(&bound(slf.py(), default)?),
        )
    }

    /// The value of a flag that serves whole numbers; the default if it serves anything else.
    #[pyo3(signature = (key, context, default))]
    fn int_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "int_variation", key, Some(context), Some(default))
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context, default))]
    fn int_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(
            slf,
            "int_variation_detail",
            key,
            Some(context),
            Some(default),
        )
    }

    /// The value of a flag that serves numbers, as a float; the default if it serves anything else.
    #[pyo3(signature = (key, context, default))]
    fn float_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "float_variation", key, Some(context), Some(default))
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context, default))]
    fn float_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(
            slf,
            "float_variation_detail",
            key,
            Some(context),
            Some(default),
        )
    }

    /// The value of a flag that serves text; the default if it serves anything else.
    #[pyo3(signature = (key, context, default))]
    fn str_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "str_variation", key, Some(context), Some(default))
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context, default))]
    fn str_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(
            slf,
            "str_variation_detail",
            key,
            Some(context),
            Some(default),
        )
    }

    /// The value of a flag that serves any JSON.
    #[pyo3(signature = (key, context, default=None))]
    fn json_variation<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::variation_as(slf, "json_variation", key, Some(context), default)
    }

    /// The same with the reason.
    #[pyo3(signature = (key, context, default=None))]
    fn json_variation_detail<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, EvaluationDetail>> {
        Self::detail_as(slf, "json_variation_detail", key, Some(context), default)
    }

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
        let client = self.client()?;
        let mut live = Self::live(py, client);
        if live.runtime.storage().is_some() {
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
            either!(context, user),
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

    /// Records an event of the application. Never raises, never waits.
    ///
    /// `track(name, user)`, `track(name, user, data, metric_value)`, and `track(name, data)` for the ambient user.
    #[pyo3(signature = (event_name, context=None, data=None, metric_value=None, *, user=None))]
    fn track<'py>(
        slf: &Bound<'py, Self>,
        event_name: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        data: Option<&Bound<'py, PyAny>>,
        metric_value: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let mut context = either!(context, user).cloned();
        let mut data = data.cloned();
        // The customer's document gives the data in the place of the user.
        let is_data = |dict: &Bound<'_, PyDict>| {
            !dict.contains("key").unwrap_or(true) && !is_context_json(dict)
        };
        if data.is_none()
            && context
                .as_ref()
                .and_then(|c| c.cast::<PyDict>().ok())
                .is_some_and(is_data)
        {
            data = context.take();
            let ambient = py.import("ldclient.ambient")?;
            let current = ambient.call_method0("current")?;
            context = Some(if current.is_none() {
                ambient.call_method0("anonymous_user")?
            } else {
                current
            });
        }
        if let Some(hooks) = slf.get().hooks.get() {
            let arguments = (slf, event_name, context, data, metric_value);
            return match hooks.bind(py).call_method1("track", arguments) {
                Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
                _ => Ok(()),
            };
        }
        slf.get().record(
            py,
            event_name,
            context.as_ref(),
            data.as_ref(),
            metric_value,
        )
    }

    /// What `track` does, without hooks.
    #[pyo3(signature = (event_name, context, data, metric_value))]
    fn _track<'py>(
        &self,
        py: Python<'py>,
        event_name: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        data: Option<&Bound<'py, PyAny>>,
        metric_value: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        self.record(py, event_name, context, data, metric_value)
    }

    /// Has the functions `evaluate` and `track` of a module called instead of evaluating and tracking. Later calls do
    /// nothing.
    fn _set_hooks(&self, module: Py<PyAny>) {
        let _ = self.hooks.set(module);
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
        self.detail(py, key, context, default, wanted_by(method), with_reason)
    }

    /// The detail of a migration flag, whose value is a stage, and what a tracker needs to know of the flag, if there
    /// is one: version, sampling ratio, check ratio. Without hooks.
    fn _migration_detail<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Asked<'py>> {
        let asked = (Some(context), Some(default));
        self.ask(
            py,
            key,
            asked.0,
            asked.1,
            Wanted::Any,
            false,
            |value, answer| migration::asked(key, value, default, answer),
        )
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

    /// The service's name for the environment, once it told; kept over a fork.
    fn _environment_id(&self) -> PyResult<Option<String>> {
        let live = self.client()?.live();
        Ok(live.runtime.environment_id().map(|id| String::clone(&id)))
    }

    /// Tells the service about a user or context. Never raises, never waits.
    #[pyo3(signature = (context=None, *, user=None))]
    fn identify<'py>(
        &self,
        py: Python<'py>,
        context: Option<&Bound<'py, PyAny>>,
        user: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let client = self.client()?;
        let live = Self::live(py, client);
        let Some(events) = live.runtime.events() else {
            return Ok(());
        };
        with_caller(
            py,
            either!(context, user),
            "identify",
            |caller| match caller {
                Caller::Context(context) => events.identify(Arc::clone(context)),
                Caller::User(user) => crate::events::Subject::to_context(user)
                    .is_some_and(|context| events.identify(context)),
            },
        );
        Ok(())
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
            either!(context, user),
            "make a secure mode hash for",
            |caller| match caller {
                Caller::Context(context) => client.secure_mode_hash(context.fully_qualified_key()),
                Caller::User(user) => client.secure_mode_hash(crate::evaluation::Part::key(user)),
            },
        );
        Ok(hash.unwrap_or_default())
    }

    /// Whether the client connects to nothing and answers with defaults.
    fn is_offline(&self) -> PyResult<bool> {
        Ok(self.client()?.is_offline())
    }

    /// Whether the client has flags to answer from.
    fn is_initialized(&self, py: Python<'_>) -> PyResult<bool> {
        let client = self.client()?;
        Self::live(py, client);
        Ok(client.is_initialized())
    }

    /// Waits until the client has flags, at most so many seconds; tells whether it has.
    fn wait_for_initialization(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let client = self.client()?.clone();
        let end = Instant::now() + seconds(timeout)?;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if py.detach(|| client.wait_for_initialization(left.min(SLICE))) {
                return Ok(true);
            }
            if left.is_zero() || client.is_closed() {
                return Ok(false);
            }
            py.check_signals()?;
        }
    }

    /// Without an argument: asks for the delivery of what waits, and returns None at once. With a time-out in seconds:
    /// waits until all that was recorded before is delivered or dropped, and says what became of it.
    #[pyo3(signature = (timeout=None))]
    fn flush(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<FlushResult>> {
        let client = self.client()?.clone();
        let live = Self::live(py, &client);
        let runtime = live.runtime.clone();
        drop(live);
        match timeout {
            None => {
                runtime.events().into_iter().for_each(Events::flush);
                Ok(None)
            }
            Some(timeout) => {
                let timeout = seconds(timeout)?;
                let report =
                    py.detach(|| runtime.events().map(|events| events.flush_within(timeout)));
                drain(py)?;
                Ok(Some(FlushResult::new(report)))
            }
        }
    }

    /// Delivers what waits, stops all threads and closes all connections, within so many seconds. More calls do nothing.
    #[pyo3(signature = (timeout=2.0))]
    fn close(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        let Some(opened) = self.opened.get() else {
            return Ok(());
        };
        let (client, timeout) = (opened.client.clone(), seconds(timeout)?);
        py.detach(|| client.close(timeout));
        client.stop_big_segments();
        drain(py)
    }

    /// Whether `close` was called.
    fn is_closed(&self) -> PyResult<bool> {
        Ok(self.client()?.is_closed())
    }

    /// Starts the client anew in a forked process, which the next call would do by itself, and waits for flags.
    #[pyo3(signature = (start_wait=5.0))]
    fn postfork(&self, py: Python<'_>, start_wait: f64) -> PyResult<()> {
        self.wait_for_initialization(py, start_wait).map(drop)
    }

    /// Says what listeners want to hear of from now on.
    fn _want_notices(&self, flags: bool, source: bool) -> PyResult<()> {
        self.client()?.want_notices(flags, source);
        Ok(())
    }

    /// Everything that waits for listeners: keys of flags that changed, states of the data source, whether that is all.
    fn _take_notices(&self) -> PyResult<(Vec<String>, Vec<notices::StatusTuple>, bool)> {
        Ok(notices::take(self.client()?))
    }

    /// The status of the data source.
    fn _source_status(&self, py: Python<'_>) -> PyResult<notices::StatusTuple> {
        let client = self.client()?;
        let status = Self::live(py, client).runtime.status();
        Ok(notices::status_tuple(status))
    }

    /// Takes all data, or with a kind ("features", "segments") and a key one item, as JSON. A closed client takes none.
    #[pyo3(signature = (json, kind=None, key=""))]
    fn _apply(&self, py: Python<'_>, json: &str, kind: Option<&str>, key: &str) -> PyResult<()> {
        let client = self.client()?.clone();
        py.detach(|| {
            client.apply(notices::change(kind, key, json)?);
            Ok(())
        })
    }

    /// How the client is doing, as a dict: see the documentation for its members.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let client = self.client()?;
        let live = Self::live(py, client);
        super::stats::to_dict(py, &live.runtime.stats(live.snapshot.size()), client)
    }
}

/// Nobody holds the client any more. Not left to the last owner of the inner one: that may be a background thread.
impl Drop for PyClient {
    fn drop(&mut self) {
        if let Some(opened) = self.opened.get() {
            registry::leave(&opened.client);
        }
    }
}

fn bound(py: Python<'_>, value: bool) -> PyResult<Bound<'_, PyAny>> {
    Ok(value.into_pyobject(py)?.to_owned().into_any())
}

/// The data of an event. A member that cannot be sent costs only itself.
fn data_of(data: &Bound<'_, PyAny>) -> Value {
    let py = data.py();
    match data.cast::<PyDict>() {
        Ok(dict) => {
            let members = members_of(dict).into_iter().flatten();
            let members = members.filter_map(|(name, value)| {
                let name = name_of(&name);
                let told = name.as_ref().map_or("data", |name| name).to_owned();
                match name.and_then(|name| Ok((name, from_python(&value)?))) {
                    Ok(member) => Some(member),
                    Err(why) => {
                        warn::attribute_not_sent(py, &told, &why);
                        None
                    }
                }
            });
            Value::Object(members.collect())
        }
        Err(_) => from_python(data).unwrap_or_else(|why| {
            warn::attribute_not_sent(py, "data", &why);
            Value::Null
        }),
    }
}

/// Seconds as a span of time; negative ones count as none, endless ones as a year.
fn seconds(seconds: f64) -> PyResult<Duration> {
    if seconds.is_nan() {
        return Err(PyValueError::new_err(
            "a time-out must be a number of seconds",
        ));
    }
    Ok(Duration::from_secs_f64(seconds.clamp(0.0, 31_536_000.0)))
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Lets waiting log lines reach Python's logging from a thread of their own.
#[cold]
fn start_drain(py: Python<'_>) {
    drop(
        py.import("ldclient.logs")
            .and_then(|logs| logs.call_method0("start_drain")),
    );
}

/// Emits waiting log lines now, on this thread, which waited anyway.
fn drain(py: Python<'_>) -> PyResult<()> {
    py.import("ldclient.logs")?.call_method0("drain").map(drop)
}
