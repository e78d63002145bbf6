//! What callers and the service see of the events as a whole; parts have their tests in their own files.

mod delivering;
mod properties;
mod recording;

use std::time::Duration;

use super::Ledger;

const PLAIN: &str = r#"{"key":"f","version":7,"on":true,"variations":[true,false]}"#;
const TRACKED: &str =
    r#"{"key":"f","version":7,"on":true,"variations":["a","b"],"trackEvents":true}"#;
const LONG: Duration = Duration::from_secs(20);

fn balance(ledger: &Ledger) {
    assert_eq!(
        ledger.accepted,
        ledger.sent + ledger.pending + ledger.dropped_total(),
        "{ledger:?}"
    );
}

fn lost(ledger: &Ledger, reason: &str) -> u64 {
    ledger
        .dropped
        .iter()
        .find(|(name, _)| *name == reason)
        .unwrap()
        .1
}

fn kinds(events: &[serde_json::Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect()
}
