//! JSON text straight from plain Python values: exact text, numbers, booleans, None, lists, tuples and dicts of these.
//! Reading them runs no code in Python. Everything else, and what to do with what cannot be sent, is `convert`'s question.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde::Serialize;

/// How deep lists and dicts may be nested to count as plain.
const DEEPEST: usize = 16;

/// Whether it is an exact number.
pub fn is_plain_number(object: &Bound<'_, PyAny>) -> bool {
    object.cast_exact::<PyFloat>().is_ok() || object.cast_exact::<PyInt>().is_ok()
}

/// Appends the value as JSON if it is plain. Otherwise returns false; what was appended then is to be cut off.
pub fn write_plain(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    write(object, out, DEEPEST)
}

fn write(object: &Bound<'_, PyAny>, out: &mut Vec<u8>, levels: usize) -> bool {
    if let Ok(text) = object.cast_exact::<PyString>() {
        return write_text(text, out);
    }
    if let Ok(number) = object.cast_exact::<PyInt>() {
        return number
            .extract::<i64>()
            .is_ok_and(|number| append(&number, out));
    }
    if let Ok(number) = object.cast_exact::<PyFloat>() {
        let number = number.value();
        return number.is_finite() && append(&number, out);
    }
    if let Ok(value) = object.cast_exact::<PyBool>() {
        return append(&value.is_true(), out);
    }
    if object.is_none() {
        return append(&(), out);
    }
    if levels == 0 {
        return false;
    }
    if let Ok(dict) = object.cast_exact::<PyDict>() {
        out.push(b'{');
        for (place, (name, value)) in dict.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            let Ok(name) = name.cast_exact::<PyString>() else {
                return false;
            };
            if !write_text(name, out) {
                return false;
            }
            out.push(b':');
            if !write(&value, out, levels - 1) {
                return false;
            }
        }
        out.push(b'}');
        return true;
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        return write_items(list.iter(), out, levels);
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        return write_items(tuple.iter(), out, levels);
    }
    false
}

fn write_items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    out: &mut Vec<u8>,
    levels: usize,
) -> bool {
    out.push(b'[');
    for (place, item) in items.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        if !write(&item, out, levels - 1) {
            return false;
        }
    }
    out.push(b']');
    true
}

fn write_text(text: &Bound<'_, PyString>, out: &mut Vec<u8>) -> bool {
    append(&*text.to_string_lossy(), out)
}

fn append<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> bool {
    serde_json::to_writer(out, value).is_ok()
}
