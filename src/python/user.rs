//! Users as dicts. An old-style user (a dict without `kind`) is read in place: evaluation takes only the attributes
//! that clauses name, and the dict is converted whole only for an event that carries it. Nothing in it is changed.

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBoolMethods, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::context::PyContext;
use super::convert::{from_python, members_of, name_of, type_name};
use super::{names, warn};
use crate::evaluation::{Operand, Part, Subject};
use crate::events;
use crate::model::{
    AttributeRef, Context, ContextError, Individual, Kind, Parts, Role, Value, hash_of,
};

/// The built-in attributes that stand beside `custom`.
const BUILT_IN: [&str; 9] = [
    "key",
    "name",
    "anonymous",
    "firstName",
    "lastName",
    "email",
    "country",
    "avatar",
    "ip",
];

/// A dict user, read in place. It lives for one call.
pub struct DictUser<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    key: &'a str,
    key_hash: u64,
    form: Form,
}

/// How a dict that is read in place says what it says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An old-style user: attributes beside the built-in ones are under `custom`.
    OldStyle,
    /// The JSON form of a context of the kind `user`: all attributes stand side by side.
    Context,
}

impl<'a, 'py> DictUser<'a, 'py> {
    pub fn new(dict: &'a Bound<'py, PyDict>, key: &'a str, form: Form) -> DictUser<'a, 'py> {
        DictUser {
            dict,
            key,
            key_hash: hash_of(key),
            form,
        }
    }

    fn attribute(&self, attribute: &AttributeRef) -> Option<Bound<'py, PyAny>> {
        if self.form == Form::Context {
            return names::attribute_of(self.dict, attribute)
                .or_else(|| under_other_name(self.dict, attribute.name()));
        }
        if BUILT_IN.contains(&attribute.name()) {
            names::attribute_of(self.dict, attribute)
        } else {
            names::attribute_of(&custom_of(self.dict)?, attribute)
        }
    }
}

/// How to read the dict in place; `None` if it has to be converted whole: it is a context of another kind, or has
/// something that makes it invalid or has to be looked at closely. `key` is its key, if that is text.
#[inline]
pub fn form_of(dict: &Bound<'_, PyDict>, key: Option<&Bound<'_, PyString>>) -> Option<Form> {
    let Some(kind) = names::KIND.of(dict) else {
        return Some(Form::OldStyle);
    };
    let is_user = kind
        .cast::<PyString>()
        .is_ok_and(|kind| names::USER.is(kind));
    let fits = is_user
        && key.is_some_and(|key| key.len().is_ok_and(|length| length > 0))
        && names::NAME
            .of(dict)
            .is_none_or(|name| name.is_none() || name.cast::<PyString>().is_ok())
        && names::ANONYMOUS
            .of(dict)
            .is_none_or(|anonymous| anonymous.cast_exact::<PyBool>().is_ok())
        && names::META.of(dict).is_none()
        && names::EMPTY.of(dict).is_none();
    fits.then_some(Form::Context)
}

/// What stands under a name that is no text but reads like this one: a number, a boolean or None.
#[cold]
fn under_other_name<'py>(dict: &Bound<'py, PyDict>, name: &str) -> Option<Bound<'py, PyAny>> {
    let mut members = members_of(dict).ok()?;
    members
        .find(|(other, _)| {
            !other.is_instance_of::<PyString>() && name_of(other).is_ok_and(|other| *other == *name)
        })
        .map(|(_, value)| value)
}

/// The user's key as text; `None` when it has none.
pub fn key_of<'a>(
    dict: &Bound<'_, PyDict>,
    holder: &'a mut Option<String>,
    text: Option<&'a Bound<'_, PyString>>,
) -> Option<&'a str> {
    if let Some(text) = text {
        return Some(match text.to_string_lossy() {
            Cow::Borrowed(key) => key,
            Cow::Owned(key) => holder.insert(key),
        });
    }
    let key = names::KEY.of(dict).filter(|key| !key.is_none())?;
    Some(holder.insert(key.str().ok()?.to_string_lossy().into_owned()))
}

/// The key if it is text already, which then need not be copied.
pub fn text_key<'py>(dict: &Bound<'py, PyDict>) -> Option<Bound<'py, PyString>> {
    names::KEY.of(dict)?.cast_into::<PyString>().ok()
}

impl Subject for DictUser<'_, '_> {
    type Part = Self;

    fn part(&self, kind: &Kind) -> Option<&Self> {
        (*kind == Kind::User).then_some(self)
    }

    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        test("user")
    }
}

impl Part for DictUser<'_, '_> {
    fn key(&self) -> &str {
        self.key
    }

    fn key_hash(&self) -> u64 {
        self.key_hash
    }

    fn with_attribute<R>(
        &self,
        attribute: &AttributeRef,
        then: impl FnOnce(Option<Operand<'_>>) -> R,
    ) -> R {
        match attribute.role() {
            Role::Key => return then(Some(Operand::Str(self.key))),
            Role::Kind => return then(Some(Operand::Str("user"))),
            Role::Anonymous => return then(Some(Operand::Bool(is_anonymous(self.dict)))),
            Role::Name | Role::Other => {}
        }
        match self.attribute(attribute).filter(|value| !value.is_none()) {
            Some(value) => with_operand(attribute.name(), &value, then),
            None => then(None),
        }
    }
}

fn with_operand<R>(
    name: &str,
    object: &Bound<'_, PyAny>,
    then: impl FnOnce(Option<Operand<'_>>) -> R,
) -> R {
    if let Ok(text) = object.cast::<PyString>() {
        return then(Some(Operand::Str(&text.to_string_lossy())));
    }
    if let Ok(value) = object.cast_exact::<PyBool>() {
        return then(Some(Operand::Bool(value.is_true())));
    }
    if let Ok(number) = object.cast_exact::<PyInt>()
        && let Ok(number) = number.extract::<i64>()
    {
        return then(Some(Operand::Int(number)));
    }
    if let Ok(number) = object.cast_exact::<PyFloat>()
        && number.value().is_finite()
    {
        return then(Some(Operand::Float(number.value())));
    }
    match from_python(object) {
        Ok(Value::String(text)) if name == "name" => then(Some(Operand::Str(&text))),
        Ok(value) => then(Operand::new(&value)),
        Err(why) => {
            warn::attribute_not_sent(object.py(), name, &why);
            then(None)
        }
    }
}

fn is_anonymous(dict: &Bound<'_, PyDict>) -> bool {
    let anonymous = names::ANONYMOUS.of(dict);
    anonymous.is_some_and(|value| {
        value
            .cast_exact::<PyBool>()
            .is_ok_and(PyBoolMethods::is_true)
    })
}

fn custom_of<'py>(dict: &Bound<'py, PyDict>) -> Option<Bound<'py, PyDict>> {
    names::CUSTOM.of(dict)?.cast_into::<PyDict>().ok()
}

impl events::Subject for DictUser<'_, '_> {
    fn key_hash(&self) -> u64 {
        self.key_hash
    }

    fn each_kind(&self, mut f: impl FnMut(&Kind)) {
        f(&Kind::User);
    }

    fn named_key_hash(&self) -> Option<u64> {
        (!is_anonymous(self.dict)).then_some(self.key_hash)
    }

    fn to_context(&self) -> Option<Arc<Context>> {
        match self.form {
            Form::OldStyle => {
                Context::new(vec![Individual::user(parts_of_user(self.dict, self.key))])
                    .ok()
                    .map(Arc::new)
            }
            Form::Context => context_from_dict(self.dict).context.ok(),
        }
    }
}

/// A dict with `kind`: the JSON form of a context.
pub fn context_from_dict(dict: &Bound<'_, PyDict>) -> PyContext {
    let read = |dict: &Bound<'_, PyDict>| {
        let mut members: Vec<(Box<str>, Value)> = Vec::with_capacity(dict.len());
        for (name, value) in members_of(dict).into_iter().flatten() {
            let name = match name_of(&name) {
                Ok(name) => name,
                Err(why) => {
                    warn::attribute_not_sent(dict.py(), &type_name(&name), &why);
                    continue;
                }
            };
            match from_python(&value) {
                Ok(value) => members.push((name, value)),
                Err(why) => warn::attribute_not_sent(dict.py(), &name, &why),
            }
        }
        Value::Object(members.into())
    };
    let kind = dict.get_item("kind").ok().flatten();
    let multi = kind.is_some_and(|kind| kind.cast::<PyString>().is_ok_and(|kind| kind == "multi"));
    let value = if multi {
        // The parts are read like contexts, so that a bad attribute costs only itself.
        let members = members_of(dict).into_iter().flatten();
        let members = members.filter_map(|(name, value)| {
            let name: Box<str> = name.cast::<PyString>().ok()?.to_string_lossy().into();
            let value = match value.cast::<PyDict>() {
                Ok(part) => read(part),
                Err(_) => from_python(&value).unwrap_or_default(),
            };
            Some((name, value))
        });
        Value::Object(members.collect())
    } else {
        read(dict)
    };
    PyContext::new(Context::from_value(value))
}

/// An old-style user as a context.
pub fn context_from_user(dict: &Bound<'_, PyDict>) -> PyContext {
    let (mut holder, text) = (None, text_key(dict));
    match key_of(dict, &mut holder, text.as_ref()) {
        Some(key) => PyContext::new(Context::new(vec![Individual::user(parts_of_user(
            dict, key,
        ))])),
        None => PyContext::new(Err(ContextError("a user must have a key".to_owned()))),
    }
}

/// An old-style user as a context, invalid when a value has another type than the service's own libraries take.
pub fn context_from_typed_user(dict: &Bound<'_, PyDict>) -> PyContext {
    match wrongly_typed(dict) {
        Some(name) => PyContext::new(Err(ContextError(format!(
            "the attribute \"{name}\" of a user has the wrong type"
        )))),
        None => context_from_user(dict),
    }
}

/// The first attribute that the service's own libraries refuse, as its contract suite says ("invalid old user").
fn wrongly_typed(dict: &Bound<'_, PyDict>) -> Option<String> {
    members_of(dict)
        .into_iter()
        .flatten()
        .find_map(|(name, value)| {
            let name = name_of(&name).ok()?;
            let fits = match &*name {
                "key" => value.is_instance_of::<PyString>(),
                _ if value.is_none() => true,
                "custom" => value.is_instance_of::<PyDict>(),
                "anonymous" => value.is_instance_of::<PyBool>(),
                "privateAttributeNames" => {
                    value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>()
                }
                built_in if BUILT_IN.contains(&built_in) => value.is_instance_of::<PyString>(),
                _ => true,
            };
            (!fits).then(|| name.to_string())
        })
}

/// All of a dict user. What cannot be used is left out with one warning that says what to do.
fn parts_of_user(dict: &Bound<'_, PyDict>, key: &str) -> Parts {
    let py = dict.py();
    let mut parts = Parts {
        key: key.into(),
        ..Parts::default()
    };
    let mut private = Some(Vec::new());
    for (name, value) in members_of(dict).into_iter().flatten() {
        let Ok(name) = name_of(&name) else {
            // No built-in attribute has such a name.
            continue;
        };
        if value.is_none() {
            continue;
        }
        match &*name {
            "key" => {}
            "custom" => match value.cast::<PyDict>() {
                Ok(custom) => add_custom(custom, &mut parts),
                Err(_) => warn::once(py, "custom", || {
                    format!(
                        "The \"custom\" of a user must be a dict; one of type {} was ignored.",
                        type_name(&value)
                    )
                }),
            },
            "privateAttributeNames" => private = private_names(&value),
            "anonymous" => match value.cast_exact::<PyBool>() {
                Ok(anonymous) => parts.anonymous = anonymous.is_true(),
                Err(_) => warn::once(py, "anonymous", || {
                    format!(
                        "The attribute \"anonymous\" of a user must be True or False; a value of type {} was ignored.",
                        type_name(&value)
                    )
                }),
            },
            "secondary" => warn::once(py, "secondary", || {
                "The attribute \"secondary\" of a user has no effect any more and was ignored."
                    .to_owned()
            }),
            built_in if BUILT_IN.contains(&built_in) => match from_python(&value) {
                Ok(Value::String(text)) if built_in == "name" => parts.name = Some(text),
                Ok(other) if built_in == "name" => parts.name = Some(other.to_json().into()),
                Ok(Value::Null) => {}
                Ok(value) => parts.attributes.push((built_in.into(), value)),
                Err(why) => warn::attribute_not_sent(py, built_in, &why),
            },
            other => warn::once(py, &format!("top:{other}"), || {
                format!(
                    "The attribute \"{other}\" of a user is not built in and was ignored: put it under \"custom\"."
                )
            }),
        }
    }
    parts.private = private.unwrap_or_else(|| {
        let names = parts.attributes.iter().map(|(name, _)| &**name);
        names
            .chain(parts.name.is_some().then_some("name"))
            .filter_map(literal)
            .collect()
    });
    parts
}

fn add_custom(custom: &Bound<'_, PyDict>, parts: &mut Parts) {
    let py = custom.py();
    for (name, value) in members_of(custom).into_iter().flatten() {
        let name = match name_of(&name) {
            Ok(name) => name,
            Err(why) => {
                warn::attribute_not_sent(py, "custom", &why);
                continue;
            }
        };
        if BUILT_IN.contains(&&*name) || matches!(&*name, "" | "kind" | "_meta") {
            warn::once(py, &format!("custom:{name}"), || {
                format!(
                    "The attribute \"{name}\" under a user's \"custom\" has a built-in name and was ignored."
                )
            });
            continue;
        }
        match from_python(&value) {
            Ok(Value::Null) => {}
            Ok(value) => parts.attributes.push((name, value)),
            Err(why) => warn::attribute_not_sent(py, &name, &why),
        }
    }
}

/// The names are literal: one with a slash is no path. `None` when they cannot be read: then every attribute of the
/// user is private, since nobody can tell which ones were meant.
fn private_names(value: &Bound<'_, PyAny>) -> Option<Vec<Box<str>>> {
    let names = match from_python(value) {
        Ok(Value::Array(names)) => names
            .iter()
            .map(|name| match name {
                Value::String(name) => Some(literal(name)),
                Value::Int(_) | Value::BigInt(_) => Some(literal(&name.to_json())),
                _ => None,
            })
            .collect::<Option<Vec<_>>>(),
        Ok(Value::String(name)) => Some(vec![literal(&name)]),
        _ => None,
    };
    if names.is_none() {
        warn::once(value.py(), "private", || {
            "The \"privateAttributeNames\" of a user must be a list of names; because of something else all attributes \
             of the user are kept private."
                .to_owned()
        });
    }
    names.map(|names| names.into_iter().flatten().collect())
}

fn literal(name: &str) -> Option<Box<str>> {
    let reference = AttributeRef::literal(name).ok()?;
    Some(reference.as_str().into())
}
