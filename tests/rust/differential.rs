//! Random worlds against `launchdarkly-server-sdk-evaluation`. They are those of `tests/differential/generator.py`: a few
//! that are committed, or the file that `DIFFERENTIAL_WORLDS` names (`make differential` does). What this package and
//! the Python reference answer to them is compared by `tests/differential/run.py`.
//!
//! 1. Old data is completed with the members that the crate cannot do without. Big segments it does not know.
//! 2. Where the two disagree, one of `KNOWN` must be the reason: without the circumstance that it takes out of the data
//!    they agree. launchdarkly-server-sdk 9.20 answers as we do; each one has a row in `tests/cases`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use launchdarkly_server_sdk_evaluation as other;
use ldclient::evaluation::evaluate;
use ldclient::model::{Context, Value as Ours};
use ldclient::store::{Applied, Change, Entry, Snapshot};
use serde_json::{Value, json};

const SAMPLE: &str = "tests/differential/sample.jsonl";

/// A known disagreement: its name, and an edit that takes away what it takes.
struct Known {
    name: &'static str,
    without: fn(&mut Value),
}

const KNOWN: &[Known] = &[
    Known {
        name: "patterns have no look-around and no back-references",
        without: |item| {
            each_clause(item, |clause| {
                for pattern in list(clause, "values") {
                    if pattern.as_str().is_some_and(|text| {
                        ["(?=", "(?!", "(?<", "\\1"]
                            .iter()
                            .any(|part| text.contains(part))
                    }) {
                        *pattern = json!("(");
                    }
                }
            });
        },
    },
    Known {
        name: "a prerequisite that failed counts as one that is being asked, so that sharing it is a cycle",
        without: |item| cut(item, "prerequisites", 1),
    },
    Known {
        name: "a prerequisite with an error makes the flag malformed",
        without: |item| cut(item, "prerequisites", 0),
    },
    Known {
        name: "a context target of kind user has keys of its own, which count",
        without: |item| {
            for target in list(item, "contextTargets") {
                if matches!(target["contextKind"].as_str(), None | Some("" | "user")) {
                    target["values"] = json!([]);
                }
            }
        },
    },
    Known {
        name: "of several targets for one variation all count, not only the first",
        without: |item| {
            if let Some(targets) = item.get_mut("targets").and_then(Value::as_array_mut) {
                let mut seen = Vec::new();
                targets.retain(|target| {
                    let first = !seen.contains(&target["variation"]);
                    seen.push(target["variation"].clone());
                    first
                });
            }
        },
    },
    Known {
        name: "a rollout of an unknown kind is malformed",
        without: |item| {
            for rollout in rollouts(item) {
                if rollout["kind"] == "other" {
                    rollout["kind"] = json!("rollout");
                }
            }
        },
    },
    Known {
        name: "a context that is not there is in bucket 0, not below it",
        without: |item| {
            for rollout in rollouts(item) {
                for share in list(rollout, "variations") {
                    at_least_one(share);
                }
            }
            list(item, "rules").iter_mut().for_each(at_least_one);
        },
    },
    Known {
        name: "a malformed reference is an error even if there is no such context",
        without: |item| {
            each_clause(item, |clause| {
                clause["attribute"] = valid(&clause["attribute"]);
            });
        },
    },
    Known {
        name: "a malformed reference to bucket by is an error even if there is no such context",
        without: |item| {
            for bucketed in rollouts(item) {
                bucketed["bucketBy"] = valid(&bucketed["bucketBy"]);
            }
            for rule in list(item, "rules") {
                if rule.get("bucketBy").is_some() {
                    rule["bucketBy"] = valid(&rule["bucketBy"]);
                }
            }
        },
    },
    Known {
        name: "whole numbers beyond 2^53 are rounded",
        without: |item| {
            each_number(item, &mut |number| {
                if number.as_i64().is_some_and(|n| n.unsigned_abs() > 1 << 53) {
                    *number = json!(7);
                }
            });
        },
    },
    Known {
        name: "a date in milliseconds has no fraction, and none is before or after the years that the calendar has",
        without: |item| {
            each_number(item, &mut |number| {
                if number
                    .as_f64()
                    .is_some_and(|n| n.fract() != 0.0 || n.abs() > 8e15)
                {
                    *number = json!(7);
                }
            });
        },
    },
];

#[test]
fn the_other_engine_answers_as_this_one_except_where_it_is_known_not_to() {
    let file = std::env::var("DIFFERENTIAL_WORLDS").unwrap_or_else(|_| SAMPLE.to_owned());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut evaluations = 0;
    let mut known: BTreeMap<&str, usize> = KNOWN.iter().map(|known| (known.name, 0)).collect();
    let mut failures = Vec::new();
    for line in text.lines() {
        let world: Value = serde_json::from_str(line).unwrap();
        let mut versions = Versions {
            world: &world,
            made: HashMap::new(),
        };
        for call in items(&world["calls"]) {
            let [name, number, key, ..] = items(call) else {
                continue;
            };
            let Some(key) = key.as_str().filter(|_| {
                name.as_str()
                    .is_some_and(|name| name.starts_with("variation"))
            }) else {
                continue;
            };
            let context = &world["contexts"][usize::try_from(number.as_u64().unwrap()).unwrap()];
            let Some((ours, theirs)) = versions.answers((0, 0), key, context) else {
                continue;
            };
            evaluations += 1;
            if ours == theirs {
                continue;
            }
            match versions.reason(key, context) {
                Some(name) => *known.get_mut(name).unwrap() += 1,
                None => failures.push(format!(
                    "world {}, {key} for {context}\n  ours  {ours}\n  other {theirs}\n  flag {}",
                    world["name"], world["flags"][key]
                )),
            }
        }
    }
    println!("{evaluations} evaluations");
    for (name, count) in &known {
        println!("- {count} times: {name}");
    }
    assert!(evaluations >= 500, "{evaluations}");
    assert!(
        failures.is_empty(),
        "{} of {evaluations} evaluations differ:\n{}",
        failures.len(),
        failures[..failures.len().min(5)].join("\n")
    );
}

/// A world as it is and with edits, each made when it is first needed.
struct Versions<'w> {
    world: &'w Value,
    made: HashMap<(usize, usize), Engines>,
}

impl Versions<'_> {
    /// What both answer with the edits of this range; `None` where there is no flag or no valid context.
    fn answers(
        &mut self,
        edits: (usize, usize),
        key: &str,
        context: &Value,
    ) -> Option<(Value, Value)> {
        let known = &KNOWN[edits.0..edits.1];
        let engines = self.made.entry(edits).or_insert_with(|| {
            let mut world = self.world.clone();
            for kind in ["flags", "segments"] {
                for item in world[kind].as_object_mut().unwrap().values_mut() {
                    for edit in known {
                        (edit.without)(item);
                    }
                }
            }
            Engines::new(&world)
        });
        let mut context = context.clone();
        for edit in known {
            (edit.without)(&mut context);
        }
        engines.answers(key, &context)
    }

    /// The known disagreement without which the two agree; `None` if there is none.
    fn reason(&mut self, key: &str, context: &Value) -> Option<&'static str> {
        let all = KNOWN.len();
        // One alone; or several at a time, and then the last one that it takes.
        (0..all)
            .map(|n| (n, n + 1))
            .chain((2..=all).map(|n| (0, n)))
            .find(|&edits| {
                self.answers(edits, key, context)
                    .is_none_or(|(ours, theirs)| ours == theirs)
            })
            .map(|(_, end)| KNOWN[end - 1].name)
    }
}

/// The same data in both engines.
struct Engines {
    ours: Snapshot,
    other: Store,
}

struct Store {
    flags: HashMap<String, other::Flag>,
    segments: HashMap<String, other::Segment>,
}

impl other::Store for Store {
    fn flag(&self, key: &str) -> Option<other::Flag> {
        self.flags.get(key).cloned()
    }

    fn segment(&self, key: &str) -> Option<other::Segment> {
        self.segments.get(key).cloned()
    }
}

impl Engines {
    fn new(world: &Value) -> Engines {
        let live = |kind: &str| -> BTreeMap<String, Value> {
            world[kind]
                .as_object()
                .unwrap()
                .iter()
                .filter(|(_, item)| item.get("deleted").is_none())
                .map(|(key, item)| (key.clone(), item.clone()))
                .collect()
        };
        let (mut flags, mut segments) = (live("flags"), live("segments"));
        let ours = |flags: &BTreeMap<String, Value>, segments: &BTreeMap<String, Value>| {
            let data = json!({"flags": flags, "segments": segments}).to_string();
            match Snapshot::empty().apply(Change::full(data.as_bytes()).unwrap()) {
                Applied::New(snapshot) => snapshot,
                Applied::Same | Applied::Older => unreachable!(),
            }
        };
        // What we find malformed is in neither.
        let first = ours(&flags, &segments);
        flags.retain(|key, _| matches!(first.flag_entry(key), Some(Entry::Live(_))));
        segments.retain(|key, _| matches!(first.segment_entry(key), Some(Entry::Live(_))));
        for item in flags.values_mut().chain(segments.values_mut()) {
            complete(item);
        }
        Engines {
            ours: ours(&flags, &segments),
            other: Store {
                flags: flags
                    .into_iter()
                    .map(|(key, item)| (key, read(item)))
                    .collect(),
                segments: segments
                    .into_iter()
                    .map(|(key, item)| (key, read(item)))
                    .collect(),
            },
        }
    }

    /// What both answer; `None` where there is no flag or no valid context.
    fn answers(&self, key: &str, context: &Value) -> Option<(Value, Value)> {
        let Some(Entry::Live(flag)) = self.ours.flag_entry(key) else {
            return None;
        };
        let text = context.to_string();
        let ours = Context::from_value(serde_json::from_str::<Ours>(&text).unwrap());
        let theirs = serde_json::from_value::<other::Context>(without_nulls(context));
        let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
            return None;
        };
        let outcome = evaluate(flag, &ours, &self.ours, None, &mut ());
        let value = outcome.value(flag).map_or("null".into(), Ours::to_json);
        let ours = json!({
            "value": serde_json::from_str::<Value>(&value).unwrap(),
            "variationIndex": outcome.variation,
            "reason": serde_json::from_str::<Value>(&outcome.reason_value(Some(flag)).to_json()).unwrap(),
        });
        let theirs = other::evaluate(&self.other, &self.other.flags[key], &theirs, None);
        Some((plain(&ours), plain(&serde_json::to_value(theirs).unwrap())))
    }
}

fn read<T: serde::de::DeserializeOwned>(item: Value) -> T {
    let text = item.to_string();
    serde_json::from_value(item).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// An answer without members that say nothing, and with all numbers as one type. Beside an error the crate may name a
/// variation that does not exist.
fn plain(answer: &Value) -> Value {
    let mut answer = answer.clone();
    each_number(&mut answer, &mut |number| *number = json!(number.as_f64()));
    if answer["reason"]["kind"] == "ERROR" {
        answer["variationIndex"] = Value::Null;
    }
    for (object, name) in [("", "value"), ("", "variationIndex"), ("/reason", "ruleId")] {
        let object = answer
            .pointer_mut(object)
            .and_then(Value::as_object_mut)
            .unwrap();
        if object
            .get(name)
            .is_some_and(|value| value.is_null() || value == "")
        {
            object.remove(name);
        }
    }
    answer
}

/// Gives a flag or segment all that the crate asks for, in forms that it knows: an empty kind of context is as none, a null
/// is as nothing, and no segment is big.
fn complete(item: &mut Value) {
    let optional = [
        "offVariation",
        "variation",
        "rollout",
        "samplingRatio",
        "debugEventsUntilDate",
        "unbounded",
        "clientSide",
        "clientSideAvailability",
        "migration",
    ];
    tidy(item, &optional);
    for (name, value) in [
        ("targets", json!([])),
        ("contextTargets", json!([])),
        ("rules", json!([])),
        ("prerequisites", json!([])),
        ("variations", json!([])),
        ("included", json!([])),
        ("excluded", json!([])),
        ("salt", json!("")),
        ("on", json!(false)),
        ("fallthrough", json!({})),
    ] {
        item.as_object_mut().unwrap().entry(name).or_insert(value);
    }
    for name in ["includedContexts", "excludedContexts"] {
        for members in list(item, name) {
            members
                .as_object_mut()
                .unwrap()
                .entry("contextKind")
                .or_insert(json!("user"));
        }
    }
    for rule in list(item, "rules") {
        if let Some(rule) = rule.as_object_mut() {
            rule.entry("trackEvents").or_insert(json!(false));
        }
    }
}

fn tidy(value: &mut Value, optional: &[&str]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, optional)),
        Value::Object(members) => {
            members.retain(|name, value| {
                let kind = name == "contextKind" || name == "rolloutContextKind";
                !(optional.contains(&name.as_str()) && (value.is_null() || name == "unbounded"))
                    && !((kind || name == "bucketBy") && value == "")
            });
            for (name, value) in members {
                if name != "values" && (name != "variations" || is_shares(value)) {
                    tidy(value, optional);
                }
            }
        }
        _ => {}
    }
}

fn is_shares(value: &Value) -> bool {
    items(value)
        .first()
        .is_some_and(|first| first.get("weight").is_some())
}

fn without_nulls(context: &Value) -> Value {
    let mut context = context.clone();
    if let Some(members) = context.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    context
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn list<'v>(item: &'v mut Value, name: &str) -> &'v mut [Value] {
    item.get_mut(name)
        .and_then(Value::as_array_mut)
        .map_or(&mut [], Vec::as_mut_slice)
}

fn cut(item: &mut Value, name: &str, length: usize) {
    if let Some(items) = item.get_mut(name).and_then(Value::as_array_mut) {
        items.truncate(length);
    }
}

fn rollouts(item: &mut Value) -> Vec<&mut Value> {
    let Some(members) = item.as_object_mut() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, value) in members {
        if name == "fallthrough" {
            found.extend(
                value
                    .get_mut("rollout")
                    .filter(|rollout| rollout.is_object()),
            );
        } else if name == "rules" {
            for rule in value.as_array_mut().into_iter().flatten() {
                found.extend(
                    rule.get_mut("rollout")
                        .filter(|rollout| rollout.is_object()),
                );
            }
        }
    }
    found
}

fn each_clause(item: &mut Value, edit: fn(&mut Value)) {
    for rule in list(item, "rules") {
        list(rule, "clauses").iter_mut().for_each(edit);
    }
}

fn each_number(value: &mut Value, edit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Number(_) => edit(value),
        Value::Array(items) => items.iter_mut().for_each(|item| each_number(item, edit)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|item| each_number(item, edit)),
        _ => {}
    }
}

fn at_least_one(share: &mut Value) {
    if share.get("weight").is_some_and(|weight| weight == 0) {
        share["weight"] = json!(1);
    }
}

/// The reference, or a valid one in place of one that is malformed.
fn valid(reference: &Value) -> Value {
    let text = reference.as_str().unwrap_or("unset");
    let path = text.strip_prefix('/').unwrap_or("unset");
    let malformed = text.is_empty()
        || path.split('/').any(str::is_empty)
        || text.starts_with('/')
            && path
                .split('~')
                .skip(1)
                .any(|after| !after.starts_with(['0', '1']));
    if malformed {
        json!("unset")
    } else {
        json!(text)
    }
}
