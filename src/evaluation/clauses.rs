//! Whether a clause matches: which value is asked, lists as "any of", negation.

use super::observer::Observer;
use super::{Chain, Evaluation, Lookup, Malformed, Operand, Part, Subject, operators};
use crate::model::{AttributeRef, Clause, Role, Test, Value};

/// What is known of the clauses that stand in several rules of a flag: a bit for each.
#[derive(Default)]
pub(super) struct Known {
    asked: u64,
    matched: u64,
}

impl Known {
    #[inline]
    fn of(&self, clause: &Clause) -> Option<bool> {
        let bit = bit_of(clause);
        (self.asked & bit != 0).then_some(self.matched & bit != 0)
    }

    #[inline]
    fn note(&mut self, clause: &Clause, matched: bool) {
        let bit = bit_of(clause);
        self.asked |= bit;
        self.matched |= if matched { bit } else { 0 };
    }
}

/// No bit for a clause that stands alone.
#[inline]
fn bit_of(clause: &Clause) -> u64 {
    match clause.repeated {
        0 => 0,
        number => 1_u64 << ((number - 1) & 63),
    }
}

impl<S: Subject, L: Lookup, O: Observer> Evaluation<'_, S, L, O> {
    /// Whether every clause matches. `chain` is the segments that led here.
    pub(super) fn all_match(
        &mut self,
        clauses: &[Clause],
        known: &mut Known,
        chain: Option<&Chain<'_>>,
    ) -> Result<bool, Malformed> {
        for clause in clauses {
            self.observer.clause();
            let matched = match known.of(clause) {
                Some(matched) => matched,
                None => {
                    let matched = self.clause(clause, chain)?;
                    known.note(clause, matched);
                    matched
                }
            };
            self.observer.clause_ends(matched);
            if !matched {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn clause(&mut self, clause: &Clause, chain: Option<&Chain<'_>>) -> Result<bool, Malformed> {
        if let Test::Segments(keys) = &clause.test {
            return Ok(self.any_segment(keys, chain)? != clause.negate);
        }
        if let Ok(attribute) = &clause.attribute
            && attribute.role() == Role::Kind
            && attribute.members().is_empty()
        {
            let matched = self
                .subject
                .any_kind(&mut |kind| operators::matches(&clause.test, Operand::Str(kind)));
            return Ok(matched != clause.negate);
        }
        let Some(part) = self.subject.part(&clause.kind) else {
            return Ok(false);
        };
        let attribute = clause.attribute.as_ref().map_err(|_| Malformed)?;
        Ok(
            part.with_attribute(attribute, |value| match follow(value, attribute) {
                // A missing attribute never matches, even when negated.
                None => false,
                Some(Operand::Value(Value::Array(items))) => {
                    let mut values = items.iter().map(Operand::of_item);
                    values.any(|item| operators::matches(&clause.test, item)) != clause.negate
                }
                Some(value) => operators::matches(&clause.test, value) != clause.negate,
            }),
        )
    }
}

/// The value at the end of the path; nothing once a step is no object or has no such member.
pub(super) fn follow<'v>(value: Option<Operand<'v>>, path: &AttributeRef) -> Option<Operand<'v>> {
    if path.members().is_empty() {
        return value;
    }
    let Operand::Value(mut value) = value? else {
        return None;
    };
    for name in path.members() {
        value = value.member(name)?;
    }
    Operand::new(value)
}
