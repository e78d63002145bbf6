//! What all data, newly arrived, changes of what is known. An item whose text is the known one is not read again: it
//! stays where it is, and nothing of it is written, not even a count of who uses it. Processes that were forked from
//! one another go on sharing it.

use hashbrown::HashTable;

use super::change::{Compiled, item};
use super::fingerprint::Fingerprint;
use super::payload::Member;
use super::table::{Item, Table};
use crate::model::hash_of;

/// From the known items of one kind to the new ones.
#[derive(Debug)]
pub(super) struct Difference<T> {
    /// What is new, or has another text, in the order of arrival.
    pub(super) items: Vec<Item<T>>,
    /// The keys of what is not there any more.
    pub(super) gone: Vec<Box<str>>,
}

impl<T> Difference<T> {
    pub(super) fn is_none(&self) -> bool {
        self.items.is_empty() && self.gone.is_empty()
    }
}

impl<T: Compiled> Difference<T> {
    /// Between what is known and all there is now. Of two members of one name the last counts.
    pub(super) fn between<M: Member>(
        known: &Table<T>,
        members: &[M],
        remarks: &mut Vec<String>,
    ) -> Difference<T> {
        let hash_at = |place: &usize| hash_of(members[*place].name());
        let mut last: HashTable<usize> = HashTable::with_capacity(members.len());
        for (place, member) in members.iter().enumerate() {
            let name = member.name();
            last.entry(
                hash_of(name),
                |other| members[*other].name() == name,
                hash_at,
            )
            .and_modify(|other| *other = place)
            .or_insert(place);
        }
        let place_of =
            |name: &str| last.find(hash_of(name), |place| members[*place].name() == name);
        let mut items = Vec::new();
        let mut met = 0;
        for (place, member) in members.iter().enumerate() {
            let (name, json) = (member.name(), member.text());
            if last.len() < members.len() && place_of(name) != Some(&place) {
                continue;
            }
            let text = Fingerprint::of(json);
            let old = known.item(name);
            met += usize::from(old.is_some());
            if old.is_none_or(|old| old.text != Some(text)) {
                items.push(item(name, json, text, remarks));
            }
        }
        let mut gone = Vec::new();
        if met < known.len() {
            let keys = known.iter().map(|item| &item.key);
            gone.extend(keys.filter(|key| place_of(key).is_none()).cloned());
        }
        Difference { items, gone }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::change::{Change, DataKind};
    use super::super::snapshot::{Applied, Snapshot};
    use super::super::table::Entry;
    use crate::model::Flag;

    const DATA: &str = r#"{
        "flags": {
            "a": {"key": "a", "version": 1, "on": true},
            "b": {"key": "b", "version": 1},
            "bad": {"key": "bad", "version": 3, "on": "text"},
            "gone": {"key": "gone", "version": 4, "deleted": true},
            "es\u0063aped": {"version": 1}
        },
        "segments": {"s": {"key": "s", "version": 1}, "t": {"key": "t", "version": 1}}
    }"#;

    fn applied(to: &Snapshot, change: Change) -> Arc<Snapshot> {
        match to.apply(change) {
            Applied::New(snapshot) => Arc::new(snapshot),
            other => panic!("{other:?}"),
        }
    }

    fn first() -> Arc<Snapshot> {
        applied(&Snapshot::empty(), Change::full(DATA.as_bytes()).unwrap())
    }

    fn after(known: &Arc<Snapshot>, json: &str) -> Arc<Snapshot> {
        applied(known, Change::full_after(known, json.as_bytes()).unwrap())
    }

    fn is_same(known: &Arc<Snapshot>, json: &str) -> bool {
        let change = Change::full_after(known, json.as_bytes()).unwrap();
        assert!(change.remarks.is_empty(), "{:?}", change.remarks);
        matches!(known.apply(change), Applied::Same)
    }

    /// The keys of the items, flags and segments, that are the same piece of memory in both.
    fn shared(old: &Snapshot, new: &Snapshot) -> Vec<String> {
        let flags = old.flag_table().iter().filter_map(|item| {
            let same = std::ptr::eq(item, new.flag_table().item(&item.key)?);
            same.then(|| item.key.to_string())
        });
        let segments = old.segment_table().iter().filter_map(|item| {
            let same = std::ptr::eq(item, new.segment_table().item(&item.key)?);
            same.then(|| item.key.to_string())
        });
        let mut keys: Vec<_> = flags.chain(segments).collect();
        keys.sort();
        keys
    }

    fn live<'s>(snapshot: &'s Snapshot, key: &str) -> &'s Flag {
        match snapshot.flag_entry(key) {
            Some(Entry::Live(flag)) => flag,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_data_that_says_the_same_leaves_the_snapshot_as_it_is() {
        let known = first();
        assert!(is_same(&known, DATA));
        // Space between the items and their order mean nothing.
        let flags = r#""a": {"key": "a", "version": 1, "on": true}"#;
        let known = after(&known, &format!(r#"{{"flags":{{{flags},"b":{{}}}}}}"#));
        assert!(is_same(
            &known,
            &format!(r#"{{"segments": {{}}, "flags": {{"b" :{{}} , {flags} }} }}"#)
        ));
        assert!(!Arc::ptr_eq(&known, &after(&known, r#"{"flags":{}}"#)));
    }

    #[test]
    fn a_put_of_the_stream_is_compared_as_well() {
        let known = first();
        let put = format!(r#"{{"path": "/", "data": {DATA}}}"#);
        let change = Change::put_after(&known, put.as_bytes()).unwrap();
        assert!(matches!(known.apply(change), Applied::Same));
    }

    #[test]
    fn the_first_data_is_news_even_if_it_is_empty() {
        let nothing = Arc::<Snapshot>::default();
        let empty = after(&nothing, r#"{"flags":{}}"#);
        assert!(empty.initialized() && is_same(&empty, r#"{"flags":{},"segments":{}}"#));
    }

    #[test]
    fn a_changed_flag_replaces_itself_alone_and_keeps_its_slot() {
        let known = first();
        let new = after(
            &known,
            &DATA.replace(
                r#""version": 1, "on": true"#,
                r#""version": 2, "on": false"#,
            ),
        );
        assert!(!live(&new, "a").on && live(&known, "a").on);
        assert_eq!(live(&new, "a").slot, live(&known, "a").slot);
        assert_ne!(live(&new, "a").id, live(&known, "a").id);
        assert_eq!(
            shared(&known, &new),
            ["b", "bad", "escaped", "gone", "s", "t"]
        );
    }

    #[test]
    fn another_text_of_the_same_version_counts() {
        let known = first();
        let new = after(&known, &DATA.replace(r#""on": true"#, r#""on": false"#));
        assert!(!live(&new, "a").on);
        // So does a version that went back: all data replaces all data.
        let older = after(
            &new,
            &DATA.replace(r#""b", "version": 1"#, r#""b", "version": 0"#),
        );
        assert_eq!(live(&older, "b").version, 0);
    }

    #[test]
    fn what_is_not_there_any_more_goes_and_its_slot_is_taken_by_what_comes() {
        let known = first();
        let new = after(
            &known,
            &DATA
                .replace(
                    r#""b": {"key": "b", "version": 1},"#,
                    r#""c": {"version": 1}, "d": {"version": 1},"#,
                )
                .replace(r#", "t": {"key": "t", "version": 1}"#, ""),
        );
        assert!(new.flag_entry("b").is_none() && new.segment_entry("t").is_none());
        assert_eq!(new.size(), (6, 1));
        assert_eq!(shared(&known, &new), ["a", "bad", "escaped", "gone", "s"]);
        let mut slots = ["a", "c", "d", "escaped"].map(|key| live(&new, key).slot);
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2, 3]);
    }

    #[test]
    fn a_malformed_item_is_mended_and_broken_again_by_its_text_alone() {
        let known = first();
        let mended = after(&known, &DATA.replace(r#""text""#, "true"));
        assert!(live(&mended, "bad").on);
        let change = Change::full_after(&mended, DATA.as_bytes()).unwrap();
        assert_eq!(change.remarks.len(), 1, "{:?}", change.remarks);
        let broken = applied(&mended, change);
        assert!(matches!(
            broken.flag_entry("bad"),
            Some(Entry::Malformed { version: 3, .. })
        ));
    }

    #[test]
    fn what_a_patch_brought_is_known_by_its_text() {
        let known = first();
        let text = r#"{"key": "b", "version": 2}"#;
        let patched = applied(&known, Change::upsert(DataKind::Flag, "b", text).unwrap());
        assert!(is_same(
            &patched,
            &DATA.replace(r#"{"key": "b", "version": 1}"#, text)
        ));
        let back = after(&patched, DATA);
        assert_eq!(live(&back, "b").version, 1);
    }

    #[test]
    fn what_was_deleted_comes_back_with_its_old_text() {
        let known = first();
        let deleted = applied(&known, Change::delete(DataKind::Flag, "a", 9));
        assert!(live(&after(&deleted, DATA), "a").on);
        let dropped = after(
            &deleted,
            &DATA.replace(r#""a": {"key": "a", "version": 1, "on": true},"#, ""),
        );
        assert!(dropped.flag_entry("a").is_none());
    }

    #[test]
    fn of_one_name_twice_the_last_counts_whichever_is_known() {
        let (one, two) = (r#""f":{"version":1}"#, r#""f":{"version":2}"#);
        let of = |first: &str, last: &str| format!(r#"{{"flags":{{{first},{last}}}}}"#);
        let known = after(&Arc::default(), &of(two, one));
        assert_eq!(live(&known, "f").version, 1);
        assert!(is_same(&known, &of(two, one)));
        assert_eq!(live(&after(&known, &of(one, two)), "f").version, 2);
    }

    #[test]
    fn a_change_read_beside_an_older_snapshot_still_replaces_everything() {
        let known = first();
        let change = || Change::full_after(&known, DATA.as_bytes()).unwrap();
        let text = r#"{"version": 7}"#;
        let meanwhile = applied(&known, Change::upsert(DataKind::Flag, "new", text).unwrap());
        let new = applied(&meanwhile, change());
        assert!(new.flag_entry("new").is_none());
        assert_eq!(shared(&known, &new).len(), 7);
    }

    #[test]
    fn thousands_of_flags_come_and_go_and_each_is_found() {
        let of = |range: std::ops::Range<u32>| {
            let flags: Vec<_> = range
                .map(|n| format!(r#""f{n}":{{"version":{n}}}"#))
                .collect();
            format!(r#"{{"flags":{{{}}}}}"#, flags.join(","))
        };
        let mut known = Arc::default();
        for range in [0..10, 0..3_000, 1..3_001, 2_900..3_100, 0..1, 0..500] {
            known = after(&known, &of(range.clone()));
            assert_eq!(known.size().0, range.len());
            let mut slots: Vec<_> = range
                .map(|n| {
                    let flag = live(&known, &format!("f{n}"));
                    assert_eq!(flag.version, i64::from(n));
                    flag.slot
                })
                .collect();
            slots.sort_unstable();
            slots.dedup();
            assert_eq!(slots.len(), known.size().0);
        }
    }
}
