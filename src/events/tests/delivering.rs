//! What becomes of events: bounds, failures, the thread, the close.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::delivery::Delivery;
use super::super::fakes::*;
use super::super::log::Level;
use super::super::recorder::Evaluated;
use super::super::{Custom, Events, Settings, SystemClock};
use super::*;
use crate::evaluation::{ErrorKind, Outcome};
use crate::model::{Context, Value};
use crate::transport::{Http, Options};

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
    let bad = Custom::new("bad").with_data(&deep);
    bench.recorder.track(bad, &user());
    let nan = Custom::new("nan").with_metric(&Value::Float(f64::NAN));
    bench.recorder.track(nan, &user());
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
    // When a periodic flush is tried, what the service says, and whether a request is made at all.
    let steps = [
        (0, 403, true),
        (4, 200, false),
        (5, 403, true),
        (14, 200, false),
        (15, 200, true),
        (15, 403, true),
        (19, 200, false),
        (20, 200, true),
    ];
    for (seconds, answer, expected) in steps {
        bench.recorder.identify(user());
        *bench.service.script.lock().unwrap() = [status(answer)].into();
        bench.service.posted.lock().unwrap().clear();
        bench
            .delivery
            .flush_unless_failing(start + Duration::from_secs(seconds));
        let posted = bench.service.posted.lock().unwrap().len();
        assert_eq!(posted == 1, expected, "{seconds} s, {answer}");
    }
    assert_eq!(bench.recorder.books().0.pending, 0);
}

#[test]
fn a_flush_that_succeeds_ends_the_pause() {
    let mut bench = bench(&settings());
    let start = Instant::now();
    *bench.service.script.lock().unwrap() = [status(403), status(200)].into();
    for flush in [
        Delivery::flush,
        Delivery::flush,
        Delivery::flush_unless_failing,
    ] {
        bench.recorder.identify(user());
        flush(&mut bench.delivery, start);
    }
    assert_eq!(bench.recorder.books().0.sent, 2);
}

#[test]
fn events_travel_over_http() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/base/", listener.local_addr().unwrap());
    let service = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut request = String::new();
        while !request.ends_with("}}]") {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).unwrap();
            request.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        let answer = "HTTP/1.1 202 Accepted\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        request
    });
    let options = Options {
        headers: vec![("Authorization".to_owned(), "sdk-key".to_owned())],
        ..Options::default()
    };
    let http = Http::new(&options).unwrap();
    let events = Events::start(
        &Settings { uri, ..settings() },
        Box::new(http),
        Arc::new(FakeLog::default()),
        Arc::new(SystemClock),
    );
    events.identify(user());
    let report = events.flush_within(LONG);
    assert_eq!((report.sent, report.complete), (1, true), "{report:?}");
    let request = service.join().unwrap().to_lowercase();
    assert!(
        request.starts_with("post /base/bulk http/1.1\r\n"),
        "{request}"
    );
    for header in [
        "authorization: sdk-key",
        "content-type: application/json",
        "x-launchdarkly-event-schema: 4",
    ] {
        assert!(request.contains(&format!("\r\n{header}\r\n")), "{request}");
    }
    assert!(!format!("{events:?}").contains("sdk-key"));
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
fn every_flush_that_is_asked_for_is_made() {
    let (events, service, _) = events(&settings());
    let (came, release) = hold(&service);
    for _ in 0..3 {
        events.identify(user());
        events.flush();
        came.recv_timeout(LONG).unwrap();
        release.send(()).unwrap();
    }
    assert!(events.flush_within(LONG).complete);
    assert_eq!(events.stats().sent, 3);
}

#[test]
fn who_waits_for_a_flush_during_a_close_is_told_the_truth() {
    let (events, service, _) = events(&settings());
    let (came, release) = hold(&service);
    events.identify(user());
    events.flush();
    came.recv_timeout(LONG).unwrap();
    thread::scope(|scope| {
        events.identify(user());
        let report = scope.spawn(|| events.flush_within(LONG));
        assert!(!events.close(Duration::from_millis(20)));
        drop(release);
        let report = report.join().unwrap();
        assert_eq!((report.pending, report.complete), (0, true));
    });
    assert_eq!(lost(&events.stats(), "closed"), 1);
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
    let (events, service, log) = events(&settings());
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
    assert!(service.ended.load(Ordering::SeqCst), "it is cut off");
    service
        .script
        .lock()
        .unwrap()
        .push_back(Err("cut off".to_owned()));
    drop(release);
    assert!(events.close(LONG));
    let ledger = events.stats();
    balance(&ledger);
    assert_eq!((ledger.pending, lost(&ledger, "closed")), (0, 2));
    assert_eq!(
        log.lines(),
        [],
        "what the close did is no failure of the service"
    );
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
        diagnostics: Some(super::super::Diagnostics::default()),
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
        diagnostics: Some(super::super::Diagnostics::default()),
        capacity: 1,
        ..settings()
    });
    bench.recorder.identify(user());
    bench.recorder.identify(user());
    bench.flush();
    bench
        .recorder
        .stream_init(super::super::diagnostics::StreamInit {
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

#[test]
fn events_are_sent_when_the_interval_has_passed() {
    let (events, service, _) = events(&Settings {
        flush_interval: Duration::from_millis(10),
        ..settings()
    });
    let (came, release) = hold(&service);
    drop(release);
    events.identify(user());
    came.recv_timeout(LONG).unwrap();
}

#[test]
fn a_defect_costs_the_events_under_way_but_not_the_thread() {
    let (events, service, log) = events(&settings());
    service.broken.store(true, Ordering::SeqCst);
    events.identify(user());
    assert!(events.flush_within(LONG).complete);
    service.broken.store(false, Ordering::SeqCst);
    events.identify(user());
    assert!(events.flush_within(LONG).complete);
    let ledger = events.stats();
    balance(&ledger);
    assert_eq!((ledger.sent, lost(&ledger, "internal")), (1, 1));
    assert_eq!(log.lines()[0].0, Level::Error);
}

#[test]
fn a_reference_that_names_nothing_is_told_at_the_start() {
    let bench = bench(&Settings {
        private_attributes: vec!["email".to_owned(), "//".to_owned()],
        ..settings()
    });
    let lines = bench.log.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].1.contains("\"//\""), "{}", lines[0].1);
}
