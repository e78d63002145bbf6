//! What a persistent store can do, by one trait: items as JSON text, by kind and key. Where they are kept is the
//! question of those who implement it, when they are read and written that of `client`.

use std::fmt;

use super::change::DataKind;

/// Why a store could not do what it was asked, in words for the log, without addresses or data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// Items by key, as JSON text.
pub type Texts = Vec<(Box<str>, Box<str>)>;

/// A database of flags and segments, shared with other processes. Any thread may call it; every call may wait for I/O,
/// within the store's own time-outs. Deleted items stay, as `{"key", "version", "deleted": true}`.
pub trait PersistentStore: Send + Sync {
    /// All items of a kind, deleted ones too.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn all(&self, kind: DataKind) -> Result<Texts, StoreError>;

    /// The items of these keys, in this order; `None` for one that is not there.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn get(&self, kind: DataKind, keys: &[Box<str>]) -> Result<Vec<Option<Box<str>>>, StoreError>;

    /// Replaces everything, and notes that the store holds whole data.
    ///
    /// # Errors
    /// When the store cannot be written; what it holds then is unknown.
    fn init(&self, flags: &Texts, segments: &Texts) -> Result<(), StoreError>;

    /// Puts an item in unless the store has that version or a newer one.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn upsert(&self, kind: DataKind, key: &str, version: i64, text: &str)
    -> Result<(), StoreError>;

    /// Whether anyone ever wrote whole data.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn initialized(&self) -> Result<bool, StoreError>;

    /// Whether the store answers.
    fn is_available(&self) -> bool {
        self.initialized().is_ok()
    }
}
