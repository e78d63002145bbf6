//! Chance: which events of a flag are sent, and identifiers that no other process makes.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static MADE: AtomicU64 = AtomicU64::new(0);

/// 64 unpredictable bits. The standard library's random keys alone would repeat in a forked child, where the thread that
/// forked inherits them: process, time and a running number make the difference.
fn random() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_nanos());
    RandomState::new().hash_one((
        std::process::id(),
        now,
        MADE.fetch_add(1, Ordering::Relaxed),
    ))
}

/// A random identifier in the form of a UUID, version 4.
pub(super) fn random_id() -> String {
    let high = random() & 0xffff_ffff_ffff_0fff | 0x4000;
    let low = random() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
    let mut id = String::with_capacity(36);
    let _ = write!(
        id,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    id
}

/// Picks one in so many.
#[derive(Debug)]
pub(super) struct Sampler(u64);

impl Sampler {
    pub(super) fn new() -> Sampler {
        Sampler::with_seed(random())
    }

    pub(super) fn with_seed(seed: u64) -> Sampler {
        Sampler(seed | 1)
    }

    /// True once in `ratio` times on average; without a ratio always, with 0 never.
    pub(super) fn picks(&mut self, ratio: Option<u64>) -> bool {
        match ratio {
            None | Some(1) => true,
            Some(0) => false,
            Some(n) => self.next().is_multiple_of(n),
        }
    }

    /// xorshift64*: its high bits are good, so they come first.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_of_version_4_and_differ() {
        let (a, b) = (random_id(), random_id());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(a.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&a.as_bytes()[19]), "{a}");
    }

    #[test]
    fn one_in_n_is_picked_none_for_0_and_all_without_a_ratio() {
        let mut sampler = Sampler::with_seed(7);
        let mut picked = |ratio| (0..10_000).filter(|_| sampler.picks(ratio)).count();
        assert_eq!(picked(None), 10_000);
        assert_eq!(picked(Some(1)), 10_000);
        assert_eq!(picked(Some(0)), 0);
        let tenth = picked(Some(10));
        assert!((800..1_200).contains(&tenth), "{tenth}");
    }
}
