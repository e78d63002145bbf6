//! All flags and segments at one moment. Immutable: a change makes the next snapshot, sharing what it did not touch.

use std::collections::HashSet;

use super::change::{Change, What};
use super::difference::Difference;
use super::table::{Entry, Item, Table};
use crate::evaluation::Lookup;
use crate::model::{Flag, Key, Segment};

/// What is known at one moment.
#[derive(Debug)]
pub struct Snapshot {
    flags: Table<Flag>,
    segments: Table<Segment>,
    /// The slot that the next new flag gets.
    next_slot: u32,
    /// Whether any full data has arrived.
    initialized: bool,
}

/// What became of a change.
#[derive(Debug)]
pub enum Applied {
    /// The next snapshot.
    New(Snapshot),
    /// All data arrived, and it is what the snapshot has: the snapshot stays.
    Same,
    /// The snapshot already has this version of the item or a newer one.
    Older,
}

impl Snapshot {
    /// Nothing is known yet.
    #[must_use]
    pub fn empty() -> Snapshot {
        Snapshot {
            flags: Table::new(Vec::new()),
            segments: Table::new(Vec::new()),
            next_slot: 0,
            initialized: false,
        }
    }

    /// The snapshot after the change.
    #[must_use]
    pub fn apply(&self, change: Change) -> Applied {
        match change.what {
            What::Full {
                known,
                flags,
                segments,
            } => {
                if self.initialized
                    && flags.is_none()
                    && segments.is_none()
                    && std::ptr::eq(self, &raw const *known)
                {
                    return Applied::Same;
                }
                Applied::New(known.replaced(flags, segments))
            }
            What::Flag(mut item) => {
                if self.flags.get(&item.key).is_some_and(|old| {
                    old.version_or(|f| f.version) >= item.entry.version_or(|f| f.version)
                }) {
                    return Applied::Older;
                }
                let mut next_slot = self.next_slot;
                if let Entry::Live(flag) = &mut item.entry {
                    // A changed flag keeps its slot, so that tables beside the snapshot stay as small as it is.
                    flag.slot = if let Some(Entry::Live(old)) = self.flags.get(&item.key) {
                        old.slot
                    } else {
                        next_slot += 1;
                        self.next_slot
                    };
                }
                Applied::New(Snapshot {
                    flags: self.flags.with(item),
                    segments: self.segments.clone(),
                    next_slot,
                    ..*self
                })
            }
            What::Segment(item) => {
                if self.segments.get(&item.key).is_some_and(|old| {
                    old.version_or(|s| s.version) >= item.entry.version_or(|s| s.version)
                }) {
                    return Applied::Older;
                }
                Applied::New(Snapshot {
                    flags: self.flags.clone(),
                    segments: self.segments.with(item),
                    ..*self
                })
            }
        }
    }

    /// The snapshot of all data that differs so from this one.
    fn replaced(&self, mut flags: Difference<Flag>, segments: Difference<Segment>) -> Snapshot {
        let mut next_slot = self.next_slot;
        let mut free = None;
        for item in &mut flags.items {
            let Entry::Live(flag) = &mut item.entry else {
                continue;
            };
            flag.slot = if let Some(Entry::Live(old)) = self.flags.get(&item.key) {
                old.slot
            } else {
                let free = free.get_or_insert_with(|| self.free_slots(&flags.gone).into_iter());
                free.next().unwrap_or_else(|| {
                    next_slot += 1;
                    next_slot - 1
                })
            };
        }
        Snapshot {
            flags: self.flags.changed(flags.items, &flags.gone),
            segments: self.segments.changed(segments.items, &segments.gone),
            next_slot,
            initialized: true,
        }
    }

    /// The slots that no flag has once these are gone.
    fn free_slots(&self, gone: &[Box<str>]) -> Vec<u32> {
        let gone: HashSet<&str> = gone.iter().map(|key| &**key).collect();
        let taken: HashSet<u32> = self
            .flags
            .iter()
            .filter(|item| !gone.contains(&*item.key))
            .filter_map(|item| match &item.entry {
                Entry::Live(flag) => Some(flag.slot),
                _ => None,
            })
            .collect();
        (0..self.next_slot)
            .filter(|slot| !taken.contains(slot))
            .collect()
    }

    /// The snapshot with what a store was found to hold: these items as they are, whatever their versions. It is data
    /// to answer from.
    #[must_use]
    pub fn with_found(&self, flags: Vec<Item<Flag>>, segments: Vec<Item<Segment>>) -> Snapshot {
        let mut next = Snapshot {
            flags: self.flags.clone(),
            segments: self.segments.clone(),
            next_slot: self.next_slot,
            initialized: true,
        };
        for mut item in flags {
            if let Entry::Live(flag) = &mut item.entry {
                flag.slot = match next.flags.get(&item.key) {
                    Some(Entry::Live(old)) => old.slot,
                    _ => {
                        next.next_slot += 1;
                        next.next_slot - 1
                    }
                };
            }
            next.flags = next.flags.with(item);
        }
        for item in segments {
            next.segments = next.segments.with(item);
        }
        next
    }

    /// What is known of a segment.
    #[must_use]
    pub fn segment_entry(&self, key: &str) -> Option<&Entry<Segment>> {
        self.segments.get(key)
    }

    /// What is known of a flag.
    #[must_use]
    #[inline]
    pub fn flag_entry(&self, key: &str) -> Option<&Entry<Flag>> {
        self.flags.get(key)
    }

    /// All flags, malformed and deleted ones too.
    pub fn flags(&self) -> impl Iterator<Item = &Item<Flag>> {
        self.flags.iter()
    }

    pub(super) fn flag_table(&self) -> &Table<Flag> {
        &self.flags
    }

    pub(super) fn segment_table(&self) -> &Table<Segment> {
        &self.segments
    }

    /// How many flags and segments are known.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.flags.len(), self.segments.len())
    }

    /// Whether any full data has arrived.
    #[must_use]
    pub fn initialized(&self) -> bool {
        self.initialized
    }
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot::empty()
    }
}

impl Lookup for Snapshot {
    #[inline]
    fn flag(&self, key: &Key) -> Option<&Flag> {
        match self.flags.get_hashed(key, key.hash()) {
            Some(Entry::Live(flag)) => Some(flag),
            _ => None,
        }
    }

    #[inline]
    fn segment(&self, key: &Key) -> Option<&Segment> {
        match self.segments.get_hashed(key, key.hash()) {
            Some(Entry::Live(segment)) => Some(segment),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::DataKind;
    use super::*;

    fn snapshot(json: &str) -> Snapshot {
        match Snapshot::empty().apply(Change::full(json.as_bytes()).unwrap()) {
            Applied::New(snapshot) => snapshot,
            Applied::Same | Applied::Older => unreachable!(),
        }
    }

    fn upsert(to: &Snapshot, key: &str, json: &str) -> Applied {
        to.apply(Change::upsert(DataKind::Flag, key, json).unwrap())
    }

    fn live<'a>(snapshot: &'a Snapshot, key: &str) -> &'a Flag {
        match snapshot.flag_entry(key) {
            Some(Entry::Live(flag)) => flag,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_newer_version_changes_an_item() {
        let old = snapshot(r#"{"flags":{"a":{"version":5},"b":{"version":1}},"segments":{}}"#);
        assert!(matches!(
            upsert(&old, "a", r#"{"version":5,"on":true}"#),
            Applied::Older
        ));
        let Applied::New(new) = upsert(&old, "a", r#"{"version":6,"on":true}"#) else {
            panic!()
        };
        assert!(live(&new, "a").on && !live(&old, "a").on);
        assert_eq!(live(&new, "a").slot, live(&old, "a").slot);
        assert_ne!(live(&new, "a").id, live(&old, "a").id);
    }

    #[test]
    fn a_deleted_item_stays_gone_for_older_updates_and_comes_back_with_a_newer_one() {
        let first = snapshot(r#"{"flags":{"a":{"version":5}}}"#);
        let Applied::New(gone) = first.apply(Change::delete(DataKind::Flag, "a", 7)) else {
            panic!()
        };
        assert!(matches!(
            gone.flag_entry("a"),
            Some(Entry::Deleted { version: 7 })
        ));
        assert!(matches!(
            upsert(&gone, "a", r#"{"version":6}"#),
            Applied::Older
        ));
        let Applied::New(back) = upsert(&gone, "a", r#"{"version":8}"#) else {
            panic!()
        };
        assert_eq!(live(&back, "a").version, 8);
        assert!(matches!(
            first.apply(Change::delete(DataKind::Flag, "a", 4)),
            Applied::Older
        ));
    }

    #[test]
    fn slots_are_dense_and_never_shared() {
        let old = snapshot(r#"{"flags":{"a":{"version":1},"b":{"version":1}}}"#);
        let Applied::New(new) = upsert(&old, "c", r#"{"version":1}"#) else {
            panic!()
        };
        let mut slots: Vec<_> = ["a", "b", "c"]
            .iter()
            .map(|key| live(&new, key).slot)
            .collect();
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2]);
    }
}
