//! The flags and segments that are known: one immutable snapshot, and the changes that lead from it to the next.
//! Where changes come from is `source`'s question; who holds the current snapshot is `client`'s.

mod big_segments;
mod change;
mod persistent;
pub mod redis;
mod redis_big_segments;
mod snapshot;
mod table;

pub use big_segments::{BigSegmentStore, context_hash};
pub use change::{Change, DataError, DataKind};
pub use persistent::{PersistentStore, StoreError, Texts};
pub use redis_big_segments::RedisBigSegments;
pub use snapshot::{Applied, Snapshot};
pub use table::{Entry, Item, Table};
