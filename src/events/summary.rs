//! The counters: how often each variation was served since the last flush. Counted in place, merged when taken.
//! When it is taken, and the JSON form, are questions of the recorder and the output.
//!
//! A tally belongs to one compilation of a flag and sits at the flag's slot. When a newer compilation comes to the same
//! slot, the older tally moves to a side table, where evaluations of an older snapshot still find it. So nothing is
//! lost or counted twice when flags change under way.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::subject::Subject;
use crate::model::{Flag, Kind, Value};

type Table<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Counters since the last flush.
#[derive(Debug, Default)]
pub(super) struct Summary {
    start_ms: i64,
    /// How many tallies were begun: tells which came first.
    begun: u64,
    slots: Vec<Option<Box<Tally>>>,
    /// By the id and slot of the flag.
    older: Table<(u64, u32), Box<Tally>>,
    /// By key; these flags do not exist.
    unknown: Table<Box<str>, Tally>,
}

/// The counters of one compilation of a flag. It owns all it holds, so that a flag can go while it is counted.
#[derive(Debug)]
struct Tally {
    id: u64,
    order: u64,
    key: Box<str>,
    version: Option<i64>,
    default: Value,
    user: bool,
    other_kinds: Vec<Box<str>>,
    /// First the one for "no variation", then one a variation.
    counters: Box<[Counter]>,
}

#[derive(Clone, Debug, Default)]
struct Counter {
    count: u64,
    value: Value,
}

impl Tally {
    fn new(key: &str, flag: Option<&Flag>, default: &Value, order: u64) -> Tally {
        let variations = flag.map_or(0, |flag| flag.variations.len());
        Tally {
            id: flag.map_or(0, |flag| flag.id),
            order,
            key: flag.map_or(key, |flag| &flag.key).into(),
            version: flag.map(|flag| flag.version),
            default: default.clone(),
            user: false,
            other_kinds: Vec::new(),
            counters: vec![Counter::default(); variations + 1].into(),
        }
    }

    /// Adds one, unless this is the first of its kind and a value is needed.
    #[inline]
    fn count(&mut self, variation: Option<usize>, subject: &impl Subject) -> bool {
        match self.counters.get_mut(variation.map_or(0, |v| v + 1)) {
            Some(counter) if counter.count > 0 => counter.count += 1,
            _ => return false,
        }
        self.note_kinds(subject);
        true
    }

    fn begin(
        &mut self,
        flag: Option<&Flag>,
        variation: Option<usize>,
        default: &Value,
        subject: &impl Subject,
    ) {
        let index = variation.map_or(0, |v| v + 1);
        let index = if index < self.counters.len() {
            index
        } else {
            0
        };
        let counter = &mut self.counters[index];
        if counter.count == 0 {
            let served = flag.and_then(|flag| flag.variations.get(index.checked_sub(1)?));
            counter.value = served.unwrap_or(default).clone();
        }
        counter.count += 1;
        self.note_kinds(subject);
    }

    #[inline]
    fn note_kinds(&mut self, subject: &impl Subject) {
        subject.each_kind(|kind| match kind {
            Kind::User => self.user = true,
            Kind::Named(kind) => {
                if !self.other_kinds.contains(kind) {
                    self.other_kinds.push(kind.clone());
                }
            }
        });
    }
}

impl Summary {
    /// Adds one where the same was counted before; otherwise does nothing and returns false. Allocates nothing.
    #[inline]
    pub(super) fn count(
        &mut self,
        key: &str,
        flag: Option<&Flag>,
        variation: Option<usize>,
        subject: &impl Subject,
    ) -> bool {
        let tally = match flag {
            Some(flag) => match self.slots.get_mut(flag.slot as usize) {
                Some(Some(tally)) if tally.id == flag.id => Some(&mut **tally),
                _ => self
                    .older
                    .get_mut(&(flag.id, flag.slot))
                    .map(|tally| &mut **tally),
            },
            None => self.unknown.get_mut(key),
        };
        tally.is_some_and(|tally| tally.count(variation, subject))
    }

    /// Adds one, making what is missing for it. `default` is what the caller gets without a variation.
    pub(super) fn begin(
        &mut self,
        key: &str,
        flag: Option<&Flag>,
        variation: Option<usize>,
        default: &Value,
        now_ms: i64,
        subject: &impl Subject,
    ) {
        if self.begun == 0 {
            self.start_ms = now_ms;
        }
        self.begun += 1;
        let order = self.begun;
        let new = || Tally::new(key, flag, default, order);
        let tally = match flag {
            Some(flag) => self.tally(flag, || Box::new(new())),
            None => self.unknown.entry(key.into()).or_insert_with(new),
        };
        tally.begin(flag, variation, default, subject);
    }

    fn tally(&mut self, flag: &Flag, new: impl FnOnce() -> Box<Tally>) -> &mut Tally {
        let slot = flag.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let place = &mut self.slots[slot];
        // Ids grow with time, so a greater one is a newer compilation.
        if place.as_ref().is_some_and(|tally| tally.id > flag.id) {
            return self.older.entry((flag.id, flag.slot)).or_insert_with(new);
        }
        if let Some(older) = place.take_if(|tally| tally.id != flag.id) {
            self.older.insert((older.id, flag.slot), older);
        }
        place.get_or_insert_with(new)
    }

    /// How many flags that do not exist were asked for.
    pub(super) fn unknown_flags(&self) -> usize {
        self.unknown.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begun == 0
    }

    /// When the first one was counted.
    pub(super) fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// All counters by flag key; what was counted first names default and value.
    pub(super) fn merged(&self) -> BTreeMap<&str, MergedFlag<'_>> {
        let mut tallies: Vec<&Tally> = self.slots.iter().flatten().map(|tally| &**tally).collect();
        tallies.extend(self.older.values().map(|tally| &**tally));
        tallies.extend(self.unknown.values());
        tallies.sort_by_key(|tally| tally.order);
        let mut flags = BTreeMap::new();
        for tally in tallies {
            flags
                .entry(&*tally.key)
                .or_insert_with(|| MergedFlag {
                    default: &tally.default,
                    kinds: Vec::new(),
                    counters: Vec::new(),
                })
                .add(tally);
        }
        flags
    }
}

/// The counters of all versions of a flag.
#[derive(Debug)]
pub(super) struct MergedFlag<'a> {
    pub(super) default: &'a Value,
    pub(super) kinds: Vec<&'a str>,
    pub(super) counters: Vec<MergedCounter<'a>>,
}

/// One counter; no version means that there was no such flag.
#[derive(Debug)]
pub(super) struct MergedCounter<'a> {
    pub(super) variation: Option<usize>,
    pub(super) version: Option<i64>,
    pub(super) count: u64,
    pub(super) value: &'a Value,
}

impl<'a> MergedFlag<'a> {
    fn add(&mut self, tally: &'a Tally) {
        for kind in tally
            .user
            .then_some("user")
            .into_iter()
            .chain(tally.other_kinds.iter().map(|kind| &**kind))
        {
            if !self.kinds.contains(&kind) {
                self.kinds.push(kind);
            }
        }
        for (index, counter) in tally
            .counters
            .iter()
            .enumerate()
            .filter(|(_, counter)| counter.count > 0)
        {
            let (variation, version) = (index.checked_sub(1), tally.version);
            match self
                .counters
                .iter_mut()
                .find(|c| c.variation == variation && c.version == version)
            {
                Some(same) => same.count += counter.count,
                None => self.counters.push(MergedCounter {
                    variation,
                    version,
                    count: counter.count,
                    value: &counter.value,
                }),
            }
        }
    }
}
