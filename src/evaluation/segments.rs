//! Whether a context belongs to a segment: by its lists, its rules, other segments, or a big segment store.

use super::observer::Observer;
use super::{
    BigSegmentsStatus, Chain, Evaluation, Lookup, Malformed, Part, Subject, bucketing,
    clauses::Known,
};
use crate::model::{Key, Segment, SegmentRule, SegmentTarget};

impl<S: Subject, L: Lookup, O: Observer> Evaluation<'_, S, L, O> {
    /// Whether the context is in any of these. A segment that does not exist has no members.
    pub(super) fn any_segment(
        &mut self,
        keys: &[Key],
        chain: Option<&Chain<'_>>,
    ) -> Result<bool, Malformed> {
        for key in keys {
            let found = self.lookup.segment(key);
            self.observer.segment(key, found);
            let is_member = match found {
                Some(segment) => self.segment(segment, chain)?,
                None => false,
            };
            self.observer.segment_ends(is_member);
            if is_member {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn segment(&mut self, segment: &Segment, chain: Option<&Chain<'_>>) -> Result<bool, Malformed> {
        if chain.is_some_and(|chain| chain.forbids(&segment.key)) {
            return Err(Malformed);
        }
        if segment.unbounded {
            let answer = self.big_segment(segment);
            self.observer.big_segment(answer, self.status);
            if let Some(answer) = answer {
                return Ok(answer);
            }
        } else {
            if let Some(target) = self.target_of(&segment.included) {
                self.observer.segment_listed(target, true);
                return Ok(true);
            }
            if let Some(target) = self.target_of(&segment.excluded) {
                self.observer.segment_listed(target, false);
                return Ok(false);
            }
        }
        let chain = Chain::of(&segment.key, chain);
        for rule in &segment.rules {
            self.observer.segment_rule(rule);
            let matched = self.segment_rule(rule, &chain)?;
            self.observer.segment_rule_ends(matched);
            if matched {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn target_of<'t>(&self, targets: &'t [SegmentTarget]) -> Option<&'t SegmentTarget> {
        targets.iter().find(|target| {
            self.subject
                .part(&target.kind)
                .is_some_and(|part| target.keys.contains_hashed(part.key(), part.key_hash()))
        })
    }

    fn segment_rule(&mut self, rule: &SegmentRule, chain: &Chain<'_>) -> Result<bool, Malformed> {
        if !self.all_match(&rule.clauses, &mut Known::default(), Some(chain))? {
            return Ok(false);
        }
        let Some(weight) = rule.weight else {
            return Ok(true);
        };
        let bucket = bucketing::bucket(
            &rule.prefix,
            self.subject,
            &rule.kind,
            rule.bucket_by.as_ref(),
        )
        .map_err(|_| Malformed)?;
        self.observer.segment_bucket(bucket);
        // Without a part of that kind the bucket counts as below every weight (as launchdarkly-server-sdk 9.20).
        #[allow(clippy::cast_precision_loss, reason = "weights are at most 100,000")]
        Ok(bucket.is_none_or(|bucket| bucket < weight as f64 / 100_000.0))
    }

    /// What the store says; `None` leaves the answer to the segment's rules.
    fn big_segment(&mut self, segment: &Segment) -> Option<bool> {
        let Some(generation) = segment.generation else {
            // Data written by an old SDK may lack the generation; then the store cannot be asked.
            self.status = Some(BigSegmentsStatus::NotConfigured);
            return Some(false);
        };
        let Some(part) = self.subject.part(&segment.unbounded_kind) else {
            return Some(false);
        };
        let key = part.key();
        let known = self
            .memberships
            .iter()
            .position(|(asked, _)| **asked == *key);
        let index = known.unwrap_or_else(|| {
            // As launchdarkly-server-sdk 9.20: the rules can be asked without a store too.
            let (membership, status) = self
                .big_segments
                .map_or((None, BigSegmentsStatus::NotConfigured), |store| {
                    store.membership(key)
                });
            // Only what is asked tells a status: the last one asked is told, even when an earlier key comes up again.
            self.status = Some(status);
            self.memberships.push((key.into(), membership));
            self.memberships.len() - 1
        });
        let membership = self.memberships[index].1.as_deref()?;
        membership
            .get(&*format!("{}.g{generation}", segment.key))
            .copied()
    }
}
