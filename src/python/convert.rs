//! Python's values to ours and back, in one place. JSON-like values are read here; what else can be sent, and as what,
//! is the table in `ldclient/conversion.py`, which is asked for any other type.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

use super::ending::Inside;
use crate::evaluation::{Outcome, ReasonValue};
use crate::model::{Flag, Value};

/// How deep lists and dicts may be nested; deeper ones, and those that contain themselves, cannot be sent.
const DEEPEST: usize = 64;

/// Why a value cannot be sent, in words for a warning, without the value.
#[derive(Debug)]
pub struct Unsendable(pub String);

/// Reads a Python value. `None` is null.
pub fn from_python(object: &Bound<'_, PyAny>) -> Result<Value, Unsendable> {
    read(object, 0)
}

fn read(object: &Bound<'_, PyAny>, depth: usize) -> Result<Value, Unsendable> {
    if depth > DEEPEST {
        return Err(Unsendable(format!(
            "it is nested more than {DEEPEST} levels deep"
        )));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::String(text.to_string_lossy().into()));
    }
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = object.cast_exact::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if let Ok(number) = object.cast::<PyInt>() {
        return integer(number);
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return match number.value() {
            number if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(Unsendable("it is not a finite number".to_owned())),
        };
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        let mut members: Vec<(Box<str>, Value)> = Vec::with_capacity(dict.len());
        for (name, value) in members_of(dict)? {
            members.push((name_of(&name)?, read(&value, depth + 1)?));
        }
        return Ok(Value::Object(members.into()));
    }
    if let Ok(list) = object.cast::<PyList>() {
        return items(list.iter(), depth);
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return items(tuple.iter(), depth);
    }
    if object.is_instance_of::<PySet>() || object.is_instance_of::<PyFrozenSet>() {
        let _inside = Inside::enter(object.py());
        // A copy: whatever reads an item may be Python code, beside which another thread may change the set.
        let copy = PyList::type_object(object.py()).call1((object,));
        let copy = copy.map_err(|error| raised(object.py(), &error))?;
        return read(&copy, depth);
    }
    let py = object.py();
    let _inside = Inside::enter(py);
    let conversion = py
        .import("ldclient.conversion")
        .map_err(|error| raised(py, &error))?;
    let plain = conversion
        .getattr("plain")
        .and_then(|plain| plain.call1((object,)))
        .map_err(|error| {
            // Only the text of our own exception is known to show nothing of the value.
            match conversion.getattr("CannotBeSentError") {
                Ok(class) if error.is_instance(py, &class) => {
                    Unsendable(error.value(py).to_string())
                }
                _ => raised(py, &error),
            }
        })?;
    read(&plain, depth + 1)
}

fn raised(py: Python<'_>, error: &PyErr) -> Unsendable {
    Unsendable(format!("reading it raised {}", type_name(error.value(py))))
}

/// The members of a dict, as they are now: reading one may run Python code, beside which the dict may change.
pub fn members_of<'py>(
    dict: &Bound<'py, PyDict>,
) -> Result<impl Iterator<Item = (Bound<'py, PyAny>, Bound<'py, PyAny>)>, Unsendable> {
    let copy = dict.copy().map_err(|error| raised(dict.py(), &error))?;
    Ok(copy.into_iter())
}

fn items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    depth: usize,
) -> Result<Value, Unsendable> {
    Ok(Value::Array(
        items
            .map(|item| read(&item, depth + 1))
            .collect::<Result<_, _>>()?,
    ))
}

fn integer(number: &Bound<'_, PyInt>) -> Result<Value, Unsendable> {
    if let Ok(number) = number.extract::<i64>() {
        return Ok(Value::Int(number));
    }
    // `int.__repr__` rather than `str()`: a subclass may say anything. Python refuses more than 4,300 digits.
    let digits = PyInt::type_object(number.py()).call_method1("__repr__", (number,));
    let digits = digits.map_err(|_| Unsendable("it is too large an integer".to_owned()))?;
    Ok(Value::BigInt(digits.to_string().into()))
}

/// The name of a member: text, or what `json.dumps` makes of a number, a boolean or None.
pub fn name_of(name: &Bound<'_, PyAny>) -> Result<Box<str>, Unsendable> {
    if let Ok(text) = name.cast::<PyString>() {
        return Ok(text.to_string_lossy().into());
    }
    match read(name, 0)? {
        value @ (Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::BigInt(_)) => Ok(value.to_json().into()),
        Value::String(text) => Ok(text),
        _ => Err(Unsendable(
            "a name in it is neither text nor a number".to_owned(),
        )),
    }
}

/// The name of an object's type, for messages.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .qualname()
        .map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// A new Python object with this value: nobody else holds it, so a caller may change it.
pub fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Float(number) => PyFloat::new(py, *number).into_any(),
        Value::BigInt(digits) => PyInt::type_object(py).call1((&**digits,))?,
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (name, value) in members {
                dict.set_item(&**name, to_python(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

/// The dict that says why, as the service names its members.
pub fn reason<'py>(
    py: Python<'py>,
    outcome: &Outcome,
    flag: Option<&Flag>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let mut result = Ok(());
    outcome.each_member(flag, |name, value| {
        let set = match value {
            ReasonValue::Text(text) => dict.set_item(name, text),
            ReasonValue::Int(number) => dict.set_item(name, number),
            ReasonValue::Bool(value) => dict.set_item(name, value),
            ReasonValue::Null => dict.set_item(name, py.None()),
        };
        if let Err(error) = set {
            result = Err(error);
        }
    });
    result.map(|()| dict)
}
