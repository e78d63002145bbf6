//! What the tests of events are made with: a clock that stands, a service that answers by a script, and so on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender as Channel, bounded};

use super::clock::Clock;
use super::delivery::Delivery;
use super::log::{Level, Log};
use super::recorder::{Evaluated, Recorder};
use super::sender::{Never, Post, Reply, Sender};
use super::{Events, Settings};
use crate::evaluation::{Outcome, Reason};
use crate::model::{Context, Flag, RawFlag, Value};

pub(super) struct FakeClock(pub(super) AtomicI64);

impl Clock for FakeClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
pub(super) struct FakeLog(pub(super) Mutex<Vec<(Level, String)>>);

impl Log for FakeLog {
    fn log(&self, level: Level, message: String) {
        self.0.lock().unwrap().push((level, message));
    }
}

impl FakeLog {
    pub(super) fn lines(&self) -> Vec<(Level, String)> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Posted {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Posted {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| &**value)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers 202, or what the script says next.
#[derive(Default)]
pub(super) struct Service {
    pub(super) posted: Mutex<Vec<Posted>>,
    pub(super) script: Mutex<VecDeque<Result<Reply, String>>>,
    /// Whether it was told to end.
    pub(super) ended: AtomicBool,
    /// Whether to fail as only a defect can.
    pub(super) broken: AtomicBool,
    /// If set: tells that a request has come, then waits for the other end before it answers.
    pub(super) gate: Mutex<Option<(Channel<()>, Receiver<()>)>>,
}

pub(super) struct FakePost(pub(super) Arc<Service>);

impl Post for FakePost {
    fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply, String> {
        assert!(
            !self.0.broken.load(Ordering::SeqCst),
            "a defect, made for a test"
        );
        let gate = self.0.gate.lock().unwrap().clone();
        if let Some((come, go)) = gate {
            let _ = come.send(());
            let _ = go.recv();
        }
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.0.posted.lock().unwrap().push(Posted {
            url: url.to_owned(),
            headers,
            body: body.to_vec(),
        });
        self.0
            .script
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| status(202))
    }

    fn shut_down(&self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }
}

#[allow(clippy::unnecessary_wraps, reason = "an entry of the script")]
pub(super) fn status(status: u16) -> Result<Reply, String> {
    Ok(Reply { status, date: None })
}

/// A service that takes requests and answers none until the second channel is used or dropped.
pub(super) fn hold(service: &Service) -> (Receiver<()>, Channel<()>) {
    let (come, arrivals) = bounded(100);
    let (release, go) = bounded(0);
    *service.gate.lock().unwrap() = Some((come, go));
    (arrivals, release)
}

pub(super) fn settings() -> Settings {
    Settings {
        uri: "http://events/".to_owned(),
        flush_interval: Duration::from_secs(3600),
        retry_delay: Duration::ZERO,
        ..Settings::default()
    }
}

/// The parts without the thread.
pub(super) struct Bench {
    pub(super) recorder: Arc<Recorder>,
    pub(super) delivery: Delivery,
    pub(super) service: Arc<Service>,
    pub(super) clock: Arc<FakeClock>,
    pub(super) log: Arc<FakeLog>,
    _open: Channel<Never>,
}

pub(super) fn bench(settings: &Settings) -> Bench {
    let clock = Arc::new(FakeClock(AtomicI64::new(1_000)));
    let (log, service) = (Arc::new(FakeLog::default()), Arc::new(Service::default()));
    let recorder = Arc::new(Recorder::new(settings, clock.clone(), log.clone()));
    let (open, closing) = bounded(0);
    let sender = Sender {
        post: Arc::new(FakePost(service.clone())),
        gzip: settings.gzip,
        retry_delay: settings.retry_delay,
        closing,
    };
    let delivery = Delivery::new(settings, recorder.clone(), sender);
    Bench {
        recorder,
        delivery,
        service,
        clock,
        log,
        _open: open,
    }
}

impl Bench {
    /// Flushes and returns the events that were posted by it.
    pub(super) fn flush(&mut self) -> Vec<serde_json::Value> {
        self.service.posted.lock().unwrap().clear();
        self.delivery.flush(std::time::Instant::now());
        let posted = self.service.posted.lock().unwrap();
        posted
            .iter()
            .flat_map(|p| p.json().as_array().unwrap().clone())
            .collect()
    }

    pub(super) fn evaluated(&self, context: &Arc<Context>, flag: &Flag, outcome: &Outcome) {
        self.recorder.evaluated(context, &evaluated(flag, outcome));
    }
}

/// The thread with a fake service.
pub(super) fn events(settings: &Settings) -> (Events, Arc<Service>, Arc<FakeLog>) {
    let clock = Arc::new(FakeClock(AtomicI64::new(1_000)));
    let (log, service) = (Arc::new(FakeLog::default()), Arc::new(Service::default()));
    let events = Events::start(
        settings,
        Box::new(FakePost(service.clone())),
        log.clone(),
        clock,
    );
    (events, service, log)
}

pub(super) fn evaluated<'a>(flag: &'a Flag, outcome: &'a Outcome) -> Evaluated<'a, fn() -> Value> {
    Evaluated {
        key: &flag.key,
        flag: Some(flag),
        outcome,
        default: || "default".into(),
        with_reason: false,
        prerequisite_of: None,
    }
}

pub(super) fn flag(slot: u32, json: &str) -> Flag {
    let flag = serde_json::from_str::<RawFlag>(json)
        .unwrap()
        .compile("flag");
    Flag { slot, ..flag }
}

pub(super) fn context(json: &str) -> Arc<Context> {
    Arc::new(Context::from_value(serde_json::from_str(json).unwrap()).unwrap())
}

pub(super) fn user() -> Arc<Context> {
    context(r#"{"kind":"user","key":"u"}"#)
}

pub(super) fn served(variation: usize) -> Outcome {
    Outcome::new(
        Some(variation),
        Reason::Fallthrough {
            in_experiment: false,
        },
    )
}
