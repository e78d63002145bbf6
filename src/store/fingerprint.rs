//! Whether a text is the one that is known already, told without keeping the text.

use sha2::{Digest, Sha256};

/// Of an item's JSON, as its bytes stand in the data. Two texts of one fingerprint cannot be made on purpose: whoever
/// may name a key in a flag's data could otherwise keep a change of that flag from everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of this text.
    #[must_use]
    pub fn of(text: &str) -> Fingerprint {
        Fingerprint(Sha256::digest(text.as_bytes()).into())
    }
}
