//! The books: what became of every event. Who moves an event from one column to another is the recorder's question.

/// Why an event was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    Capacity,
    Rejected,
    Undeliverable,
    Closed,
    Unencodable,
    Internal,
}

/// The names of the reasons, in the order of `Loss`.
const REASONS: [&str; 6] = [
    "capacity",
    "rejected",
    "undeliverable",
    "closed",
    "unencodable",
    "internal",
];

/// Events that were not sent, by reason. All reasons are there, most with 0:
/// `capacity` (the buffer was full), `rejected` (the service refused the payload for good, 401 for one),
/// `undeliverable` (the retry failed too), `closed` (came after the close, or did not leave before its deadline),
/// `unencodable` (has no JSON form), `internal` (a defect in this code).
pub type Dropped = [(&'static str, u64); REASONS.len()];

/// What became of every event so far: `accepted = sent + all of dropped + pending`, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Events that were handed in, whatever became of them.
    pub accepted: u64,
    /// Events that the service took.
    pub sent: u64,
    /// Events in the buffer or under way.
    pub pending: u64,
    /// Events that were lost, by reason.
    pub dropped: Dropped,
}

/// What a flush did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushReport {
    /// Events that the service took since the call.
    pub sent: u64,
    /// Events in the buffer or under way at the end.
    pub pending: u64,
    /// Events that were lost since the call, by reason.
    pub dropped: Dropped,
    /// Whether all that was accepted before the call has been sent or dropped.
    pub complete: bool,
}

impl Ledger {
    /// How many were lost, for all reasons together.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().map(|(_, count)| count).sum()
    }

    /// What changed since an earlier state of the same books.
    pub(super) fn since(&self, earlier: &Ledger, complete: bool) -> FlushReport {
        let mut dropped = self.dropped;
        for (now, before) in dropped.iter_mut().zip(earlier.dropped) {
            now.1 -= before.1;
        }
        FlushReport {
            sent: self.sent - earlier.sent,
            pending: self.pending,
            dropped,
            complete,
        }
    }
}

/// The columns as they are kept.
#[derive(Debug, Default)]
pub(super) struct Books {
    accepted: u64,
    sent: u64,
    in_flight: u64,
    dropped: [u64; REASONS.len()],
}

impl Books {
    /// An event came; where it went is told by another call.
    pub(super) fn accept(&mut self) {
        self.accepted += 1;
    }

    /// An event that came was lost at the door.
    pub(super) fn refuse(&mut self, loss: Loss) {
        self.dropped[loss as usize] += 1;
    }

    /// Events left the buffer (or were formed) to be sent.
    pub(super) fn depart(&mut self, events: u64) {
        self.in_flight += events;
    }

    /// Events under way have ended.
    pub(super) fn settle(&mut self, events: u64, loss: Option<Loss>) {
        let events = events.min(self.in_flight);
        self.in_flight -= events;
        match loss {
            None => self.sent += events,
            Some(loss) => self.dropped[loss as usize] += events,
        }
    }

    /// How many are under way.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// How many were lost for this reason.
    pub(super) fn lost(&self, loss: Loss) -> u64 {
        self.dropped[loss as usize]
    }

    /// The books for others to read.
    pub(super) fn read(&self, buffered: usize) -> Ledger {
        let mut dropped = REASONS.map(|reason| (reason, 0));
        for (entry, count) in dropped.iter_mut().zip(self.dropped) {
            entry.1 = count;
        }
        Ledger {
            accepted: self.accepted,
            sent: self.sent,
            pending: self.in_flight + buffered as u64,
            dropped,
        }
    }
}
