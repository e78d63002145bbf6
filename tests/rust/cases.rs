//! Runs `tests/cases/*.json` against the engine; `tests/python/test_cases.py` runs the same files through the package.
//! What every member of those files means is told here:
//!
//! - `about`, `source`: for the reader. `flags`, `segments`: part of the data of every case of the file.
//! - `cases`: named rows. `flags` and `segments` come on top of the file's; an item without `key` and `version` has the
//!   key that it stands under and version 1. `flag` is asked (default "flag") for `context` (default: user "u") or for
//!   the old-style `user`, with `default` (default null), and answers `expect`. `bigSegments` is the store, if any.
//! - `operators` and `buckets`: tables of cases, described by the `about` of their files.
//! - `differs`: why launchdarkly-server-sdk 9.20 answers otherwise.

mod explained;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use ldclient::evaluation::{
    BigSegments, BigSegmentsStatus, ErrorKind, Membership, Outcome, Recorder, evaluate, explain,
};
use ldclient::model::{Context, Flag, Value};
use ldclient::store::{Applied, Change, Entry, Snapshot};

use explained::contradiction;

macro_rules! files {
    ($($file:ident)*) => {
        $(#[test] fn $file() { run(stringify!($file)); })*

        #[test]
        fn no_file_of_cases_is_left_out() {
            let mut found: Vec<_> = std::fs::read_dir(folder()).unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            assert_eq!(found, [$(concat!(stringify!($file), ".json")),*]);
        }
    };
}

files! {
    attributes
    big_segments
    bucketing
    clauses
    contexts
    experiments
    malformed
    operators
    prerequisites
    reasons
    rollouts
    segments
    targets
    users
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "cases"]
        .iter()
        .collect()
}

fn run(file: &str) {
    let text = std::fs::read(folder().join(file).with_extension("json")).unwrap();
    let file: Value = serde_json::from_slice(&text).unwrap();
    let cases: Vec<Value> = array(&file, "cases")
        .iter()
        .cloned()
        .chain(array(&file, "operators").iter().map(operator_case))
        .chain(array(&file, "buckets").iter().flat_map(bucket_cases))
        .collect();
    assert!(!cases.is_empty());
    let failures: Vec<_> = cases
        .iter()
        .filter_map(|case| failure(&file, case))
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// What is wrong with the answer, if anything.
fn failure(file: &Value, case: &Value) -> Option<String> {
    let name = case.member("name").and_then(Value::as_str).unwrap();
    let expected = case.member("expect").unwrap().clone();
    assert!(expected.member("reason").is_some(), "{name}");
    if case.member("user").is_some() {
        return None; // Old-style users are read at the boundary to Python: the cases run there.
    }
    let flag = case.member("flag").and_then(Value::as_str);
    let context = case
        .member("context")
        .cloned()
        .unwrap_or_else(|| value(r#"{"kind":"user","key":"u"}"#));
    let given = case.member("default").cloned().unwrap_or_default();
    let store = case.member("bigSegments").map(Store::new);
    let snapshot = snapshot(&data(file, case));
    let answer = answer(
        &snapshot,
        flag.unwrap_or("flag"),
        context,
        store.as_ref(),
        &given,
    );
    // As text too: 1 and 1.0 are equal, but not the same.
    let text = |answer: &Value| answer.member("value").map(Value::to_json);
    (answer != expected || text(&answer) != text(&expected)).then(|| {
        format!(
            "- {name}\n  expected {}\n  answered {}",
            expected.to_json(),
            answer.to_json()
        )
    })
}

fn answer(
    snapshot: &Snapshot,
    key: &str,
    context: Value,
    store: Option<&Store>,
    default: &Value,
) -> Value {
    let (flag, outcome) = match (Context::from_value(context), snapshot.flag_entry(key)) {
        (Err(_), _) => (None, Outcome::error(ErrorKind::UserNotSpecified)),
        (_, Some(Entry::Malformed { .. })) => (None, Outcome::error(ErrorKind::MalformedFlag)),
        (Ok(context), Some(Entry::Live(flag))) => {
            let store = store.map(|store| store as &dyn BigSegments);
            let outcome = evaluate(flag, &context, snapshot, store, &mut ());
            let (explained, steps) = explain(flag, &context, snapshot, store);
            assert_eq!(explained, outcome, "explained otherwise: {key}");
            assert_eq!(contradiction(&steps), None, "{key}");
            (Some(flag), outcome)
        }
        _ => (None, Outcome::error(ErrorKind::FlagNotFound)),
    };
    let value = flag.and_then(|flag| outcome.value(flag)).unwrap_or(default);
    let variation = outcome.variation.map_or(Value::Null, |index| {
        Value::Int(i64::try_from(index).unwrap())
    });
    object([
        ("value", value.clone()),
        ("variation", variation),
        ("reason", outcome.reason_value(flag)),
    ])
}

struct Store {
    status: BigSegmentsStatus,
    members: HashMap<String, HashMap<Box<str>, bool>>,
}

impl Store {
    fn new(case: &Value) -> Store {
        let statuses = [
            BigSegmentsStatus::Healthy,
            BigSegmentsStatus::Stale,
            BigSegmentsStatus::StoreError,
        ];
        let status = case.member("status").and_then(Value::as_str).unwrap();
        Store {
            status: *statuses.iter().find(|s| s.as_str() == status).unwrap(),
            members: serde_json::from_str(&case.member("members").unwrap().to_json()).unwrap(),
        }
    }
}

impl BigSegments for Store {
    fn membership(&self, context_key: &str) -> (Option<Arc<Membership>>, BigSegmentsStatus) {
        let said = self.members.get(context_key);
        (
            said.map(|said| Arc::new(said.clone().into_iter().collect())),
            self.status,
        )
    }
}

fn operator_case(row: &Value) -> Value {
    let [op, asked, operands, matches, ..] = items(row) else {
        panic!("{}", row.to_json())
    };
    let reason = if *matches == Value::Bool(true) {
        r#"{"kind":"RULE_MATCH","ruleIndex":0,"ruleId":null}"#
    } else {
        r#"{"kind":"FALLTHROUGH"}"#
    };
    value(&format!(
        r#"{{"name":{name},
            "flags":{{"flag":{{"on":true,"variations":[false,true],"fallthrough":{{"variation":0}},"rules":[
                {{"variation":1,"clauses":[{{"attribute":"value","op":{op},"values":{operands}}}]}}]}}}},
            "context":{{"kind":"user","key":"u","value":{asked}}},
            "expect":{{"value":{matches},"variation":{index},"reason":{reason}}}}}"#,
        name = Value::from(&*row.to_json()).to_json(),
        op = op.to_json(),
        operands = operands.to_json(),
        asked = asked.to_json(),
        matches = matches.to_json(),
        index = i32::from(*matches == Value::Bool(true)),
    ))
}

/// A share that ends at the bucket, and one that is the smallest bit larger.
fn bucket_cases(row: &Value) -> [Value; 2] {
    let [key, salt, seed, bucketed, Value::Int(bucket)] = items(row) else {
        panic!("{}", row.to_json())
    };
    [(*bucket, 0), (bucket + 1, 1)].map(|(weight, index)| {
        value(&format!(
            r#"{{"name":{name},
                "flags":{{{key}:{{"on":true,"salt":{salt},"variations":[false,true],"fallthrough":{{"rollout":{{
                    "contextKind":"user","bucketBy":"value","seed":{seed},
                    "variations":[{{"variation":1,"weight":{weight}}},{{"variation":0,"weight":{rest}}}]}}}}}}}},
                "flag":{key},
                "context":{{"kind":"user","key":"u","value":{bucketed}}},
                "expect":{{"value":{matches},"variation":{index},"reason":{{"kind":"FALLTHROUGH"}}}}}}"#,
            name = Value::from(&*format!("{} with weight {weight}", row.to_json())).to_json(),
            key = key.to_json(),
            salt = salt.to_json(),
            seed = seed.to_json(),
            bucketed = bucketed.to_json(),
            rest = 100_000 - weight,
            matches = index == 1,
        ))
    })
}

fn data(file: &Value, case: &Value) -> String {
    let part = |name| {
        let mut items: Vec<(Box<str>, Value)> = Vec::new();
        for source in [file.member(name), case.member(name)].into_iter().flatten() {
            let Value::Object(members) = source else {
                panic!("{name} must be an object")
            };
            for (key, item) in members {
                items.retain(|(other, _)| other != key);
                items.push((key.clone(), item.clone()));
            }
        }
        Value::Object(items.into())
    };
    object([("flags", part("flags")), ("segments", part("segments"))]).to_json()
}

fn snapshot(data: &str) -> Snapshot {
    match Snapshot::empty().apply(Change::full(data.as_bytes()).unwrap()) {
        Applied::New(snapshot) => snapshot,
        Applied::Same | Applied::Older => unreachable!(),
    }
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.map(|(name, value)| (name.into(), value)).into())
}

fn array<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.member(name).map_or(&[], items)
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        other => panic!("no array: {}", other.to_json()),
    }
}

/// Runs on a stack as small as some systems give to threads.
fn on_a_small_stack(test: fn()) {
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(test)
        .unwrap()
        .join()
        .unwrap();
}

/// `f0` needs `f1`, which needs `f2` …; the last one needs `end`.
fn chain_of_flags(length: usize, end: &str) -> Snapshot {
    let flags: Vec<_> = (0..length)
        .map(|n| {
            let next = if n + 1 == length {
                end.to_owned()
            } else {
                format!("f{}", n + 1)
            };
            format!(
                r#""f{n}":{{"on":true,"variations":["on","off"],"offVariation":1,"fallthrough":{{"variation":0}},"prerequisites":[{{"key":"{next}","variation":0}}]}}"#
            )
        })
        .chain([r#""end":{"on":true,"variations":["on"],"fallthrough":{"variation":0}}"#.to_owned()])
        .collect();
    snapshot(&format!(r#"{{"flags":{{{}}}}}"#, flags.join(",")))
}

fn kind_of_answer(snapshot: &Snapshot, key: &str) -> String {
    let context = value(r#"{"kind":"user","key":"u"}"#);
    answer(snapshot, key, context, None, &Value::Null)
        .member("reason")
        .unwrap()
        .to_json()
}

#[test]
fn a_chain_of_a_hundred_prerequisites_is_answered_and_a_longer_one_is_malformed() {
    on_a_small_stack(|| {
        let fallthrough = r#"{"kind":"FALLTHROUGH"}"#;
        let failed = r#"{"kind":"PREREQUISITE_FAILED","prerequisiteKey":"f1"}"#;
        let malformed = r#"{"kind":"ERROR","errorKind":"MALFORMED_FLAG"}"#;
        assert_eq!(
            kind_of_answer(&chain_of_flags(100, "end"), "f0"),
            fallthrough
        );
        assert_eq!(kind_of_answer(&chain_of_flags(100, "gone"), "f0"), failed);
        for cycle in ["f0", "f50", "f99"] {
            assert_eq!(kind_of_answer(&chain_of_flags(100, cycle), "f0"), malformed);
        }
        assert_eq!(
            kind_of_answer(&chain_of_flags(20_000, "end"), "f0"),
            malformed
        );
    });
}

#[test]
fn a_chain_of_a_hundred_segments_is_answered_and_a_longer_one_is_malformed() {
    on_a_small_stack(|| {
        for (length, answer) in [
            (100, r#"{"kind":"RULE_MATCH","ruleIndex":0,"ruleId":null}"#),
            (1_000, r#"{"kind":"ERROR","errorKind":"MALFORMED_FLAG"}"#),
        ] {
            let segments: Vec<_> = (0..length)
                .map(|n| {
                    format!(
                        r#""s{n}":{{"rules":[{{"clauses":[{{"op":"segmentMatch","values":["s{}"]}}]}}]}}"#,
                        n + 1
                    )
                })
                .chain([format!(r#""s{length}":{{"included":["u"]}}"#)])
                .collect();
            let snapshot = snapshot(&format!(
                r#"{{"segments":{{{}}},"flags":{{"flag":{{"on":true,"variations":[0,1],"fallthrough":{{"variation":0}},"rules":[{{"variation":1,"clauses":[{{"op":"segmentMatch","values":["s0"]}}]}}]}}}}}}"#,
                segments.join(",")
            ));
            assert_eq!(kind_of_answer(&snapshot, "flag"), answer);
        }
    });
}

#[derive(Default)]
struct Told(Vec<String>);

impl Recorder for Told {
    fn asked(&mut self, key: &str, of: &Flag) {
        self.0.push(format!("{} asks {key}", of.key));
    }

    fn evaluated(&mut self, prerequisite: &Flag, of: &Flag, outcome: &Outcome) {
        let index = outcome
            .variation
            .map_or(-1, |index| i64::try_from(index).unwrap());
        self.0
            .push(format!("{} served {index} to {}", prerequisite.key, of.key));
    }
}

#[test]
fn prerequisites_are_told_of_in_the_order_in_which_they_are_evaluated() {
    let snapshot = snapshot(
        r#"{"flags":{
            "a":{"on":true,"variations":[0,1],"offVariation":1,"fallthrough":{"variation":0},"prerequisites":[{"key":"b","variation":0},{"key":"off","variation":0},{"key":"never","variation":0}]},
            "b":{"on":true,"variations":[0,1],"offVariation":0,"fallthrough":{"variation":1},"prerequisites":[{"key":"c","variation":0},{"key":"gone","variation":0}]},
            "c":{"on":true,"variations":[0],"fallthrough":{"variation":0}},
            "off":{"on":false,"variations":[0],"offVariation":0}}}"#,
    );
    let Some(Entry::Live(flag)) = snapshot.flag_entry("a") else {
        panic!()
    };
    let context = Context::from_value(value(r#"{"kind":"user","key":"u"}"#)).unwrap();
    let mut told = Told::default();
    let outcome = evaluate(flag, &context, &snapshot, None, &mut told);
    assert_eq!(outcome.variation, Some(1));
    assert_eq!(
        told.0,
        [
            "a asks b",
            "b asks c",
            "c served 0 to b",
            "b asks gone",
            "b served 0 to a",
            "a asks off",
            "off served 0 to a"
        ]
    );
}
