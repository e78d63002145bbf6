//! What can be told of an evaluation while it runs, step by step. An ordinary one tells nobody: `()` takes no place and
//! does nothing, so that nothing of this is left in it once it is compiled. Who listens is `explain`'s question.

use super::{BigSegmentsStatus, Outcome};
use crate::model::{
    Flag, Key, Prerequisite, Rollout, Segment, SegmentRule, SegmentTarget, Share, Target,
};

/// Is told of every step. What begins also ends, unless the evaluation ends as malformed on the way.
pub(super) trait Observer {
    /// A flag begins: the one that was asked for, or a prerequisite.
    #[inline]
    fn flag(&mut self, _flag: &Flag) {}
    /// It ends.
    #[inline]
    fn flag_ends(&mut self, _flag: &Flag, _outcome: &Outcome) {}

    /// The next prerequisite of the flag begins.
    #[inline]
    fn prerequisite(&mut self, _needed: &Prerequisite, _found: Option<&Flag>) {}
    /// It ends.
    #[inline]
    fn prerequisite_ends(&mut self, _met: bool) {}

    /// The flag's targets were asked.
    #[inline]
    fn targets(&mut self, _flag: &Flag, _found: Option<&Target>) {}

    /// The next rule of the flag begins.
    #[inline]
    fn rule(&mut self) {}
    /// It ends; what it serves is told before.
    #[inline]
    fn rule_ends(&mut self, _matched: bool) {}

    /// The next clause of a rule, of a flag or a segment, begins.
    #[inline]
    fn clause(&mut self) {}
    /// It ends.
    #[inline]
    fn clause_ends(&mut self, _matched: bool) {}

    /// A segment of a clause begins.
    #[inline]
    fn segment(&mut self, _key: &Key, _found: Option<&Segment>) {}
    /// A list of its members decides.
    #[inline]
    fn segment_listed(&mut self, _target: &SegmentTarget, _included: bool) {}
    /// The store of big segments was asked, as far as there was anything to ask; without an answer the rules decide.
    #[inline]
    fn big_segment(&mut self, _answer: Option<bool>, _status: Option<BigSegmentsStatus>) {}
    /// The next rule of the segment begins.
    #[inline]
    fn segment_rule(&mut self, _rule: &SegmentRule) {}
    /// The bucket that its share is held against.
    #[inline]
    fn segment_bucket(&mut self, _bucket: Option<f64>) {}
    /// It ends.
    #[inline]
    fn segment_rule_ends(&mut self, _matched: bool) {}
    /// The segment ends.
    #[inline]
    fn segment_ends(&mut self, _is_member: bool) {}

    /// The rollout of the rule, or of the flag's fallthrough, chose a share by this bucket.
    #[inline]
    fn bucket(&mut self, _rollout: &Rollout, _bucket: Option<f64>, _share: &Share) {}
}

/// Tells nobody.
impl Observer for () {}
