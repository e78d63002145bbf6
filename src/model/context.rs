//! Whom a flag is evaluated for: one or several kinds, each with a key and attributes. Immutable, and valid once built.
//! How Python's values become these is the boundary's question.

use std::fmt;

use super::keys::hash_of;
use super::value::Value;

/// The kind of a context.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    /// `user`, which every unnamed kind means.
    #[default]
    User,
    /// Any other.
    Named(Box<str>),
}

impl Kind {
    /// The kind's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Kind::User => "user",
            Kind::Named(name) => name,
        }
    }
}

/// An empty name is the kind `user`.
impl From<&str> for Kind {
    fn from(name: &str) -> Kind {
        if name.is_empty() || name == "user" {
            Kind::User
        } else {
            Kind::Named(name.into())
        }
    }
}

/// A context: of one kind, or of several.
#[derive(Clone, Debug)]
pub struct Context {
    /// Sorted by kind; never empty.
    individuals: Box<[Individual]>,
    fully_qualified_key: Box<str>,
    key_hash: u64,
}

/// The part of a context that is of one kind.
#[derive(Clone, Debug)]
pub struct Individual {
    kind: Kind,
    parts: Parts,
    key_hash: u64,
}

/// What a part of a context is built from, besides its kind.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The key.
    pub key: Box<str>,
    /// The built-in attribute `name`.
    pub name: Option<Box<str>>,
    /// The built-in attribute `anonymous`.
    pub anonymous: bool,
    /// All other attributes, in order; none is null, none has a built-in name.
    pub attributes: Vec<(Box<str>, Value)>,
    /// References to attributes that no event may carry, as they were given.
    pub private: Vec<Box<str>>,
}

/// Why there is no context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextError(pub String);

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ContextError {
    fn new(text: &str) -> ContextError {
        ContextError(text.to_owned())
    }

    fn wrong_type(name: &str) -> ContextError {
        ContextError(format!("invalid data type for \"{name}\""))
    }
}

impl Individual {
    /// A part of the given kind.
    ///
    /// # Errors
    /// When the kind is not allowed, or the key is empty.
    pub fn new(kind: &str, parts: Parts) -> Result<Individual, ContextError> {
        let kind = check_kind(kind)?;
        if parts.key.is_empty() {
            return Err(ContextError::new("context key must not be None or empty"));
        }
        Ok(Individual::of(kind, parts))
    }

    /// An old-style user, whose key may be empty as it always could.
    #[must_use]
    pub fn user(parts: Parts) -> Individual {
        Individual::of(Kind::User, parts)
    }

    fn of(kind: Kind, parts: Parts) -> Individual {
        Individual {
            key_hash: hash_of(&parts.key),
            kind,
            parts,
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.parts.key
    }

    /// The [`hash_of`] its key.
    #[must_use]
    pub fn key_hash(&self) -> u64 {
        self.key_hash
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.parts.name.as_deref()
    }

    /// Whether it is anonymous.
    #[must_use]
    pub fn anonymous(&self) -> bool {
        self.parts.anonymous
    }

    /// The attributes that are not built in, in order.
    #[must_use]
    pub fn attributes(&self) -> &[(Box<str>, Value)] {
        &self.parts.attributes
    }

    /// An attribute that is not built in.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.parts
            .attributes
            .iter()
            .find(|(n, _)| **n == *name)
            .map(|(_, value)| value)
    }

    /// The references to its private attributes, as they were given.
    #[must_use]
    pub fn private(&self) -> &[Box<str>] {
        &self.parts.private
    }

    /// All that it was built from, for a builder to start with.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
}

impl Context {
    /// Joins parts of different kinds.
    ///
    /// # Errors
    /// When there is none, or two are of one kind.
    pub fn new(mut individuals: Vec<Individual>) -> Result<Context, ContextError> {
        individuals.sort_by(|a, b| a.kind.as_str().cmp(b.kind.as_str()));
        if individuals
            .windows(2)
            .any(|pair| pair[0].kind == pair[1].kind)
        {
            return Err(ContextError::new(
                "multi-kind context cannot have same kind more than once",
            ));
        }
        let fully_qualified_key: Box<str> = match &*individuals {
            [] => {
                return Err(ContextError::new(
                    "multi-context must contain at least one kind",
                ));
            }
            [one] if one.kind == Kind::User => one.parts.key.clone(),
            several => several
                .iter()
                .map(qualified_key)
                .collect::<Vec<_>>()
                .join(":")
                .into(),
        };
        let key_hash = Context::hash_of_key(&fully_qualified_key);
        Ok(Context {
            individuals: individuals.into(),
            fully_qualified_key,
            key_hash,
        })
    }

    /// The JSON form of a context, which always has a `kind`.
    ///
    /// # Errors
    /// When a field has a wrong type, or the parts are not valid.
    pub fn from_value(value: Value) -> Result<Context, ContextError> {
        let kind = match value.member("kind") {
            Some(Value::String(kind)) => kind.clone(),
            _ => return Err(ContextError::wrong_type("kind")),
        };
        let Value::Object(members) = value else {
            return Err(ContextError::wrong_type("kind"));
        };
        if *kind != *"multi" {
            return Context::new(vec![individual(&kind, members)?]);
        }
        let mut individuals = Vec::with_capacity(members.len());
        let mut errors = Vec::new();
        for (name, value) in members {
            match value {
                _ if *name == *"kind" => {}
                Value::Object(members) => match individual(&name, members) {
                    Ok(part) => individuals.push(part),
                    Err(error) => errors.push(error.0),
                },
                _ => return Err(ContextError::wrong_type(&name)),
            }
        }
        if errors.is_empty() {
            Context::new(individuals)
        } else {
            Err(ContextError(errors.join(", ")))
        }
    }

    /// The parts, sorted by kind.
    #[must_use]
    pub fn individuals(&self) -> &[Individual] {
        &self.individuals
    }

    /// The part of a kind.
    #[must_use]
    pub fn individual(&self, kind: &Kind) -> Option<&Individual> {
        self.individuals.iter().find(|part| part.kind == *kind)
    }

    /// Text that names it by kinds and keys.
    #[must_use]
    pub fn fully_qualified_key(&self) -> &str {
        &self.fully_qualified_key
    }

    /// A hash of that text, the same for the life of the process.
    #[must_use]
    pub fn key_hash(&self) -> u64 {
        self.key_hash
    }

    /// The hash that a context with this fully qualified key has.
    #[must_use]
    pub fn hash_of_key(fully_qualified_key: &str) -> u64 {
        hash_of(fully_qualified_key)
    }

    /// Without its anonymous parts; `None` when nothing is left.
    #[must_use]
    pub fn without_anonymous(&self) -> Option<Context> {
        let named: Vec<_> = self
            .individuals
            .iter()
            .filter(|part| !part.anonymous())
            .cloned()
            .collect();
        Context::new(named).ok()
    }

    /// Its JSON form.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &*self.individuals {
            [one] => one.to_value(true),
            several => Value::Object(
                std::iter::once(("kind".into(), "multi".into()))
                    .chain(
                        several
                            .iter()
                            .map(|part| (part.kind.as_str().into(), part.to_value(false))),
                    )
                    .collect(),
            ),
        }
    }
}

/// Equal in all attributes, in whatever order these and the private ones were given.
impl PartialEq for Context {
    fn eq(&self, other: &Context) -> bool {
        self.fully_qualified_key == other.fully_qualified_key
            && self.individuals == other.individuals
    }
}

impl PartialEq for Individual {
    fn eq(&self, other: &Individual) -> bool {
        let (a, b) = (&self.parts, &other.parts);
        let sorted = |parts: &Parts| {
            let mut private = parts.private.clone();
            private.sort();
            private
        };
        self.kind == other.kind
            && a.key == b.key
            && a.name == b.name
            && a.anonymous == b.anonymous
            && a.attributes.len() == b.attributes.len()
            && a.attributes
                .iter()
                .all(|(name, value)| other.attribute(name) == Some(value))
            && sorted(a) == sorted(b)
    }
}

impl Individual {
    fn to_value(&self, with_kind: bool) -> Value {
        let mut members: Vec<(Box<str>, Value)> =
            Vec::with_capacity(self.parts.attributes.len() + 5);
        members.push(("key".into(), self.key().into()));
        if with_kind {
            members.push(("kind".into(), self.kind.as_str().into()));
        }
        if let Some(name) = self.name() {
            members.push(("name".into(), name.into()));
        }
        if self.anonymous() {
            members.push(("anonymous".into(), true.into()));
        }
        members.extend(self.parts.attributes.iter().cloned());
        if !self.parts.private.is_empty() {
            let names = self
                .parts
                .private
                .iter()
                .map(|name| Value::String(name.clone()))
                .collect();
            members.push((
                "_meta".into(),
                Value::Object([("privateAttributes".into(), Value::Array(names))].into()),
            ));
        }
        Value::Object(members.into())
    }
}

fn qualified_key(part: &Individual) -> String {
    format!(
        "{}:{}",
        part.kind.as_str(),
        part.key().replace('%', "%25").replace(':', "%3A")
    )
}

fn check_kind(kind: &str) -> Result<Kind, ContextError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match kind {
        "" => Err(ContextError::new("context kind must not be empty")),
        "kind" => Err(ContextError::new("\"kind\" is not a valid context kind")),
        "multi" => Err(ContextError::new(
            "context of kind \"multi\" must be created with create_multi or multi_builder",
        )),
        kind if !kind.chars().all(allowed) => Err(ContextError::new(
            "context kind contains disallowed characters",
        )),
        kind => Ok(Kind::from(kind)),
    }
}

fn individual(kind: &str, members: Box<[(Box<str>, Value)]>) -> Result<Individual, ContextError> {
    let mut parts = Parts::default();
    for (name, value) in members {
        match (&*name, value) {
            ("kind", Value::String(_)) | ("name" | "_meta", Value::Null) => {}
            ("key", Value::String(key)) => parts.key = key,
            ("name", Value::String(text)) => parts.name = Some(text),
            ("anonymous", Value::Bool(anonymous)) => parts.anonymous = anonymous,
            ("_meta", meta @ Value::Object(_)) => parts.private = private_attributes(&meta)?,
            ("kind" | "key" | "name" | "anonymous" | "_meta", _) => {
                return Err(ContextError::wrong_type(&name));
            }
            ("", _) => return Err(ContextError::wrong_type("")),
            (_, Value::Null) => {}
            (_, value) => parts.attributes.push((name, value)),
        }
    }
    Individual::new(kind, parts)
}

fn private_attributes(meta: &Value) -> Result<Vec<Box<str>>, ContextError> {
    match meta.member("privateAttributes") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| {
                name.as_str()
                    .map(Into::into)
                    .ok_or_else(|| ContextError::wrong_type("privateAttributes"))
            })
            .collect(),
        Some(_) => Err(ContextError::wrong_type("privateAttributes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(json: &str) -> Result<Context, ContextError> {
        Context::from_value(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn json_round_trips() {
        for json in [
            r#"{"key":"a","kind":"user"}"#,
            r#"{"key":"a","kind":"org","name":"n","anonymous":true,"x":[1,{"y":2}],"_meta":{"privateAttributes":["x","/y/z"]}}"#,
            r#"{"kind":"multi","org":{"key":"o"},"user":{"key":"u","name":"n"}}"#,
        ] {
            assert_eq!(context(json).unwrap().to_value().to_json(), json);
        }
    }

    #[test]
    fn the_fully_qualified_key_names_and_escapes_every_kind_but_a_lone_user() {
        for (json, key) in [
            (r#"{"kind":"user","key":"a:b"}"#, "a:b"),
            (r#"{"kind":"org","key":"a:b%"}"#, "org:a%3Ab%25"),
            (
                r#"{"kind":"multi","user":{"key":"u"},"org":{"key":"o"}}"#,
                "org:o:user:u",
            ),
        ] {
            assert_eq!(context(json).unwrap().fully_qualified_key(), key);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, error) in [
            (r#"{"key":"a"}"#, "invalid data type for \"kind\""),
            (
                r#"{"kind":"user"}"#,
                "context key must not be None or empty",
            ),
            (
                r#"{"kind":"user","key":3}"#,
                "invalid data type for \"key\"",
            ),
            (
                r#"{"kind":"kind","key":"a"}"#,
                "\"kind\" is not a valid context kind",
            ),
            (
                r#"{"kind":"ö","key":"a"}"#,
                "context kind contains disallowed characters",
            ),
            (
                r#"{"kind":"multi"}"#,
                "multi-context must contain at least one kind",
            ),
            (
                r#"{"kind":"multi","user":3}"#,
                "invalid data type for \"user\"",
            ),
            (
                r#"{"kind":"user","key":"a","anonymous":"yes"}"#,
                "invalid data type for \"anonymous\"",
            ),
        ] {
            assert_eq!(context(json).unwrap_err().0, error, "{json}");
        }
    }

    #[test]
    fn order_does_not_matter_for_equality() {
        let a = context(
            r#"{"kind":"user","key":"a","x":1,"y":2,"_meta":{"privateAttributes":["x","y"]}}"#,
        )
        .unwrap();
        let b = context(
            r#"{"kind":"user","y":2,"x":1,"key":"a","_meta":{"privateAttributes":["y","x"]}}"#,
        )
        .unwrap();
        assert_eq!(a, b);
        assert_ne!(a, context(r#"{"kind":"user","key":"a","x":1}"#).unwrap());
    }
}
