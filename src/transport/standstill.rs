//! Notices that the process or the machine stood still: a laptop was closed, a virtual machine paused, a function
//! frozen between two calls. Connections rarely outlive that, and nothing says so. Pure: the times are arguments.
//!
//! 1. A wait that took far longer than it was to take was a standstill. That shows on the monotonic clock when the
//!    process was stopped, and only on the wall clock when the machine was.
//! 2. Somebody who sets the wall clock forward looks the same; the price is one needless reconnect. Setting it back
//!    tells nothing.

use std::time::{Duration, Instant, SystemTime};

/// A wait that takes this much longer than asked for was no wait. Busy machines keep a thread waiting for seconds.
const TOO_LONG: Duration = Duration::from_secs(10);

/// What both clocks show.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Stands still while the machine does.
    pub monotonic: Instant,
    /// Goes on, and can be set.
    pub wall: SystemTime,
}

impl Now {
    /// What they show now.
    #[must_use]
    pub fn read() -> Now {
        Now {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }
}

/// Where the clocks are read, and how often a wait is interrupted to do that.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Reads them.
    pub read: fn() -> Now,
    /// The longest wait between two looks.
    pub tick: Duration,
}

impl Default for Clocks {
    fn default() -> Clocks {
        Clocks {
            read: Now::read,
            tick: Duration::from_secs(1),
        }
    }
}

/// The last look at the clocks.
#[derive(Clone, Copy, Debug)]
pub struct Watch(Now);

impl Watch {
    /// Looks for the first time.
    #[must_use]
    pub fn new(now: Now) -> Watch {
        Watch(now)
    }

    /// Looks again after work that may have taken any time; tells whether the machine stood still meanwhile.
    pub fn machine_stood_still(&mut self, now: Now) -> bool {
        let expected = now.monotonic.saturating_duration_since(self.0.monotonic);
        self.stood_still(expected, now)
    }

    /// Looks again after what was to take at most so long; tells whether there was a standstill meanwhile.
    pub fn stood_still(&mut self, expected: Duration, now: Now) -> bool {
        let last = std::mem::replace(&mut self.0, now);
        let monotonic = now.monotonic.saturating_duration_since(last.monotonic);
        let wall = now.wall.duration_since(last.wall).unwrap_or_default();
        monotonic.max(wall) > expected + TOO_LONG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(start: Now, monotonic: Duration, wall: Duration) -> Now {
        Now {
            monotonic: start.monotonic + monotonic,
            wall: start.wall + wall,
        }
    }

    #[test]
    fn a_standstill_shows_on_either_clock_and_is_told_once() {
        let start = Now::read();
        for (monotonic, wall) in [
            (SECOND, 60 * SECOND),
            (60 * SECOND, 60 * SECOND),
            (60 * SECOND, SECOND),
        ] {
            let mut watch = Watch::new(start);
            let now = after(start, monotonic, wall);
            assert!(watch.stood_still(SECOND, now));
            assert!(!watch.stood_still(SECOND, after(now, SECOND, SECOND)));
        }
    }

    #[test]
    fn a_wait_that_is_a_little_late_and_a_clock_that_is_set_back_are_none() {
        let start = Now::read();
        let mut watch = Watch::new(start);
        assert!(!watch.stood_still(SECOND, after(start, 5 * SECOND, 5 * SECOND)));
        let back = Now {
            monotonic: start.monotonic + 6 * SECOND,
            wall: start.wall - 3600 * SECOND,
        };
        assert!(!watch.stood_still(SECOND, back));
        assert!(!watch.stood_still(SECOND, after(back, SECOND, SECOND)));
    }

    #[test]
    fn slow_work_is_none_but_the_machine_may_have_stood_still_meanwhile() {
        let start = Now::read();
        let mut watch = Watch::new(start);
        let later = after(start, 60 * SECOND, 61 * SECOND);
        assert!(!watch.machine_stood_still(later));
        assert!(watch.machine_stood_still(after(later, SECOND, 60 * SECOND)));
    }

    #[test]
    fn a_long_wait_that_was_asked_for_is_none() {
        let start = Now::read();
        let mut watch = Watch::new(start);
        assert!(!watch.stood_still(60 * SECOND, after(start, 61 * SECOND, 61 * SECOND)));
    }
}
