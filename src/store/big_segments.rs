//! Where the members of big segments are looked up: what a store must answer, and how it names contexts. What is
//! remembered of its answers, and what they are worth, is the client's question.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::persistent::StoreError;
use crate::evaluation::Membership;

/// A store of the members of big segments, written by a relay. Asked by many threads at a time.
pub trait BigSegmentStore: Send + Sync {
    /// What it says of the context with this hash; `None` if no segment names it.
    ///
    /// # Errors
    /// It did not answer, or not in a form that can be understood.
    fn membership(&self, context_hash: &str) -> Result<Option<Membership>, StoreError>;

    /// When it was last brought up to date, in milliseconds since 1970; `None` if it never was.
    ///
    /// # Errors
    /// It did not answer, or not in a form that can be understood.
    fn last_updated_ms(&self) -> Result<Option<i64>, StoreError>;

    /// Runs a short wait for another thread's question to this store. One that is asked through an interpreter lets
    /// that other thread have it meanwhile.
    fn aside(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }

    /// The client is closed: the store is not asked again and lets go of what it holds. More calls do nothing.
    fn stop(&self) {}
}

/// The name of a context in a store: all of its key that leaves the process.
#[must_use]
pub fn context_hash(context_key: &str) -> String {
    STANDARD.encode(Sha256::digest(context_key.as_bytes()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_context_is_named_by_the_base64_of_the_sha_256_of_its_key() {
        assert_eq!(
            super::context_hash("user-key"),
            "CEXjZY7cHJG/ydFy7q4+YEFwVrG3/pkJwA4FAjrbfx0="
        );
    }
}
