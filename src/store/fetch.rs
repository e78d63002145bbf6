//! Reads from a persistent store what is needed: everything, or one flag with all that it rests on. Items are compiled
//! only when their text has changed. When that happens is the client's question.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::change::{Change, DataKind, read_flag, read_segment};
use super::persistent::{PersistentStore, StoreError};
use super::snapshot::Snapshot;
use super::table::{Entry, Item};
use crate::model::{Clause, Flag, Segment, Test};

const HASHER: FixedState = FixedState::with_seed(7);

/// How many items one evaluation may rest on; a store's content is not ours to trust.
const MOST_ITEMS: usize = 10_000;

/// What was read last: the hash of each item's text, and what the item rests on.
#[derive(Debug, Default)]
pub struct Known {
    items: HashMap<(DataKind, Box<str>), KnownItem, FixedState>,
    /// Of everything together.
    all: Option<u64>,
}

#[derive(Clone, Debug)]
struct KnownItem {
    hash: u64,
    needs: Needs,
}

/// Keys that an item refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Needs {
    flags: Vec<Box<str>>,
    segments: Vec<Box<str>>,
}

/// What has changed since it was read last.
#[derive(Debug, Default)]
pub struct Found {
    /// Flags, new, changed, or found to be gone.
    pub flags: Vec<Item<Flag>>,
    /// Segments, the same.
    pub segments: Vec<Item<Segment>>,
    /// What is worth a warning, in words for the log.
    pub remarks: Vec<String>,
    seen: Vec<((DataKind, Box<str>), KnownItem)>,
}

impl Found {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty() && self.segments.is_empty()
    }
}

impl Known {
    /// Forgets what was read: the items in memory come from elsewhere now.
    pub fn clear(&mut self) {
        *self = Known::default();
    }

    /// Remembers what was found, once it is applied.
    pub fn remember(&mut self, found: &mut Found) {
        self.items.extend(found.seen.drain(..));
    }

    /// Remembers the whole content; says whether it differs from the last one.
    pub fn differs(&mut self, hash: u64) -> bool {
        self.all.replace(hash) != Some(hash)
    }
}

/// A flag and everything that it rests on. `known` is locked by the caller for a moment only, through `ask`.
///
/// # Errors
/// When the store cannot be asked.
pub fn flag_with_needs(
    store: &dyn PersistentStore,
    key: &str,
    known: &std::sync::Mutex<Known>,
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut asked: HashSet<(DataKind, Box<str>), FixedState> = HashSet::default();
    let mut wanted = Needs {
        flags: vec![key.into()],
        segments: Vec::new(),
    };
    loop {
        let mut next = Needs::default();
        for kind in [DataKind::Flag, DataKind::Segment] {
            let mut keys = std::mem::take(match kind {
                DataKind::Flag => &mut wanted.flags,
                DataKind::Segment => &mut wanted.segments,
            });
            keys.retain(|key| asked.insert((kind, key.clone())));
            if keys.is_empty() || asked.len() > MOST_ITEMS {
                continue;
            }
            let texts = store.get(kind, &keys)?;
            for (key, text) in keys.into_iter().zip(texts) {
                let needs = found.take(kind, key, text.as_deref(), known);
                next.flags.extend(needs.flags);
                next.segments.extend(needs.segments);
            }
        }
        if next == Needs::default() {
            return Ok(found);
        }
        wanted = next;
    }
}

/// Everything, and the hash of it.
///
/// # Errors
/// When the store cannot be asked.
pub fn everything(store: &dyn PersistentStore) -> Result<(Content, u64), StoreError> {
    let mut flags = store.all(DataKind::Flag)?;
    let mut segments = store.all(DataKind::Segment)?;
    // A hash of Redis has no order that one could rely on.
    flags.sort_unstable();
    segments.sort_unstable();
    let hash = HASHER.hash_one((&flags, &segments));
    Ok((Content { flags, segments }, hash))
}

/// The whole content of a store, not compiled yet.
#[derive(Debug)]
pub struct Content {
    flags: super::persistent::Texts,
    segments: super::persistent::Texts,
}

impl Content {
    /// Compiles it.
    #[must_use]
    pub fn compile(&self) -> Found {
        let mut found = Found::default();
        for (key, text) in &self.flags {
            found.flags.push(read_flag(key, text, &mut found.remarks));
        }
        for (key, text) in &self.segments {
            let segment = read_segment(key, text, &mut found.remarks);
            found.segments.push(segment);
        }
        found
    }

    /// Compiles what differs from what is known.
    #[must_use]
    pub fn change(&self, known: &Arc<Snapshot>) -> Change {
        Change::of_texts(known, &self.flags, &self.segments)
    }
}

impl Found {
    /// Takes an item in, and tells what it rests on.
    fn take(
        &mut self,
        kind: DataKind,
        key: Box<str>,
        text: Option<&str>,
        known: &std::sync::Mutex<Known>,
    ) -> Needs {
        let hash = HASHER.hash_one(text);
        let place = (kind, key);
        {
            let known = known
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(item) = known.items.get(&place).filter(|item| item.hash == hash) {
                return item.needs.clone();
            }
        }
        let key = &place.1;
        let mut needs = Needs::default();
        // What is not there is noted as gone, below every version that could come.
        let gone = Entry::Deleted { version: i64::MIN };
        match kind {
            DataKind::Flag => {
                let item = match text {
                    Some(text) => read_flag(key, text, &mut self.remarks),
                    None => Item {
                        key: key.clone(),
                        entry: gone,
                        text: None,
                    },
                };
                if let Entry::Live(flag) = &item.entry {
                    needs
                        .flags
                        .extend(flag.prerequisites.iter().map(|one| Box::from(&*one.key)));
                    needs.segments_of(flag.rules.iter().flat_map(|rule| &rule.clauses));
                }
                self.flags.push(item);
            }
            DataKind::Segment => {
                let item = match text {
                    Some(text) => read_segment(key, text, &mut self.remarks),
                    None => Item {
                        key: key.clone(),
                        entry: Entry::Deleted { version: i64::MIN },
                        text: None,
                    },
                };
                if let Entry::Live(segment) = &item.entry {
                    needs.segments_of(segment.rules.iter().flat_map(|rule| &rule.clauses));
                }
                self.segments.push(item);
            }
        }
        let item = KnownItem {
            hash,
            needs: needs.clone(),
        };
        self.seen.push((place, item));
        needs
    }
}

impl Needs {
    fn segments_of<'a>(&mut self, clauses: impl Iterator<Item = &'a Clause>) {
        for clause in clauses {
            if let Test::Segments(keys) = &clause.test {
                self.segments
                    .extend(keys.iter().map(|key| Box::from(&**key)));
            }
        }
    }
}
