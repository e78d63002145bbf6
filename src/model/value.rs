//! A JSON value that keeps what Python keeps apart: int and float, and integers of any size.
//! It owns everything it holds, without shared counts, so that reading or copying one writes no page of the snapshot.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A JSON value. Objects keep the order in which their members arrived.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer in the range of `i64`.
    Int(i64),
    /// Any other number; always finite.
    Float(f64),
    /// An integer beyond `i64`, as its decimal digits with an optional minus sign.
    BigInt(Box<str>),
    /// A string.
    String(Box<str>),
    /// An array.
    Array(Box<[Value]>),
    /// An object; a name occurs once.
    Object(Box<[(Box<str>, Value)]>),
}

impl Value {
    /// The value as a number, if it is one. A boolean is no number.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            #[allow(
                clippy::cast_precision_loss,
                reason = "numeric operators compare as doubles, as the service does"
            )]
            Value::Int(n) => Some(*n as f64),
            Value::Float(n) => Some(*n),
            Value::BigInt(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The text of a string value.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A member of an object; `None` for any other value or name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.iter().find(|(n, _)| **n == *name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Whether this is `null`, which everywhere means "absent".
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The compact JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "null".to_owned())
    }
}

/// Numbers are equal by value whatever their form (1 equals 1.0), members in any order; no other types are equal.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::BigInt(a), Value::BigInt(b)) | (Value::String(a), Value::String(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => a == b,
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(name, value)| other.member(name) == Some(value))
            }
            #[allow(clippy::float_cmp, reason = "equality of JSON numbers is exact")]
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Int(n), Value::Float(f)) | (Value::Float(f), Value::Int(n)) => {
                int_equals_float(*n, *f)
            }
            (Value::BigInt(digits), Value::Float(f)) | (Value::Float(f), Value::BigInt(digits)) => {
                **digits == *format!("{f:.0}")
            }
            _ => false,
        }
    }
}

/// Whether they are the same number, exactly: 2^53 + 1 is no double, so no double equals it (as in Python).
pub(crate) fn int_equals_float(int: i64, float: f64) -> bool {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::float_cmp,
        reason = "what the casts lose is what is asked; out of range they saturate in i128"
    )]
    let same = int as f64 == float && i128::from(int) == float as i128;
    same
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::BigInt(digits) => {
                match serde_json::value::RawValue::from_string(digits.to_string()) {
                    Ok(raw) => raw.serialize(serializer),
                    Err(_) => serializer.serialize_unit(),
                }
            }
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items.iter()),
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value)
            .map_or_else(|_| Value::BigInt(value.to_string().into()), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::with_capacity(seq.size_hint().unwrap_or(0));
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Vec<(Box<str>, Value)> = Vec::with_capacity(map.size_hint().unwrap_or(0));
        while let Some((name, value)) = map.next_entry::<Box<str>, Value>()? {
            // As in Python, the last of two members of one name wins. Objects are small: a search beats a table.
            match members.iter_mut().find(|(n, _)| *n == name) {
                Some((_, old)) => *old = value,
                None => members.push((name, value)),
            }
        }
        Ok(Value::Object(members.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn json_round_trips_with_int_float_and_large_integers_kept_apart() {
        let text =
            r#"{"a":1,"b":1.0,"c":18446744073709551615,"d":[true,null,"x"],"e":{"z":1,"y":2}}"#;
        assert_eq!(parse(text).to_json(), text);
    }

    #[test]
    fn a_boolean_is_never_a_number_and_numbers_are_equal_by_value() {
        assert_ne!(parse("true"), parse("1"));
        assert_eq!(parse("1"), parse("1.0"));
        assert_ne!(parse("\"1\""), parse("1"));
        assert_ne!(parse("9007199254740993"), parse("9007199254740992.0"));
        assert_ne!(parse("9223372036854775807"), parse("9223372036854775808"));
        assert_eq!(parse("9223372036854775808"), parse("9223372036854775808.0"));
        assert_eq!(parse(r#"{"a":1,"b":2}"#), parse(r#"{"b":2,"a":1}"#));
        assert_ne!(parse(r#"{"a":1}"#), parse(r#"{"a":1,"b":2}"#));
    }

    #[test]
    fn the_last_of_two_members_of_one_name_wins() {
        assert_eq!(parse(r#"{"a":1,"a":2}"#).to_json(), r#"{"a":2}"#);
    }
}
