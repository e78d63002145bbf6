//! An immutable table of items by key, in shards: changing one item copies one shard and shares all others.

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashTable;

use super::fingerprint::Fingerprint;
use crate::model::hash_of;

/// How many items a shard holds on average when a table is built. A change copies that many pointers.
const SHARD_SIZE: usize = 64;

/// Items by key.
#[derive(Debug)]
pub struct Table<T> {
    /// A power of two of them, chosen by the top bits of the hash (the table inside uses the low ones and seven others).
    shards: Box<[Arc<Shard<T>>]>,
    len: usize,
}

type Shard<T> = HashTable<Arc<Item<T>>>;

/// What is known under a key.
#[derive(Debug)]
pub struct Item<T> {
    /// The key under which it arrived.
    pub key: Box<str>,
    /// What arrived.
    pub entry: Entry<T>,
    /// Of the text it was read from; `None` where there was none.
    pub text: Option<Fingerprint>,
}

/// The state of an item.
#[derive(Debug)]
pub enum Entry<T> {
    /// Ready to use.
    Live(T),
    /// Its data cannot be used. It harms no other item.
    Malformed {
        /// As far as it could be read, else 0.
        version: i64,
        /// What is wrong with it, in words for the log.
        error: Box<str>,
    },
    /// It was deleted; kept so that an older update does not bring it back.
    Deleted {
        /// The version of the deletion.
        version: i64,
    },
}

impl<T> Item<T> {
    /// Whether there is nothing under the key.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.entry, Entry::Deleted { .. })
    }
}

impl<T> Entry<T> {
    /// Its version, which `of` tells of a live item.
    pub fn version_or(&self, of: impl FnOnce(&T) -> i64) -> i64 {
        match self {
            Entry::Live(item) => of(item),
            Entry::Malformed { version, .. } | Entry::Deleted { version } => *version,
        }
    }
}

/// Shares all shards.
impl<T> Clone for Table<T> {
    fn clone(&self) -> Table<T> {
        Table {
            shards: self.shards.clone(),
            len: self.len,
        }
    }
}

impl<T> Table<T> {
    /// A table of these items; the last of two of one key wins.
    #[must_use]
    pub fn new(items: Vec<Item<T>>) -> Table<T> {
        Table::of(items.into_iter().map(Arc::new))
    }

    fn of(items: impl ExactSizeIterator<Item = Arc<Item<T>>>) -> Table<T> {
        let (size, count) = (items.len(), shards_for(items.len()));
        let mut shards: Vec<Shard<T>> = (0..count)
            .map(|_| HashTable::with_capacity(SHARD_SIZE.min(size)))
            .collect();
        for item in items {
            let hash = hash_of(&item.key);
            put(&mut shards[shard_of(hash, count)], hash, item);
        }
        let len = shards.iter().map(HashTable::len).sum();
        Table {
            shards: shards.into_iter().map(Arc::new).collect(),
            len,
        }
    }

    /// The same table without those that are gone, and with these items put in or replaced. What is not touched is
    /// shared, unless there are so many more or less that a table of all would have another number of shards.
    #[must_use]
    pub fn changed(&self, items: Vec<Item<T>>, gone: &[Box<str>]) -> Table<T> {
        if items.is_empty() && gone.is_empty() {
            return self.clone();
        }
        let count = self.shards.len();
        let new = items.iter().filter(|item| self.item(&item.key).is_none());
        let len = (self.len + new.count()).saturating_sub(gone.len());
        if shards_for(len) != count {
            let gone: HashSet<&str> = gone.iter().map(|key| &**key).collect();
            let old = self.shards.iter().flat_map(|shard| shard.iter());
            let kept = old.filter(|item| !gone.contains(&*item.key)).cloned();
            let all: Vec<_> = kept.chain(items.into_iter().map(Arc::new)).collect();
            return Table::of(all.into_iter());
        }
        let mut fresh: Vec<Option<Shard<T>>> = (0..count).map(|_| None).collect();
        for key in gone {
            let hash = hash_of(key);
            let shard = opened(&mut fresh, &self.shards, hash);
            if let Ok(found) = shard.find_entry(hash, |item| item.key == *key) {
                found.remove();
            }
        }
        for item in items {
            let hash = hash_of(&item.key);
            put(opened(&mut fresh, &self.shards, hash), hash, Arc::new(item));
        }
        let shards: Box<[Arc<Shard<T>>]> = fresh
            .into_iter()
            .zip(&self.shards)
            .map(|(fresh, old)| fresh.map_or_else(|| Arc::clone(old), Arc::new))
            .collect();
        let len = shards.iter().map(|shard| shard.len()).sum();
        Table { shards, len }
    }

    /// The item under the key.
    #[must_use]
    pub fn item(&self, key: &str) -> Option<&Item<T>> {
        self.found(key, hash_of(key)).map(|item| &**item)
    }

    #[inline]
    fn found(&self, key: &str, hash: u64) -> Option<&Arc<Item<T>>> {
        let shard = &self.shards[shard_of(hash, self.shards.len())];
        shard.find(hash, |item| *item.key == *key)
    }

    /// What is known under the key.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Entry<T>> {
        self.get_hashed(key, hash_of(key))
    }

    /// What is known under the key with this `hash_of`.
    #[must_use]
    #[inline]
    pub fn get_hashed(&self, key: &str, hash: u64) -> Option<&Entry<T>> {
        self.found(key, hash).map(|item| &item.entry)
    }

    /// The same table with one item put in or replaced.
    #[must_use]
    pub fn with(&self, item: Item<T>) -> Table<T> {
        let hash = hash_of(&item.key);
        let index = shard_of(hash, self.shards.len());
        let mut shards = self.shards.clone();
        let mut shard = Shard::clone(&shards[index]);
        let before = shard.len();
        put(&mut shard, hash, Arc::new(item));
        let len = self.len + shard.len() - before;
        shards[index] = Arc::new(shard);
        Table { shards, len }
    }

    /// All items, in no particular but always the same order.
    pub fn iter(&self) -> impl Iterator<Item = &Item<T>> {
        self.shards
            .iter()
            .flat_map(|shard| shard.iter())
            .map(|item| &**item)
    }

    /// How many items there are, malformed and deleted ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn shards_for(len: usize) -> usize {
    (len / SHARD_SIZE).next_power_of_two()
}

#[inline]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the high half of the hash is what is wanted"
)]
fn shard_of(hash: u64, count: usize) -> usize {
    (hash >> 40) as usize & (count - 1)
}

/// The copy of the shard that the hash belongs to.
fn opened<'f, T>(
    fresh: &'f mut [Option<Shard<T>>],
    old: &[Arc<Shard<T>>],
    hash: u64,
) -> &'f mut Shard<T> {
    let index = shard_of(hash, old.len());
    fresh[index].get_or_insert_with(|| Shard::clone(&old[index]))
}

fn put<T>(shard: &mut Shard<T>, hash_of_item: u64, item: Arc<Item<T>>) {
    match shard.find_mut(hash_of_item, |other| other.key == item.key) {
        Some(place) => *place = item,
        None => {
            shard.insert_unique(hash_of_item, item, |other| hash_of(&other.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: usize) -> Item<usize> {
        Item {
            key: format!("key-{n}").into(),
            entry: Entry::Live(n),
            text: None,
        }
    }

    fn live(table: &Table<usize>, n: usize) -> Option<usize> {
        match table.get(&format!("key-{n}")) {
            Some(Entry::Live(value)) => Some(*value),
            _ => None,
        }
    }

    #[test]
    fn every_item_is_found_at_any_size() {
        for size in [0, 1, 63, 64, 129, 5_000] {
            let table = Table::new((0..size).map(item).collect());
            assert_eq!(table.len(), size);
            assert_eq!(table.iter().count(), size);
            assert!((0..size).all(|n| live(&table, n) == Some(n)));
            assert_eq!(live(&table, size), None);
        }
    }

    #[test]
    fn a_change_leaves_the_old_table_and_all_other_shards_as_they_are() {
        let old = Table::new((0..5_000).map(item).collect());
        let new = old
            .with(Item {
                key: "key-7".into(),
                entry: Entry::Live(70),
                text: None,
            })
            .with(item(5_000));
        assert_eq!(
            (live(&old, 7), live(&new, 7), live(&new, 5_000)),
            (Some(7), Some(70), Some(5_000))
        );
        assert_eq!((old.len(), new.len()), (5_000, 5_001));
        let shared = old
            .shards
            .iter()
            .zip(&new.shards)
            .filter(|(a, b)| Arc::ptr_eq(a, b))
            .count();
        assert!(shared >= old.shards.len() - 2);
    }
}
