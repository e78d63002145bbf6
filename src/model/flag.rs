//! Flags: what is served to whom, compiled when they arrive.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use super::clause::{Clause, Pattern, RawClause, Test, repeated};
use super::context::Kind;
use super::keys::{Key, KeySet};
use super::rollout::{Choice, RawChoice, RawRollout};
use super::value::Value;

/// A flag, compiled.
#[derive(Debug)]
pub struct Flag {
    /// Its key.
    pub key: Box<str>,
    /// Grows with every change.
    pub version: i64,
    /// Tells this compilation from every other one in the process; tables beside the snapshot compare it.
    pub id: u64,
    /// A small number that no other flag of the same snapshot has, given by the snapshot; tables beside it are indexed
    /// by it.
    pub slot: u32,
    /// Whether targets and rules are asked at all.
    pub on: bool,
    /// Goes into its buckets.
    pub salt: Box<str>,
    /// The values it can have.
    pub variations: Box<[Value]>,
    /// What it serves when off, or when a prerequisite fails; `None` is the caller's default.
    pub off_variation: Option<i64>,
    /// What it serves to those whom nothing else matched.
    pub fallthrough: Choice,
    /// Flags that must be on and serve a certain variation.
    pub prerequisites: Box<[Prerequisite]>,
    /// Single keys, in the order in which they are asked.
    pub targets: Box<[Target]>,
    /// Asked after the targets; the first match decides.
    pub rules: Box<[Rule]>,
    /// Whether each evaluation is sent as an event of its own.
    pub track_events: bool,
    /// The same for the fallthrough, with its reason.
    pub track_events_fallthrough: bool,
    /// Until when evaluations are sent for debugging, in milliseconds since 1970.
    pub debug_events_until_ms: Option<i64>,
    /// Whether client-side SDKs may see it.
    pub client_side: bool,
    /// Whether evaluations are left out of the summary.
    pub exclude_from_summaries: bool,
    /// One in so many events is sent; 0 is none.
    pub sampling_ratio: Option<u64>,
    /// One in so many migration operations is checked for consistency.
    pub check_ratio: Option<u64>,
}

/// A condition on another flag.
#[derive(Debug)]
pub struct Prerequisite {
    /// The other flag.
    pub key: Key,
    /// The variation that it must serve.
    pub variation: i64,
}

/// Keys of one kind that get a fixed variation.
#[derive(Debug)]
pub struct Target {
    /// The kind.
    pub kind: Kind,
    /// The variation's index.
    pub variation: i64,
    /// The keys.
    pub keys: KeySet,
}

/// A rule: all clauses must match.
#[derive(Debug)]
pub struct Rule {
    /// Its identity in the service's interface.
    pub id: Option<Box<str>>,
    /// The conditions.
    pub clauses: Box<[Clause]>,
    /// What it serves.
    pub choice: Choice,
    /// Whether a match is sent as an event of its own, with its reason.
    pub track_events: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawFlag {
    key: Option<Box<str>>,
    version: Option<i64>,
    deleted: Option<bool>,
    on: Option<bool>,
    salt: Option<Box<str>>,
    variations: Option<Vec<Value>>,
    off_variation: Option<i64>,
    fallthrough: Option<RawChoice>,
    prerequisites: Option<Vec<RawPrerequisite>>,
    targets: Option<Vec<RawTarget>>,
    context_targets: Option<Vec<RawTarget>>,
    rules: Option<Vec<RawRule>>,
    track_events: Option<bool>,
    track_events_fallthrough: Option<bool>,
    debug_events_until_date: Option<f64>,
    client_side: Option<bool>,
    client_side_availability: Option<RawAvailability>,
    exclude_from_summaries: Option<bool>,
    sampling_ratio: Option<u64>,
    migration: Option<RawMigration>,
}

#[derive(Deserialize)]
struct RawPrerequisite {
    key: Box<str>,
    variation: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTarget {
    context_kind: Option<String>,
    variation: i64,
    values: Option<Vec<Box<str>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRule {
    id: Option<Box<str>>,
    clauses: Option<Vec<RawClause>>,
    track_events: Option<bool>,
    variation: Option<i64>,
    rollout: Option<RawRollout>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAvailability {
    using_environment_id: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMigration {
    check_ratio: Option<u64>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl RawFlag {
    /// The version of the deletion, if the item is only the mark of one.
    pub(crate) fn tombstone(&self) -> Option<i64> {
        (self.deleted == Some(true)).then_some(self.version.unwrap_or(0))
    }

    /// Compiles it. `key` is the name under which it arrived, used where the data has none.
    pub(crate) fn compile(self, key: &str) -> Flag {
        let key = self.key.unwrap_or_else(|| key.into());
        let salt = self.salt.unwrap_or_default();
        Flag {
            fallthrough: Choice::new(self.fallthrough.unwrap_or_default(), &key, &salt),
            rules: rules(self.rules.unwrap_or_default(), &key, &salt),
            key,
            salt,
            version: self.version.unwrap_or(0),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            slot: 0,
            on: self.on.unwrap_or(false),
            variations: self.variations.unwrap_or_default().into(),
            off_variation: self.off_variation,
            prerequisites: self
                .prerequisites
                .unwrap_or_default()
                .into_iter()
                .map(|p| Prerequisite {
                    key: p.key.into(),
                    variation: p.variation,
                })
                .collect(),
            targets: targets(
                self.targets.unwrap_or_default(),
                self.context_targets.unwrap_or_default(),
            ),
            track_events: self.track_events.unwrap_or(false),
            track_events_fallthrough: self.track_events_fallthrough.unwrap_or(false),
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a date beyond i64 saturates, which is as far away"
            )]
            debug_events_until_ms: self.debug_events_until_date.map(|ms| ms as i64),
            client_side: self
                .client_side
                .or_else(|| {
                    self.client_side_availability
                        .and_then(|a| a.using_environment_id)
                })
                .unwrap_or(false),
            exclude_from_summaries: self.exclude_from_summaries.unwrap_or(false),
            sampling_ratio: self.sampling_ratio,
            check_ratio: self.migration.and_then(|m| m.check_ratio),
        }
    }
}

/// The order in which targets are asked. Without context targets it is the users' list. With them theirs decides, and
/// an entry for users stands for the users' keys of the same variation (as launchdarkly-server-sdk 9.20).
fn targets(users: Vec<RawTarget>, contexts: Vec<RawTarget>) -> Box<[Target]> {
    let compile = |kind, variation, values: Vec<Box<str>>| Target {
        kind,
        variation,
        keys: values.into(),
    };
    if contexts.is_empty() {
        return users
            .into_iter()
            .map(|t| compile(Kind::User, t.variation, t.values.unwrap_or_default()))
            .filter(|t| !t.keys.is_empty())
            .collect();
    }
    contexts
        .into_iter()
        .map(
            |t| match Kind::from(t.context_kind.as_deref().unwrap_or_default()) {
                Kind::User => {
                    let keys = users
                        .iter()
                        .find(|u| u.variation == t.variation)
                        .and_then(|u| u.values.clone());
                    compile(Kind::User, t.variation, keys.unwrap_or_default())
                }
                kind @ Kind::Named(_) => compile(kind, t.variation, t.values.unwrap_or_default()),
            },
        )
        .filter(|t| !t.keys.is_empty())
        .collect()
}

/// Compiles rules. A clause that stands in several of them is asked once in an evaluation: it gets a number for that.
fn rules(raw: Vec<RawRule>, key: &str, salt: &str) -> Box<[Rule]> {
    let clauses = raw.iter().flat_map(|rule| rule.clauses.iter().flatten());
    let mut repeated = repeated(clauses).into_iter();
    raw.into_iter()
        .map(|rule| Rule::new(rule, &mut repeated, key, salt))
        .collect()
}

impl Rule {
    fn new(raw: RawRule, repeated: &mut impl Iterator<Item = u8>, key: &str, salt: &str) -> Rule {
        let clauses = raw.clauses.unwrap_or_default().into_iter();
        Rule {
            id: raw.id,
            clauses: clauses
                .map(|clause| Clause {
                    repeated: repeated.next().unwrap_or(0),
                    ..Clause::from(clause)
                })
                .collect(),
            choice: Choice::new(
                RawChoice {
                    variation: raw.variation,
                    rollout: raw.rollout,
                },
                key,
                salt,
            ),
            track_events: raw.track_events.unwrap_or(false),
        }
    }
}

/// The patterns of these clauses that no engine takes.
pub(crate) fn invalid_patterns<'a>(
    clauses: impl Iterator<Item = &'a Clause>,
) -> impl Iterator<Item = &'a str> {
    clauses
        .filter_map(|clause| match &clause.test {
            Test::Matches(patterns) => Some(patterns),
            _ => None,
        })
        .flatten()
        .filter_map(|pattern| match pattern {
            Pattern::Invalid(text) => Some(&**text),
            _ => None,
        })
}
