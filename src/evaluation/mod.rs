//! Which variation a flag serves to a context, and why. Pure: data in, answer out; no I/O, clock, thread, log.
//! Reads top down in the order of evaluation; each question has a file of its own.
//! Source of the rules: the service's documentation and launchdarkly-server-sdk 9.20.

mod bucketing;
mod clauses;
mod explain;
mod observer;
mod operators;
mod outcome;
mod prerequisites;
mod segments;
mod sha1;
mod subject;
mod targets;

use clauses::Known;
use observer::Observer;
use std::sync::Arc;

pub use bucketing::bucket;
pub use explain::{
    ExplainedChoice, ExplainedClause, ExplainedFlag, ExplainedPrerequisite, ExplainedRollout,
    ExplainedRule, ExplainedSegment, ExplainedSegmentRule, ExplainedShare, ExplainedTarget,
    explain,
};
pub use outcome::{BigSegmentsStatus, ErrorKind, Outcome, Reason, ReasonValue};
pub use subject::{Operand, Part, Subject};

use crate::model::{Choice, Flag, Key, Segment};

/// Finds what flags refer to. A flag or segment that is deleted or malformed is not found.
pub trait Lookup {
    /// The flag of this key.
    fn flag(&self, key: &Key) -> Option<&Flag>;
    /// The segment of this key.
    fn segment(&self, key: &Key) -> Option<&Segment>;
}

/// Is told of the prerequisites on the way.
pub trait Recorder {
    /// A prerequisite of `of` is asked for; it may not exist.
    fn asked(&mut self, _key: &str, _of: &Flag) {}
    /// A prerequisite of `of` was evaluated.
    fn evaluated(&mut self, _prerequisite: &Flag, _of: &Flag, _outcome: &Outcome) {}
}

/// Tells nobody.
impl Recorder for () {}

/// Of which big segments a context is an included (`true`) or excluded (`false`) member. The key of a segment here is
/// its key and generation, as the store has it: `key.g2`.
pub type Membership = hashbrown::HashMap<Box<str>, bool, foldhash::fast::FixedState>;

/// Knows who belongs to segments that are too large to be sent.
pub trait BigSegments {
    /// What is known of the context with this key, of whatever kind, and how far that can be trusted. Asked once for a
    /// key in an evaluation.
    fn membership(&self, context_key: &str) -> (Option<Arc<Membership>>, BigSegmentsStatus);
}

/// Ends the whole evaluation, whichever flag on the way it was found in: a cycle, or a reference to no attribute.
#[derive(Debug)]
struct Malformed;

/// What one evaluation works with.
struct Evaluation<'a, S, L, O> {
    subject: &'a S,
    lookup: &'a L,
    big_segments: Option<&'a dyn BigSegments>,
    recorder: &'a mut dyn Recorder,
    observer: O,
    status: Option<BigSegmentsStatus>,
    /// By context key, what this evaluation has asked for. More than one or two are rare.
    memberships: Vec<(Box<str>, Option<Arc<Membership>>)>,
}

/// The flags or segments that led here, innermost first: a scope that undoes itself, so that only a real cycle is one.
#[derive(Clone, Copy)]
struct Chain<'c> {
    key: &'c str,
    outer: Option<&'c Chain<'c>>,
    depth: usize,
}

/// How deep flags or segments may refer to each other; the caller's stack is not ours to exhaust.
const DEEPEST: usize = 128;

impl<'c> Chain<'c> {
    fn of(key: &'c str, outer: Option<&'c Chain<'c>>) -> Chain<'c> {
        Chain {
            key,
            outer,
            depth: outer.map_or(0, |outer| outer.depth + 1),
        }
    }

    /// Whether this key led here, or so many others did that there is no going on.
    fn forbids(&self, key: &str) -> bool {
        let mut link = Some(self);
        while let Some(here) = link {
            if here.key == key {
                return true;
            }
            link = here.outer;
        }
        self.depth >= DEEPEST
    }
}

/// What a flag serves to everybody, if whom it is evaluated for makes no difference: most flags are off, or on for all.
#[inline]
fn for_everybody(flag: &Flag) -> Option<Outcome> {
    if !flag.on {
        return Some(off(flag, Reason::Off));
    }
    if !(flag.prerequisites.is_empty() && flag.targets.is_empty() && flag.rules.is_empty()) {
        return None;
    }
    match flag.fallthrough {
        Choice::Variation(variation) => Some(serve(
            flag,
            variation,
            Reason::Fallthrough {
                in_experiment: false,
            },
        )),
        Choice::Missing | Choice::Rollout(_) => None,
    }
}

/// Evaluates a flag for a subject. Answers for every input.
#[must_use]
#[inline]
pub fn evaluate<S: Subject, L: Lookup>(
    flag: &Flag,
    subject: &S,
    lookup: &L,
    big_segments: Option<&dyn BigSegments>,
    recorder: &mut dyn Recorder,
) -> Outcome {
    match for_everybody(flag) {
        Some(outcome) => outcome,
        None => evaluate_for(flag, subject, lookup, big_segments, recorder, ()),
    }
}

fn evaluate_for<S: Subject, L: Lookup, O: Observer>(
    flag: &Flag,
    subject: &S,
    lookup: &L,
    big_segments: Option<&dyn BigSegments>,
    recorder: &mut dyn Recorder,
    observer: O,
) -> Outcome {
    let mut evaluation = Evaluation {
        subject,
        lookup,
        big_segments,
        recorder,
        observer,
        status: None,
        memberships: Vec::new(),
    };
    match evaluation.flag(flag, &Chain::of(&flag.key, None)) {
        Ok(outcome) => Outcome {
            big_segments: evaluation.status,
            ..outcome
        },
        Err(Malformed) => Outcome::error(ErrorKind::MalformedFlag),
    }
}

impl<S: Subject, L: Lookup, O: Observer> Evaluation<'_, S, L, O> {
    fn flag(&mut self, flag: &Flag, chain: &Chain<'_>) -> Result<Outcome, Malformed> {
        self.observer.flag(flag);
        let outcome = self.outcome(flag, chain)?;
        self.observer.flag_ends(flag, &outcome);
        Ok(outcome)
    }

    #[inline]
    fn outcome(&mut self, flag: &Flag, chain: &Chain<'_>) -> Result<Outcome, Malformed> {
        if let Some(outcome) = for_everybody(flag) {
            return Ok(outcome);
        }
        if let Some(index) = self.failed_prerequisite(flag, chain)? {
            return Ok(off(flag, Reason::PrerequisiteFailed { index }));
        }
        let target = targets::target(flag, self.subject);
        self.observer.targets(flag, target);
        if let Some(target) = target {
            return Ok(serve(flag, target.variation, Reason::TargetMatch));
        }
        let mut known = Known::default();
        for (index, rule) in flag.rules.iter().enumerate() {
            self.observer.rule();
            if self.all_match(&rule.clauses, &mut known, None)? {
                let chosen = bucketing::choose(&rule.choice, self.subject, &mut self.observer)?;
                self.observer.rule_ends(true);
                return Ok(serve_chosen(flag, chosen, |in_experiment| {
                    Reason::RuleMatch {
                        index,
                        in_experiment,
                    }
                }));
            }
            self.observer.rule_ends(false);
        }
        let chosen = bucketing::choose(&flag.fallthrough, self.subject, &mut self.observer)?;
        Ok(serve_chosen(flag, chosen, |in_experiment| {
            Reason::Fallthrough { in_experiment }
        }))
    }
}

/// The off variation, or the caller's default where there is none.
fn off(flag: &Flag, reason: Reason) -> Outcome {
    match flag.off_variation {
        Some(variation) => serve(flag, variation, reason),
        None => Outcome::new(None, reason),
    }
}

/// A variation, if the flag has it.
fn serve(flag: &Flag, variation: i64, reason: Reason) -> Outcome {
    match usize::try_from(variation) {
        Ok(index) if index < flag.variations.len() => Outcome::new(Some(index), reason),
        _ => Outcome::error(ErrorKind::MalformedFlag),
    }
}

/// What a rule or the fallthrough chose. Nothing to choose from is this flag's own error: a flag that needs this one
/// only finds its prerequisite failed, while [`Malformed`] ends the whole evaluation (as launchdarkly-server-sdk 9.20).
fn serve_chosen(
    flag: &Flag,
    chosen: Option<(i64, bool)>,
    reason: impl FnOnce(bool) -> Reason,
) -> Outcome {
    match chosen {
        Some((variation, in_experiment)) => serve(flag, variation, reason(in_experiment)),
        None => Outcome::error(ErrorKind::MalformedFlag),
    }
}
