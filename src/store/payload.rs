//! The text of all data, taken apart into the texts of its items. What an item says is `change`'s question.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// All data: where polling and files have it at the top, a stream's `put` has it under `data`.
#[derive(Deserialize)]
pub(super) struct Payload<'a> {
    #[serde(borrow)]
    pub(super) flags: Option<Members<'a>>,
    #[serde(borrow)]
    pub(super) segments: Option<Members<'a>>,
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    data: Payload<'a>,
}

impl<'a> Payload<'a> {
    /// The text is the data.
    pub(super) fn read(json: &'a [u8]) -> serde_json::Result<Payload<'a>> {
        serde_json::from_slice(json)
    }

    /// The text has the data under `data`.
    pub(super) fn read_wrapped(json: &'a [u8]) -> serde_json::Result<Payload<'a>> {
        serde_json::from_slice(json).map(|Wrapped { data }| data)
    }

    /// Whether it has nothing that data has.
    pub(super) fn is_none(&self) -> bool {
        self.flags.is_none() && self.segments.is_none()
    }
}

/// The members of a JSON object in order, without a table in between, and without a copy of what they are.
#[derive(Default)]
pub(super) struct Members<'a>(pub(super) Vec<(Name<'a>, &'a RawValue)>);

/// A member's name; only one with escapes in it is copied.
#[derive(Deserialize)]
pub(super) struct Name<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The name and the text of an item, whoever owns them.
pub(super) trait Member {
    fn name(&self) -> &str;
    fn text(&self) -> &str;
}

impl Member for (Name<'_>, &RawValue) {
    fn name(&self) -> &str {
        &self.0.0
    }

    fn text(&self) -> &str {
        self.1.get()
    }
}

impl Member for (Box<str>, Box<str>) {
    fn name(&self) -> &str {
        &self.0
    }

    fn text(&self) -> &str {
        &self.1
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Name<'de>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of items by key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(map.size_hint().unwrap_or(0));
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
