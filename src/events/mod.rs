//! Events: what callers did is counted and kept in place, and one background thread delivers it.
//! Where evaluations come from is the client's question; HTTP itself is the transport's.
//!
//! 1. An evaluation adds one to a counter. It makes an event of its own only for the first sight of a context (index),
//!    for a flag that is tracked or part of an experiment (feature), or being debugged (debug).
//! 2. Callers never wait for the network: they share one mutex with the flusher, held for a few steps in memory.
//! 3. The buffer is bounded. When it is full, new events are dropped and counted, and one line says so until there is
//!    room again. Events under way no longer count against its capacity.
//! 4. The books balance: `accepted = sent + dropped (by reason) + pending`. Every event that is handed in is accepted,
//!    also one that is dropped at the door. The counters between two flushes are one event, the summary, accepted when a
//!    flush forms it (the counters that come after a close are one lost summary). Events that sampling passes over,
//!    contexts that are omitted or were seen before, and diagnostic events are not in the books.
//! 5. Events are sent when the flush interval has passed, when asked to, and at the close. A payload that fails is tried
//!    once more, then dropped. After failures the intervals grow, so that events wait in the buffer while the service
//!    is away; nothing, not even a refused SDK key, ends the attempts for good.
//! 6. `flush_within` reports as complete only when all that was accepted before the call has been sent or dropped.
//! 7. `close` sends what waits and ends within its deadline: what has not left by then is dropped, and a post under way
//!    is cut off. Afterwards evaluations can still be recorded, which drops them.
//! 8. One line a change of state (failing, refused, delivering again), never one a flush.
//! 9. Nothing here outlives a fork: the child makes its own `Events` and never touches or drops the inherited one.

mod clock;
mod custom;
mod delivery;
mod diagnostics;
mod event;
#[cfg(test)]
mod fakes;
mod flusher;
mod ledger;
pub mod log;
mod output;
mod recorder;
mod redaction;
mod sampling;
mod seen;
mod sender;
mod subject;
mod summary;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use clock::{Clock, SystemClock};
pub use custom::Custom;
pub use diagnostics::Diagnostics;
pub use flusher::{Events, Flushing};
pub use ledger::{Dropped, FlushReport, Ledger};
pub use recorder::Evaluated;
pub use sender::{Post, Reply};
pub use subject::Subject;

/// How events are gathered and sent.
#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of the client"
)]
pub struct Settings {
    /// Whether there are events at all; read by the client, which makes no `Events` without.
    pub enabled: bool,
    /// The base URI of the events service, without `/bulk`.
    pub uri: String,
    /// How many events may wait.
    pub capacity: usize,
    /// How often they are sent.
    pub flush_interval: Duration,
    /// How many context keys are remembered at least.
    pub context_keys_capacity: usize,
    /// How often all context keys are forgotten.
    pub context_keys_flush_interval: Duration,
    /// Whether all attributes are private.
    pub all_attributes_private: bool,
    /// References to private attributes.
    pub private_attributes: Vec<String>,
    /// If given, only what these references name is public, also with `all_attributes_private`; what is in
    /// `private_attributes` too stays private.
    pub public_attributes: Option<Vec<String>>,
    /// Whether index and identify events leave out anonymous contexts.
    pub omit_anonymous: bool,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// What to tell about the SDK itself; `None` is nothing.
    pub diagnostics: Option<Diagnostics>,
    /// How often it is told.
    pub diagnostic_interval: Duration,
    /// The wait before the second attempt to send a payload.
    pub retry_delay: Duration,
}

/// As launchdarkly-server-sdk 9.20.
impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: true,
            uri: "https://events.launchdarkly.com".to_owned(),
            capacity: 10_000,
            flush_interval: Duration::from_secs(5),
            context_keys_capacity: 1_000,
            context_keys_flush_interval: Duration::from_secs(300),
            all_attributes_private: false,
            private_attributes: Vec::new(),
            public_attributes: None,
            omit_anonymous: false,
            gzip: false,
            diagnostics: None,
            diagnostic_interval: Duration::from_secs(900),
            retry_delay: Duration::from_secs(1),
        }
    }
}
