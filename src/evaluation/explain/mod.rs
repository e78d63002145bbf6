//! Why a flag serves what it serves: the same evaluation, with somebody who listens and writes down every step. What is
//! written is `explained`'s question; nothing here decides anything.
//!
//! 1. What a flag asks is laid out when the flag begins, with nothing answered; each step then fills in its own place. So
//!    what was not reached is there too.
//! 2. Steps that begin and have not ended are open, innermost last. What is open when the evaluation ends as malformed
//!    led there, and the innermost has the problem.
//! 3. Flags and segments that refer to each other deeply, or over and over, are written down to a limit only. They are
//!    evaluated all the same.

mod explained;

use std::mem;

pub use explained::{
    ExplainedChoice, ExplainedClause, ExplainedFlag, ExplainedPrerequisite, ExplainedRollout,
    ExplainedRule, ExplainedSegment, ExplainedSegmentRule, ExplainedShare, ExplainedTarget,
};

use super::observer::Observer;
use super::{
    BigSegments, BigSegmentsStatus, DEEPEST, Lookup, Outcome, Reason, Subject, evaluate_for,
};
use crate::model::{
    AttributeError, Clause, Flag, Key, Prerequisite, Rollout, Segment, SegmentRule, SegmentTarget,
    Share, Target,
};

/// How many steps may be open at once and written down: some 20 prerequisites or segments, one inside the other.
const MOST_OPEN: usize = 64;
/// How many rules and clauses are written down.
const MOST_WRITTEN: usize = 50_000;

/// Evaluates a flag as [`super::evaluate`] does, and tells every step of it. Tells nobody of prerequisites.
#[must_use]
pub fn explain<S: Subject, L: Lookup>(
    flag: &Flag,
    subject: &S,
    lookup: &L,
    big_segments: Option<&dyn BigSegments>,
) -> (Outcome, ExplainedFlag) {
    let mut explainer = Explainer {
        subject,
        open: Vec::new(),
        hidden: 0,
        written: 0,
        explained: ExplainedFlag::default(),
    };
    let outcome = evaluate_for(flag, subject, lookup, big_segments, &mut (), &mut explainer);
    let mut explained = explainer.finish();
    explained.reason = outcome.reason_value(Some(flag));
    (outcome, explained)
}

struct Explainer<'a, S> {
    subject: &'a S,
    open: Vec<Step>,
    /// How many steps are open that are not written down.
    hidden: usize,
    written: usize,
    /// The flag that was asked for, once it ended.
    explained: ExplainedFlag,
}

/// A step that has begun. The numbers say which of its parts is the next one to begin.
enum Step {
    Flag {
        flag: Box<ExplainedFlag>,
        prerequisite: usize,
        rule: usize,
    },
    Prerequisite(ExplainedPrerequisite),
    Rule(ExplainedRule, usize),
    Clause(ExplainedClause),
    Segment(ExplainedSegment, usize),
    SegmentRule(ExplainedSegmentRule, usize),
}

impl Step {
    /// The evaluation ended here as malformed.
    fn blame(&mut self) {
        let deeper = || "what lies deeper than is shown here".to_owned();
        let reference =
            |fault: Option<AttributeError>| fault.map_or_else(deeper, |fault| fault.to_string());
        let of = |rollout: &Option<ExplainedRollout>| {
            reference(rollout.as_ref().and_then(|rollout| rollout.fault))
        };
        let circle =
            |what| format!("it leads back to itself, or through more than {DEEPEST} {what}");
        let (problem, why) = match self {
            Step::Flag { flag, .. } => {
                let why = of(&flag.fallthrough.rollout);
                (&mut flag.problem, why)
            }
            Step::Prerequisite(needed) if needed.cut => (&mut needed.problem, deeper()),
            Step::Prerequisite(needed) => (&mut needed.problem, circle("flags")),
            Step::Rule(rule, _) => {
                let why = of(&rule.serves.rollout);
                (&mut rule.problem, why)
            }
            Step::Clause(clause) => {
                let why = reference(clause.fault);
                (&mut clause.problem, why)
            }
            Step::Segment(segment, _) => (&mut segment.problem, circle("segments")),
            Step::SegmentRule(rule, _) => {
                let why = of(&rule.rollout);
                (&mut rule.problem, why)
            }
        };
        *problem = Some(why);
    }
}

impl<S> Explainer<'_, S> {
    /// Whether so much more may be written down.
    fn has_room(&mut self, more: usize) -> bool {
        let has_room = self.open.is_empty()
            || self.hidden == 0
                && self.open.len() < MOST_OPEN
                && self.written + more <= MOST_WRITTEN;
        if has_room {
            self.written += more;
        }
        has_room
    }

    /// Where what happens now is written down.
    fn here(&mut self) -> Option<&mut Step> {
        self.open.last_mut().filter(|_| self.hidden == 0)
    }

    fn begin(&mut self, step: Option<Step>) {
        match step {
            Some(step) => self.open.push(step),
            None => self.hidden += 1,
        }
    }

    fn end(&mut self, result: impl FnOnce(&mut Step)) {
        if self.hidden > 0 {
            self.hidden -= 1;
        } else if let Some(mut step) = self.open.pop() {
            result(&mut step);
            self.put(step);
        }
    }

    /// Puts what is over into what it is a part of.
    fn put(&mut self, step: Step) {
        fn fill<T>(places: &mut [T], next: &mut usize, part: T) {
            if let Some(place) = places.get_mut(*next) {
                *place = part;
            }
            *next += 1;
        }
        match (step, self.open.last_mut()) {
            (Step::Flag { flag, .. }, None) => self.explained = *flag,
            (Step::Flag { flag, .. }, Some(Step::Prerequisite(needed))) => {
                needed.flag = Some(flag);
            }
            (
                Step::Prerequisite(needed),
                Some(Step::Flag {
                    flag, prerequisite, ..
                }),
            ) => fill(&mut flag.prerequisites, prerequisite, needed),
            (Step::Rule(part, _), Some(Step::Flag { flag, rule, .. })) => {
                fill(&mut flag.rules, rule, part);
            }
            (Step::Clause(clause), Some(Step::Rule(rule, next))) => {
                fill(&mut rule.clauses, next, clause);
            }
            (Step::Clause(clause), Some(Step::SegmentRule(rule, next))) => {
                fill(&mut rule.clauses, next, clause);
            }
            (Step::Segment(segment, _), Some(Step::Clause(clause))) => {
                clause.segments.push(segment);
            }
            (Step::SegmentRule(rule, _), Some(Step::Segment(segment, next))) => {
                fill(&mut segment.rules, next, rule);
            }
            // No other part is in another.
            _ => {}
        }
    }

    /// Ends what is open.
    fn finish(mut self) -> ExplainedFlag {
        if let Some(step) = self.open.last_mut() {
            step.blame();
        }
        while let Some(step) = self.open.pop() {
            self.put(step);
        }
        self.explained
    }
}

/// Takes the part that begins, which is put back when it ends.
fn take<T: Default>(parts: &mut [T], next: usize) -> Option<T> {
    parts.get_mut(next).map(mem::take)
}

fn size<'c>(rules: impl Iterator<Item = &'c [Clause]>) -> usize {
    rules.map(|clauses| 1 + clauses.len()).sum()
}

impl<S: Subject> Observer for &mut Explainer<'_, S> {
    fn flag(&mut self, flag: &Flag) {
        let room = self.has_room(1 + size(flag.rules.iter().map(|rule| &*rule.clauses)));
        if !room && let Some(Step::Prerequisite(needed)) = self.here() {
            needed.cut = true;
        }
        let step = room.then(|| Step::Flag {
            flag: Box::new(ExplainedFlag::new(flag, self.subject)),
            prerequisite: 0,
            rule: 0,
        });
        self.begin(step);
    }

    fn flag_ends(&mut self, of: &Flag, outcome: &Outcome) {
        self.end(|step| {
            if let Step::Flag { flag, .. } = step {
                flag.variation = outcome.variation;
                flag.value = outcome.value(of).cloned().unwrap_or_default();
                flag.reason = outcome.reason_value(Some(of));
                if matches!(outcome.reason, Reason::Error(_)) {
                    flag.problem = Some("what it serves is none of its variations".to_owned());
                }
            }
        });
    }

    fn prerequisite(&mut self, _needed: &Prerequisite, found: Option<&Flag>) {
        let step = match self.here() {
            Some(Step::Flag {
                flag, prerequisite, ..
            }) => take(&mut flag.prerequisites, *prerequisite),
            _ => None,
        };
        self.begin(step.map(|mut needed| {
            if found.is_none() {
                needed.problem = Some("there is no such flag".to_owned());
            }
            Step::Prerequisite(needed)
        }));
    }

    fn prerequisite_ends(&mut self, met: bool) {
        self.end(|step| {
            if let Step::Prerequisite(needed) = step {
                needed.met = Some(met);
            }
        });
    }

    fn targets(&mut self, of: &Flag, found: Option<&Target>) {
        let Some(Step::Flag { flag, .. }) = self.here() else {
            return;
        };
        for (explained, target) in flag.targets.iter_mut().zip(&of.targets) {
            let matched = found.is_some_and(|found| std::ptr::eq(found, target));
            explained.matched = Some(matched);
            if matched {
                break;
            }
        }
    }

    fn rule(&mut self) {
        let step = match self.here() {
            Some(Step::Flag { flag, rule, .. }) => take(&mut flag.rules, *rule),
            _ => None,
        };
        self.begin(step.map(|rule| Step::Rule(rule, 0)));
    }

    fn rule_ends(&mut self, matched: bool) {
        self.end(|step| {
            if let Step::Rule(rule, _) = step {
                rule.matched = Some(matched);
            }
        });
    }

    fn clause(&mut self) {
        let step = match self.here() {
            Some(Step::Rule(rule, next)) => take(&mut rule.clauses, *next),
            Some(Step::SegmentRule(rule, next)) => take(&mut rule.clauses, *next),
            _ => None,
        };
        self.begin(step.map(Step::Clause));
    }

    fn clause_ends(&mut self, matched: bool) {
        self.end(|step| {
            if let Step::Clause(clause) = step {
                clause.matched = Some(matched);
            }
        });
    }

    fn segment(&mut self, key: &Key, found: Option<&Segment>) {
        let rules = found.into_iter().flat_map(|segment| &segment.rules);
        let room = self.has_room(1 + size(rules.map(|rule| &*rule.clauses)));
        if !room && let Some(Step::Clause(clause)) = self.here() {
            clause.cut = true;
        }
        let step = room.then(|| Step::Segment(ExplainedSegment::new(key, found, self.subject), 0));
        self.begin(step);
    }

    fn segment_listed(&mut self, target: &SegmentTarget, included: bool) {
        if let Some(Step::Segment(segment, _)) = self.here() {
            segment.by = Some(if included { "included" } else { "excluded" });
            segment.context_kind = Some(target.kind.as_str().into());
        }
    }

    fn big_segment(&mut self, answer: Option<bool>, status: Option<BigSegmentsStatus>) {
        if let Some(Step::Segment(segment, _)) = self.here() {
            segment.by = answer.map(|_| "bigSegment");
            segment.big_segments_status = status.map(BigSegmentsStatus::as_str);
        }
    }

    fn segment_rule(&mut self, _rule: &SegmentRule) {
        let step = match self.here() {
            Some(Step::Segment(segment, next)) => take(&mut segment.rules, *next),
            _ => None,
        };
        self.begin(step.map(|rule| Step::SegmentRule(rule, 0)));
    }

    fn segment_bucket(&mut self, bucket: Option<f64>) {
        if let Some(Step::SegmentRule(rule, _)) = self.here()
            && let Some(rollout) = &mut rule.rollout
        {
            rollout.bucket = bucket;
        }
    }

    fn segment_rule_ends(&mut self, matched: bool) {
        self.end(|step| {
            if let Step::SegmentRule(rule, _) = step {
                rule.matched = Some(matched);
                // Who was bucketed is in the share or not; nobody is bucketed whom a clause left out.
                let clauses_match = rule
                    .clauses
                    .iter()
                    .all(|clause| clause.matched == Some(true));
                if let Some(rollout) = rule.rollout.as_mut().filter(|_| clauses_match) {
                    for share in &mut rollout.shares {
                        share.chosen = Some(matched);
                    }
                }
            }
        });
    }

    fn segment_ends(&mut self, is_member: bool) {
        self.end(|step| {
            if let Step::Segment(segment, _) = step {
                segment.member = Some(is_member);
                let fallback = match segment.version {
                    None => "missing",
                    Some(_) if is_member => "rule",
                    Some(_) => "nothing",
                };
                segment.by.get_or_insert(fallback);
            }
        });
    }

    fn bucket(&mut self, rollout: &Rollout, bucket: Option<f64>, share: &Share) {
        let choice = match self.here() {
            Some(Step::Rule(rule, _)) => &mut rule.serves,
            Some(Step::Flag { flag, .. }) => &mut flag.fallthrough,
            _ => return,
        };
        let Some(explained) = &mut choice.rollout else {
            return;
        };
        explained.bucket = bucket;
        for (explained, other) in explained.shares.iter_mut().zip(&rollout.shares) {
            explained.chosen = Some(std::ptr::eq(share, other));
        }
    }
}
