//! `Context` and its two builders, as launchdarkly-server-sdk 9.20 has them: native, immutable, hashable, picklable.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::convert::{from_python, to_python};
use super::warn;
use crate::model::{Context, ContextError, Individual, Kind, Parts, Value};

/// A context, or why there is none.
#[pyclass(frozen, name = "Context", module = "ldclient.context", weakref)]
pub struct PyContext {
    pub(super) context: Result<Arc<Context>, Box<str>>,
}

impl PyContext {
    pub(super) fn new(context: Result<Context, ContextError>) -> PyContext {
        PyContext {
            context: context.map(Arc::new).map_err(|error| error.0.into()),
        }
    }

    /// Its only part, unless it is invalid or of several kinds.
    fn single(&self) -> Option<&Individual> {
        match self.context.as_ref().ok()?.individuals() {
            [one] => Some(one),
            _ => None,
        }
    }

    fn of_part(part: &Individual) -> PyContext {
        PyContext::new(Context::new(vec![part.clone()]))
    }
}

/// Whom a caller means, as a `Context`: a context as it is, a dict of either form, and an invalid context for all else.
#[pyfunction]
pub fn context_of<'py>(user: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyContext>> {
    if let Ok(context) = user.cast::<PyContext>() {
        return Ok(context.clone());
    }
    let context = match user.cast::<PyDict>() {
        Ok(dict) if dict.contains("kind").unwrap_or(false) => super::user::context_from_dict(dict),
        Ok(dict) => super::user::context_from_user(dict),
        Err(_) => PyContext {
            context: Err("there is no user or context".into()),
        },
    };
    Bound::new(user.py(), context)
}

#[pymethods]
impl PyContext {
    /// The kind of a context whose kind is not given.
    #[classattr]
    const DEFAULT_KIND: &'static str = "user";
    /// The kind of a context of several kinds.
    #[classattr]
    const MULTI_KIND: &'static str = "multi";

    #[new]
    #[pyo3(signature = (kind, key, name=None, anonymous=false, attributes=None, private_attributes=None, multi_contexts=None, allow_empty_key=false, error=None))]
    #[allow(clippy::too_many_arguments, reason = "the reference's constructor")]
    fn __new__(
        kind: Option<&Bound<'_, PyAny>>,
        key: Option<&Bound<'_, PyAny>>,
        name: Option<String>,
        anonymous: bool,
        attributes: Option<&Bound<'_, PyDict>>,
        private_attributes: Option<Vec<String>>,
        multi_contexts: Option<Vec<Py<PyContext>>>,
        allow_empty_key: bool,
        error: Option<String>,
    ) -> PyResult<PyContext> {
        if let Some(error) = error {
            return Ok(PyContext {
                context: Err(error.into()),
            });
        }
        if let Some(contexts) = multi_contexts {
            return Ok(join(contexts.iter().map(Py::get)));
        }
        let mut builder = PyContextBuilder::new(text_of_key(key)?);
        builder.set_kind(kind)?;
        builder.parts.name = name.map(Into::into);
        builder.parts.anonymous = anonymous;
        builder.parts.private = private_attributes
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect();
        builder.allow_empty_key = allow_empty_key;
        for (name, value) in attributes.into_iter().flatten() {
            builder.try_set(&name, &value);
        }
        Ok(builder.build())
    }

    /// A context with only a key, and a kind other than "user" if given.
    #[staticmethod]
    #[pyo3(signature = (key, kind=None))]
    fn create(
        key: Option<&Bound<'_, PyAny>>,
        kind: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyContext> {
        let mut builder = PyContextBuilder::new(text_of_key(key)?);
        builder.set_kind(kind)?;
        Ok(builder.build())
    }

    /// Joins contexts of different kinds; a lone one is returned as it is.
    #[staticmethod]
    #[pyo3(signature = (*contexts))]
    fn create_multi(py: Python<'_>, contexts: Vec<Py<PyContext>>) -> PyResult<Py<PyContext>> {
        multi(py, &contexts)
    }

    /// A context from its JSON form as a dict, which always has a `kind`.
    #[staticmethod]
    fn from_dict(props: &Bound<'_, PyAny>) -> PyContext {
        if props.is_none() {
            return PyContext {
                context: Err("Cannot use None as a context".into()),
            };
        }
        match props.cast::<PyDict>() {
            Ok(dict) => super::user::context_from_dict(dict),
            Err(_) => PyContext {
                context: Err("a context must be a dict".into()),
            },
        }
    }

    /// A context from an old-style user: a dict with a `key`, built-in attributes and `custom`.
    ///
    /// A value of the wrong type is converted or left out with a warning, as where a dict is given as a user. With
    /// `strict` it makes the context invalid instead; a key that is not text is such a value.
    #[staticmethod]
    #[pyo3(signature = (user, *, strict = false))]
    fn from_user(user: &Bound<'_, PyDict>, strict: bool) -> PyContext {
        if strict {
            super::user::context_from_typed_user(user)
        } else {
            super::user::context_from_user(user)
        }
    }

    /// A builder for a context with this key.
    #[staticmethod]
    fn builder(key: Option<&Bound<'_, PyAny>>) -> PyResult<PyContextBuilder> {
        Ok(PyContextBuilder::new(text_of_key(key)?))
    }

    /// A builder that starts with all that a context of one kind has.
    #[staticmethod]
    fn builder_from_context(context: &Bound<'_, PyContext>) -> PyContextBuilder {
        match context.get().single() {
            Some(part) => PyContextBuilder {
                kind: Some(part.kind().as_str().into()),
                parts: part.parts().clone(),
                allow_empty_key: false,
            },
            // What such a builder builds is invalid, and says why.
            None => PyContextBuilder {
                kind: Some(context.get().kind().into()),
                parts: Parts::default(),
                allow_empty_key: false,
            },
        }
    }

    /// A builder for a context of several kinds.
    #[staticmethod]
    fn multi_builder() -> PyContextMultiBuilder {
        PyContextMultiBuilder {
            contexts: Vec::new(),
        }
    }

    /// Whether it can be used.
    #[getter]
    fn valid(&self) -> bool {
        self.context.is_ok()
    }

    /// Why it cannot be used; None for a valid one.
    #[getter]
    fn error(&self) -> Option<&str> {
        self.context.as_ref().err().map(|error| &**error)
    }

    /// Whether it is of several kinds.
    #[getter]
    fn multiple(&self) -> bool {
        self.context
            .as_ref()
            .is_ok_and(|context| context.individuals().len() > 1)
    }

    /// Its kind; "multi" for several, "" for an invalid one.
    #[getter]
    fn kind(&self) -> &str {
        match (&self.context, self.single()) {
            (Err(_), _) => "",
            (Ok(_), Some(part)) => part.kind().as_str(),
            (Ok(_), None) => "multi",
        }
    }

    /// Its key; "" for several kinds.
    #[getter]
    fn key(&self) -> &str {
        self.single().map_or("", Individual::key)
    }

    /// Its name, if it has one.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.single().and_then(Individual::name)
    }

    /// Whether it is anonymous.
    #[getter]
    fn anonymous(&self) -> bool {
        self.single().is_some_and(Individual::anonymous)
    }

    /// The same without its anonymous parts; invalid when nothing is left.
    fn without_anonymous_contexts(slf: &Bound<'_, PyContext>) -> PyResult<Py<PyContext>> {
        let this = slf.get();
        let anonymous = this
            .context
            .as_ref()
            .is_ok_and(|c| c.individuals().iter().any(Individual::anonymous));
        if !anonymous {
            return Ok(slf.clone().unbind());
        }
        let kept = this
            .context
            .as_ref()
            .ok()
            .and_then(|context| context.without_anonymous());
        let context = kept
            .ok_or_else(|| ContextError("multi-context must contain at least one kind".to_owned()));
        Py::new(slf.py(), PyContext::new(context))
    }

    /// The value of an attribute by its name; None if there is none.
    fn get<'py>(
        &self,
        py: Python<'py>,
        attribute: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Ok(attribute) = attribute.cast::<PyString>() else {
            return Ok(py.None().into_bound(py));
        };
        let attribute = &*attribute.to_string_lossy();
        let Some(part) = self.single() else {
            return match attribute {
                "kind" => Ok(PyString::new(py, self.kind()).into_any()),
                "key" => Ok(PyString::new(py, "").into_any()),
                "anonymous" => Ok(false.into_pyobject(py)?.to_owned().into_any()),
                _ => Ok(py.None().into_bound(py)),
            };
        };
        match attribute {
            "key" => to_python(py, &part.key().into()),
            "kind" => to_python(py, &part.kind().as_str().into()),
            "name" => to_python(py, &part.name().map_or(Value::Null, Into::into)),
            "anonymous" => to_python(py, &part.anonymous().into()),
            name => to_python(py, part.attribute(name).unwrap_or(&Value::Null)),
        }
    }

    /// How many kinds it has; 0 for an invalid one.
    #[getter]
    fn individual_context_count(&self) -> usize {
        self.context
            .as_ref()
            .map_or(0, |context| context.individuals().len())
    }

    /// The part of a kind, given by name or by position; None if there is none.
    fn get_individual_context(
        slf: &Bound<'_, PyContext>,
        kind: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Py<PyContext>>> {
        let Ok(context) = &slf.get().context else {
            return Ok(None);
        };
        let part = if let Ok(name) = kind.cast::<PyString>() {
            // An empty name is no kind here, though it means "user" in flag data.
            name.to_str()
                .ok()
                .filter(|name| !name.is_empty())
                .and_then(|name| context.individual(&Kind::from(name)))
        } else {
            kind.extract::<usize>()
                .ok()
                .and_then(|index| context.individuals().get(index))
        };
        match part {
            None => Ok(None),
            Some(_) if context.individuals().len() == 1 => Ok(Some(slf.clone().unbind())),
            Some(part) => Py::new(slf.py(), PyContext::of_part(part)).map(Some),
        }
    }

    /// The names of all attributes that are not built in.
    #[getter]
    fn custom_attributes(&self) -> Vec<&str> {
        self.single().map_or_else(Vec::new, |part| {
            part.attributes().iter().map(|(name, _)| &**name).collect()
        })
    }

    /// The references to private attributes.
    #[getter]
    fn private_attributes(&self) -> Vec<&str> {
        self.single().map_or_else(Vec::new, |part| {
            part.private().iter().map(|name| &**name).collect()
        })
    }

    /// Text that names it by kinds and keys.
    #[getter]
    fn fully_qualified_key(&self) -> &str {
        self.context
            .as_ref()
            .map_or("", |context| context.fully_qualified_key())
    }

    /// Its JSON form as a dict; empty for an invalid one.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.context {
            Ok(context) => to_python(py, &context.to_value()),
            Err(_) => Ok(PyDict::new(py).into_any()),
        }
    }

    /// Its JSON form as text.
    fn to_json_string(&self) -> String {
        self.context
            .as_ref()
            .map_or_else(|_| "{}".to_owned(), |context| context.to_value().to_json())
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        attribute: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.get(py, attribute)
    }

    /// Whether it has a value for the attribute of this name.
    fn __contains__(&self, attribute: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(!self.get(attribute.py(), attribute)?.is_none())
    }

    /// Not iterable: without this, Python would iterate by `__getitem__`, which has an answer for every index, for ever.
    #[classattr]
    #[pyo3(name = "__iter__")]
    fn no_iteration(py: Python<'_>) -> Py<PyAny> {
        py.None()
    }

    fn __repr__(&self) -> String {
        match &self.context {
            Ok(_) => self.to_json_string(),
            Err(error) => format!("[invalid context: {error}]"),
        }
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<PyContext>()
            .is_ok_and(|other| self.context == other.get().context)
    }

    fn __hash__(&self) -> u64 {
        self.context
            .as_ref()
            .map_or(0, |context| context.key_hash())
    }

    fn __copy__(slf: Py<PyContext>) -> Py<PyContext> {
        slf
    }

    fn __deepcopy__(slf: Py<PyContext>, _memo: &Bound<'_, PyAny>) -> Py<PyContext> {
        slf
    }

    fn __reduce__<'py>(slf: &Bound<'py, PyContext>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let this = slf.get();
        if let Some(error) = this.error() {
            let none = py.None();
            let args = (&none, "", &none, false, &none, &none, &none, false, error);
            return (slf.get_type(), args).into_pyobject(py);
        }
        if this.single().is_some_and(|part| part.key().is_empty()) {
            // Only an old-style user may have an empty key.
            let part = this
                .single()
                .map(|part| part.parts().clone())
                .unwrap_or_default();
            let attributes = to_python(py, &Value::Object(part.attributes.into()))?;
            let private: Vec<&str> = this.private_attributes();
            let args = (
                "user",
                "",
                part.name.as_deref(),
                part.anonymous,
                attributes,
                private,
                py.None(),
                true,
            );
            return (slf.get_type(), args).into_pyobject(py);
        }
        (slf.get_type().getattr("from_dict")?, (this.to_dict(py)?,)).into_pyobject(py)
    }
}

/// Builds a context of one kind.
#[pyclass(name = "ContextBuilder", module = "ldclient.context")]
pub struct PyContextBuilder {
    /// `None` is "user"; an empty text is invalid.
    kind: Option<Box<str>>,
    parts: Parts,
    allow_empty_key: bool,
}

impl PyContextBuilder {
    fn new(key: String) -> PyContextBuilder {
        let parts = Parts {
            key: key.into(),
            ..Parts::default()
        };
        PyContextBuilder {
            kind: None,
            parts,
            allow_empty_key: false,
        }
    }

    fn set_kind(&mut self, kind: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.kind = match kind {
            None => None,
            Some(kind) => Some(kind.str()?.to_string_lossy().into()),
        };
        Ok(())
    }
}

#[pymethods]
impl PyContextBuilder {
    #[new]
    #[pyo3(signature = (key, copy_from=None))]
    fn __new__(
        key: Option<&Bound<'_, PyAny>>,
        copy_from: Option<&Bound<'_, PyContext>>,
    ) -> PyResult<PyContextBuilder> {
        let key = text_of_key(key)?;
        Ok(match copy_from {
            None => PyContextBuilder::new(key),
            Some(context) => {
                let mut builder = PyContext::builder_from_context(context);
                builder.parts.key = key.into();
                builder
            }
        })
    }

    /// The context, which may be invalid: see its `valid` and `error`.
    fn build(&self) -> PyContext {
        if self.allow_empty_key
            && self.parts.key.is_empty()
            && self.kind.as_deref().is_none_or(|kind| kind == "user")
        {
            return PyContext::new(Context::new(vec![Individual::user(self.parts.clone())]));
        }
        let part = Individual::new(self.kind.as_deref().unwrap_or("user"), self.parts.clone());
        PyContext::new(part.and_then(|part| Context::new(vec![part])))
    }

    /// Sets the key.
    fn key<'py>(
        mut slf: PyRefMut<'py, Self>,
        key: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<PyRefMut<'py, Self>> {
        slf.parts.key = text_of_key(key)?.into();
        Ok(slf)
    }

    /// Sets the kind; None is "user".
    fn kind<'py>(
        mut slf: PyRefMut<'py, Self>,
        kind: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<PyRefMut<'py, Self>> {
        slf.set_kind(kind)?;
        Ok(slf)
    }

    /// Sets the name; None removes it.
    fn name<'py>(
        mut slf: PyRefMut<'py, Self>,
        name: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<PyRefMut<'py, Self>> {
        slf.parts.name = match name {
            None => None,
            Some(name) => Some(name.str()?.to_string_lossy().into()),
        };
        Ok(slf)
    }

    /// Sets whether it is anonymous.
    fn anonymous<'py>(
        mut slf: PyRefMut<'py, Self>,
        anonymous: &Bound<'py, PyAny>,
    ) -> PyResult<PyRefMut<'py, Self>> {
        slf.parts.anonymous = anonymous.is_truthy()?;
        Ok(slf)
    }

    /// Sets an attribute; None removes it. A value of a type that the attribute cannot have changes nothing.
    fn set<'py>(
        mut slf: PyRefMut<'py, Self>,
        attribute: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyRefMut<'py, Self> {
        slf.try_set(attribute, value);
        slf
    }

    /// The same, telling whether the attribute could be set.
    fn try_set(&mut self, attribute: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> bool {
        let Ok(name) = attribute.cast::<PyString>() else {
            return false;
        };
        let name = &*name.to_string_lossy();
        let value = match from_python(value) {
            Ok(value) => value,
            Err(why) => {
                warn::attribute_not_sent(value.py(), name, &why);
                return false;
            }
        };
        match (name, value) {
            ("key", Value::String(key)) => {
                self.parts.key = key;
                true
            }
            ("kind", Value::String(kind)) => {
                self.kind = Some(kind);
                true
            }
            ("name", Value::String(text)) => {
                self.parts.name = Some(text);
                true
            }
            ("name", Value::Null) => {
                self.parts.name = None;
                true
            }
            ("anonymous", Value::Bool(anonymous)) => {
                self.parts.anonymous = anonymous;
                true
            }
            ("" | "_meta" | "key" | "kind" | "name" | "anonymous", _) => false,
            (name, value) => {
                let attributes = &mut self.parts.attributes;
                match attributes.iter().position(|(n, _)| **n == *name) {
                    Some(index) if value.is_null() => drop(attributes.remove(index)),
                    Some(index) => attributes[index].1 = value,
                    None if value.is_null() => {}
                    None => attributes.push((name.into(), value)),
                }
                true
            }
        }
    }

    /// Marks attributes, given by references, as private.
    #[pyo3(signature = (*args))]
    fn private<'py>(mut slf: PyRefMut<'py, Self>, args: Vec<String>) -> PyRefMut<'py, Self> {
        slf.parts.private.extend(args.into_iter().map(Into::into));
        slf
    }
}

/// Builds a context of several kinds.
#[pyclass(name = "ContextMultiBuilder", module = "ldclient.context")]
pub struct PyContextMultiBuilder {
    contexts: Vec<Py<PyContext>>,
}

#[pymethods]
impl PyContextMultiBuilder {
    #[new]
    fn __new__() -> PyContextMultiBuilder {
        PyContextMultiBuilder {
            contexts: Vec::new(),
        }
    }

    /// The context, which may be invalid: see its `valid` and `error`. A lone context is returned as it is.
    fn build(&self, py: Python<'_>) -> PyResult<Py<PyContext>> {
        multi(py, &self.contexts)
    }

    /// Adds a context; one of several kinds adds each of them.
    fn add<'py>(mut slf: PyRefMut<'py, Self>, context: Py<PyContext>) -> PyRefMut<'py, Self> {
        slf.contexts.push(context);
        slf
    }
}

fn multi(py: Python<'_>, contexts: &[Py<PyContext>]) -> PyResult<Py<PyContext>> {
    match contexts {
        [one] => Ok(one.clone_ref(py)),
        several => Py::new(py, join(several.iter().map(Py::get))),
    }
}

fn join<'a>(contexts: impl Iterator<Item = &'a PyContext>) -> PyContext {
    let (mut parts, mut errors) = (Vec::new(), Vec::new());
    for context in contexts {
        match &context.context {
            Ok(context) => parts.extend(context.individuals().iter().cloned()),
            Err(error) => errors.push(&**error),
        }
    }
    if errors.is_empty() {
        PyContext::new(Context::new(parts))
    } else {
        PyContext {
            context: Err(errors.join(", ").into()),
        }
    }
}

/// A key of another type is read as its text; None is no key.
fn text_of_key(key: Option<&Bound<'_, PyAny>>) -> PyResult<String> {
    match key {
        None => Ok(String::new()),
        Some(key) => Ok(key.str()?.to_string_lossy().into_owned()),
    }
}
