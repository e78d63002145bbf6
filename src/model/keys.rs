//! Keys with their hashes: a key that is asked for again and again is hashed once.

use std::cmp::Ordering;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// The hash by which keys are found, the same for the life of the process.
#[must_use]
#[inline]
pub fn hash_of(key: &str) -> u64 {
    FixedState::with_seed(0).hash_one(key)
}

/// A key that names a flag or a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    text: Box<str>,
    hash: u64,
}

impl Key {
    /// Its [`hash_of`].
    #[must_use]
    #[inline]
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

impl From<Box<str>> for Key {
    fn from(text: Box<str>) -> Key {
        Key {
            hash: hash_of(&text),
            text,
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        Key::from(Box::from(text))
    }
}

impl std::ops::Deref for Key {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.text
    }
}

/// How many texts are found by halving rather than by their hash.
const FEW: usize = 64;

/// A set of texts.
#[derive(Debug, Default)]
pub struct KeySet(Texts);

#[derive(Debug)]
enum Texts {
    /// Most sets are small: two pieces of memory, whatever their number.
    Few(Joined),
    Many(Box<HashTable<Box<str>>>),
}

/// Texts one after the other, shorter ones first, those of one length in order.
#[derive(Debug, Default)]
struct Joined {
    text: Box<str>,
    ends: Box<[u32]>,
}

impl Default for Texts {
    fn default() -> Texts {
        Texts::Few(Joined::default())
    }
}

impl Joined {
    /// Nothing if they are too long to be joined.
    fn of(texts: &[Box<str>]) -> Option<Joined> {
        let mut sorted: Vec<&str> = texts.iter().map(|text| &**text).collect();
        sorted.sort_unstable_by_key(|text| (text.len(), *text));
        sorted.dedup();
        let mut end = 0_usize;
        let ends = sorted.iter().map(|text| {
            end += text.len();
            u32::try_from(end).ok()
        });
        Some(Joined {
            ends: ends.collect::<Option<_>>()?,
            text: sorted.concat().into(),
        })
    }

    #[inline]
    fn at(&self, place: usize) -> &[u8] {
        let start = match place {
            0 => 0,
            _ => self.ends[place - 1],
        };
        &self.text.as_bytes()[start as usize..self.ends[place] as usize]
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let text = &self.text[start..*end as usize];
            start = *end as usize;
            text
        })
    }

    #[inline]
    fn contains(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let here = self.at(middle);
            match here.len().cmp(&text.len()).then_with(|| here.cmp(text)) {
                Ordering::Equal => return true,
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        false
    }
}

impl KeySet {
    /// Whether the text is in it.
    #[must_use]
    #[inline]
    pub fn contains(&self, text: &str) -> bool {
        match &self.0 {
            Texts::Few(few) => few.contains(text),
            Texts::Many(table) => table.find(hash_of(text), |one| **one == *text).is_some(),
        }
    }

    /// Whether the text with this [`hash_of`] is in it.
    #[must_use]
    #[inline]
    pub fn contains_hashed(&self, text: &str, hash: u64) -> bool {
        match &self.0 {
            Texts::Few(few) => few.contains(text),
            Texts::Many(table) => table.find(hash, |one| **one == *text).is_some(),
        }
    }

    /// All texts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (few, many) = match &self.0 {
            Texts::Few(few) => (Some(few), None),
            Texts::Many(table) => (None, Some(table.iter())),
        };
        let few = few.into_iter().flat_map(Joined::iter);
        few.chain(many.into_iter().flatten().map(|text| &**text))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Texts::Few(few) => few.ends.len(),
            Texts::Many(table) => table.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Texts::Few(few) => few.ends.is_empty(),
            Texts::Many(table) => table.is_empty(),
        }
    }
}

impl From<Vec<Box<str>>> for KeySet {
    fn from(texts: Vec<Box<str>>) -> KeySet {
        if texts.len() <= FEW
            && let Some(few) = Joined::of(&texts)
        {
            return KeySet(Texts::Few(few));
        }
        let mut table: HashTable<Box<str>> = HashTable::with_capacity(texts.len());
        for text in texts {
            let hash = hash_of(&text);
            if table.find(hash, |one| **one == *text).is_none() {
                table.insert_unique(hash, text, |one| hash_of(one));
            }
        }
        KeySet(Texts::Many(Box::new(table)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_any_size_has_its_texts_and_no_other() {
        for size in [0, 1, 2, 13, FEW / 2, FEW / 2 + 1, 100] {
            let texts = (0..size).map(|n| format!("key-{n}").into_boxed_str());
            let set = KeySet::from(texts.clone().chain(texts).collect::<Vec<_>>());
            assert_eq!(set.is_empty(), size == 0);
            let all: std::collections::BTreeSet<_> = set.iter().collect();
            assert_eq!(all.len(), size);
            for n in 0..=size {
                let text = format!("key-{n}");
                assert_eq!(set.contains(&text), n < size, "{text} of {size}");
                assert_eq!(set.contains_hashed(&text, hash_of(&text)), n < size);
            }
        }
    }
}
