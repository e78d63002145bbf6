//! Where flag data comes from: the service's stream, polling, or files. Each runs on one thread and ends in changes and
//! a status told to a [`Sink`]; what becomes of them is left to `client`, how bytes travel to `transport`.
//!
//! 1. One thread a source, `ld-source`. Everything a [`Sink`] hears comes from it, in order.
//! 2. No failure ends a source; only [`Source::stop`] does. What is known goes on being served meanwhile.
//! 3. Data that is not whole and well formed is never applied. A malformed flag harms no other flag.
//! 4. One log line a change of state: first data, interrupted, needs a person, recovered. A retry is a debug line. Of
//!    an outage that strikes more than one source the log keeps only the first one's lines.
//! 5. The last thing a sink hears of a stopped source is [`State::Off`].

mod document;
mod files;
mod message;
mod outage;
mod polling;
mod status;
mod stop;
mod streaming;
mod teller;
mod yaml;

#[cfg(test)]
mod files_tests;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use self::document::read_files;
pub use self::status::{ErrorInfo, ErrorKind, State, Status};

use self::stop::Stop;
use self::teller::{Pace, Teller, Trouble};
use crate::events::log::{Level, Log};
use crate::store::{Change, Snapshot};
use crate::transport::Http;

/// What a source tells. All calls come from the source's one thread; none may wait for long.
pub trait Sink: Send + Sync {
    /// Whether all data is to carry the text that it was read from.
    fn wants_text(&self) -> bool {
        false
    }
    /// The snapshot that all data is compared with when it is read: what it says again is not read again.
    fn known(&self) -> Arc<Snapshot> {
        Arc::default()
    }
    /// Data arrived. Its remarks are logged by the source already.
    fn apply(&self, change: Change);
    /// The state changed, or the same state has a new error, or [`State::Valid`] is confirmed by all data or by an
    /// answer that nothing has changed. Before the first data the state stays [`State::Initializing`].
    fn status(&self, state: State, error: Option<ErrorInfo>);
    /// An attempt to connect to the stream ended at that time after that duration, with data or with a failure.
    fn stream_init(&self, timestamp_ms: i64, duration_ms: i64, failed: bool);
    /// The source is known to work at this moment, whether or not anything is new: bytes arrived, files were looked at.
    fn heard(&self) {}
    /// No data has arrived, and none ever will.
    fn gave_up(&self) {}
    /// The service named the environment. It may name the same one many times.
    fn environment_id(&self, id: &str);
}

/// Where data comes from.
#[derive(Clone, Debug)]
pub enum Plan {
    /// The service's stream of changes.
    Stream {
        /// The base, such as `https://stream.launchdarkly.com`.
        uri: String,
        /// The key of a payload filter.
        filter: Option<String>,
        /// The wait before the first retry; zero is the default of 1 s.
        initial_reconnect_delay: Duration,
    },
    /// Asking for all data again and again.
    Poll {
        /// The base, such as `https://sdk.launchdarkly.com`.
        uri: String,
        /// The key of a payload filter.
        filter: Option<String>,
        /// From one poll to the next. How short it may be is the configuration's question.
        interval: Duration,
    },
    /// Files in JSON or YAML, merged.
    Files {
        /// The files. A key in two of them is an error.
        paths: Vec<PathBuf>,
        /// Whether changed files are read again.
        auto_update: bool,
        /// How often the files are looked at; zero is the default of 1 s.
        interval: Duration,
    },
}

impl Plan {
    /// The base of the addresses that it asks; `None` for files.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        match self {
            Plan::Stream { uri, .. } | Plan::Poll { uri, .. } => Some(uri),
            Plan::Files { .. } => None,
        }
    }
}

/// Measured without optimisation: a TLS handshake and the deepest JSON and YAML take less than 256 KiB; compiling the
/// deepest regular expression that the model takes, less than 1 MiB. An overflow would end the process, so a test goes
/// that deep. Pages that are never touched cost nothing.
const STACK: usize = 2 * 1024 * 1024;
/// The wait after a defect of ours. It should not be seen.
const AFTER_PANIC: Duration = Duration::from_secs(30);

/// The handle of a running source.
///
/// In a forked child it does nothing: the thread is not there, and the connection is the parent's.
#[derive(Debug)]
pub struct Source {
    stop: Arc<Stop>,
    http: Option<Http>,
    thread: Mutex<Option<JoinHandle<()>>>,
    process: u32,
}

impl Source {
    /// Starts the thread. `http` is this source's own: stopping shuts it down.
    ///
    /// # Errors
    /// When the system gives no thread, or the plan needs an `http` and there is none.
    pub fn start(
        plan: Plan,
        http: Option<Http>,
        sink: Arc<dyn Sink>,
        log: Arc<dyn Log>,
    ) -> io::Result<Source> {
        Source::start_at(plan, http, sink, log, Pace::default())
    }

    fn start_at(
        plan: Plan,
        http: Option<Http>,
        sink: Arc<dyn Sink>,
        log: Arc<dyn Log>,
        pace: Pace,
    ) -> io::Result<Source> {
        if http.is_none() && plan.uri().is_some() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a source that connects needs an HTTP client",
            ));
        }
        let stop = Arc::new(Stop::default());
        let thread = {
            let (stop, http) = (Arc::clone(&stop), http.clone());
            thread::Builder::new()
                .name("ld-source".to_owned())
                .stack_size(STACK)
                .spawn(move || {
                    let stop = stop::EndsWhenDropped(stop);
                    let mut teller = Teller::new(sink, log, Arc::clone(&stop.0), pace);
                    run(&plan, http.as_ref(), &mut teller);
                    // What the sink's last owner frees is freed before `stop` hears of the end.
                    drop(teller);
                })?
        };
        Ok(Source {
            stop,
            http,
            thread: Mutex::new(Some(thread)),
            process: std::process::id(),
        })
    }

    /// Whether its thread has ended, as far as this process knows of one.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.process != std::process::id() || self.stop.has_ended()
    }

    /// Ends the source, whatever it waits for, and joins its thread; says whether that was done before the deadline.
    /// A thread that is not (a system call that cannot be cut short) ends by itself later and tells nothing but
    /// [`State::Off`]. May be called again, from any thread.
    pub fn stop(&self, deadline: Duration) -> bool {
        if self.process != std::process::id() {
            return true;
        }
        // The flag is there before the connection breaks, so that the break is no failure.
        self.stop.ask();
        if let Some(http) = &self.http {
            http.shut_down();
        }
        let thread = || self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let own = thread()
            .as_ref()
            .is_some_and(|thread| thread.thread().id() == thread::current().id());
        if own || !self.stop.wait_for_end(deadline) {
            return false;
        }
        if let Some(thread) = thread().take() {
            // All that is left of it is its return.
            let _ = thread.join();
        }
        true
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            self.stop(Duration::ZERO);
        } else {
            // The C library's bookkeeping of a thread that the fork did not copy is better left alone.
            let thread = self
                .thread
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(thread.take());
        }
    }
}

fn run(plan: &Plan, http: Option<&Http>, teller: &mut Teller) {
    while !teller.is_stopping() {
        let ran = catch_unwind(AssertUnwindSafe(|| match (plan, http) {
            (
                Plan::Stream {
                    uri,
                    filter,
                    initial_reconnect_delay,
                },
                Some(http),
            ) => {
                let url = url(uri, "/all", filter.as_deref());
                streaming::run(&url, *initial_reconnect_delay, http, teller);
            }
            (
                Plan::Poll {
                    uri,
                    filter,
                    interval,
                },
                Some(http),
            ) => {
                let url = url(uri, "/sdk/latest-all", filter.as_deref());
                polling::run(&url, *interval, http, teller);
            }
            (
                Plan::Files {
                    paths,
                    auto_update,
                    interval,
                },
                _,
            ) => files::run(paths, *auto_update, *interval, teller),
            (Plan::Stream { .. } | Plan::Poll { .. }, None) => {}
        }));
        if ran.is_err() {
            teller.log(
                Level::Error,
                "The flag source failed by a defect of this package and starts again.".to_owned(),
            );
            let trouble = Trouble::new(ErrorKind::Unknown, "the flag source failed by a defect");
            teller.trouble(&trouble, AFTER_PANIC);
        }
        if teller.pause(AFTER_PANIC) {
            break;
        }
    }
    teller.off();
}

/// The address of all data. A filter's key is encoded whatever it holds.
fn url(base: &str, path: &str, filter: Option<&str>) -> String {
    let mut url = format!("{}{path}", base.trim_end_matches('/'));
    if let Some(filter) = filter {
        url.push_str("?filter=");
        for byte in filter.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                url.push(char::from(byte));
            } else {
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url
}
