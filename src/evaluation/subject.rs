//! What evaluation asks of whoever it evaluates for. A `Context` answers from itself; the boundary to Python has a
//! second answer that reads a caller's dict in place.

use std::sync::Arc;

use crate::model::{AttributeRef, Context, Individual, Kind, Role, Value, int_equals_float};

/// Somebody with one or several kinds.
pub trait Subject {
    /// The part that is of one kind.
    type Part: Part;
    /// The part of this kind.
    fn part(&self, kind: &Kind) -> Option<&Self::Part>;
    /// Whether the test holds for any of the kinds.
    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool;
}

/// One kind's key and attributes.
pub trait Part {
    /// The key.
    fn key(&self) -> &str;
    /// The `hash_of` the key.
    fn key_hash(&self) -> u64;
    /// Hands the attribute that the reference begins with to `then`; `None` where there is none or it is null. The
    /// value need not live longer.
    fn with_attribute<R>(
        &self,
        attribute: &AttributeRef,
        then: impl FnOnce(Option<Operand<'_>>) -> R,
    ) -> R;
}

/// An attribute's value, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Str(&'a str),
    /// Anything else: an array, an object, a large integer, a null in an array.
    Value(&'a Value),
}

impl<'a> Operand<'a> {
    /// The value as an operand; null is none.
    #[must_use]
    pub fn new(value: &'a Value) -> Option<Operand<'a>> {
        (!value.is_null()).then(|| Operand::of_item(value))
    }

    /// An item of an array as an operand. There null is a value like any other: only as an attribute it means "absent".
    #[must_use]
    pub fn of_item(value: &'a Value) -> Operand<'a> {
        match value {
            Value::Bool(b) => Operand::Bool(*b),
            Value::Int(n) => Operand::Int(*n),
            Value::Float(n) => Operand::Float(*n),
            Value::String(text) => Operand::Str(text),
            Value::Null | Value::BigInt(_) | Value::Array(_) | Value::Object(_) => {
                Operand::Value(value)
            }
        }
    }

    /// As a number, if it is one.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        match self {
            #[allow(
                clippy::cast_precision_loss,
                reason = "numeric operators compare as doubles, as the service does"
            )]
            Operand::Int(n) => Some(n as f64),
            Operand::Float(n) => Some(n),
            Operand::Value(value) => value.as_f64(),
            Operand::Bool(_) | Operand::Str(_) => None,
        }
    }

    /// Whether it is the same JSON value.
    #[must_use]
    pub fn equals(self, other: &Value) -> bool {
        match self {
            Operand::Bool(b) => matches!(other, Value::Bool(o) if *o == b),
            Operand::Str(text) => other.as_str() == Some(text),
            Operand::Int(n) => match other {
                Value::Int(o) => *o == n,
                Value::Float(o) => int_equals_float(n, *o),
                _ => false,
            },
            Operand::Float(n) => *other == Value::Float(n),
            Operand::Value(value) => value == other,
        }
    }
}

impl Subject for Context {
    type Part = Individual;

    fn part(&self, kind: &Kind) -> Option<&Individual> {
        self.individual(kind)
    }

    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.individuals()
            .iter()
            .any(|part| test(part.kind().as_str()))
    }
}

impl<S: Subject> Subject for Arc<S> {
    type Part = S::Part;

    fn part(&self, kind: &Kind) -> Option<&S::Part> {
        S::part(self, kind)
    }

    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        S::any_kind(self, test)
    }
}

impl Part for Individual {
    fn key(&self) -> &str {
        Individual::key(self)
    }

    #[inline]
    fn key_hash(&self) -> u64 {
        Individual::key_hash(self)
    }

    #[inline]
    fn with_attribute<R>(
        &self,
        attribute: &AttributeRef,
        then: impl FnOnce(Option<Operand<'_>>) -> R,
    ) -> R {
        then(match attribute.role() {
            Role::Key => Some(Operand::Str(Individual::key(self))),
            Role::Kind => Some(Operand::Str(self.kind().as_str())),
            Role::Name => self.name().map(Operand::Str),
            Role::Anonymous => Some(Operand::Bool(self.anonymous())),
            Role::Other => self.attribute(attribute.name()).and_then(Operand::new),
        })
    }
}
