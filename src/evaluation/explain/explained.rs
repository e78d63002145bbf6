//! What an explanation is made of: a flag, segment, rule or clause as people look at it, first with nothing asked yet.
//! What was asked and with which result is filled in by the explainer. As JSON each of them has all its members; null is
//! what was not asked or is not there. `python/ldclient/explanation.py` has the same tree as types.

use serde::Serialize;

use crate::evaluation::clauses::follow;
use crate::evaluation::{Operand, Part, Subject};
use crate::model::{
    AttributeError, AttributeRef, Choice, Clause, Flag, Kind, Prerequisite, Role, Rollout, Rule,
    Segment, SegmentRule, Share, Target, Value,
};

/// How many operands of a clause are listed.
const MOST_OPERANDS: usize = 20;

/// A flag for a context.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedFlag {
    /// Its key.
    pub key: Box<str>,
    /// Its version.
    pub version: i64,
    /// Whether it is on; nothing else is asked of a flag that is off.
    pub on: bool,
    /// The value that it serves; null where that is the caller's default.
    pub value: Value,
    /// The index of the value.
    pub variation: Option<usize>,
    /// Why, as `variation_detail` tells; null where the evaluation ended before there was an answer.
    pub reason: Value,
    /// In the order in which they are asked.
    pub prerequisites: Vec<ExplainedPrerequisite>,
    /// In the order in which they are asked.
    pub targets: Vec<ExplainedTarget>,
    /// In the order in which they are asked; the first match decides.
    pub rules: Vec<ExplainedRule>,
    /// What is served when it is off or a prerequisite fails; null is the caller's default.
    pub off_variation: Option<i64>,
    /// What those are served whom nothing else matched.
    pub fallthrough: ExplainedChoice,
    /// What makes it malformed.
    pub problem: Option<String>,
}

/// A condition on another flag.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedPrerequisite {
    /// The other flag.
    pub key: Box<str>,
    /// The variation that it must serve.
    pub needs: i64,
    /// Whether it is on and serves that.
    pub met: Option<bool>,
    /// The other flag for the same context.
    pub flag: Option<Box<ExplainedFlag>>,
    /// Whether the other flag is left out because so much was told already.
    pub cut: bool,
    /// What is wrong with it: there is no such flag, or it leads back to itself.
    pub problem: Option<String>,
}

/// Keys that get a fixed variation.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedTarget {
    /// The kind of context whose keys these are.
    pub context_kind: Box<str>,
    /// The variation's index.
    pub variation: i64,
    /// How many keys there are.
    pub count: usize,
    /// The key of the context; null when it has no part of that kind.
    pub value: Option<Box<str>>,
    /// Whether it is among them.
    pub matched: Option<bool>,
}

/// A rule of a flag.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedRule {
    /// Its identity in the service's interface.
    pub id: Option<Box<str>>,
    /// Whether all clauses match.
    pub matched: Option<bool>,
    /// They are asked up to the first that does not match.
    pub clauses: Vec<ExplainedClause>,
    /// What the rule serves.
    pub serves: ExplainedChoice,
    /// What makes the flag malformed.
    pub problem: Option<String>,
}

/// One condition of a rule.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedClause {
    /// The kind of context that is asked.
    pub context_kind: Box<str>,
    /// The attribute that is asked; of a clause about segments null.
    pub attribute: Option<Box<str>>,
    /// The operator.
    pub op: Box<str>,
    /// Its first operands.
    pub values: Vec<Value>,
    /// How many operands it has that it can use.
    pub value_count: usize,
    /// Whether a match counts as none and the other way round.
    pub negate: bool,
    /// What the context has there.
    pub value: Value,
    /// `context` when the context has no part of that kind, `attribute` when that has no such attribute.
    pub missing: Option<&'static str>,
    /// Whether it matches, with `negate` taken into account.
    pub matched: Option<bool>,
    /// The segments that were asked, up to the first that has the context.
    pub segments: Vec<ExplainedSegment>,
    /// Whether segments are left out because so much was told already.
    pub cut: bool,
    /// What is wrong with the reference to the attribute.
    #[serde(skip)]
    pub(super) fault: Option<AttributeError>,
    /// What makes the flag malformed.
    pub problem: Option<String>,
}

/// A segment for a context.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedSegment {
    /// Its key.
    pub key: Box<str>,
    /// Its version; null when there is no such segment.
    pub version: Option<i64>,
    /// Whether the context belongs to it.
    pub member: Option<bool>,
    /// What decided: `included`, `excluded`, `bigSegment`, `rule`, `nothing` of these, or `missing` when there is no such
    /// segment.
    pub by: Option<&'static str>,
    /// The kind of context of the list that decided.
    pub context_kind: Option<Box<str>>,
    /// What is known of the store of big segments, when it was asked.
    pub big_segments_status: Option<&'static str>,
    /// In the order in which they are asked; one match is enough.
    pub rules: Vec<ExplainedSegmentRule>,
    /// What makes the flag malformed.
    pub problem: Option<String>,
}

/// A rule of a segment.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedSegmentRule {
    /// Whether all clauses match and the context is in the share.
    pub matched: Option<bool>,
    /// They are asked up to the first that does not match.
    pub clauses: Vec<ExplainedClause>,
    /// The share of all contexts that belongs to the segment; null is everyone.
    pub rollout: Option<ExplainedRollout>,
    /// What makes the flag malformed.
    pub problem: Option<String>,
}

/// What a rule or the fallthrough serves.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedChoice {
    /// Always this variation.
    pub variation: Option<i64>,
    /// Or by bucket.
    pub rollout: Option<ExplainedRollout>,
}

/// A choice by bucket.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedRollout {
    /// Whether it is an experiment, which goes by the key always.
    pub experiment: bool,
    /// The kind of context that is bucketed.
    pub context_kind: Box<str>,
    /// The attribute that is bucketed.
    pub bucket_by: Box<str>,
    /// What the context has there.
    pub value: Value,
    /// As in a clause. Without the context the first share is served, without the attribute the bucket is 0.
    pub missing: Option<&'static str>,
    /// What is hashed before that value: the key and the salt of the flag or segment, or the seed, each with a dot.
    pub prefix: Box<str>,
    /// From 0 to 1; null when it was not asked, or the context has no part of that kind.
    pub bucket: Option<f64>,
    /// Each up to a bucket.
    pub shares: Vec<ExplainedShare>,
    /// What is wrong with the reference to the attribute.
    #[serde(skip)]
    pub(super) fault: Option<AttributeError>,
}

/// One variation's part of a rollout.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedShare {
    /// The variation's index; null for the share of a segment.
    pub variation: Option<i64>,
    /// The bucket at which it begins.
    pub begin: f64,
    /// The bucket below which it ends.
    pub end: f64,
    /// Whether contexts in it are outside the experiment.
    pub untracked: bool,
    /// Whether it was chosen.
    pub chosen: Option<bool>,
}

impl ExplainedFlag {
    pub(super) fn new(flag: &Flag, subject: &impl Subject) -> ExplainedFlag {
        ExplainedFlag {
            key: flag.key.clone(),
            version: flag.version,
            on: flag.on,
            off_variation: flag.off_variation,
            prerequisites: flag.prerequisites.iter().map(Into::into).collect(),
            targets: flag
                .targets
                .iter()
                .map(|target| ExplainedTarget::new(target, subject))
                .collect(),
            rules: flag
                .rules
                .iter()
                .map(|rule| ExplainedRule::new(rule, subject))
                .collect(),
            fallthrough: ExplainedChoice::new(&flag.fallthrough, subject),
            ..ExplainedFlag::default()
        }
    }
}

impl From<&Prerequisite> for ExplainedPrerequisite {
    fn from(needed: &Prerequisite) -> ExplainedPrerequisite {
        ExplainedPrerequisite {
            key: Box::from(&*needed.key),
            needs: needed.variation,
            ..ExplainedPrerequisite::default()
        }
    }
}

impl ExplainedTarget {
    fn new(target: &Target, subject: &impl Subject) -> ExplainedTarget {
        ExplainedTarget {
            context_kind: target.kind.as_str().into(),
            variation: target.variation,
            count: target.keys.len(),
            value: subject.part(&target.kind).map(|part| part.key().into()),
            matched: None,
        }
    }
}

impl ExplainedRule {
    fn new(rule: &Rule, subject: &impl Subject) -> ExplainedRule {
        ExplainedRule {
            id: rule.id.clone(),
            clauses: clauses(&rule.clauses, subject),
            serves: ExplainedChoice::new(&rule.choice, subject),
            ..ExplainedRule::default()
        }
    }
}

fn clauses(clauses: &[Clause], subject: &impl Subject) -> Vec<ExplainedClause> {
    let clauses = clauses.iter();
    clauses
        .map(|clause| ExplainedClause::new(clause, subject))
        .collect()
}

impl ExplainedClause {
    fn new(clause: &Clause, subject: &impl Subject) -> ExplainedClause {
        let (value_count, values) = clause.test.operands(MOST_OPERANDS);
        let about_segments = clause.test.operator() == "segmentMatch";
        let (attribute, value, missing) = match &clause.attribute {
            _ if about_segments => (None, Value::Null, None),
            Ok(attribute) => {
                let is_kind = attribute.role() == Role::Kind && attribute.members().is_empty();
                let (value, missing) = if is_kind {
                    (kinds_of(subject), None)
                } else {
                    value_of(subject, &clause.kind, attribute)
                };
                (Some(attribute.as_str().into()), value, missing)
            }
            Err(_) => (None, Value::Null, None),
        };
        ExplainedClause {
            context_kind: clause.kind.as_str().into(),
            attribute,
            op: clause.test.operator().into(),
            values,
            value_count,
            negate: clause.negate,
            value,
            missing,
            fault: clause.attribute.as_ref().err().copied(),
            ..ExplainedClause::default()
        }
    }
}

impl ExplainedSegment {
    pub(super) fn new(
        key: &str,
        segment: Option<&Segment>,
        subject: &impl Subject,
    ) -> ExplainedSegment {
        let rules = segment.into_iter().flat_map(|segment| &segment.rules);
        let rules = rules.map(|rule| ExplainedSegmentRule::new(rule, subject));
        ExplainedSegment {
            key: key.into(),
            version: segment.map(|segment| segment.version),
            rules: rules.collect(),
            ..ExplainedSegment::default()
        }
    }
}

impl ExplainedSegmentRule {
    fn new(rule: &SegmentRule, subject: &impl Subject) -> ExplainedSegmentRule {
        let rollout = rule.weight.map(|weight| ExplainedRollout {
            prefix: rule.prefix.clone(),
            shares: vec![ExplainedShare {
                end: weight as f64 / 100_000.0,
                ..ExplainedShare::default()
            }],
            ..ExplainedRollout::by(&rule.kind, rule.bucket_by.as_ref(), subject)
        });
        ExplainedSegmentRule {
            clauses: clauses(&rule.clauses, subject),
            rollout,
            ..ExplainedSegmentRule::default()
        }
    }
}

impl ExplainedChoice {
    fn new(choice: &Choice, subject: &impl Subject) -> ExplainedChoice {
        match choice {
            Choice::Missing => ExplainedChoice::default(),
            Choice::Variation(index) => ExplainedChoice {
                variation: Some(*index),
                rollout: None,
            },
            Choice::Rollout(rollout) => ExplainedChoice {
                variation: None,
                rollout: Some(ExplainedRollout::new(rollout, subject)),
            },
        }
    }
}

impl ExplainedRollout {
    fn new(rollout: &Rollout, subject: &impl Subject) -> ExplainedRollout {
        let mut begin = 0.0;
        let shares = rollout.shares.iter().map(|share| {
            let explained = ExplainedShare::new(share, begin);
            begin = share.end;
            explained
        });
        let shares = shares.collect();
        let by = rollout.bucket_by.as_ref().filter(|_| !rollout.experiment);
        ExplainedRollout {
            experiment: rollout.experiment,
            prefix: rollout.prefix.clone(),
            shares,
            ..ExplainedRollout::by(&rollout.kind, by, subject)
        }
    }

    fn by(
        kind: &Kind,
        by: Option<&Result<AttributeRef, AttributeError>>,
        subject: &impl Subject,
    ) -> ExplainedRollout {
        let key = AttributeRef::literal("key");
        let by = by.unwrap_or(&key);
        let (bucket_by, (value, missing)) = match by {
            Ok(by) => (by.as_str(), value_of(subject, kind, by)),
            Err(_) => ("", (Value::Null, None)),
        };
        ExplainedRollout {
            context_kind: kind.as_str().into(),
            bucket_by: bucket_by.into(),
            value,
            missing,
            fault: by.as_ref().err().copied(),
            ..ExplainedRollout::default()
        }
    }
}

impl ExplainedShare {
    fn new(share: &Share, begin: f64) -> ExplainedShare {
        ExplainedShare {
            variation: Some(share.variation),
            begin,
            end: share.end,
            untracked: share.untracked,
            chosen: None,
        }
    }
}

/// All kinds of a context, any of which may match.
fn kinds_of(subject: &impl Subject) -> Value {
    let mut kinds = Vec::new();
    subject.any_kind(&mut |kind| {
        kinds.push(Value::from(kind));
        false
    });
    match kinds.len() {
        1 => kinds.remove(0),
        _ => Value::Array(kinds.into()),
    }
}

/// What the context has under the reference, or what it lacks.
fn value_of(
    subject: &impl Subject,
    kind: &Kind,
    attribute: &AttributeRef,
) -> (Value, Option<&'static str>) {
    let Some(part) = subject.part(kind) else {
        return (Value::Null, Some("context"));
    };
    part.with_attribute(attribute, |value| match follow(value, attribute) {
        None => (Value::Null, Some("attribute")),
        Some(operand) => (owned(operand), None),
    })
}

fn owned(operand: Operand<'_>) -> Value {
    match operand {
        Operand::Bool(value) => Value::Bool(value),
        Operand::Int(number) => Value::Int(number),
        Operand::Float(number) => Value::Float(number),
        Operand::Str(text) => Value::from(text),
        Operand::Value(value) => value.clone(),
    }
}
