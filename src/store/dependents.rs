//! Which flags a change affects: those that changed, and those that rest on them through prerequisites and segments.
//! Pure. Who is told of it is `client`'s question.
//!
//! 1. An item changed when it came, went or has another version. A deleted item counts as one that is not there.
//! 2. What rests on a changed item, directly or through others, is affected; what it rests on is read from the new data.
//! 3. Circles end: an item is affected once.

use std::collections::{HashMap, HashSet};

use super::change::DataKind;
use super::snapshot::Snapshot;
use super::table::{Entry, Item, Table};
use crate::model::{Clause, Flag, Segment, Test};

/// What a change may have touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Any item; their versions tell.
    Any,
    /// This item.
    One(DataKind, Box<str>),
}

/// An item of either kind. `DataKind` is not ordered or hashed anywhere else.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Node<'a> {
    Flag(&'a str),
    Segment(&'a str),
}

/// The keys of all flags that may answer differently in `new` than in `old`, each once, deleted ones too.
#[must_use]
pub fn affected_flags(old: &Snapshot, new: &Snapshot, touched: &Touched) -> Vec<Box<str>> {
    let mut waiting: Vec<Node<'_>> = match touched {
        Touched::One(DataKind::Flag, key) => vec![Node::Flag(key)],
        Touched::One(DataKind::Segment, key) => vec![Node::Segment(key)],
        Touched::Any => {
            let flags = changed(old.flag_table(), new.flag_table(), |flag| flag.version);
            let segments = changed(old.segment_table(), new.segment_table(), |segment| {
                segment.version
            });
            let flags = flags.into_iter().map(Node::Flag);
            flags
                .chain(segments.into_iter().map(Node::Segment))
                .collect()
        }
    };
    if waiting.is_empty() {
        return Vec::new();
    }
    let dependents = dependents(new);
    let mut seen: HashSet<Node<'_>> = waiting.iter().copied().collect();
    let mut affected = Vec::new();
    // The items in `waiting` are seen already; each is looked at once.
    let mut next = 0;
    while let Some(node) = waiting.get(next).copied() {
        next += 1;
        if let Node::Flag(key) = node {
            affected.push(key.into());
        }
        for &dependent in dependents.get(&node).into_iter().flatten() {
            if seen.insert(dependent) {
                waiting.push(dependent);
            }
        }
    }
    affected
}

/// The keys whose items came, went or have another version.
fn changed<'a, T>(
    old: &'a Table<T>,
    new: &'a Table<T>,
    version: impl Fn(&T) -> i64 + Copy,
) -> Vec<&'a str> {
    let of = |entry: Option<&Entry<T>>| entry.and_then(|entry| version_of(entry, version));
    let came_or_changed = new
        .iter()
        .filter(|item| of(old.get(&item.key)) != version_of(&item.entry, version));
    let went = old
        .iter()
        .filter(|item| new.get(&item.key).is_none() && version_of(&item.entry, version).is_some());
    came_or_changed
        .chain(went)
        .map(|item: &Item<T>| &*item.key)
        .collect()
}

/// The version, and whether the item can be used; `None` for one that is not there.
fn version_of<T>(entry: &Entry<T>, version: impl Fn(&T) -> i64) -> Option<(i64, bool)> {
    match entry {
        Entry::Live(item) => Some((version(item), true)),
        Entry::Malformed { version, .. } => Some((*version, false)),
        Entry::Deleted { .. } => None,
    }
}

/// What rests directly on each item.
fn dependents(snapshot: &Snapshot) -> HashMap<Node<'_>, Vec<Node<'_>>> {
    let mut dependents: HashMap<Node<'_>, Vec<Node<'_>>> = HashMap::new();
    let mut rests = |dependent, on| dependents.entry(on).or_default().push(dependent);
    for (key, flag) in live::<Flag>(snapshot.flag_table()) {
        let dependent = Node::Flag(key);
        for prerequisite in &flag.prerequisites {
            rests(dependent, Node::Flag(&prerequisite.key));
        }
        for segment in segments_in(flag.rules.iter().flat_map(|rule| &rule.clauses)) {
            rests(dependent, Node::Segment(segment));
        }
    }
    for (key, segment) in live::<Segment>(snapshot.segment_table()) {
        for inner in segments_in(segment.rules.iter().flat_map(|rule| &rule.clauses)) {
            rests(Node::Segment(key), Node::Segment(inner));
        }
    }
    dependents
}

fn live<T>(table: &Table<T>) -> impl Iterator<Item = (&str, &T)> {
    table.iter().filter_map(|item| match &item.entry {
        Entry::Live(live) => Some((&*item.key, live)),
        _ => None,
    })
}

fn segments_in<'a>(clauses: impl Iterator<Item = &'a Clause>) -> impl Iterator<Item = &'a str> {
    clauses
        .filter_map(|clause| match &clause.test {
            Test::Segments(keys) => Some(keys),
            _ => None,
        })
        .flatten()
        .map(|key| &**key)
}

#[cfg(test)]
mod tests {
    use super::super::change::Change;
    use super::super::snapshot::Applied;
    use super::*;

    const DATA: &str = r#"{
        "flags": {
            "base": {"version": 1},
            "middle": {"version": 1, "prerequisites": [{"key": "base", "variation": 0}]},
            "top": {"version": 1, "prerequisites": [{"key": "middle", "variation": 0}]},
            "members": {"version": 1, "rules": [{"variation": 0, "clauses": [
                {"attribute": "", "op": "segmentMatch", "values": ["outer"]}]}]},
            "alone": {"version": 1}
        },
        "segments": {
            "outer": {"version": 1, "rules": [{"clauses": [
                {"attribute": "", "op": "segmentMatch", "values": ["inner"]}]}]},
            "inner": {"version": 1}
        }
    }"#;

    fn applied(to: &Snapshot, change: Change) -> Snapshot {
        match to.apply(change) {
            Applied::New(snapshot) => snapshot,
            Applied::Same => panic!("nothing changes"),
            Applied::Older => panic!("the change is older than what is known"),
        }
    }

    fn full(json: &str) -> Snapshot {
        applied(&Snapshot::empty(), Change::full(json.as_bytes()).unwrap())
    }

    fn sorted(mut keys: Vec<Box<str>>) -> Vec<String> {
        keys.sort();
        keys.into_iter().map(String::from).collect()
    }

    fn after(old: &Snapshot, change: Change) -> Vec<String> {
        let touched = change.touched();
        sorted(affected_flags(old, &applied(old, change), &touched))
    }

    fn upsert(kind: DataKind, key: &str, json: &str) -> Change {
        Change::upsert(kind, key, json).unwrap()
    }

    #[test]
    fn a_changed_flag_affects_all_that_have_it_as_a_prerequisite_of_a_prerequisite() {
        let change = upsert(DataKind::Flag, "base", r#"{"version":2}"#);
        assert_eq!(after(&full(DATA), change), ["base", "middle", "top"]);
        let change = upsert(DataKind::Flag, "top", r#"{"version":2}"#);
        assert_eq!(after(&full(DATA), change), ["top"]);
    }

    #[test]
    fn a_changed_segment_affects_flags_that_use_it_within_another_segment() {
        let change = upsert(DataKind::Segment, "inner", r#"{"version":2}"#);
        assert_eq!(after(&full(DATA), change), ["members"]);
        let change = Change::delete(DataKind::Segment, "outer", 2);
        assert_eq!(after(&full(DATA), change), ["members"]);
    }

    #[test]
    fn a_flag_that_comes_goes_or_breaks_affects_those_that_name_it() {
        assert_eq!(
            after(&full(DATA), Change::delete(DataKind::Flag, "middle", 2)),
            ["middle", "top"]
        );
        let change = upsert(DataKind::Flag, "new", r#"{"version":1}"#);
        assert_eq!(after(&full(DATA), change), ["new"]);
        let broken = upsert(
            DataKind::Flag,
            "middle",
            r#"{"version":2,"variations":"none"}"#,
        );
        assert_eq!(after(&full(DATA), broken), ["middle", "top"]);
    }

    #[test]
    fn a_prerequisite_that_was_taken_away_affects_nobody_any_more() {
        let old = applied(
            &full(DATA),
            upsert(DataKind::Flag, "middle", r#"{"version":2}"#),
        );
        let change = upsert(DataKind::Flag, "base", r#"{"version":2}"#);
        assert_eq!(after(&old, change), ["base"]);
    }

    #[test]
    fn of_full_data_only_items_with_another_version_count() {
        let old = full(DATA);
        let again = |json: &str| after(&old, Change::full(json.as_bytes()).unwrap());
        assert_eq!(again(DATA), [""; 0]);
        assert_eq!(
            again(&DATA.replace(r#""base": {"version": 1}"#, r#""base": {"version": 3}"#)),
            ["base", "middle", "top"]
        );
        assert_eq!(
            again(&DATA.replace(r#""inner": {"version": 1}"#, r#""inner": {"version": 2}"#)),
            ["members"]
        );
        // One flag gone, the other ones as they were.
        assert_eq!(
            again(&DATA.replace(
                r#""alone": {"version": 1}"#,
                r#""alone": {"version": 2, "deleted": true}"#
            )),
            ["alone"]
        );
        assert_eq!(
            again(r#"{"flags": {}, "segments": {}}"#),
            ["alone", "base", "members", "middle", "top"]
        );
    }

    #[test]
    fn the_first_data_affects_every_flag_and_no_deleted_one() {
        let json = r#"{"flags": {"a": {"version": 1}, "b": {"version": 2, "deleted": true}}}"#;
        assert_eq!(
            after(&Snapshot::empty(), Change::full(json.as_bytes()).unwrap()),
            ["a"]
        );
    }

    #[test]
    fn circles_end() {
        let old = full(
            r#"{"flags": {
                "a": {"version": 1, "prerequisites": [{"key": "b", "variation": 0}]},
                "b": {"version": 1, "prerequisites": [{"key": "a", "variation": 0}]}
            }}"#,
        );
        let change = Change::delete(DataKind::Flag, "a", 2);
        assert_eq!(after(&old, change), ["a", "b"]);
    }
}
