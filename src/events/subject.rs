//! Whom something happened to, as the recorder sees it: a key and kinds at once, the whole context only when an event
//! must carry it.

use std::sync::Arc;

use crate::model::{Context, Individual, Kind};

/// A context, or something that can become one.
///
/// `key_hash` and `each_kind` are called while a lock is held: they must return at once and call nothing that could
/// wait, such as code in Python. The other methods are called without a lock.
pub trait Subject {
    /// The hash of its fully qualified key, as `Context::key_hash` gives it.
    fn key_hash(&self) -> u64;

    /// Calls back with each of its kinds.
    fn each_kind(&self, f: impl FnMut(&Kind));

    /// The whole context; `None` if there is none to be had, which drops the events that need it.
    fn to_context(&self) -> Option<Arc<Context>>;

    /// The hash of what its fully qualified key is without its anonymous parts; `None` if nothing is left.
    /// Asked only by clients that omit anonymous contexts; worth its own form where a context is costly to make.
    fn named_key_hash(&self) -> Option<u64> {
        named_key_hash(&*self.to_context()?)
    }
}

impl Subject for Arc<Context> {
    #[inline]
    fn key_hash(&self) -> u64 {
        Context::key_hash(self)
    }

    #[inline]
    fn each_kind(&self, mut f: impl FnMut(&Kind)) {
        for individual in self.individuals() {
            f(individual.kind());
        }
    }

    fn to_context(&self) -> Option<Arc<Context>> {
        Some(self.clone())
    }

    fn named_key_hash(&self) -> Option<u64> {
        named_key_hash(self)
    }
}

fn named_key_hash(context: &Context) -> Option<u64> {
    if context.individuals().iter().any(Individual::anonymous) {
        context.without_anonymous().map(|named| named.key_hash())
    } else {
        Some(context.key_hash())
    }
}
