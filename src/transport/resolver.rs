//! Name look-ups with a limit. What the addresses are used for is left to `connect`.
//!
//! 1. The system's look-up cannot be cancelled, so it runs on a thread of its own, at most one in the process: while
//!    it hangs, other names wait for it within their own limit.
//! 2. A caller that asks for the name that is being looked up waits for that answer, so a slow answer is not lost to
//!    a caller that came back.
//! 3. The thread holds nothing of a client. A client that closes leaves at once; the thread may outlive it.
//! 4. The state belongs to the process that made it: after a fork the child starts with none of it.
//! 5. Literal addresses need no look-up.
//! 6. A look-up keeps away from forks: see `forking`.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::{Failure, forking};

const DEFAULT_LIMIT: Duration = Duration::from_secs(10);
/// `ureq` keeps that many addresses.
const MAX_ADDRESSES: usize = 16;
/// Modules of the system's resolver want room, though far less than this, which is only set aside. glibc leaves a thread's
/// resolver state in its stack, gives the stack to a later thread, and takes a lock when that one ends. It gives none
/// that is over four times as large as asked for: so no other thread of ours gets this one.
const STACK: usize = 16 * 1024 * 1024;

static LOOKUPS: ArcSwapOption<Lookups> = ArcSwapOption::const_empty();

/// How many look-up threads this process has now: none or one. One that stays means that the system's resolver hangs.
#[must_use]
pub fn lookups_running() -> usize {
    LOOKUPS
        .load_full()
        .filter(|lookups| lookups.process == std::process::id())
        .map_or(0, |lookups| lookups.running())
}

type Answer = Result<Vec<SocketAddr>, String>;

/// Why there are no addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LookupFailure {
    Closed,
    TimedOut,
    /// What the system said of the name.
    NotFound(String),
}

impl LookupFailure {
    fn of_host(self, host: &str, limit: Duration) -> Failure {
        match self {
            Self::Closed => Failure::Closed,
            Self::TimedOut => Failure::Timeout(format!(
                "the name {host} was not looked up within {limit:?}"
            )),
            Self::NotFound(reason) => {
                Failure::Network(format!("the name {host} was not found: {reason}"))
            }
        }
    }
}

/// The look-ups of one process.
pub(super) struct Lookups {
    process: u32,
    current: Mutex<Option<Arc<Lookup>>>,
    changed: Condvar,
}

struct Lookup {
    name: String,
    /// Written and read under the lock of `Lookups::current`, which is why this one is never waited for.
    answer: Mutex<Option<Answer>>,
}

impl Lookups {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            process: std::process::id(),
            current: Mutex::new(None),
            changed: Condvar::new(),
        })
    }

    /// Those of this process. What a parent left behind is not touched: its lock may be held by a thread that does
    /// not exist here.
    pub(super) fn of_process() -> Arc<Self> {
        loop {
            let known = LOOKUPS.load_full();
            if let Some(lookups) = &known
                && lookups.process == std::process::id()
            {
                return Arc::clone(lookups);
            }
            let inherited = known.clone();
            LOOKUPS.compare_and_swap(&known, Some(Self::new()));
            std::mem::forget(inherited);
        }
    }

    pub(super) fn running(&self) -> usize {
        usize::from(
            self.current
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some(),
        )
    }

    /// Wakes every caller, so that those whose client has closed see it.
    pub(super) fn wake(&self) {
        drop(self.current.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// The addresses of `name`, a `host:port`, as `ask` finds them on a thread of its own.
    pub(super) fn find(
        self: &Arc<Self>,
        name: &str,
        limit: Duration,
        closing: &AtomicBool,
        ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> Result<Vec<SocketAddr>, LookupFailure> {
        let start = Instant::now();
        let mut ask = Some(ask);
        let mut mine: Option<Arc<Lookup>> = None;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if closing.load(Ordering::SeqCst) {
                return Err(LookupFailure::Closed);
            }
            if let Some(lookup) = &mine {
                let answer = lookup
                    .answer
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                if let Some(answer) = answer {
                    return answer.map_err(LookupFailure::NotFound);
                }
            } else {
                match current.as_ref() {
                    Some(running) if running.name == name => mine = Some(Arc::clone(running)),
                    Some(_) => {}
                    None => {
                        let lookup = Arc::new(Lookup {
                            name: name.to_owned(),
                            answer: Mutex::new(None),
                        });
                        if let Some(ask) = ask.take() {
                            self.start(&lookup, ask).map_err(|error| {
                                LookupFailure::NotFound(format!(
                                    "no thread could be started ({error})"
                                ))
                            })?;
                        }
                        *current = Some(Arc::clone(&lookup));
                        mine = Some(lookup);
                    }
                }
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(LookupFailure::TimedOut);
            }
            current = self
                .changed
                .wait_timeout(current, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn start(
        self: &Arc<Self>,
        lookup: &Arc<Lookup>,
        ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<()> {
        let lookups = Arc::clone(self);
        let lookup = Arc::clone(lookup);
        thread::Builder::new()
            .name("ldclient-lookup".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                forking::begin_lookup();
                let answer = ask(&lookup.name).map_err(|error| error.to_string());
                let mut current = lookups
                    .current
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *lookup.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                *current = None;
                drop(current);
                lookups.changed.notify_all();
            })
            .map(drop)
    }
}

/// The resolver of one generation of one client.
pub(super) struct BoundedResolver {
    pub(super) lookups: Arc<Lookups>,
    pub(super) closing: Arc<AtomicBool>,
}

impl Resolver for BoundedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let found = if let Ok(address) = literal.parse::<IpAddr>() {
            vec![SocketAddr::new(address, port)]
        } else {
            let limit = timeout.not_zero().map_or(DEFAULT_LIMIT, |limit| *limit);
            let ask = |name: &str| name.to_socket_addrs().map(Iterator::collect);
            self.lookups
                .find(&format!("{host}:{port}"), limit, &self.closing, ask)
                .map_err(|failure| Error::Other(Box::new(failure.of_host(literal, limit))))?
        };
        let mut addresses = self.empty();
        for address in found.into_iter().take(MAX_ADDRESSES) {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(Error::HostNotFound);
        }
        Ok(addresses)
    }
}

impl fmt::Debug for BoundedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedResolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(30);

    fn address(port: u16) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, 1], port))]
    }

    /// A look-up that hangs until the sender is dropped or sends.
    fn hanging() -> (
        mpsc::Sender<()>,
        impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) {
        let (release, wait) = mpsc::channel::<()>();
        (release, move |_: &str| {
            let _ = wait.recv();
            Ok(address(1))
        })
    }

    #[test]
    fn a_name_is_found_and_the_thread_is_gone() {
        let lookups = Lookups::new();
        let found = lookups.find("a:1", LONG, &AtomicBool::new(false), |name| {
            assert_eq!(name, "a:1");
            Ok(address(1))
        });
        assert_eq!(found, Ok(address(1)));
        assert_eq!(lookups.running(), 0);
    }

    #[test]
    fn a_name_that_is_not_found_says_so() {
        let lookups = Lookups::new();
        let told = lookups
            .find("a:1", LONG, &AtomicBool::new(false), |_| {
                Err(io::Error::other("no such name"))
            })
            .unwrap_err();
        assert_eq!(
            told.of_host("a", LONG).to_string(),
            "the name a was not found: no such name"
        );
    }

    #[test]
    fn twenty_callers_behind_a_hanging_look_up_time_out_with_one_thread() {
        let lookups = Lookups::new();
        let open = AtomicBool::new(false);
        let asked = Arc::new(AtomicUsize::new(0));
        let (release, hang) = hanging();
        assert_eq!(
            lookups.find("a:1", SHORT, &open, hang),
            Err(LookupFailure::TimedOut)
        );
        for number in 0..20 {
            let asked = Arc::clone(&asked);
            let result = lookups.find(
                &format!("name{number}:1"),
                Duration::from_millis(1),
                &open,
                move |_| {
                    asked.fetch_add(1, Ordering::SeqCst);
                    Ok(address(2))
                },
            );
            assert_eq!(result, Err(LookupFailure::TimedOut));
            assert_eq!(lookups.running(), 1);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        drop(release);
        assert_eq!(
            lookups.find("b:1", LONG, &open, |_| Ok(address(3))),
            Ok(address(3))
        );
        assert_eq!(lookups.running(), 0);
    }

    #[test]
    fn a_caller_that_comes_back_gets_the_slow_answer() {
        let lookups = Lookups::new();
        let open = AtomicBool::new(false);
        let (release, hang) = hanging();
        assert_eq!(
            lookups.find("a:1", SHORT, &open, hang),
            Err(LookupFailure::TimedOut)
        );
        thread::scope(|scope| {
            let second = scope.spawn(|| lookups.find("a:1", LONG, &open, |_| Ok(address(9))));
            thread::sleep(SHORT);
            drop(release);
            assert_eq!(second.join().unwrap(), Ok(address(1)));
        });
    }

    #[test]
    fn closing_ends_the_wait_at_once() {
        let lookups = Lookups::new();
        let closing = AtomicBool::new(false);
        let (release, hang) = hanging();
        thread::scope(|scope| {
            let caller = scope.spawn(|| {
                let result = lookups.find("a:1", LONG, &closing, hang);
                (result, Instant::now())
            });
            while lookups.running() == 0 {
                thread::yield_now();
            }
            let asked = Instant::now();
            closing.store(true, Ordering::SeqCst);
            lookups.wake();
            let (result, ended) = caller.join().unwrap();
            assert_eq!(result, Err(LookupFailure::Closed));
            assert!(ended.saturating_duration_since(asked) < Duration::from_millis(100));
        });
        drop(release);
    }

    #[test]
    fn the_process_has_one_set_of_look_ups() {
        assert!(Arc::ptr_eq(&Lookups::of_process(), &Lookups::of_process()));
        assert!(lookups_running() <= 1);
    }
}
