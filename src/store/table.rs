//! An immutable table of items by key, in shards: changing one item copies one shard and shares all others.

use std::sync::Arc;

use hashbrown::HashTable;

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
        let count = (items.len() / SHARD_SIZE).next_power_of_two();
        let mut shards: Vec<Shard<T>> = (0..count)
            .map(|_| HashTable::with_capacity(SHARD_SIZE.min(items.len())))
            .collect();
        for item in items {
            let hash = hash_of(&item.key);
            put(&mut shards[shard_of(hash, count)], hash, Arc::new(item));
        }
        let len = shards.iter().map(HashTable::len).sum();
        Table {
            shards: shards.into_iter().map(Arc::new).collect(),
            len,
        }
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
        let shard = &self.shards[shard_of(hash, self.shards.len())];
        shard
            .find(hash, |item| *item.key == *key)
            .map(|item| &item.entry)
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

#[inline]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the high half of the hash is what is wanted"
)]
fn shard_of(hash: u64, count: usize) -> usize {
    (hash >> 40) as usize & (count - 1)
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
