//! Work of the engine alone, without Python, for `instructions.py` to count: `engine <case> <times> <data>`.
//! What the numbers mean is told there.

use std::process::exit;

use ldclient::evaluation::evaluate;
use ldclient::model::Context;
use ldclient::store::{Applied, Change, DataKind, Entry, Snapshot};

const USER: &str = r#"{"kind":"user","key":"user-7","name":"User Number 7","email":"user7@example.com","country":"at",
    "appVersion":"2.7.1","plan":"gold","age":25}"#;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [case, times, data] = &arguments[..] else {
        // `cargo test --benches` calls it without any.
        return;
    };
    let Ok(times) = times.parse::<u32>() else {
        eprintln!("{times} is no number");
        exit(2);
    };
    let data = match std::fs::read(data) {
        Ok(data) => data,
        Err(error) => {
            eprintln!("{data}: {error}");
            exit(2);
        }
    };
    let mut snapshot = loaded(&data);
    let context = serde_json::from_str(USER)
        .ok()
        .and_then(|value| Context::from_value(value).ok());
    let Some(context) = context else {
        eprintln!("the context is not valid");
        exit(2);
    };
    for number in 0..times {
        match &**case {
            "load" => snapshot = loaded(&data),
            "patch" => snapshot = patched(&snapshot, i64::from(number) + 1_000),
            flag => {
                let Some(Entry::Live(flag)) = snapshot.flag_entry(flag) else {
                    eprintln!("there is no flag {flag}");
                    exit(2);
                };
                let outcome = evaluate(flag, &context, &snapshot, None, &mut ());
                assert!(outcome.variation.is_some(), "{:?}", outcome.reason);
            }
        }
    }
}

fn loaded(data: &[u8]) -> Snapshot {
    applied(&Snapshot::empty(), Change::full(data))
}

fn patched(snapshot: &Snapshot, version: i64) -> Snapshot {
    let text = format!(
        r#"{{"key":"bool-simple","version":{version},"on":true,"variations":[true,false],"fallthrough":{{"variation":0}},
            "offVariation":1,"salt":"s","rules":[],"targets":[],"prerequisites":[]}}"#
    );
    applied(
        snapshot,
        Change::upsert(DataKind::Flag, "bool-simple", &text),
    )
}

fn applied<E: std::fmt::Debug>(snapshot: &Snapshot, change: Result<Change, E>) -> Snapshot {
    match change.map(|change| snapshot.apply(change)) {
        Ok(Applied::New(snapshot)) => snapshot,
        other => {
            eprintln!("the data was not taken: {:?}", other.map(drop));
            exit(2);
        }
    }
}
