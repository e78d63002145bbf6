//! Segments: named groups of contexts that flags refer to.

use serde::Deserialize;

use super::attribute::{AttributeError, AttributeRef};
use super::clause::{Clause, RawClause};
use super::context::Kind;
use super::keys::KeySet;
use super::rollout::{bucket_attribute, bucket_prefix};

/// A segment, compiled.
#[derive(Debug)]
pub struct Segment {
    /// Its key.
    pub key: Box<str>,
    /// Grows with every change.
    pub version: i64,
    /// Goes into the buckets of its rules.
    pub salt: Box<str>,
    /// Contexts that belong to it, in the order in which they are asked.
    pub included: Box<[SegmentTarget]>,
    /// Contexts that do not, asked after the included ones.
    pub excluded: Box<[SegmentTarget]>,
    /// Asked last; one match is enough.
    pub rules: Box<[SegmentRule]>,
    /// Whether membership is kept in a big segment store.
    pub unbounded: bool,
    /// The kind that a big segment is about.
    pub unbounded_kind: Kind,
    /// The generation of a big segment's data; without it the store cannot be asked.
    pub generation: Option<i64>,
}

/// A list of keys of one kind.
#[derive(Debug)]
pub struct SegmentTarget {
    /// The kind.
    pub kind: Kind,
    /// The keys.
    pub keys: KeySet,
}

/// A rule of a segment: all clauses must match, then a share may be taken.
#[derive(Debug)]
pub struct SegmentRule {
    /// The conditions.
    pub clauses: Box<[Clause]>,
    /// The share in thousandths of a percent; `None` is everyone.
    pub weight: Option<i64>,
    /// The kind that is bucketed.
    pub kind: Kind,
    /// What is hashed before the attribute's value.
    pub prefix: Box<str>,
    /// The attribute that is bucketed; `None` is the key.
    pub bucket_by: Option<Result<AttributeRef, AttributeError>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawSegment {
    key: Option<Box<str>>,
    version: Option<i64>,
    deleted: Option<bool>,
    salt: Option<Box<str>>,
    included: Option<Vec<Box<str>>>,
    excluded: Option<Vec<Box<str>>>,
    included_contexts: Option<Vec<RawSegmentTarget>>,
    excluded_contexts: Option<Vec<RawSegmentTarget>>,
    rules: Option<Vec<RawSegmentRule>>,
    unbounded: Option<bool>,
    unbounded_context_kind: Option<String>,
    generation: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSegmentTarget {
    context_kind: Option<String>,
    values: Vec<Box<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSegmentRule {
    clauses: Vec<RawClause>,
    weight: Option<i64>,
    rollout_context_kind: Option<String>,
    bucket_by: Option<String>,
}

impl RawSegment {
    /// The version of the deletion, if the item is only the mark of one.
    pub(crate) fn tombstone(&self) -> Option<i64> {
        (self.deleted == Some(true)).then_some(self.version.unwrap_or(0))
    }

    /// Compiles it. `key` is the name under which it arrived, used where the data has none.
    pub(crate) fn compile(self, key: &str) -> Segment {
        let key = self.key.unwrap_or_else(|| key.into());
        let salt = self.salt.unwrap_or_default();
        let rules = self.rules.unwrap_or_default().into_iter();
        Segment {
            rules: rules
                .map(|rule| SegmentRule::new(rule, &key, &salt))
                .collect(),
            key,
            salt,
            version: self.version.unwrap_or(0),
            included: targets(self.included, self.included_contexts),
            excluded: targets(self.excluded, self.excluded_contexts),
            unbounded: self.unbounded.unwrap_or(false),
            unbounded_kind: Kind::from(self.unbounded_context_kind.as_deref().unwrap_or_default()),
            generation: self.generation,
        }
    }
}

fn targets(
    users: Option<Vec<Box<str>>>,
    others: Option<Vec<RawSegmentTarget>>,
) -> Box<[SegmentTarget]> {
    let users = users.into_iter().map(|keys| SegmentTarget {
        kind: Kind::User,
        keys: keys.into(),
    });
    let others = others.into_iter().flatten().map(|target| SegmentTarget {
        kind: Kind::from(target.context_kind.as_deref().unwrap_or_default()),
        keys: target.values.into(),
    });
    users
        .chain(others)
        .filter(|target| !target.keys.is_empty())
        .collect()
}

impl SegmentRule {
    fn new(raw: RawSegmentRule, key: &str, salt: &str) -> SegmentRule {
        SegmentRule {
            // Only a share of all has to be hashed for.
            prefix: match raw.weight {
                Some(_) => bucket_prefix(None, key, salt),
                None => Box::default(),
            },
            clauses: raw.clauses.into_iter().map(Clause::from).collect(),
            weight: raw.weight,
            bucket_by: bucket_attribute(
                raw.bucket_by.as_deref(),
                raw.rollout_context_kind.as_deref(),
            ),
            kind: Kind::from(raw.rollout_context_kind.as_deref().unwrap_or_default()),
        }
    }
}
