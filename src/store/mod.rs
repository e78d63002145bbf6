//! The flags and segments that are known: one immutable snapshot, and the changes that lead from it to the next.
//! Beside it, the databases that keep them for other processes.
//! Where changes come from is `source`'s question; who holds the current snapshot is `client`'s.

mod big_segments;
mod change;
mod dependents;
mod difference;
pub mod fetch;
mod fingerprint;
mod payload;
mod persistent;
pub mod redis;
mod redis_big_segments;
mod redis_items;
mod snapshot;
mod table;

pub use big_segments::{BigSegmentStore, context_hash};
pub use change::{Change, DataError, DataKind, Original, read_flag, read_segment, tombstone};
pub use dependents::{Touched, affected_flags};
pub use fingerprint::Fingerprint;
pub use persistent::{PersistentStore, StoreError, Texts};
pub use redis_big_segments::RedisBigSegments;
pub use redis_items::RedisStore;
pub use snapshot::{Applied, Snapshot};
pub use table::{Entry, Item, Table};
