//! Whether a context's key is named by the flag itself.

use super::{Part, Subject};
use crate::model::Flag;

/// The variation that the flag gives to this very key. The order of the targets was settled when the flag arrived.
pub(super) fn target(flag: &Flag, subject: &impl Subject) -> Option<i64> {
    flag.targets
        .iter()
        .find(|target| {
            subject
                .part(&target.kind)
                .is_some_and(|part| target.keys.contains_hashed(part.key(), part.key_hash()))
        })
        .map(|target| target.variation)
}
