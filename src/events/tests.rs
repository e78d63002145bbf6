//! What callers and the service see of the events as a whole; parts have their tests in their own files.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::fakes::*;
use super::log::Level;
use super::recorder::Evaluated;
use super::sender::Reply;
use super::{Ledger, Settings};
use crate::evaluation::{ErrorKind, Outcome, Reason};
use crate::model::{Context, Value};

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

// Shapes

#[test]
fn an_evaluation_makes_an_index_event_and_a_counter() {
    let mut bench = bench(&settings());
    let flag = flag(0, PLAIN);
    let someone = context(r#"{"kind":"user","key":"u","name":"n","x":1}"#);
    bench.evaluated(&someone, &flag, &served(0));
    bench.clock.0.store(1_500, Ordering::SeqCst);
    bench.evaluated(&someone, &flag, &served(0));
    bench.evaluated(&someone, &flag, &served(1));
    bench.clock.0.store(2_000, Ordering::SeqCst);
    assert_eq!(
        bench.flush(),
        [
            json!({"kind":"index","creationDate":1000,"context":{"key":"u","kind":"user","name":"n","x":1}}),
            json!({"kind":"summary","startDate":1000,"endDate":2000,"features":{"f":{
                "default":"default","contextKinds":["user"],"counters":[
                    {"count":2,"value":true,"variation":0,"version":7},
                    {"count":1,"value":false,"variation":1,"version":7}]}}}),
        ]
    );
    assert_eq!(bench.flush(), [json!(null); 0], "everything was told");
}

#[test]
fn a_tracked_evaluation_is_sent_whole_after_its_index_event() {
    let mut bench = bench(&settings());
    bench.evaluated(&user(), &flag(0, TRACKED), &served(1));
    let events = bench.flush();
    assert_eq!(kinds(&events), ["index", "feature", "summary"]);
    assert_eq!(
        events[1],
        json!({"kind":"feature","creationDate":1000,"key":"f","value":"b","default":"default","version":7,"variation":1,
               "context":{"key":"u","kind":"user"}})
    );
}

#[test]
fn the_reason_comes_with_a_detailed_answer_and_with_an_experiment() {
    let mut bench = bench(&settings());
    let (someone, tracked) = (user(), flag(0, TRACKED));
    let plain = flag(1, PLAIN);
    let experiment = Outcome::new(
        Some(0),
        Reason::Fallthrough {
            in_experiment: true,
        },
    );
    bench.recorder.evaluated(
        &someone,
        &Evaluated {
            with_reason: true,
            ..evaluated(&tracked, &served(0))
        },
    );
    bench.evaluated(&someone, &plain, &experiment);
    let events = bench.flush();
    assert_eq!(kinds(&events), ["index", "feature", "feature", "summary"]);
    assert_eq!(events[1]["reason"], json!({"kind":"FALLTHROUGH"}));
    assert_eq!(
        events[2]["reason"],
        json!({"kind":"FALLTHROUGH","inExperiment":true})
    );
}

#[test]
fn a_prerequisite_names_its_flag_and_has_no_default() {
    let mut bench = bench(&settings());
    let flag = flag(0, TRACKED);
    let outcome = served(1);
    let what = Evaluated {
        key: "f",
        flag: Some(&flag),
        outcome: &outcome,
        default: || -> Value { unreachable!() },
        with_reason: false,
        prerequisite_of: Some("parent"),
    };
    bench.recorder.evaluated(&user(), &what);
    let events = bench.flush();
    assert_eq!(events[1]["prereqOf"], "parent");
    assert_eq!(events[1]["default"], json!(null));
    assert_eq!(events[2]["features"]["f"]["default"], json!(null));
}

#[test]
fn what_has_no_variation_or_no_flag_counts_with_the_default_as_its_value() {
    let mut bench = bench(&settings());
    let (someone, flag) = (user(), flag(3, TRACKED));
    bench.evaluated(&someone, &flag, &Outcome::error(ErrorKind::MalformedFlag));
    let unknown = || Evaluated {
        key: "nope",
        flag: None,
        outcome: &Outcome {
            variation: None,
            reason: Reason::Error(ErrorKind::FlagNotFound),
            big_segments: None,
        },
        default: || Value::Int(5),
        with_reason: true,
        prerequisite_of: None,
    };
    bench.recorder.evaluated(&someone, &unknown());
    bench.recorder.evaluated(&someone, &unknown());
    let events = bench.flush();
    assert_eq!(kinds(&events), ["index", "feature", "summary"]);
    assert_eq!(
        events[1],
        json!({"kind":"feature","creationDate":1000,"key":"f","value":"default","default":"default","version":7,
               "context":{"key":"u","kind":"user"}})
    );
    assert_eq!(
        events[2]["features"],
        json!({"f":{"default":"default","contextKinds":["user"],"counters":[{"count":1,"value":"default","version":7}]},
               "nope":{"default":5,"contextKinds":["user"],"counters":[{"count":2,"value":5,"unknown":true}]}})
    );
}

#[test]
fn identify_custom_and_migration_events_have_the_shapes_of_the_service() {
    let mut bench = bench(&settings());
    let someone = context(
        r#"{"kind":"multi","user":{"key":"u","anonymous":true,"x":1},"org":{"key":"o","y":2}}"#,
    );
    assert!(bench.recorder.identify(someone.clone()));
    assert!(bench.recorder.track(
        "bought",
        &someone,
        Some(Value::from("data")),
        Some(Value::Float(1.5))
    ));
    assert!(bench.recorder.track("left", &someone, None, None));
    let members =
        serde_json::from_str(r#"{"operation":"read","evaluation":{"key":"m","value":"live"}}"#)
            .unwrap();
    assert!(bench.recorder.migration_op(&someone, members, None));
    let whole =
        json!({"kind":"multi","user":{"key":"u","anonymous":true,"x":1},"org":{"key":"o","y":2}});
    let hidden = json!({"kind":"multi","user":{"key":"u","anonymous":true,"_meta":{"redactedAttributes":["x"]}},
                        "org":{"key":"o","y":2}});
    assert_eq!(
        bench.flush(),
        [
            json!({"kind":"identify","creationDate":1000,"context":whole}),
            json!({"kind":"custom","creationDate":1000,"key":"bought","data":"data","metricValue":1.5,"context":hidden}),
            json!({"kind":"custom","creationDate":1000,"key":"left","context":hidden}),
            json!({"kind":"migration_op","creationDate":1000,"operation":"read",
                   "evaluation":{"key":"m","value":"live"},"context":hidden}),
        ]
    );
}

#[test]
fn payloads_go_to_bulk_with_the_headers_of_the_service() {
    let mut bench = bench(&Settings {
        gzip: true,
        ..settings()
    });
    bench.recorder.identify(user());
    bench.delivery.flush(Instant::now());
    let posted = bench.service.posted.lock().unwrap()[0].clone();
    assert_eq!(posted.url, "http://events/bulk");
    assert_eq!(posted.header("Content-Type"), Some("application/json"));
    assert_eq!(posted.header("X-LaunchDarkly-Event-Schema"), Some("4"));
    assert_eq!(
        posted.header("X-LaunchDarkly-Payload-ID").map(str::len),
        Some(36)
    );
    assert_eq!(posted.header("Content-Encoding"), Some("gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*posted.body), &mut text)
        .unwrap();
    assert!(text.starts_with(r#"[{"kind":"identify""#), "{text}");
}

// Counting

#[test]
fn counters_survive_the_replacement_of_a_flag() {
    let mut bench = bench(&settings());
    let someone = user();
    let (old, new) = (
        flag(0, PLAIN),
        flag(0, r#"{"key":"f","version":8,"variations":[1,2,3]}"#),
    );
    let again = flag(5, PLAIN);
    for (flag, variation) in [
        (&old, 0),
        (&new, 2),
        (&old, 0),
        (&new, 2),
        (&old, 1),
        (&again, 0),
    ] {
        bench.evaluated(&someone, flag, &served(variation));
    }
    assert_eq!(
        bench.flush()[1]["features"]["f"]["counters"],
        json!([{"count":3,"value":true,"variation":0,"version":7},
               {"count":1,"value":false,"variation":1,"version":7},
               {"count":2,"value":3,"variation":2,"version":8}])
    );
}

#[test]
fn another_flag_at_the_same_slot_is_counted_apart() {
    let mut bench = bench(&settings());
    let someone = user();
    let (a, b) = (
        flag(0, PLAIN),
        flag(0, r#"{"key":"g","version":1,"variations":[1]}"#),
    );
    for flag in [&a, &b, &a] {
        bench.evaluated(&someone, flag, &served(0));
    }
    let features = bench.flush()[1]["features"].clone();
    assert_eq!(features["f"]["counters"][0]["count"], 2);
    assert_eq!(features["g"]["counters"][0]["count"], 1);
}

#[test]
fn a_summary_names_every_kind_that_was_seen() {
    let mut bench = bench(&settings());
    let flag = flag(0, PLAIN);
    for json in [
        r#"{"kind":"org","key":"o"}"#,
        r#"{"kind":"multi","user":{"key":"u"},"org":{"key":"o"}}"#,
    ] {
        bench.evaluated(&context(json), &flag, &served(0));
    }
    let events = bench.flush();
    assert_eq!(
        events.last().unwrap()["features"]["f"]["contextKinds"],
        json!(["user", "org"])
    );
}

#[test]
fn flags_that_are_excluded_from_summaries_are_not_counted() {
    let mut bench = bench(&settings());
    let flag = flag(
        0,
        r#"{"key":"f","variations":[1],"excludeFromSummaries":true,"trackEvents":true}"#,
    );
    bench.evaluated(&user(), &flag, &served(0));
    assert_eq!(kinds(&bench.flush()), ["index", "feature"]);
}

#[test]
fn eight_threads_that_count_at_once_lose_nothing() {
    let (events, service, _) = events(&settings());
    let flags = [flag(0, PLAIN), flag(0, PLAIN), flag(1, PLAIN)];
    thread::scope(|scope| {
        for n in 0..8 {
            let (events, flags) = (&events, &flags);
            scope.spawn(move || {
                let someone = context(&format!(r#"{{"kind":"user","key":"u{n}"}}"#));
                for i in 0..3_000 {
                    events.evaluated(&someone, evaluated(&flags[i % 3], &served(i % 2)));
                    if i % 500 == 0 {
                        events.flush();
                    }
                }
            });
        }
    });
    assert!(events.flush_within(LONG).complete);
    let posted = service.posted.lock().unwrap();
    let all: Vec<_> = posted
        .iter()
        .flat_map(|p| p.json().as_array().unwrap().clone())
        .collect();
    let counters = all
        .iter()
        .filter(|e| e["kind"] == "summary")
        .flat_map(|e| e["features"]["f"]["counters"].as_array().unwrap());
    assert_eq!(
        counters
            .map(|counter| counter["count"].as_u64().unwrap())
            .sum::<u64>(),
        24_000
    );
    assert_eq!(
        all.iter().filter(|event| event["kind"] == "index").count(),
        8
    );
    balance(&events.stats());
}

// Contexts

#[test]
fn a_context_is_told_once_until_all_are_forgotten() {
    let mut bench = bench(&settings());
    let (someone, flag) = (user(), flag(0, PLAIN));
    bench.recorder.track("t", &someone, None, None);
    bench.evaluated(&someone, &flag, &served(0));
    assert_eq!(kinds(&bench.flush()), ["index", "custom", "summary"]);
    bench.recorder.forget_seen();
    bench.recorder.identify(someone.clone());
    bench.evaluated(&someone, &flag, &served(0));
    assert_eq!(
        kinds(&bench.flush()),
        ["identify", "summary"],
        "identify tells it too"
    );
}

#[test]
fn anonymous_contexts_are_omitted_on_request() {
    let mut bench = bench(&Settings {
        omit_anonymous: true,
        ..settings()
    });
    let flag = flag(0, TRACKED);
    let anonymous = context(r#"{"kind":"user","key":"u","anonymous":true}"#);
    let mixed =
        context(r#"{"kind":"multi","user":{"key":"u","anonymous":true},"org":{"key":"o"}}"#);
    assert!(!bench.recorder.identify(anonymous.clone()));
    bench.evaluated(&anonymous, &flag, &served(0));
    bench.evaluated(&mixed, &flag, &served(0));
    bench.evaluated(&context(r#"{"kind":"org","key":"o"}"#), &flag, &served(0));
    bench.evaluated(&user(), &flag, &served(0));
    let events = bench.flush();
    assert_eq!(
        kinds(&events),
        [
            "feature", "index", "feature", "feature", "index", "feature", "summary"
        ]
    );
    assert_eq!(events[1]["context"], json!({"kind":"org","key":"o"}));
    assert_eq!(
        events[2]["context"]["user"],
        json!({"key":"u","anonymous":true})
    );
    assert_eq!(
        events[4]["context"],
        json!({"kind":"user","key":"u"}),
        "the key was not known by its anonymous namesake"
    );
}

// Debugging and sampling

#[test]
fn a_flag_is_debugged_until_its_date_by_both_clocks() {
    let flag = flag(
        0,
        r#"{"key":"f","version":1,"variations":[1],"debugEventsUntilDate":5000}"#,
    );
    let someone = context(r#"{"kind":"user","key":"u","anonymous":true,"x":1}"#);
    for (now_ms, server_ms, expected) in [
        (4_999, 4_999, true),
        (5_000, 0, false),
        (1_000, 5_000, false),
    ] {
        let mut bench = bench(&settings());
        bench.recorder.identify(someone.clone());
        bench.flush();
        bench.clock.0.store(now_ms, Ordering::SeqCst);
        bench.recorder.set_server_time(server_ms);
        bench.evaluated(&someone, &flag, &served(0));
        let events = bench.flush();
        assert_eq!(
            kinds(&events).contains(&"debug"),
            expected,
            "{now_ms} {server_ms}"
        );
        if expected {
            assert_eq!(
                events[0]["context"],
                json!({"kind":"user","key":"u","anonymous":true,"x":1}),
                "not redacted"
            );
        }
    }
}

#[test]
fn the_service_tells_its_time_with_every_answer() {
    let mut bench = bench(&settings());
    bench.recorder.identify(user());
    let date = Some("Thu, 01 Jan 1970 00:00:06 GMT".to_owned());
    bench
        .service
        .script
        .lock()
        .unwrap()
        .push_back(Ok(Reply { status: 202, date }));
    bench.flush();
    let flag = flag(
        0,
        r#"{"key":"f","version":1,"variations":[1],"debugEventsUntilDate":5000}"#,
    );
    bench.evaluated(&user(), &flag, &served(0));
    assert_eq!(kinds(&bench.flush()), ["summary"]);
}

#[test]
fn sampling_applies_to_whole_events_but_not_to_counters() {
    let mut bench = bench(&settings());
    bench.recorder.seed_sampler(42);
    let json = |ratio| {
        format!(
            r#"{{"key":"f","variations":[1],"trackEvents":true,"debugEventsUntilDate":9e9,"samplingRatio":{ratio}}}"#
        )
    };
    let (never, tenth) = (flag(0, &json(0)), flag(1, &json(10)));
    for _ in 0..1_000 {
        bench.evaluated(&user(), &never, &served(0));
    }
    assert_eq!(kinds(&bench.flush()), ["index", "summary"]);
    for _ in 0..1_000 {
        bench.evaluated(&user(), &tenth, &served(0));
    }
    let events = bench.flush();
    for kind in ["feature", "debug"] {
        let count = kinds(&events).iter().filter(|k| **k == kind).count();
        assert!((50..200).contains(&count), "{kind}: {count}");
    }
    assert_eq!(
        events.last().unwrap()["features"]["f"]["counters"][0]["count"],
        1_000
    );
}

// Bounds and failures

#[test]
fn a_full_buffer_drops_counts_and_warns_once_until_there_is_room() {
    let mut bench = bench(&Settings {
        capacity: 2,
        ..settings()
    });
    for round in 1..=2 {
        for n in 0..5 {
            let kept = bench.recorder.identify(user());
            assert_eq!(kept, n < 2);
        }
        let lines = bench.log.lines();
        assert_eq!(lines.len(), round);
        assert_eq!(lines[0].0, Level::Warning);
        let ledger = bench.recorder.books().0;
        balance(&ledger);
        assert_eq!(
            (ledger.pending, lost(&ledger, "capacity")),
            (2, 3 * round as u64)
        );
        assert_eq!(bench.flush().len(), 2);
    }
}

#[test]
fn unknown_flags_cannot_fill_the_memory() {
    let mut bench = bench(&Settings {
        capacity: 10,
        ..settings()
    });
    let outcome = Outcome::error(ErrorKind::FlagNotFound);
    for n in 0..100 {
        let key = format!("key{n}");
        let what = Evaluated {
            key: &key,
            flag: None,
            outcome: &outcome,
            default: || Value::Null,
            with_reason: false,
            prerequisite_of: None,
        };
        bench.recorder.evaluated(&user(), &what);
    }
    assert_eq!(bench.flush()[1]["features"].as_object().unwrap().len(), 10);
    assert_eq!(bench.log.lines().len(), 1);
}

#[test]
fn one_bad_value_costs_only_itself() {
    let mut deep = Value::Int(1);
    for _ in 0..200 {
        deep = Value::Array([deep].into());
    }
    let mut bench = bench(&settings());
    let individual = crate::model::Parts {
        key: "d".into(),
        attributes: vec![("deep".into(), deep.clone()), ("x".into(), Value::Int(1))],
        ..Default::default()
    };
    let someone = Arc::new(
        Context::new(vec![
            crate::model::Individual::new("user", individual).unwrap(),
        ])
        .unwrap(),
    );
    bench.recorder.identify(user());
    bench.recorder.track("bad", &user(), Some(deep), None);
    bench
        .recorder
        .track("nan", &user(), None, Some(Value::Float(f64::NAN)));
    bench.recorder.identify(someone);
    let events = bench.flush();
    assert_eq!(kinds(&events), ["identify", "custom", "identify"]);
    assert_eq!(events[2]["context"], json!({"kind":"user","key":"d","x":1}));
    let ledger = bench.recorder.books().0;
    balance(&ledger);
    assert_eq!((ledger.sent, lost(&ledger, "unencodable")), (3, 1));
    assert!(
        bench
            .log
            .lines()
            .iter()
            .any(|(_, line)| line.contains("\"deep\"")),
        "the attribute is named"
    );
}

#[test]
fn what_fails_in_passing_is_tried_once_more_under_the_same_id() {
    for first in [
        status(400),
        status(408),
        status(429),
        status(500),
        status(503),
        Err("no route".to_owned()),
    ] {
        let mut bench = bench(&settings());
        bench.recorder.identify(user());
        bench.service.script.lock().unwrap().push_back(first);
        bench.delivery.flush(Instant::now());
        let posted = bench.service.posted.lock().unwrap();
        assert_eq!(posted.len(), 2);
        assert_eq!(
            posted[0].header("X-LaunchDarkly-Payload-ID"),
            posted[1].header("X-LaunchDarkly-Payload-ID")
        );
        assert_eq!(posted[0].body, posted[1].body);
        assert_eq!(bench.recorder.books().0.sent, 1);
        assert_eq!(bench.log.lines(), []);
    }
}

#[test]
fn a_second_failure_drops_the_payload_and_only_changes_of_state_are_told() {
    let mut bench = bench(&settings());
    for _ in 0..3 {
        bench.recorder.identify(user());
        bench
            .service
            .script
            .lock()
            .unwrap()
            .extend([Err("no route".to_owned()), status(503)]);
        bench.flush();
    }
    bench.clock.0.store(61_000, Ordering::SeqCst);
    bench.recorder.identify(user());
    bench.flush();
    let ledger = bench.recorder.books().0;
    balance(&ledger);
    assert_eq!((ledger.sent, lost(&ledger, "undeliverable")), (1, 3));
    let lines = bench.log.lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].0, Level::Warning);
    assert!(lines[0].1.contains("HTTP status 503"), "{}", lines[0].1);
    assert_eq!(
        lines[1],
        (
            Level::Info,
            "events are delivered again after 60 s".to_owned()
        )
    );
}

#[test]
fn a_refusal_is_told_once_and_never_ends_the_attempts() {
    let mut bench = bench(&settings());
    for _ in 0..20 {
        bench.recorder.identify(user());
        bench.service.script.lock().unwrap().push_back(status(401));
        assert_eq!(bench.flush().len(), 1, "one attempt for each payload");
    }
    bench.recorder.identify(user());
    assert_eq!(bench.flush().len(), 1);
    let ledger = bench.recorder.books().0;
    assert_eq!((ledger.sent, lost(&ledger, "rejected")), (1, 20));
    let levels: Vec<_> = bench
        .log
        .lines()
        .into_iter()
        .map(|(level, _)| level)
        .collect();
    assert_eq!(levels, [Level::Error, Level::Info]);
}

#[test]
fn after_failures_periodic_flushes_pause_and_the_events_wait() {
    let mut bench = bench(&Settings {
        flush_interval: Duration::from_secs(5),
        ..settings()
    });
    let start = Instant::now();
    bench.recorder.identify(user());
    bench.service.script.lock().unwrap().push_back(status(403));
    bench.delivery.flush_unless_failing(start);
    bench.recorder.identify(user());
    bench
        .delivery
        .flush_unless_failing(start + Duration::from_secs(4));
    assert_eq!(bench.recorder.books().0.pending, 1);
    bench
        .delivery
        .flush_unless_failing(start + Duration::from_secs(5));
    assert_eq!(bench.recorder.books().0.sent, 1);
}

// The thread

#[test]
fn a_flush_that_is_waited_for_tells_the_truth() {
    let (events, service, _) = events(&settings());
    events.identify(user());
    let report = events.flush_within(LONG);
    assert_eq!((report.sent, report.pending, report.complete), (1, 0, true));

    service.script.lock().unwrap().push_back(status(401));
    events.identify(user());
    let report = events.flush_within(LONG);
    assert_eq!((report.sent, report.pending, report.complete), (0, 0, true));
    assert!(report.dropped.contains(&("rejected", 1)));

    let (came, release) = hold(&service);
    events.identify(user());
    assert!(!events.flush_within(Duration::ZERO).complete);
    came.recv_timeout(LONG).unwrap();
    events.identify(user());
    let report = events.flush_within(Duration::from_millis(20));
    assert_eq!(
        (report.sent, report.pending, report.complete),
        (0, 2, false),
        "one under way and one waiting"
    );
    drop(release);
    let report = events.flush_within(LONG);
    assert_eq!(
        (report.pending, report.complete, events.stats().sent),
        (0, true, 3)
    );
}

#[test]
fn several_can_wait_for_a_flush_at_once() {
    let (events, _, _) = events(&settings());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                events.identify(user());
                let report = events.flush_within(LONG);
                assert!(report.complete);
            });
        }
    });
    assert_eq!((events.stats().sent, events.stats().pending), (8, 0));
}

#[test]
fn callers_are_not_held_up_by_a_post_under_way() {
    let (events, service, _) = events(&settings());
    let (came, release) = hold(&service);
    events.identify(user());
    events.flush();
    came.recv_timeout(LONG).unwrap();
    assert!(events.identify(user()));
    assert_eq!(events.stats().pending, 2);
    drop(release);
    assert!(events.flush_within(LONG).complete);
}

#[test]
fn a_close_sends_what_waits_and_what_comes_later_is_dropped() {
    let (events, service, _) = events(&settings());
    let (someone, tracked) = (user(), flag(0, TRACKED));
    events.identify(someone.clone());
    assert!(events.close(LONG));
    assert_eq!(service.posted.lock().unwrap().len(), 1);
    assert!(!events.identify(someone.clone()));
    events.evaluated(&someone, evaluated(&tracked, &served(0)));
    events.evaluated(&someone, evaluated(&tracked, &served(0)));
    events.flush();
    assert!(events.close(LONG), "a second close changes nothing");
    let report = events.flush_within(LONG);
    assert!(report.complete);
    let ledger = events.stats();
    balance(&ledger);
    assert_eq!(
        (ledger.sent, ledger.pending, lost(&ledger, "closed")),
        (1, 0, 4),
        "identify, two features, one summary"
    );
}

#[test]
fn a_close_ends_within_its_deadline_whatever_the_service_does() {
    let (events, service, _) = events(&settings());
    let (came, release) = hold(&service);
    events.identify(user());
    events.flush();
    came.recv_timeout(LONG).unwrap();
    events.identify(user());
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(!events.close(Duration::from_millis(50))));
        }
    });
    assert!(start.elapsed() < Duration::from_secs(5));
    let ledger = events.stats();
    balance(&ledger);
    assert_eq!(
        (ledger.pending, lost(&ledger, "closed")),
        (1, 1),
        "only the payload under way is open"
    );
    drop(release);
    assert!(events.close(LONG));
    let ledger = events.stats();
    balance(&ledger);
    assert_eq!((ledger.sent, ledger.pending), (1, 0));
}

#[test]
fn a_close_does_not_sit_out_the_wait_for_the_second_attempt() {
    let (events, service, _) = events(&Settings {
        retry_delay: Duration::from_secs(3600),
        ..settings()
    });
    let (came, release) = hold(&service);
    service.script.lock().unwrap().push_back(status(503));
    events.identify(user());
    events.flush();
    came.recv_timeout(LONG).unwrap();
    drop(release);
    assert!(events.close(LONG));
    assert_eq!(
        events.stats().sent,
        1,
        "the second attempt was made at once"
    );
}

#[test]
fn events_that_are_let_go_without_a_close_are_still_sent() {
    let (events, service, _) = events(&settings());
    let (came, release) = hold(&service);
    events.identify(user());
    drop(events);
    came.recv_timeout(LONG)
        .expect("the thread flushes before it ends");
    drop(release);
}

#[test]
fn diagnostics_go_out_at_the_start_without_a_payload_id() {
    let settings = Settings {
        diagnostics: Some(super::Diagnostics::default()),
        ..settings()
    };
    let (events, service, _) = events(&settings);
    assert!(events.flush_within(LONG).complete);
    let posted = service.posted.lock().unwrap()[0].clone();
    assert_eq!(posted.url, "http://events/diagnostic");
    assert_eq!(posted.json()["kind"], "diagnostic-init");
    assert_eq!(posted.header("X-LaunchDarkly-Payload-ID"), None);
    assert_eq!(events.stats().accepted, 0, "they are not in the books");
}

#[test]
fn later_diagnostics_tell_of_streams_losses_and_repetitions() {
    let mut bench = bench(&Settings {
        diagnostics: Some(super::Diagnostics::default()),
        capacity: 1,
        ..settings()
    });
    bench.recorder.identify(user());
    bench.recorder.identify(user());
    bench.flush();
    bench.recorder.stream_init(super::diagnostics::StreamInit {
        timestamp: 1,
        duration_millis: 2,
        failed: false,
    });
    bench.delivery.send_later_diagnostics();
    let body = bench.service.posted.lock().unwrap().last().unwrap().json();
    assert_eq!(body["eventsInLastBatch"], 1);
    assert_eq!(body["droppedEvents"], 1);
    assert_eq!(body["deduplicatedUsers"], 1);
    assert_eq!(
        body["streamInits"],
        json!([{"timestamp":1,"durationMillis":2,"failed":false}])
    );
}

// Properties

#[derive(Clone, Debug)]
enum Step {
    Identify(u8),
    Track(u8),
    Evaluate(u8, bool),
    Flush(Vec<Option<u16>>),
    Take,
    Close,
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        Just(None),
        (0..6_usize).prop_map(|n| Some([200, 202, 401, 429, 500, 413][n]))
    ];
    prop_oneof![
        4 => any::<u8>().prop_map(Step::Identify),
        4 => any::<u8>().prop_map(Step::Track),
        8 => (any::<u8>(), any::<bool>()).prop_map(|(n, tracked)| Step::Evaluate(n, tracked)),
        4 => proptest::collection::vec(answer, 0..4).prop_map(Step::Flush),
        1 => Just(Step::Take),
        1 => Just(Step::Close),
        1 => Just(Step::Abandon),
    ]
}

/// A JSON value whose every text is a secret of its own, with the paths of the texts.
fn secrets(shape: &Shape, path: &[String], found: &mut Vec<(Vec<String>, String)>) -> Value {
    match shape {
        Shape::Leaf => {
            let secret = format!("secret-{}-end", found.len());
            found.push((path.to_vec(), secret.clone()));
            Value::from(&*secret)
        }
        Shape::Array(items) => {
            // A reference cannot reach into an array: its texts belong to the attribute that holds it.
            Value::Array(
                items
                    .iter()
                    .map(|item| secrets_at(item, path, found))
                    .collect(),
            )
        }
        Shape::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, member)| {
                    (
                        name.as_str().into(),
                        secrets(member, &[path, &[name.clone()]].concat(), found),
                    )
                })
                .collect(),
        ),
    }
}

fn secrets_at(shape: &Shape, path: &[String], found: &mut Vec<(Vec<String>, String)>) -> Value {
    let start = found.len();
    let value = secrets(shape, path, found);
    for (place, _) in &mut found[start..] {
        *place = path.to_vec();
    }
    value
}

#[derive(Clone, Debug)]
enum Shape {
    Leaf,
    Array(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

const NAMES: [&str; 6] = ["a", "b", "c", "/x", "y~z", "name"];

fn shape() -> impl Strategy<Value = Shape> {
    Just(Shape::Leaf).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Shape::Array),
            members(inner).prop_map(Shape::Object),
        ]
    })
}

fn members(inner: impl Strategy<Value = Shape>) -> impl Strategy<Value = Vec<(String, Shape)>> {
    proptest::collection::btree_map(proptest::sample::select(&NAMES[..5]), inner, 0..4).prop_map(
        |members| {
            members
                .into_iter()
                .map(|(name, shape)| (name.to_owned(), shape))
                .collect()
        },
    )
}

fn reference() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..4)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn written(reference: &[String]) -> String {
    reference
        .iter()
        .map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
        .collect()
}

#[derive(Clone, Debug)]
struct Rules {
    global: Vec<Vec<String>>,
    own: Vec<Vec<String>>,
    public: Option<Vec<Vec<String>>>,
    all: bool,
    anonymous: bool,
}

fn rules() -> impl Strategy<Value = Rules> {
    let references = || proptest::collection::vec(reference(), 0..3);
    (
        references(),
        references(),
        proptest::option::weighted(0.3, references()),
        proptest::bool::weighted(0.2),
        any::<bool>(),
    )
        .prop_map(|(global, own, public, all, anonymous)| Rules {
            global,
            own,
            public,
            all,
            anonymous,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_private_value_is_ever_sent_and_every_public_one_is(attributes in members(shape()), rules in rules(), multi in any::<bool>()) {
        let mut found = vec![(vec!["name".to_owned()], "secret-0-end".to_owned())];
        let attributes = attributes.iter()
            .map(|(name, shape)| (name.as_str().into(), secrets(shape, std::slice::from_ref(name), &mut found)))
            .collect();
        let texts = |references: &[Vec<String>]| references.iter().map(|r| written(r)).collect::<Vec<_>>();
        let parts = crate::model::Parts {
            key: "k".into(),
            name: Some("secret-0-end".into()),
            anonymous: rules.anonymous,
            attributes,
            private: texts(&rules.own).into_iter().map(Into::into).collect(),
        };
        let mut individuals = vec![crate::model::Individual::new("user", parts).unwrap()];
        if multi {
            let other = crate::model::Parts { key: "o".into(), ..Default::default() };
            individuals.push(crate::model::Individual::new("org", other).unwrap());
        }
        let someone = Arc::new(Context::new(individuals).unwrap());
        let mut bench = bench(&Settings {
            all_attributes_private: rules.all,
            private_attributes: texts(&rules.global),
            public_attributes: rules.public.as_deref().map(texts),
            ..settings()
        });
        let flag = flag(0, r#"{"key":"f","variations":[1],"trackEvents":true,"debugEventsUntilDate":9e9}"#);
        bench.evaluated(&someone, &flag, &served(0));
        bench.recorder.identify(someone.clone());
        bench.recorder.track("t", &someone, None, None);
        bench.recorder.migration_op(&someone, Value::Object([].into()), None);
        let events = bench.flush();
        prop_assert_eq!(kinds(&events), ["index", "feature", "debug", "identify", "custom", "migration_op", "summary"]);
        for event in &events {
            let text = event.to_string();
            let kind = event["kind"].as_str().unwrap();
            let hides_anonymous = rules.anonymous && ["feature", "custom", "migration_op"].contains(&kind);
            for (path, secret) in &found {
                let named = |references: &[Vec<String>]| references.iter().any(|r| path.starts_with(r));
                let allowed = match &rules.public {
                    Some(public) => named(public),
                    None => !rules.all,
                };
                let public = allowed && !named(&rules.global) && !named(&rules.own) && !hides_anonymous && kind != "summary";
                prop_assert_eq!(text.contains(&**secret), public, "{} {:?} {}", kind, path, text);
            }
        }
    }

    #[test]
    fn the_books_balance_after_every_step(steps in proptest::collection::vec(step(), 1..60)) {
        let mut bench = bench(&Settings { capacity: 5, context_keys_capacity: 3, ..settings() });
        let flags = [flag(0, PLAIN), flag(0, TRACKED)];
        for step in steps {
            let someone = |n: u8| context(&format!(r#"{{"kind":"user","key":"u{}"}}"#, n % 8));
            match step {
                Step::Identify(n) => _ = bench.recorder.identify(someone(n)),
                Step::Track(n) => _ = bench.recorder.track("t", &someone(n), None, None),
                Step::Evaluate(n, tracked) => bench.evaluated(&someone(n), &flags[usize::from(tracked)], &served(usize::from(n % 2))),
                Step::Flush(answers) => {
                    let answers = answers.into_iter().map(|answer| answer.map_or(Err("gone".to_owned()), status));
                    *bench.service.script.lock().unwrap() = answers.collect();
                    bench.delivery.flush(Instant::now());
                    prop_assert_eq!(bench.recorder.books().0.pending, 0);
                }
                Step::Take => {
                    let batch = bench.recorder.take();
                    let events = batch.events.len() as u64 + u64::from(batch.summary.is_some());
                    balance(&bench.recorder.books().0);
                    bench.recorder.settle(events, None);
                }
                Step::Close => bench.recorder.close(),
                Step::Abandon => bench.recorder.abandon(),
            }
            let ledger = bench.recorder.books().0;
            balance(&ledger);
            prop_assert!(ledger.pending <= 5);
        }
    }
}
