//! How a variation is chosen once a flag, rule or fallthrough applies: fixed, or by a share of all contexts.

use serde::Deserialize;

use super::attribute::{AttributeError, AttributeRef};
use super::context::Kind;

/// What a rule or the fallthrough serves.
#[derive(Clone, Debug, Default)]
pub enum Choice {
    /// Neither a variation nor a rollout was given: evaluating it is a malformed flag.
    #[default]
    Missing,
    /// Always this variation. Its index may lie outside the flag's variations, which is a malformed flag.
    Variation(i64),
    /// By bucket.
    Rollout(Box<Rollout>),
}

/// A percentage rollout or an experiment.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Whether it is an experiment: buckets by key only, and marks the reason.
    pub experiment: bool,
    /// The kind of context whose attribute decides.
    pub kind: Kind,
    /// The attribute that decides; `None` is the key.
    pub bucket_by: Option<Result<AttributeRef, AttributeError>>,
    /// What is hashed before the attribute's value.
    pub prefix: Box<str>,
    /// The shares in order; may be empty, which is a malformed flag.
    pub shares: Box<[Share]>,
}

/// One variation's part of a rollout.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The variation's index.
    pub variation: i64,
    /// The bucket at which it ends: the sum of the weights so far, 1 being all.
    pub end: f64,
    /// Whether contexts in this share are outside the experiment.
    pub untracked: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawChoice {
    pub(super) variation: Option<i64>,
    pub(super) rollout: Option<RawRollout>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRollout {
    kind: Option<String>,
    context_kind: Option<String>,
    bucket_by: Option<String>,
    seed: Option<i64>,
    variations: Vec<RawShare>,
}

#[derive(Deserialize)]
struct RawShare {
    variation: i64,
    weight: i64,
    untracked: Option<bool>,
}

impl Choice {
    /// `key` and `salt` are the flag's.
    pub(super) fn new(raw: RawChoice, key: &str, salt: &str) -> Choice {
        match (raw.variation, raw.rollout) {
            (Some(index), _) => Choice::Variation(index),
            (None, Some(rollout)) => Choice::Rollout(Box::new(Rollout::new(rollout, key, salt))),
            (None, None) => Choice::Missing,
        }
    }
}

impl Rollout {
    fn new(raw: RawRollout, key: &str, salt: &str) -> Rollout {
        Rollout {
            prefix: bucket_prefix(raw.seed, key, salt),
            experiment: raw.kind.as_deref() == Some("experiment"),
            bucket_by: bucket_attribute(raw.bucket_by.as_deref(), raw.context_kind.as_deref()),
            kind: Kind::from(raw.context_kind.as_deref().unwrap_or_default()),
            shares: shares(raw.variations),
        }
    }
}

/// What is hashed before an attribute's value: a seed replaces key and salt.
#[must_use]
pub fn bucket_prefix(seed: Option<i64>, key: &str, salt: &str) -> Box<str> {
    match seed {
        Some(seed) => format!("{seed}."),
        None => format!("{key}.{salt}."),
    }
    .into()
}

/// Weights come in thousandths of a percent. They are added up in the order and precision of every other SDK.
fn shares(raw: Vec<RawShare>) -> Box<[Share]> {
    let mut end = 0.0;
    let shares = raw.into_iter().map(|share| {
        end += share.weight as f64 / 100_000.0;
        Share {
            variation: share.variation,
            end,
            untracked: share.untracked.unwrap_or(false),
        }
    });
    shares.collect()
}

/// An empty or absent `bucketBy` is the key. Without a context kind the text is a literal name, not a path.
pub(super) fn bucket_attribute(
    bucket_by: Option<&str>,
    context_kind: Option<&str>,
) -> Option<Result<AttributeRef, AttributeError>> {
    let text = bucket_by.filter(|text| !text.is_empty())?;
    Some(if context_kind.is_none_or(str::is_empty) {
        AttributeRef::literal(text)
    } else {
        AttributeRef::parse(text)
    })
}
