//! Which contexts were seen lately, by the hash of their key. What a first sight means is the recorder's question.

use std::hash::{BuildHasher, Hasher};

/// Hands on the number, which is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

impl BuildHasher for AsItIs {
    type Hasher = AsItIs;

    fn build_hasher(&self) -> AsItIs {
        AsItIs(0)
    }
}

type Keys = hashbrown::HashSet<u64, AsItIs>;

/// The keys of two generations. A key that is seen again moves to the young one; when that is full it becomes the old
/// one, and what was old and not seen again is forgotten. So the last `capacity` different keys are always known.
#[derive(Debug)]
pub(super) struct Seen {
    young: Keys,
    old: Keys,
    /// The key that was noted last; it is among the young.
    last: Option<u64>,
    capacity: usize,
}

impl Seen {
    pub(super) fn new(capacity: usize) -> Seen {
        Seen {
            young: Keys::default(),
            old: Keys::default(),
            last: None,
            capacity,
        }
    }

    /// Notes a key; tells whether it was known.
    #[inline]
    pub(super) fn note(&mut self, key: u64) -> bool {
        self.last == Some(key) || self.note_another(key)
    }

    fn note_another(&mut self, key: u64) -> bool {
        let known = self.young.contains(&key) || self.note_in_young(key);
        self.last = Some(key).filter(|_| self.capacity > 0);
        known
    }

    fn note_in_young(&mut self, key: u64) -> bool {
        if self.capacity == 0 {
            return false;
        }
        let known = self.old.contains(&key);
        if self.young.len() >= self.capacity {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(key);
        known
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_from_its_second_sight_until_all_are_forgotten() {
        let mut seen = Seen::new(10);
        assert!(!seen.note(1));
        assert!(seen.note(1));
        seen.clear();
        assert!(!seen.note(1));
    }

    #[test]
    fn memory_is_bounded_and_the_latest_keys_are_always_known() {
        let mut seen = Seen::new(100);
        for key in 0..10_000 {
            assert!(!seen.note(key));
            assert!(seen.young.len() <= 100 && seen.old.len() <= 100);
            assert!(
                key < 40 || seen.note(key - 40),
                "80 other keys at most came since"
            );
        }
        assert!(!seen.note(0));
    }

    #[test]
    fn a_key_that_keeps_coming_is_never_forgotten() {
        let mut seen = Seen::new(10);
        seen.note(u64::MAX);
        for key in 0..1_000 {
            seen.note(key);
            assert!(seen.note(u64::MAX));
        }
    }

    #[test]
    fn without_capacity_nothing_is_ever_known() {
        let mut seen = Seen::new(0);
        assert!(!seen.note(1));
        assert!(!seen.note(1));
    }
}
