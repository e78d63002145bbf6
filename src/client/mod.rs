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
mod arrival;
mod big_segments;
mod ending;
mod explanation;
pub mod fork;
mod logs;
mod memberships;
pub mod notices;
mod outages;
mod rest;
mod runtime;
mod settings;
mod state;
mod storing;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub use answer::{Answer, Question, Wanted};
pub use arrival::Signal;
pub use big_segments::{BigSegmentStoreStatus, BigSegments, Watcher};
pub use ending::Ending;
pub use explanation::Explanation;
pub use logs::Record;
pub use runtime::{Runtime, Stats};
pub use settings::{Settings, diagnostic_platform};
pub use state::{FlagState, FlagsState, StateOptions};
pub use storing::{Caching, Storage, StoreSettings, StoreStatus};

use crate::events::log::Level;
use crate::source::{ErrorInfo, State};
use crate::store::{Applied, Change, Snapshot, Touched, affected_flags};
use crate::transport::Options;

use notices::{Notices, Wanted as WantedNotices};

/// A client. Shared by all threads; no call on it waits for I/O unless it says so.
pub struct Client {
    live: ArcSwap<Live>,
    settings: Settings,
    /// The SDK key that took the place of the settings' one. It outlives forks.
    rotated: ArcSwapOption<String>,
    closed: AtomicBool,
    wanted: Arc<WantedNotices>,
    this: Weak<Client>,
}

/// What a client is at one moment in one process.
pub struct Live {
    generation: u64,
    /// Whether the source has delivered all data; what a store held before that is answered from all the same.
    ready: bool,
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

impl Live {
    /// The same process with the flags of an earlier moment, which may be one before a fork.
    #[must_use]
    pub fn with_flags_of(&self, earlier: &Arc<Live>) -> Arc<Live> {
        if earlier.generation == self.generation {
            return earlier.clone();
        }
        Arc::new(Live {
            generation: self.generation,
            ready: earlier.ready,
            snapshot: earlier.snapshot.clone(),
            runtime: self.runtime.clone(),
        })
    }
}

impl Client {
    /// A client, its background threads started. Returns at once.
    #[must_use]
    pub fn open(settings: Settings) -> Arc<Client> {
        let generation = fork::generation();
        let wanted = Arc::new(WantedNotices::default());
        let notices = Notices::new(wanted.clone(), false);
        let client = Arc::new_cyclic(|this| Client {
            live: ArcSwap::from_pointee(Live {
                generation,
                ready: false,
                snapshot: Arc::new(Snapshot::empty()),
                runtime: Arc::new(Runtime::new(generation, notices)),
            }),
            settings,
            rotated: ArcSwapOption::empty(),
            closed: AtomicBool::new(false),
            wanted,
            this: this.clone(),
        });
        client.live.load().runtime.start(
            &client.settings,
            &client.settings.transport,
            &client.this,
            false,
        );
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
        let closed = self.closed.load(Ordering::Acquire);
        let notices = Notices::new(self.wanted.clone(), !closed);
        if self.settings.own_source.is_some() && !closed {
            notices.wants_attention();
        }
        let renewed = Live {
            generation,
            ready: inherited.ready,
            snapshot: inherited.snapshot.clone(),
            runtime: Arc::new(inherited.runtime.renewed(generation, notices)),
        };
        if self.settings.plan.is_none() && inherited.ready && !closed {
            // No source will say so.
            renewed.runtime.data_is_good();
        }
        // Of several threads one wins; the others drop a runtime that was never started, and wait for the winner's
        // start, which waits for nothing, so that what they record is not lost.
        self.live.compare_and_swap(inherited, Arc::new(renewed));
        let live = self.live.load();
        if !closed {
            live.runtime
                .start(&self.settings, &self.transport(), &self.this, live.ready);
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
        let live = self.live();
        let daemon = self
            .settings
            .store
            .as_ref()
            .is_some_and(|store| store.daemon);
        self.settings.offline || live.ready || daemon && live.snapshot.initialized()
    }

    /// Waits until it is initialized or never will be, at most so long; tells whether it is.
    #[must_use]
    pub fn wait_for_initialization(&self, timeout: Duration) -> bool {
        self.is_initialized() || {
            let runtime = self.live().runtime.clone();
            runtime.wait_for_data(timeout);
            self.is_initialized()
        }
    }

    /// The SDK key that is in use. Never shown.
    fn sdk_key(&self) -> Arc<String> {
        self.rotated
            .load_full()
            .unwrap_or_else(|| Arc::new(self.settings.sdk_key.clone()))
    }

    /// How to connect, with the SDK key that is in use.
    fn transport(&self) -> Cow<'_, Options> {
        match self.rotated.load_full() {
            Some(key) => Cow::Owned(self.settings.transport.authorized(&key)),
            None => Cow::Borrowed(&self.settings.transport),
        }
    }

    /// Goes on with another SDK key of the same environment, or the same one that may work again: asks for all data at
    /// once, and sends later events with it. What is known goes on being served. Does not wait.
    pub fn rotate(&self, sdk_key: &str) {
        self.rotated.store(Some(Arc::new(sdk_key.to_owned())));
        let live = self.live();
        if self.is_closed() || self.settings.offline {
            return;
        }
        if let Some(events) = live.runtime.events() {
            events.authorize(sdk_key);
        }
        self.deliver_again(live.generation);
    }

    /// Waits until its source has delivered in this process, at most so long; tells whether there is nothing to wait for
    /// any more.
    #[must_use]
    pub fn wait_for_refresh(&self, timeout: Duration) -> bool {
        let runtime = self.live().runtime.clone();
        if runtime.source_is_silent() {
            runtime.wait_for_data(timeout);
        }
        self.is_closed() || !runtime.source_is_silent()
    }

    /// Whether `close` was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Sends what waits and stops the threads. Returns when that is done, at the latest after the deadline; tells
    /// whether it was done in time. More calls, from any thread, do no harm.
    #[allow(
        clippy::must_use_candidate,
        reason = "there is nothing more to do either way"
    )]
    pub fn close(&self, deadline: Duration) -> bool {
        self.begin_close(deadline).wait_for_end()
    }

    /// Begins that, for those who wait in slices.
    #[must_use]
    pub fn begin_close(&self, deadline: Duration) -> Ending {
        self.closed.store(true, Ordering::Release);
        Ending::begin(vec![self.live().runtime.clone()], deadline)
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
        let key = self.sdk_key();
        if key.is_empty() {
            return String::new();
        }
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
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

    /// Says which notices are wanted from now on.
    pub fn want_notices(&self, flags: bool, source: bool, store: bool) {
        self.wanted.set(flags, source, store);
    }

    /// Takes a change from whoever has one: for a client without a source of its own. A closed client takes none.
    pub fn apply(&self, mut change: Change) {
        if self.is_closed() {
            return;
        }
        let live = self.live();
        for remark in std::mem::take(&mut change.remarks) {
            live.runtime.log(Level::Warning, remark);
        }
        let generation = live.generation;
        drop(live);
        self.publish(generation, change);
    }

    /// The next snapshot, from the source of the given generation.
    fn publish(&self, generation: u64, mut change: Change) {
        let original = change.original.take();
        let whole = change.is_whole();
        let touched = self.touched(&change);
        let Some(runtime) = self.replace(generation, touched, |live| {
            // Before the data can be seen, so that who finds flags finds the status that goes with them.
            live.runtime.data_is_good();
            match live.snapshot.apply(change) {
                Applied::New(snapshot) => Some((Some(snapshot), live.ready || whole)),
                Applied::Same => Some((None, live.ready || whole)),
                Applied::Older => None,
            }
        }) else {
            return;
        };
        if let Some(storage) = runtime.storage() {
            storage.delivered(original, whole);
        }
        runtime.data_arrived(self.is_initialized());
    }

    /// The next snapshot, from the store of the given generation.
    fn publish_stored(
        &self,
        generation: u64,
        is_all_there_is: bool,
        next: impl FnOnce(&Snapshot) -> Option<Snapshot>,
    ) {
        // What was read is no sign of a change, as launchdarkly-server-sdk 9.20 has it.
        let replaced = self.replace(generation, None, |live| {
            next(&live.snapshot).map(|snapshot| (Some(snapshot), live.ready))
        });
        if let (true, Some(runtime)) = (is_all_there_is, replaced) {
            runtime.data_arrived(self.is_initialized());
        }
    }

    /// What a data source or a store of the application's own delivered; `write` says whether the store is to get it, too.
    /// It is no sign that the source is ready.
    pub fn deliver(&self, mut change: Change, write: bool) {
        let original = change.original.take().filter(|_| write);
        let whole = change.is_whole();
        let generation = self.live().generation;
        let touched = self.touched(&change);
        let replaced = self.replace(generation, touched, |live| {
            match live.snapshot.apply(change) {
                Applied::New(snapshot) => Some((Some(snapshot), live.ready)),
                Applied::Same => Some((None, live.ready)),
                Applied::Older => None,
            }
        });
        if let Some(storage) = replaced.as_ref().and_then(|runtime| runtime.storage()) {
            storage.delivered(original, whole);
        }
    }

    /// A data source of the application's own says that it is ready; without data, no flag exists.
    pub fn set_ready(&self) {
        let generation = self.live().generation;
        let replaced = self.replace(generation, None, |live| {
            let snapshot = (!live.snapshot.initialized())
                .then(|| live.snapshot.with_found(Vec::new(), Vec::new()));
            Some((snapshot, true))
        });
        if let Some(runtime) = replaced {
            if runtime.status().state == State::Initializing {
                runtime.data_is_good();
            }
            runtime.data_arrived(self.is_initialized());
        }
    }

    /// A data source of the application's own tells its state.
    pub fn source_says(&self, state: State, error: Option<ErrorInfo>) {
        self.live().runtime.source_says(state, error);
    }

    /// What a change may touch, if anybody wants to hear of it.
    fn touched(&self, change: &Change) -> Option<Touched> {
        self.wanted.wants_flags().then(|| change.touched())
    }

    /// Replaces snapshot and readiness by what `next` makes of them, one caller at a time. Tells the runtime if the
    /// generation is still that one. Listeners hear of what was touched.
    fn replace(
        &self,
        generation: u64,
        touched: Option<Touched>,
        next: impl FnOnce(&Live) -> Option<(Option<Snapshot>, bool)>,
    ) -> Option<Arc<Runtime>> {
        let runtime = self.live.load().runtime.clone();
        if self.live.load().generation != generation {
            return None;
        }
        let publishing = runtime.publishing();
        let live = self.live.load();
        if live.generation != generation {
            return None;
        }
        if let Some((fresh, ready)) = next(&live)
            && (fresh.is_some() || ready != live.ready)
        {
            // Without a new snapshot nobody hears of anything.
            let touched = touched.filter(|_| fresh.is_some());
            let snapshot = fresh.map_or_else(|| live.snapshot.clone(), Arc::new);
            self.live.store(Arc::new(Live {
                generation,
                ready,
                snapshot: snapshot.clone(),
                runtime: runtime.clone(),
            }));
            if let Some(touched) = touched {
                // Still one caller at a time, so that listeners hear of changes in their order.
                let affected = affected_flags(&live.snapshot, &snapshot, &touched);
                runtime.notices().flags(affected);
            }
        }
        drop(publishing);
        Some(runtime)
    }

    /// Asks the source for all data once more: the store has lost it.
    fn deliver_again(&self, generation: u64) {
        let live = self.live.load();
        if live.generation == generation {
            live.runtime
                .deliver_again(&self.settings, &self.transport(), &self.this);
        }
    }

    /// Whether [`Client::read_store`] is to be called before this flag is evaluated.
    #[inline]
    pub fn needs_store(&self, live: &Live, key: &str) -> bool {
        self.settings.store.is_some()
            && live
                .runtime
                .storage()
                .is_some_and(|storage| storage.is_needed(live, key))
    }

    /// Reads a flag from the store, and all that it rests on; everything, without a key. Waits for the store, within
    /// its time-outs; what it finds is in the next `live()`.
    pub fn read_store(&self, key: Option<&str>) {
        let runtime = self.live().runtime.clone();
        if let Some(storage) = runtime.storage() {
            match key {
                Some(key) => storage.read_for(key),
                None => storage.read_for_all(),
            }
        }
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
