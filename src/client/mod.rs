//! The client: joins source, snapshot, evaluation and events, and lives and dies with its host.
//!
//! 1. One `ArcSwap<Live>` holds snapshot, runtime and generation: one load gives all three and they agree.
//! 2. Everything with a lock, channel, thread, socket or TLS configuration is in the `Runtime`, which belongs to one
//!    process. A fork is noticed by the next call: it keeps the snapshot, abandons the runtime without touching or
//!    dropping it, and starts a fresh one.
//! 3. A client that is closed goes on answering from what it knows; it delivers nothing any more.
//! 4. A client that nobody holds any more delivers what waits and ends, in the background.
//! 5. After any call into Python `live` is asked again: Python may have forked. No lock is held across such a call.

mod answer;
mod big_segments;
pub mod fork;
mod logs;
mod memberships;
mod runtime;
mod settings;
mod state;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub use answer::{Answer, Question, Wanted};
pub use big_segments::{BigSegmentStoreStatus, BigSegments, Watcher};
pub use logs::Record;
pub use runtime::{Runtime, Stats};
pub use settings::{Settings, diagnostic_platform};
pub use state::{FlagState, FlagsState, StateOptions};

use crate::store::{Applied, Change, Snapshot};

/// A client. Shared by all threads; no call on it waits for I/O unless it says so.
pub struct Client {
    live: ArcSwap<Live>,
    settings: Settings,
    closed: AtomicBool,
    this: Weak<Client>,
}

/// What a client is at one moment in one process.
pub struct Live {
    generation: u64,
    /// The flags and segments.
    pub snapshot: Arc<Snapshot>,
    /// Threads, counters and logs of this process.
    pub runtime: Arc<Runtime>,
}

impl Live {
    /// Whether this process is the one that this belongs to. Only a call into Python can change that.
    #[inline]
    fn is_here(&self) -> bool {
        self.generation == fork::generation()
    }
}

impl Client {
    /// A client, its background threads started. Returns at once.
    #[must_use]
    pub fn open(settings: Settings) -> Arc<Client> {
        let generation = fork::generation();
        let client = Arc::new_cyclic(|this| Client {
            live: ArcSwap::from_pointee(Live {
                generation,
                snapshot: Arc::new(Snapshot::empty()),
                runtime: Arc::new(Runtime::new(generation)),
            }),
            settings,
            closed: AtomicBool::new(false),
            this: this.clone(),
        });
        client
            .live
            .load()
            .runtime
            .start(&client.settings, &client.this);
        client
    }

    /// What to answer from now. In a process that was forked since the last call this starts the client anew.
    #[inline]
    pub fn live(&self) -> Guard<Arc<Live>> {
        let live = self.live.load();
        if live.generation == fork::generation() {
            live
        } else {
            self.renew(&live)
        }
    }

    #[cold]
    fn renew(&self, inherited: &Guard<Arc<Live>>) -> Guard<Arc<Live>> {
        // The parent's threads are not here, and its locks may be held for ever: nothing of it may run, not even its
        // destructor.
        std::mem::forget(inherited.runtime.clone());
        let generation = fork::generation();
        let renewed = Live {
            generation,
            snapshot: inherited.snapshot.clone(),
            runtime: Arc::new(inherited.runtime.renewed(generation)),
        };
        // Of several threads one wins; the others drop a runtime that was never started, and wait for the winner's
        // start, which waits for nothing, so that what they record is not lost.
        self.live.compare_and_swap(inherited, Arc::new(renewed));
        let live = self.live.load();
        if !self.closed.load(Ordering::Acquire) {
            live.runtime.start(&self.settings, &self.this);
        }
        live
    }

    /// What it is in this process; `None` in a forked one that has not asked it anything yet, which stays as it is.
    #[must_use]
    pub fn live_here(&self) -> Option<Guard<Arc<Live>>> {
        let live = self.live.load();
        (live.generation == fork::generation()).then_some(live)
    }

    /// How it was set up.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it answers with defaults and connects to nothing.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.settings.offline
    }

    /// Whether it has flags to answer from, or never will need any.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.settings.offline || self.live().snapshot.initialized()
    }

    /// Waits until it is initialized, at most so long; tells whether it is.
    #[must_use]
    pub fn wait_for_initialization(&self, timeout: Duration) -> bool {
        self.is_initialized() || {
            let runtime = self.live().runtime.clone();
            runtime.wait_for_data(timeout);
            self.is_initialized()
        }
    }

    /// Whether `close` was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Sends what waits and stops the threads. Returns when that is done, at the latest after the deadline; tells
    /// whether it was done in time. More calls, from any thread, do no harm.
    pub fn close(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        self.closed.store(true, Ordering::Release);
        let runtime = self.live().runtime.clone();
        runtime.stop(end)
    }

    /// For a client that nobody holds any more: receives no more flags, sends what waits, and ends the threads, all
    /// without waiting. Returns what [`Runtime::stop`] can be waited for on, unless this process has none.
    pub fn leave(&self) -> Option<Arc<Runtime>> {
        self.closed.store(true, Ordering::Release);
        let live = self.live_here()?;
        live.runtime.leave();
        Some(live.runtime.clone())
    }

    /// HMAC-SHA256 of the fully qualified key with the SDK key, in hexadecimal: what the JavaScript SDK's secure mode
    /// asks for. Empty without an SDK key.
    #[must_use]
    pub fn secure_mode_hash(&self, fully_qualified_key: &str) -> String {
        if self.settings.sdk_key.is_empty() {
            return String::new();
        }
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.settings.sdk_key.as_bytes()) else {
            return String::new();
        };
        mac.update(fully_qualified_key.as_bytes());
        mac.finalize()
            .into_bytes()
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                use std::fmt::Write;
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    /// The next snapshot, from the source of the given generation.
    fn publish(&self, generation: u64, change: Change) {
        let live = self.live.load();
        // Only the source thread of this process publishes, so nothing can come in between.
        if live.generation != generation {
            return;
        }
        // Before the data can be seen, so that who finds flags finds the status that goes with them.
        live.runtime.data_is_good();
        if let Applied::New(snapshot) = live.snapshot.apply(change) {
            let next = Live {
                generation,
                snapshot: Arc::new(snapshot),
                runtime: live.runtime.clone(),
            };
            self.live.store(Arc::new(next));
        }
        live.runtime.data_arrived();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Also on the source's own thread, which may have been the last to look at the client.
        if self.leave().is_none() {
            std::mem::forget(self.live.load().runtime.clone());
        }
    }
}
