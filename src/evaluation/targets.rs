//! Whether a context's key is named by the flag itself.

use super::{Part, Subject};
use crate::model::{Flag, Target};

/// The target that names this very key. The order of the targets was settled when the flag arrived.
pub(super) fn target<'f>(flag: &'f Flag, subject: &impl Subject) -> Option<&'f Target> {
    flag.targets.iter().find(|target| {
        subject
            .part(&target.kind)
            .is_some_and(|part| target.keys.contains_hashed(part.key(), part.key_hash()))
    })
}
