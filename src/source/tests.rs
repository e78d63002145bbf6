//! The stream and polling against a server on the loopback.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::server::*;
use super::status::{ErrorKind, State};
use super::stop::Stop;
use super::teller::{Pace, Teller};
use super::{Plan, Source, streaming, url};
use crate::events::log::Level;
use crate::store::Entry;
use crate::transport::standstill::{Clocks, Now};
use crate::transport::{Http, Options, StreamResponse};

fn http() -> Http {
    Http::new(&Options::default()).unwrap()
}

fn start(plan: Plan, pace: Pace) -> (Source, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let source =
        Source::start_at(plan, Some(http()), recorder.clone(), recorder.clone(), pace).unwrap();
    (source, recorder)
}

fn stream(server: &Server) -> (Source, Arc<Recorder>) {
    let plan = Plan::Stream {
        uri: server.uri.clone(),
        filter: None,
        initial_reconnect_delay: Duration::from_secs(1),
    };
    start(plan, FAST)
}

#[test]
fn put_patch_and_delete_arrive_however_the_bytes_are_cut() {
    let delete = event("delete", r#"{"path":"/flags/f","version":3}"#);
    let body = format!(": hello\n\n{}{}{delete}", put(1), patch(2));
    let server = Server::start(vec![vec![
        send(STREAM),
        Step::Drip(body.into_bytes()),
        Step::Hold,
    ]]);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("delete", |heard| heard.snapshots.len() == 3);
    assert!(
        matches!(heard.snapshots[0].flag_entry("f"), Some(Entry::Live(flag)) if flag.version == 1)
    );
    assert!(
        matches!(heard.snapshots[1].flag_entry("f"), Some(Entry::Live(flag)) if flag.version == 2)
    );
    assert!(matches!(
        heard.snapshots[2].flag_entry("f"),
        Some(Entry::Deleted { version: 3 })
    ));
    assert_eq!(heard.states, [(State::Valid, None)]);
    assert_eq!(
        (&heard.inits[..], &heard.environments[..]),
        (&[false][..], &["env-1".to_owned()][..])
    );
    drop(heard);
    assert!(source.stop(DEADLINE));
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.starts_with("get /all http/1.1\r\n"), "{request}");
    assert!(request.contains("accept: text/event-stream"), "{request}");
}

#[test]
fn a_closed_stream_is_opened_again_and_logged_in_one_line_each_way() {
    let mut scripts = vec![vec![send(STREAM), send(&put(1))]];
    scripts.extend((0..4).map(|_| vec![answer("503 Unavailable", "", "")]));
    scripts.push(vec![send(STREAM), send(&put(2)), Step::Hold]);
    let server = Server::start(scripts);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("the second put", |heard| {
        heard.lines_at(Level::Info).len() == 2
    });
    assert_eq!(heard.version(), 2);
    let states: Vec<State> = heard.states.iter().map(|(state, _)| *state).collect();
    assert_eq!(states.first(), Some(&State::Valid));
    assert_eq!(states.last(), Some(&State::Valid));
    assert!(
        states[1..6]
            .iter()
            .all(|state| *state == State::Interrupted)
    );
    let errors = heard.errors();
    assert_eq!(
        (errors[0].kind, errors[1].kind),
        (ErrorKind::NetworkError, ErrorKind::ErrorResponse)
    );
    assert_eq!(errors[1].status, 503);
    let warnings = heard.lines_at(Level::Warning);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("Flag updates are interrupted: the server closed the stream. "),
        "{warnings:?}"
    );
    assert!(
        heard.lines_at(Level::Info)[1].ends_with("5 tries."),
        "{:?}",
        heard.lines
    );
    assert_eq!(heard.inits, [false, true, true, true, true, false]);
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_rejected_key_is_waited_out_for_minutes_with_one_error_line_and_recovers() {
    let rejected = || vec![answer("401 Unauthorized", "", "no")];
    let server = Server::start(vec![
        rejected(),
        rejected(),
        vec![answer("403 Forbidden", "", "no")],
        vec![send(STREAM), send(&put(1)), Step::Hold],
    ]);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("the put", |heard| heard.lines_at(Level::Info).len() == 1);
    assert_eq!((heard.version(), heard.state()), (1, Some(State::Valid)));
    assert!(
        heard.states[..3]
            .iter()
            .all(|(state, _)| *state == State::Initializing)
    );
    assert_eq!(
        heard
            .errors()
            .iter()
            .map(|error| error.status)
            .collect::<Vec<_>>(),
        [401, 401, 403]
    );
    let errors = heard.lines_at(Level::Error);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains("does not accept the SDK key") && errors[0].contains(" min."),
        "{errors:?}"
    );
    assert!(heard.lines_at(Level::Warning).is_empty());
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_stop_is_immediate_and_tells_off_and_nothing_of_the_break() {
    let server = Server::start(vec![vec![send(STREAM), send(&put(1)), Step::Hold]]);
    let (source, recorder) = stream(&server);
    drop(recorder.wait("the put", |heard| heard.lines_at(Level::Info).len() == 1));
    let lines = recorder.heard().lines.len();
    let before = Instant::now();
    assert!(source.stop(DEADLINE));
    assert!(
        before.elapsed() < Duration::from_millis(200),
        "{:?}",
        before.elapsed()
    );
    assert!(source.stop(Duration::ZERO));
    let heard = recorder.heard();
    assert_eq!(heard.states, [(State::Valid, None), (State::Off, None)]);
    assert_eq!((heard.lines.len(), &heard.inits[..]), (lines, &[false][..]));
}

#[test]
fn a_stop_ends_a_wait_of_minutes_and_one_for_headers() {
    for script in [vec![answer("401 Unauthorized", "", "")], vec![Step::Hold]] {
        let waits = matches!(script[0], Step::Send(_));
        let server = Server::start(vec![script]);
        let plan = Plan::Stream {
            uri: server.uri.clone(),
            filter: None,
            initial_reconnect_delay: Duration::ZERO,
        };
        let (source, recorder) = start(plan, Pace::default());
        if waits {
            drop(recorder.wait("the rejection", |heard| !heard.states.is_empty()));
        } else {
            let end = Instant::now() + DEADLINE;
            while server.requests().is_empty() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let before = Instant::now();
        assert!(source.stop(DEADLINE));
        assert!(
            before.elapsed() < Duration::from_millis(200),
            "{:?}",
            before.elapsed()
        );
        assert_eq!(recorder.heard().state(), Some(State::Off));
    }
}

/// Added to the wall clock of `jumping`; each test that makes it jump waits for what that does.
static AHEAD: AtomicU64 = AtomicU64::new(0);

fn jumping() -> Now {
    let now = Now::read();
    Now {
        wall: now.wall + Duration::from_secs(AHEAD.load(Ordering::SeqCst)),
        ..now
    }
}

const JUMPING: Clocks = Clocks {
    read: jumping,
    tick: Duration::from_millis(5),
};

#[test]
fn after_the_machine_stood_still_a_silent_stream_and_a_wait_of_minutes_end_at_once() {
    let server = Server::start(vec![
        vec![send(STREAM), send(&put(1)), Step::Hold],
        vec![answer("401 Unauthorized", "", "")],
        vec![send(STREAM), send(&put(2)), Step::Hold],
    ]);
    let plan = Plan::Stream {
        uri: server.uri.clone(),
        filter: None,
        initial_reconnect_delay: Duration::ZERO,
    };
    let pace = Pace {
        clocks: JUMPING,
        ..Pace::default()
    };
    let http = Http::new(&Options {
        clocks: JUMPING,
        ..Options::default()
    });
    let recorder = Arc::new(Recorder::default());
    let (sink, log) = (recorder.clone(), recorder.clone());
    let source = Source::start_at(plan, Some(http.unwrap()), sink, log, pace).unwrap();
    drop(recorder.wait("the put", |heard| heard.version() == 1));
    AHEAD.fetch_add(3_600, Ordering::SeqCst);
    // The stream was given up without a word, and the next attempt was refused: five minutes at least until another.
    let heard = recorder.wait("the rejection", |heard| heard.errors().len() == 1);
    assert_eq!(heard.states[0], (State::Valid, None));
    assert_eq!(heard.errors()[0].status, 401);
    drop(heard);
    AHEAD.fetch_add(3_600, Ordering::SeqCst);
    drop(recorder.wait("the second put", |heard| {
        heard.version() == 2 && heard.state() == Some(State::Valid)
    }));
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_dropped_source_ends() {
    let server = Server::start(vec![vec![send(STREAM), send(&put(1)), Step::Hold]]);
    let (source, recorder) = stream(&server);
    drop(recorder.wait("the put", |heard| heard.state() == Some(State::Valid)));
    drop(source);
    drop(recorder.wait("off", |heard| heard.state() == Some(State::Off)));
}

#[test]
fn after_data_that_cannot_be_read_nothing_of_that_connection_is_applied() {
    let bad = event("patch", r#"{"path":"/flags/f","data":{"version":"#);
    let first = format!("{}{}{bad}{}", put(1), patch(2), patch(9));
    let server = Server::start(vec![
        vec![send(STREAM), send(&first), Step::Hold],
        vec![send(STREAM), send(&put(3)), Step::Hold],
    ]);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("the second put", |heard| heard.version() == 3);
    assert_eq!(heard.snapshots.len(), 3);
    assert_eq!(heard.errors().len(), 1);
    assert_eq!(heard.errors()[0].kind, ErrorKind::InvalidData);
    assert!(
        heard.errors()[0].message.contains("a patch event"),
        "{:?}",
        heard.errors()
    );
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_malformed_flag_harms_no_other_and_is_remarked_on_once() {
    let put = event(
        "put",
        r#"{"data":{"flags":{"f":{"key":"f","version":1},"bad":{"key":"bad","version":1,"on":5}}}}"#,
    );
    let server = Server::start(vec![
        vec![send(STREAM), send(&put)],
        vec![send(STREAM), send(&put), Step::Hold],
    ]);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("two puts", |heard| heard.lines_at(Level::Info).len() == 2);
    assert_eq!(heard.version(), 1);
    let remarks: Vec<_> = heard
        .lines
        .iter()
        .filter(|(_, text)| text.contains("\"bad\""))
        .collect();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn events_nobody_knows_are_logged_once_and_skipped() {
    let odd = event("surprise", "{}");
    let server = Server::start(vec![vec![
        send(STREAM),
        send(&format!("{}{odd}{odd}retry: 5\n\n{}", put(1), patch(2))),
        Step::Hold,
    ]]);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("the patch", |heard| heard.version() == 2);
    let warnings = heard.lines_at(Level::Warning);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("\"surprise\""));
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_retry_field_replaces_the_first_wait() {
    let body = format!("retry: 20000\n\n{}", put(1));
    let server = Server::start(vec![
        vec![send(STREAM), send(&body)],
        vec![send(STREAM), send(&put(2)), Step::Hold],
    ]);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("the second put", |heard| heard.version() == 2);
    let warning = heard.lines_at(Level::Warning)[0];
    // Less half of it at most.
    assert!(
        (10..=20).any(|seconds| warning.contains(&format!(" {seconds} s."))),
        "{warning}"
    );
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn half_an_event_at_the_end_is_never_applied() {
    let whole = put(1);
    let server = Server::start(vec![
        vec![send(STREAM), send(whole.trim_end())],
        vec![send(STREAM), send(&whole[..whole.len() - 1])],
        vec![send(STREAM), send(&put(7)), Step::Hold],
    ]);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("the whole put", |heard| heard.state() == Some(State::Valid));
    assert_eq!((heard.snapshots.len(), heard.version()), (1, 7));
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_silent_stream_is_given_up() {
    let (go, wait) = gate();
    let server = Server::start(vec![
        vec![send(STREAM), send(&put(1)), wait],
        vec![send(STREAM), send(&put(2)), Step::Hold],
    ]);
    let plan = Plan::Stream {
        uri: server.uri.clone(),
        filter: None,
        initial_reconnect_delay: Duration::ZERO,
    };
    let pace = Pace {
        idle: Duration::from_millis(40),
        ..FAST
    };
    let (source, recorder) = start(plan, pace);
    drop(recorder.wait("the interruption", |heard| {
        heard.state() == Some(State::Interrupted)
    }));
    assert_eq!(recorder.heard().errors()[0].kind, ErrorKind::NetworkError);
    go();
    drop(recorder.wait("the second put", |heard| heard.version() == 2));
    assert!(source.stop(DEADLINE));
}

#[test]
fn what_is_no_event_stream_is_not_read() {
    let server = Server::start(vec![
        vec![answer("200 OK", "Content-Type: text/html\r\n", &put(9))],
        vec![answer("204 No Content", "", "")],
        vec![send(STREAM), send(&put(1)), Step::Hold],
    ]);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("the put", |heard| heard.version() != -1);
    assert_eq!(heard.version(), 1);
    assert_eq!(heard.errors()[0].kind, ErrorKind::InvalidData);
    assert_eq!(heard.errors()[1].status, 204);
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_put_of_twenty_megabytes_and_one_nested_as_deep_as_can_be_arrive() {
    let flags: Vec<String> = (0..20_000)
        .map(|n| {
            format!(
                r#""f{n}":{{"key":"f{n}","version":1,"variations":["{}"]}}"#,
                "x".repeat(1_000)
            )
        })
        .collect();
    let deep = format!("{}{}", "[".repeat(110), "]".repeat(110));
    // Each is the deepest that its parser takes, or deeper.
    let patterns = [
        "(".repeat(240) + "a" + &")*".repeat(240),
        "(?=".repeat(60) + "a" + &")".repeat(60),
        "(b|c".repeat(240) + &")+?".repeat(240),
        "(?=b|(?<!c)".repeat(60) + "a" + &")".repeat(60),
        "(?=(?:a".repeat(30) + &")*)".repeat(30),
        "(".repeat(100_000),
    ];
    let patterns = serde_json::to_string(&patterns).unwrap();
    let body = format!(
        r#"{{"data":{{"flags":{{{},"f":{{"key":"f","version":5,"variations":[{deep}],"on":"malformed"}},"g":{{"version":4,"rules":[{{"clauses":[{{"attribute":"key","op":"matches","values":{patterns}}}]}}],"variations":[{deep}]}}}}}}}}"#,
        flags.join(",")
    );
    assert!(body.len() > 20 << 20);
    let server = Server::start(vec![vec![
        send(STREAM),
        send(&event("put", &body)),
        Step::Hold,
    ]]);
    let (source, recorder) = stream(&server);
    let heard = recorder.wait("the put", |heard| heard.state() == Some(State::Valid));
    assert_eq!(
        (heard.flag_version("f19999"), heard.flag_version("g")),
        (1, 4)
    );
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_defect_in_a_sink_ends_no_source() {
    let server = Server::start(vec![
        vec![send(STREAM), send(&put(1)), Step::Hold],
        vec![send(STREAM), send(&put(2)), Step::Hold],
    ]);
    let recorder = Arc::new(Recorder::default());
    recorder.heard().panics = 1;
    let plan = Plan::Stream {
        uri: server.uri.clone(),
        filter: None,
        initial_reconnect_delay: Duration::ZERO,
    };
    let source =
        Source::start_at(plan, Some(http()), recorder.clone(), recorder.clone(), FAST).unwrap();
    let heard = recorder.wait("the second put", |heard| {
        heard.state() == Some(State::Valid)
    });
    assert_eq!(heard.version(), 2);
    assert_eq!(heard.errors()[0].kind, ErrorKind::Unknown);
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn polling_sends_the_etag_back_and_takes_304_as_success() {
    let server = Server::start(vec![
        vec![answer(
            "200 OK",
            "ETag: \"one\"\r\nX-LD-EnvID: env-1\r\n",
            &all(1),
        )],
        vec![answer("304 Not Modified", "", "")],
        vec![answer("500 Oops", "", "")],
        vec![answer("200 OK", "ETag: \"two\"\r\n", "{\"flags\":")],
        vec![answer("200 OK", "", &all(2))],
        vec![answer("200 OK", "", &all(3)), Step::Hold],
    ]);
    let plan = Plan::Poll {
        uri: server.uri.clone(),
        filter: Some("a b".to_owned()),
        interval: Duration::from_secs(30),
    };
    let (source, recorder) = start(plan, FAST);
    let heard = recorder.wait("the last data", |heard| heard.states.len() >= 6);
    assert_eq!(heard.snapshots.len(), 3);
    assert_eq!(heard.environments, ["env-1"]);
    let told: Vec<_> = heard
        .states
        .iter()
        .map(|(state, error)| (*state, error.as_ref().map(|error| error.kind)))
        .collect();
    // After its last script the server is gone, which may be told already.
    assert_eq!(
        told[..6],
        [
            (State::Valid, None),
            (State::Valid, None),
            (State::Interrupted, Some(ErrorKind::ErrorResponse)),
            (State::Interrupted, Some(ErrorKind::InvalidData)),
            (State::Valid, None),
            (State::Valid, None),
        ]
    );
    // The interval, which this test sped up.
    let warnings = heard.lines_at(Level::Warning);
    assert!(warnings[0].contains(" 30 s."), "{warnings:?}");
    assert!(!warnings.iter().any(|text| text.contains("cannot be read")));
    drop(heard);
    assert!(source.stop(DEADLINE));
    let requests: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.to_lowercase())
        .collect();
    assert!(
        requests[0].starts_with("get /sdk/latest-all?filter=a%20b http/1.1"),
        "{}",
        requests[0]
    );
    let etags: Vec<bool> = requests
        .iter()
        .map(|request| request.contains("if-none-match: \"one\""))
        .collect();
    assert_eq!(etags[..6], [false, true, true, true, true, false]);
    assert!(!requests.iter().any(|request| request.contains("two")));
}

#[test]
fn polling_waits_for_minutes_after_a_rejected_key_and_recovers() {
    let server = Server::start(vec![
        vec![answer("401 Unauthorized", "", "")],
        vec![answer("200 OK", "", &all(1))],
    ]);
    let plan = Plan::Poll {
        uri: server.uri.clone(),
        filter: None,
        interval: Duration::from_secs(30),
    };
    let (source, recorder) = start(plan, FAST);
    let heard = recorder.wait("the data", |heard| heard.state() == Some(State::Valid));
    assert_eq!(heard.version(), 1);
    assert!(
        heard.lines_at(Level::Error)[0].contains(" min."),
        "{:?}",
        heard.lines
    );
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_source_that_connects_needs_a_client() {
    let recorder = Arc::new(Recorder::default());
    let plan = Plan::Poll {
        uri: "http://127.0.0.1:1".to_owned(),
        filter: None,
        interval: Duration::ZERO,
    };
    assert!(Source::start(plan, None, recorder.clone(), recorder).is_err());
}

#[test]
fn an_address_holds_nothing_that_a_filter_could_smuggle_in() {
    assert_eq!(url("https://x/", "/all", None), "https://x/all");
    assert_eq!(
        url("https://x/relay", "/all", Some("a.b-1_c")),
        "https://x/relay/all?filter=a.b-1_c"
    );
    assert_eq!(
        url("https://x", "/all", Some("&x=é #")),
        "https://x/all?filter=%26x%3D%C3%A9%20%23"
    );
}

/// What a body leads to, without a network.
fn read(body: Vec<u8>) -> Arc<Recorder> {
    let recorder = Arc::new(Recorder::default());
    let mut teller = Teller::new(
        recorder.clone(),
        recorder.clone(),
        Arc::new(Stop::default()),
        FAST,
    );
    let response = StreamResponse {
        status: 200,
        headers: Vec::new(),
        body: Box::new(Cursor::new(body)),
    };
    streaming::read_one(response, &mut teller);
    recorder
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(put(1).into_bytes()),
        Just(patch(2).into_bytes()),
        Just(event("delete", r#"{"path":"/segments/s","version":1}"#).into_bytes()),
        Just(b"event: put\n".to_vec()),
        Just(b"data: {\"data\":".to_vec()),
        Just(b"data: {\"flags\":{}}\n".to_vec()),
        Just(b"{\"path\":\"/flags/".to_vec()),
        Just(b"}\n\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"retry: 1\n".to_vec()),
        Just(b": x\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_the_stream_panic_or_apply_what_is_not_whole(soup in pieces()) {
        let recorder = read(soup);
        let heard = recorder.heard();
        for snapshot in &heard.snapshots {
            if let Some(entry) = snapshot.flag_entry("f") {
                prop_assert!(matches!(entry, Entry::Live(flag) if flag.version == 1 || flag.version == 2));
            }
        }
    }

    #[test]
    fn a_stream_cut_anywhere_applies_just_the_events_that_ended(count in 1_usize..6, cut in 0_usize..2_000) {
        let events: Vec<String> = (1..=count).map(|n| {
            let version = i64::try_from(n).unwrap();
            if n == 1 { put(version) } else { patch(version) }
        }).collect();
        let body = events.concat();
        let cut = cut.min(body.len());
        let mut end = 0;
        let ended = events.iter().filter(|event| { end += event.len(); end <= cut }).count();
        let recorder = read(body.as_bytes()[..cut].to_vec());
        prop_assert_eq!(recorder.heard().snapshots.len(), ended);
    }
}
