//! The methods of a client that record events of the application, and `flush`. Evaluations record by themselves.

use std::sync::Arc;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::caller::{Caller, is_context_json, with_caller};
use super::client::{PyClient, drain, seconds};
use super::convert::{from_python, members_of, name_of, type_name};
use super::ending::Inside;
use super::flush::FlushResult;
use super::plain::{is_plain_number, write_plain};
use super::{waiting, warn};
use crate::events::{Custom, Events};
use crate::model::Value;

#[pymethods]
impl PyClient {
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
        let mut context = context.or(user).cloned();
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
            let _inside = Inside::enter(py);
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
        if let Some(processor) = self.processor.get() {
            drop(live);
            return processor.tell(context.or(user), py, "identify", |processor, context| {
                processor.call_method1("identified", (context,))
            });
        }
        let Some(events) = live.runtime.events() else {
            return Ok(());
        };
        with_caller(py, context.or(user), "identify", |caller| match caller {
            Caller::Context(context) => events.identify(Arc::clone(context)),
            Caller::User(user) => crate::events::Subject::to_context(user)
                .is_some_and(|context| events.identify(context)),
        });
        Ok(())
    }

    /// Without an argument: asks for the delivery of what waits, and returns None at once. With a time-out in seconds:
    /// waits until all that was recorded before is delivered or dropped, and says what became of it.
    #[pyo3(signature = (timeout=None))]
    fn flush(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<FlushResult>> {
        let client = self.client()?.clone();
        let live = Self::live(py, &client);
        let runtime = live.runtime.clone();
        drop(live);
        if let Some(processor) = self.processor.get() {
            processor.flush(py)?;
        }
        match timeout {
            None => {
                runtime.events().into_iter().for_each(Events::flush);
                Ok(None)
            }
            Some(timeout) => {
                let timeout = seconds(timeout)?;
                let events = runtime.events();
                let report = events.map(|events| waiting::for_flush(py, events, timeout));
                let report = report.transpose()?;
                drain(py)?;
                Ok(Some(FlushResult::new(report)))
            }
        }
    }
}

impl PyClient {
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
        if let Some(processor) = self.processor.get() {
            drop(live);
            return processor.tell(context, py, "track an event for", |processor, context| {
                processor.call_method1("tracked", (context, event_name, data, metric_value))
            });
        }
        let Some(events) = live.runtime.events() else {
            return Ok(());
        };
        let Ok(name) = event_name.str() else {
            warn::once(py, "event name", || {
                format!(
                    "An event whose name has no text (type {}) was not recorded.",
                    type_name(event_name)
                )
            });
            return Ok(());
        };
        let mut custom = Custom::new(&name.to_string_lossy());
        if let Some(data) = data
            && !custom.write_data(|out| write_plain(data, out))
        {
            let data = data_of(data);
            if !data.is_null() {
                custom = custom.with_data(&data);
            }
        }
        if let Some(number) = metric_value
            && !(is_plain_number(number) && custom.write_metric(|out| write_plain(number, out)))
            && let Some(metric) = metric_of(number)
        {
            custom = custom.with_metric(&metric);
        }
        with_caller(py, context, "track an event for", |caller| match caller {
            Caller::Context(context) => events.track(custom, *context),
            Caller::User(user) => events.track(custom, user),
        });
        Ok(())
    }
}

/// A metric value that is no plain number.
#[cold]
fn metric_of(number: &Bound<'_, PyAny>) -> Option<Value> {
    match from_python(number) {
        Ok(number @ (Value::Int(_) | Value::Float(_) | Value::BigInt(_))) => Some(number),
        _ => {
            warn::once(number.py(), "metric", || {
                format!(
                    "A metric value must be a finite number; one of type {} was left out.",
                    type_name(number)
                )
            });
            None
        }
    }
}

/// The data of an event that is not all plain. A member that cannot be sent costs only itself.
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
