//! # The architecture
//!
//! **Flags arrive, are compiled once into an immutable snapshot, and are read by an evaluator that never waits; what was
//! evaluated is counted in place and delivered by one background thread.** Everything else hangs off that line.
//!
//! ```text
//! source ─► store ─► evaluation ─► events ─► sender
//! ```
//!
//! ## Folders, in the order of their layers
//!
//! A folder uses itself and those above it in this list (`tests/rust/layers.rs` checks that).
//!
//! - [`model`]: flags, segments, contexts, values, attribute references. Data only, compiled when it arrives.
//! - [`evaluation`]: flag, context and look-up in, outcome out. Pure. `mod.rs` reads in the order of evaluation; one file
//!   a question. Declares the traits that it needs (`Lookup`, `Recorder`, `BigSegments`, `Subject`). `explain` runs the same
//!   evaluation with an observer that writes down its steps; in an ordinary one the observer is `()`, and nothing is left of
//!   it.
//! - [`store`]: the snapshot (sharded tables, versions, tombstones) and the changes that lead from one to the next; of all
//!   data only what differs.
//! - [`transport`]: the only HTTP: agent, certificates, proxies, time-outs; the back-off policy and the framing of event
//!   streams, both pure.
//! - [`events`]: what happened, counted and buffered under one short lock; the gate that every context passes on its way
//!   out; the thread that delivers.
//! - [`source`]: streaming, polling, files. Each ends in "here is a change" and a status.
//! - [`client`]: joins the parts: settings, the state of all flags, life cycle (start, fork, close), log lines, figures.
//! - `python` (feature `python`): the boundary. The only folder that knows pyo3.
//!
//! ## What always holds
//!
//! 1. `model` and `evaluation` do no I/O, read no clock, start no thread, write no log. Time and randomness are arguments.
//! 2. Evaluation answers for every input. Malformed data is a reason in the answer, never a panic and never an exception.
//! 3. One evaluation reads one snapshot.
//! 4. Flags are compiled when they arrive: patterns, dates, versions, sets of keys, attribute paths. Evaluation parses
//!    nothing of a flag. One bad flag harms no other flag: it is kept as its own error.
//! 5. No call on the evaluation path waits for I/O, for a thread, or for a lock that anyone holds across I/O. Two
//!    exceptions, both without a lock: a context whose big segments are not remembered, and a flag in a feature store
//!    whose cache is off or has not seen it, or that in daemon mode is asked for before anything was read. Their store is
//!    asked on the spot, within its time-outs; one that was seen to take its time to fail is left alone for a while.
//! 6. A client has at most two native threads (`ld-source`, `ld-events`), with small stacks, stopped and joined within a
//!    deadline, and a third, `ld-store`, where it has a native feature store; a process has at most one look-up thread
//!    where the system's resolver hangs. It holds nothing of a client. What has not ended shortly before the deadline of a
//!    close is cut off, so that at the deadline it is gone. Whoever starts a client waits for none of this: certificates
//!    are read by the thread that needs them.
//! 7. Native threads never touch the interpreter. What must reach Python (log lines) is queued; a Python thread that the
//!    next API call starts drains it and ends.
//!    A call that waits does so in slices, so that signals are heard and a gevent hub goes on (`python::waiting`); a
//!    coroutine waits for a socket that the native side ends (`client::arrival`).
//! 8. A fork is noticed by a mark that reads 0 in a process that has not adopted what it inherited (`client::fork`). The
//!    next call abandons the inherited runtime without touching its locks, keeps the snapshot and starts afresh.
//! 9. A full buffer drops, counts and warns once. accepted = sent + dropped(reason) + pending, always.
//! 10. A value that cannot be sent costs that attribute, with one warning that names it, never another event.
//! 11. Private attributes pass one gate that every kind of event is built through (`events::redaction`).
//! 12. The SDK key appears in no log line, repr, error or event. The service's protocol wants it in one header, and its
//!     last six characters in diagnostic events.
//! 13. `unsafe` is denied except in `client/fork.rs`.
//! 14. An evaluation writes no page of the snapshot: values own what they hold, without shared counts; counters and sets of
//!     seen contexts are tables beside it, indexed by a flag's slot.
//! 15. What arrives again is not made again. Of all data, an item whose text is the known one is not read but left where
//!     it is, and if that is every item the snapshot itself stays: forked processes, each delivered all data by its own
//!     stream, go on sharing it. The text that arrived is in memory of its own, which goes back to the system.
//! 16. An outage is one warning, one error and one line when it is over, for all clients of the process together
//!     (`client::outages`). A standstill of the machine is no outage: it is noticed within a second, and what was connected
//!     before is connected anew (`transport::standstill`).
//! 17. Before a call into Python code that may let other threads run, the boundary goes `Inside` (`python::ending`): the
//!     end of the interpreter waits for it for a moment, for it cannot unwind native frames. Look-ups of names and forks
//!     keep apart (`transport::forking`): the system's resolver has a lock that a child would inherit.
//!
//! ## The hot path
//!
//! `client.variation(key, user, default)` is a native method, reached without a Python frame in between. It takes the
//! current snapshot (one atomic load, which also tells whether the process was forked), finds the flag (one hash), evaluates
//! it, adds one to a counter and looks the context's key up in the set of seen ones (one uncontended lock), and returns a
//! Python object. It allocates nothing in Rust and reads no clock. A dict user is read in place: evaluation asks it only for
//! the attributes that clauses name; it is converted whole only for an event that carries it.
//!
//! ## Seams
//!
//! - `source::Sink` takes changes, full or single: a source that delivers change sets with a selector fits it.
//! - `store::BigSegmentStore` is what a database of big segments answers; `client::big_segments` remembers it.
//! - `store::PersistentStore` is what a database of flags implements; `client::storing` says when it is asked.
//! - A snapshot is a value: it can be written and read back.

pub mod client;
pub mod evaluation;
pub mod events;
pub mod model;
#[cfg(feature = "python")]
mod python;
pub mod source;
pub mod store;
pub mod transport;
