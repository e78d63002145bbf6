//! Whether all flags that a flag depends on are on and serve what it needs.

use super::observer::Observer;
use super::{Chain, Evaluation, Lookup, Malformed, Subject};
use crate::model::Flag;

impl<S: Subject, L: Lookup, O: Observer> Evaluation<'_, S, L, O> {
    /// The position of the first prerequisite that fails. Two flags may share one: only a cycle is malformed.
    pub(super) fn failed_prerequisite(
        &mut self,
        flag: &Flag,
        chain: &Chain<'_>,
    ) -> Result<Option<usize>, Malformed> {
        for (index, needed) in flag.prerequisites.iter().enumerate() {
            let found = self.lookup.flag(&needed.key);
            self.observer.prerequisite(needed, found);
            if chain.forbids(&needed.key) {
                return Err(Malformed);
            }
            self.recorder.asked(&needed.key, flag);
            let Some(prerequisite) = found else {
                self.observer.prerequisite_ends(false);
                return Ok(Some(index));
            };
            // It is evaluated even when it is off: the service counts it.
            let outcome = self.flag(prerequisite, &Chain::of(&needed.key, Some(chain)))?;
            self.recorder.evaluated(prerequisite, flag, &outcome);
            let served = outcome.variation.and_then(|n| i64::try_from(n).ok());
            let is_met = prerequisite.on && served == Some(needed.variation);
            self.observer.prerequisite_ends(is_met);
            if !is_met {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}
