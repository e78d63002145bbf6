//! The one gate through which every context goes into an event: what is private stays here.
//! Which kinds of event there are is the output's question.
//!
//! 1. Key, kind and `anonymous` are always sent; `name` is an attribute like any other.
//! 2. Private is what the private references name, the client's and the context's own: an attribute, or a member inside
//!    an object. Members of objects inside arrays cannot be named, and references that cannot be read name nothing (as
//!    launchdarkly-server-sdk 9.20).
//! 3. With an allow-list everything that it does not name is private, and so is everything when all attributes are
//!    private and there is no list. What is both allowed and private is private.
//! 4. In feature, custom and migration events an anonymous part keeps no attribute at all.
//! 5. What was taken out is listed by reference in `_meta.redactedAttributes`.
//! 6. An attribute nested too deeply to be written safely is left out.

use std::cell::RefCell;

use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

use super::Settings;
use crate::model::{AttributeRef, Context, Individual, Value};

/// How deeply values may be nested: writing takes stack, and the flusher has little.
const DEEPEST: usize = 128;

/// Decides what of a context may leave.
#[derive(Debug)]
pub(super) struct Gate {
    private: Vec<AttributeRef>,
    /// If there is a list, only what it names is public.
    public: Option<Vec<AttributeRef>>,
}

impl Gate {
    pub(super) fn new(settings: &Settings) -> Gate {
        let read = |names: &[String]| {
            names
                .iter()
                .filter_map(|name| AttributeRef::parse(name).ok())
                .collect::<Vec<_>>()
        };
        let public = settings.public_attributes.as_deref().map(read);
        Gate {
            private: read(&settings.private_attributes),
            public: public.or_else(|| settings.all_attributes_private.then(Vec::new)),
        }
    }

    /// What of the context may be sent. `without_anonymous` hides the attributes of anonymous parts.
    pub(super) fn pass<'a>(&'a self, context: &'a Context, without_anonymous: bool) -> Passed<'a> {
        Passed {
            gate: self,
            context,
            without_anonymous,
        }
    }
}

/// The name of an attribute that is left out because it is nested too deeply.
pub(super) fn too_deep(context: &Context) -> Option<&str> {
    let mut attributes = context
        .individuals()
        .iter()
        .flat_map(Individual::attributes);
    attributes
        .find(|(_, value)| !is_shallow(value, DEEPEST))
        .map(|(name, _)| &**name)
}

fn is_shallow(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| is_shallow(item, levels - 1)),
        Value::Object(members) => {
            levels > 0
                && members
                    .iter()
                    .all(|(_, member)| is_shallow(member, levels - 1))
        }
        _ => true,
    }
}

/// A value of an event, which fails to serialize when it is nested too deeply.
pub(super) struct Shallow<'a>(pub(super) &'a Value);

impl Shallow<'_> {
    /// The value, or null when it is nested too deeply.
    pub(super) fn or_null(value: &Value) -> &Value {
        if is_shallow(value, DEEPEST) {
            value
        } else {
            &Value::Null
        }
    }
}

impl Serialize for Shallow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if is_shallow(self.0, DEEPEST) {
            self.0.serialize(serializer)
        } else {
            Err(S::Error::custom("nested too deeply"))
        }
    }
}

/// The public form of a context.
pub(super) struct Passed<'a> {
    gate: &'a Gate,
    context: &'a Context,
    without_anonymous: bool,
}

impl Serialize for Passed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = |individual, with_kind| Part {
            individual,
            with_kind,
            view: View {
                gate: self.gate,
                own: individual
                    .private()
                    .iter()
                    .filter_map(|name| AttributeRef::parse(name).ok())
                    .collect(),
                nothing: self.without_anonymous && individual.anonymous(),
                redacted: RefCell::default(),
            },
        };
        let individuals = self.context.individuals();
        if let [one] = individuals {
            return part(one, true).serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(individuals.len() + 1))?;
        map.serialize_entry("kind", "multi")?;
        for individual in individuals {
            map.serialize_entry(individual.kind().as_str(), &part(individual, false))?;
        }
        map.end()
    }
}

struct Part<'a> {
    individual: &'a Individual,
    with_kind: bool,
    view: View<'a>,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (individual, view) = (self.individual, &self.view);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", individual.key())?;
        if self.with_kind {
            map.serialize_entry("kind", individual.kind().as_str())?;
        }
        if individual.anonymous() {
            map.serialize_entry("anonymous", &true)?;
        }
        if let Some(name) = individual.name() {
            match view.sight(&["name"]) {
                Sight::Whole | Sight::Inside { covered: true } => {
                    map.serialize_entry("name", name)?;
                }
                Sight::Hidden | Sight::Inside { covered: false } => view.redact(&["name"]),
            }
        }
        for (name, value) in individual.attributes() {
            if is_shallow(value, DEEPEST) {
                view.write_member(&mut map, &[], name, value)?;
            }
        }
        let redacted = view.redacted.borrow();
        if !redacted.is_empty() {
            map.serialize_entry("_meta", &Meta(&redacted))?;
        }
        map.end()
    }
}

struct Meta<'a>(&'a [String]);

impl Serialize for Meta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("redactedAttributes", self.0)?;
        map.end()
    }
}

/// What is seen of one part of a context.
struct View<'a> {
    gate: &'a Gate,
    own: Vec<AttributeRef>,
    nothing: bool,
    redacted: RefCell<Vec<String>>,
}

enum Sight {
    Hidden,
    Whole,
    /// An object has to be looked into; `covered`: what no reference names in it is public.
    Inside {
        covered: bool,
    },
}

impl View<'_> {
    fn sight(&self, path: &[&str]) -> Sight {
        if self.nothing {
            return Sight::Hidden;
        }
        let mut inside = false;
        for reference in self.gate.private.iter().chain(&self.own) {
            match starts_with(reference, path) {
                Some(0) => return Sight::Hidden,
                Some(_) => inside = true,
                None => {}
            }
        }
        let covered = self
            .gate
            .public
            .as_ref()
            .is_none_or(|public| public.iter().any(|reference| covers(reference, path)));
        let public_inside = || {
            self.gate
                .public
                .iter()
                .flatten()
                .any(|reference| starts_with(reference, path).is_some())
        };
        match (covered, inside) {
            (true, false) => Sight::Whole,
            (true, true) => Sight::Inside { covered },
            (false, _) if public_inside() => Sight::Inside { covered },
            (false, _) => Sight::Hidden,
        }
    }

    fn write_member<M: SerializeMap>(
        &self,
        map: &mut M,
        parents: &[&str],
        name: &str,
        value: &Value,
    ) -> Result<(), M::Error> {
        let path = [parents, &[name]].concat();
        match (self.sight(&path), value) {
            (Sight::Inside { .. }, Value::Object(members)) => map.serialize_entry(
                name,
                &Inside {
                    view: self,
                    path: &path,
                    members,
                },
            ),
            (Sight::Whole | Sight::Inside { covered: true }, _) => map.serialize_entry(name, value),
            (Sight::Hidden | Sight::Inside { covered: false }, _) => {
                self.redact(&path);
                Ok(())
            }
        }
    }

    fn redact(&self, path: &[&str]) {
        let text = match path {
            [name] => AttributeRef::literal(name)
                .map_or_else(|_| String::new(), |reference| reference.as_str().to_owned()),
            path => path
                .iter()
                .flat_map(|name| ["/".to_owned(), name.replace('~', "~0").replace('/', "~1")])
                .collect(),
        };
        self.redacted.borrow_mut().push(text);
    }
}

/// How many components the reference has beyond the path, if it starts with it.
fn starts_with(reference: &AttributeRef, path: &[&str]) -> Option<usize> {
    let components = reference.components();
    let head = components.get(..path.len())?;
    head.iter()
        .zip(path)
        .all(|(a, b)| **a == **b)
        .then(|| components.len() - path.len())
}

/// Whether the reference names what is at the path, or an object around it.
fn covers(reference: &AttributeRef, path: &[&str]) -> bool {
    path.get(..reference.components().len())
        .is_some_and(|head| {
            reference
                .components()
                .iter()
                .zip(head)
                .all(|(a, b)| **a == **b)
        })
}

struct Inside<'a> {
    view: &'a View<'a>,
    path: &'a [&'a str],
    members: &'a [(Box<str>, Value)],
}

impl Serialize for Inside<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.members {
            self.view.write_member(&mut map, self.path, name, value)?;
        }
        map.end()
    }
}
