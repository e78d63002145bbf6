//! What callers record: shapes of the events, counters, contexts, debugging, sampling.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use serde_json::json;

use super::super::fakes::*;
use super::super::recorder::Evaluated;
use super::super::sender::Reply;
use super::super::{Custom, Settings};
use super::*;
use crate::evaluation::{ErrorKind, Outcome, Reason};
use crate::model::Value;

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
    let bought = Custom::new("bought")
        .with_data(&Value::from("data"))
        .with_metric(&Value::Float(1.5));
    assert!(bench.recorder.track(bought, &someone));
    assert!(bench.recorder.track(Custom::new("left"), &someone));
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
    bench.recorder.track(Custom::new("t"), &someone);
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
