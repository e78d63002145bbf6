//! Whether all flags that a flag depends on are on and serve what it needs.
//! Walks with a list of its own instead of by recursion: a long chain of flags must not use up the caller's stack.

use super::{Evaluation, Lookup, Malformed, Outcome, Reason, Subject, off};
use crate::model::Flag;

/// How many flags may depend on each other in a row. Each is compared with all before it, so there has to be an end.
const LONGEST: usize = 4096;

/// A flag on the way whose prerequisites are being asked.
struct Step<'f> {
    /// The key by which it was found.
    key: &'f str,
    flag: &'f Flag,
    /// The position of the prerequisite in question.
    index: usize,
}

impl<'a, S: Subject, L: Lookup> Evaluation<'a, S, L> {
    /// The position of the first prerequisite that fails. Two flags may share one: only a cycle is malformed.
    pub(super) fn failed_prerequisite(
        &mut self,
        flag: &'a Flag,
    ) -> Result<Option<usize>, Malformed> {
        if flag.prerequisites.is_empty() {
            return Ok(None);
        }
        let lookup = self.lookup;
        let step = |key, flag| Step {
            key,
            flag,
            index: 0,
        };
        // From the flag that was asked for to the one in question.
        let mut path = vec![step(&flag.key, flag)];
        let mut answered: Option<(&Flag, Outcome)> = None;
        while let Some(Step {
            flag: of, index, ..
        }) = path.last_mut()
        {
            let (of, needed) = (*of, of.prerequisites.get(*index));
            let failed = match (needed, answered.take()) {
                (None, _) => None,
                (Some(needed), Some((prerequisite, outcome))) => {
                    self.recorder.evaluated(prerequisite, of, &outcome);
                    let served = outcome.variation.and_then(|n| i64::try_from(n).ok());
                    if prerequisite.on && served == Some(needed.variation) {
                        *index += 1;
                        continue;
                    }
                    Some(*index)
                }
                (Some(needed), None) => {
                    let index = *index;
                    if path.len() > LONGEST || path.iter().any(|step| *step.key == *needed.key) {
                        return Err(Malformed);
                    }
                    self.recorder.asked(&needed.key, of);
                    match lookup.flag(&needed.key) {
                        Some(prerequisite) if prerequisite.on => {
                            path.push(step(&needed.key, prerequisite));
                            continue;
                        }
                        // It is told of even when it is off: the service counts it.
                        Some(prerequisite) => {
                            answered = Some((prerequisite, off(prerequisite, Reason::Off)));
                            continue;
                        }
                        None => Some(index),
                    }
                }
            };
            path.pop();
            if path.is_empty() {
                return Ok(failed);
            }
            let outcome = match failed {
                Some(index) => off(of, Reason::PrerequisiteFailed { index }),
                None => self.targets_and_rules(of)?,
            };
            answered = Some((of, outcome));
        }
        Ok(None)
    }
}
