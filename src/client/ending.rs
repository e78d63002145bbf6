//! How clients end: what waits is sent, threads and connections go, all of that before a deadline.
//!
//! 1. Every runtime is asked to leave first and waited for afterwards, so that several end at the same time.
//! 2. What has not ended shortly before the deadline is cut off, so that its threads and sockets are gone at the
//!    deadline, not some time after it. What it had still to send is counted as dropped.
//! 3. The wait is made of slices as long as the caller likes: it may look after its signals or its event loop between
//!    them. A caller that goes away instead loses nothing: the threads go on sending, and end by themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Runtime;

/// What is left of the deadline for those that are cut off.
const LAST: Duration = Duration::from_millis(100);

/// Runtimes on their way out.
pub struct Ending {
    runtimes: Vec<Arc<Runtime>>,
    end: Instant,
    /// When what has not ended is cut off; `None` afterwards.
    cut: Option<Instant>,
}

impl Ending {
    /// Asks them all to end within that time, which begins now.
    #[must_use]
    pub fn begin(runtimes: Vec<Arc<Runtime>>, deadline: Duration) -> Ending {
        for runtime in &runtimes {
            runtime.leave();
        }
        let end = Instant::now() + deadline;
        Ending {
            runtimes,
            end,
            cut: Some(end.checked_sub(LAST.min(deadline / 10)).unwrap_or(end)),
        }
    }

    /// Waits at most so long; tells whether they have all ended. When that takes until the deadline, it does not wait.
    pub fn wait(&mut self, slice: Duration) -> bool {
        let until = Instant::now() + slice;
        if let Some(cut) = self.cut {
            let ended = self.ended_by(until.min(cut));
            if !ended && Instant::now() < cut {
                return false;
            }
            // Also where everything has ended: this collects the threads and closes the books.
            self.cut = None;
            let now = Instant::now();
            for runtime in &self.runtimes {
                runtime.stop(now);
            }
        }
        self.ended_by(until.min(self.end))
    }

    /// Waits for as long as it may take; tells whether they have all ended in time.
    #[must_use]
    pub fn wait_for_end(mut self) -> bool {
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            if self.wait(left) || left.is_zero() {
                return self.ended_by(Instant::now());
            }
        }
    }

    fn ended_by(&self, until: Instant) -> bool {
        self.runtimes
            .iter()
            .all(|runtime| runtime.has_left_by(until))
    }
}
