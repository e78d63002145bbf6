//! For tests: a server on the loopback that plays one script a connection, and a sink and a log that remember.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::status::{ErrorInfo, State};
use super::{Sink, teller::Pace};
use crate::events::log::{Level, Log};
use crate::store::{Applied, Change, Entry, Snapshot};
use crate::transport::standstill::{Clocks, Now};

pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// Waits are cut to a millisecond; what was asked for is in the log.
pub(super) const FAST: Pace = Pace {
    idle: DEADLINE,
    wait: |duration| duration.min(Duration::from_millis(1)),
    clocks: Clocks {
        read: Now::read,
        tick: Duration::from_secs(1),
    },
};

/// What the server does on one connection, in order.
pub(super) enum Step {
    /// Sends it at once.
    Send(Vec<u8>),
    /// Sends it byte by byte.
    Drip(Vec<u8>),
    /// Waits until the test lets it go on.
    Wait(Receiver<()>),
    /// Keeps the connection open until the client closes it.
    Hold,
}

pub(super) fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

pub(super) const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nX-LD-EnvID: env-1\r\n\r\n";

pub(super) fn answer(status: &str, headers: &str, body: &str) -> Step {
    send(&format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    ))
}

pub(super) fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

pub(super) fn put(version: i64) -> String {
    event("put", &format!(r#"{{"path":"/","data":{}}}"#, all(version)))
}

pub(super) fn all(version: i64) -> String {
    format!(r#"{{"flags":{{"f":{{"key":"f","version":{version}}}}},"segments":{{}}}}"#)
}

pub(super) fn patch(version: i64) -> String {
    event(
        "patch",
        &format!(r#"{{"path":"/flags/f","data":{{"key":"f","version":{version}}}}}"#),
    )
}

pub(super) struct Server {
    pub(super) uri: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Plays the scripts one after another; then accepts no more.
    pub(super) fn start(scripts: Vec<Vec<Step>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for script in scripts {
                let Ok((mut connection, _)) = listener.accept() else {
                    return;
                };
                connection.set_read_timeout(Some(DEADLINE)).unwrap();
                connection.set_nodelay(true).unwrap();
                let head = head(&mut connection);
                lock(&seen).push(head);
                for step in script {
                    let done = match step {
                        Step::Send(bytes) => connection.write_all(&bytes).is_ok(),
                        Step::Drip(bytes) => bytes
                            .chunks(1)
                            .all(|byte| connection.write_all(byte).is_ok()),
                        Step::Wait(go) => go.recv_timeout(DEADLINE).is_ok(),
                        Step::Hold => matches!(connection.read(&mut [0; 16]), Ok(1..)),
                    };
                    if !done {
                        break;
                    }
                }
            }
        });
        Server { uri, requests }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }
}

fn head(connection: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(connection.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A script step that waits, and what lets it go on.
pub(super) fn gate() -> (impl Fn(), Step) {
    let (go, wait) = channel();
    let go = move || {
        let _ = go.send(());
    };
    (go, Step::Wait(wait))
}

#[derive(Default)]
pub(super) struct Heard {
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) states: Vec<(State, Option<ErrorInfo>)>,
    pub(super) inits: Vec<bool>,
    pub(super) environments: Vec<String>,
    pub(super) lines: Vec<(Level, String)>,
    pub(super) panics: u32,
}

impl Heard {
    pub(super) fn state(&self) -> Option<State> {
        self.states.last().map(|(state, _)| *state)
    }

    pub(super) fn errors(&self) -> Vec<&ErrorInfo> {
        self.states
            .iter()
            .filter_map(|(_, error)| error.as_ref())
            .collect()
    }

    /// The version of flag `f`, -1 where it is deleted or unknown.
    pub(super) fn version(&self) -> i64 {
        self.flag_version("f")
    }

    pub(super) fn flag_version(&self, key: &str) -> i64 {
        match self
            .snapshots
            .last()
            .and_then(|snapshot| snapshot.flag_entry(key))
        {
            Some(Entry::Live(flag)) => flag.version,
            _ => -1,
        }
    }

    pub(super) fn lines_at(&self, level: Level) -> Vec<&str> {
        let of_level = self.lines.iter().filter(|(of, _)| *of == level);
        of_level.map(|(_, text)| &**text).collect()
    }
}

#[derive(Default)]
pub(super) struct Recorder {
    heard: Mutex<Heard>,
    changed: Condvar,
}

impl Recorder {
    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }

    /// Waits until it is so.
    pub(super) fn wait(&self, what: &str, so: impl Fn(&Heard) -> bool) -> MutexGuard<'_, Heard> {
        let end = Instant::now() + DEADLINE;
        let mut heard = self.heard();
        while !so(&heard) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{what}: {:?} {:?}",
                heard.states,
                heard.lines
            );
            heard = self
                .changed
                .wait_timeout(heard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        heard
    }

    fn hear(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard());
        self.changed.notify_all();
    }
}

impl Sink for Recorder {
    fn apply(&self, change: Change) {
        self.hear(|heard| {
            if heard.panics > 0 {
                heard.panics -= 1;
                panic!("a defect, on purpose");
            }
            let empty = Snapshot::empty();
            if let Applied::New(next) = heard.snapshots.last().unwrap_or(&empty).apply(change) {
                heard.snapshots.push(next);
            }
        });
    }

    fn status(&self, state: State, error: Option<ErrorInfo>) {
        self.hear(|heard| heard.states.push((state, error)));
    }

    fn stream_init(&self, timestamp_ms: i64, duration_ms: i64, failed: bool) {
        assert!(timestamp_ms > 1_600_000_000_000 && (0..60_000).contains(&duration_ms));
        self.hear(|heard| heard.inits.push(failed));
    }

    fn environment_id(&self, id: &str) {
        self.hear(|heard| heard.environments.push(id.to_owned()));
    }
}

impl Log for Recorder {
    fn log(&self, level: Level, message: String) {
        self.hear(|heard| heard.lines.push((level, message)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
