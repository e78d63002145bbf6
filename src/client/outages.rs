//! Which lines about an outage are worth an application's log, over all clients of the process: of one outage one
//! warning, one error (where somebody has to act), and one line when it is over. Everything else is for debugging.
//!
//! 1. Flag data and the delivery of events, of every client, fail together when the service is away. The first to fail
//!    speaks for all; `stats()` has the rest.
//! 2. Flag data speaks for the end, where it had failed, too: events are delivered again when there are some.
//! 3. Who goes on failing after another one recovered is in an outage of its own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::fork;
use crate::events::log::{Level, Part};

/// Who fails: a client, by a number of its own, and the part of it.
pub(super) type Who = (usize, Part);

#[derive(Debug, Default)]
struct Outage {
    failing: HashSet<Who>,
    /// What was said of it.
    said: Option<Level>,
    /// Whether its end was said already, though not everybody has noticed.
    is_over: bool,
}

impl Outage {
    fn failed(&mut self, who: Who, level: Level) -> Level {
        self.failing.insert(who);
        if std::mem::take(&mut self.is_over) {
            self.said = None;
        }
        if self.said.is_some_and(|said| said >= level) {
            return Level::Debug;
        }
        self.said = Some(level);
        level
    }

    fn recovered(&mut self, who: Who) -> Level {
        self.failing.remove(&who);
        let flags_fail = self.failing.iter().any(|(_, part)| *part == Part::Flags);
        let level = if self.said.is_none() || self.is_over || who.1 == Part::Events && flags_fail {
            Level::Debug
        } else {
            self.is_over = true;
            Level::Info
        };
        if self.failing.is_empty() {
            *self = Outage::default();
        }
        level
    }

    fn left(&mut self, client: usize) {
        self.failing.retain(|(other, _)| *other != client);
        if self.failing.is_empty() {
            *self = Outage::default();
        }
    }
}

/// That of one process; a forked child begins with none, and never touches the inherited lock.
struct OfProcess {
    generation: u64,
    outage: Mutex<Outage>,
}

static OUTAGE: ArcSwapOption<OfProcess> = ArcSwapOption::const_empty();

fn with<R>(look: impl FnOnce(&mut Outage) -> R) -> R {
    let generation = fork::generation();
    let of_process = loop {
        let current = OUTAGE.load_full();
        if let Some(known) = &current
            && known.generation == generation
        {
            break known.clone();
        }
        let fresh = Arc::new(OfProcess {
            generation,
            outage: Mutex::default(),
        });
        OUTAGE.compare_and_swap(&current, Some(fresh));
        std::mem::forget(current);
    };
    let mut outage = of_process
        .outage
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    look(&mut outage)
}

/// The level at which a failure is worth a line, at most the given one.
pub(super) fn failed(who: Who, level: Level) -> Level {
    with(|outage| outage.failed(who, level))
}

/// Whether somebody fails on after the end was told.
pub(super) fn is_news(who: Who) -> bool {
    with(|outage| outage.is_over && outage.failing.contains(&who))
}

/// The level at which a recovery is worth a line.
pub(super) fn recovered(who: Who) -> Level {
    with(|outage| outage.recovered(who))
}

/// A client goes; nobody waits for its recovery any more.
pub(super) fn left(client: usize) {
    with(|outage| outage.left(client));
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{Debug, Error, Info, Warning};

    const FLAGS: Who = (1, Part::Flags);
    const EVENTS: Who = (1, Part::Events);
    const OTHER: Who = (2, Part::Flags);

    #[test]
    fn an_outage_is_one_warning_one_error_and_one_recovery_whoever_fails() {
        let mut outage = Outage::default();
        let failed = [
            (FLAGS, Warning),
            (EVENTS, Warning),
            (OTHER, Warning),
            (OTHER, Error),
            (FLAGS, Error),
        ]
        .map(|(who, level)| outage.failed(who, level));
        assert_eq!(failed, [Warning, Debug, Debug, Error, Debug]);
        let recovered = [EVENTS, FLAGS, OTHER].map(|who| outage.recovered(who));
        assert_eq!(recovered, [Debug, Info, Debug]);
        assert_eq!(outage.failed(FLAGS, Warning), Warning, "the next one");
    }

    #[test]
    fn who_fails_on_after_a_recovery_is_heard() {
        let mut outage = Outage::default();
        outage.failed(FLAGS, Warning);
        outage.failed(EVENTS, Warning);
        assert_eq!(outage.recovered(FLAGS), Info);
        assert_eq!(outage.failed(EVENTS, Warning), Warning);
        assert_eq!(outage.recovered(EVENTS), Info);
    }

    #[test]
    fn events_speak_for_themselves_when_only_they_failed() {
        let mut outage = Outage::default();
        assert_eq!(outage.failed(EVENTS, Error), Error);
        assert_eq!(outage.recovered(EVENTS), Info);
    }

    #[test]
    fn a_client_that_goes_takes_its_outage_along() {
        let mut outage = Outage::default();
        outage.failed(FLAGS, Warning);
        outage.left(1);
        assert_eq!(outage.failed(OTHER, Warning), Warning);
    }
}
