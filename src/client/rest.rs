//! For how long a store that takes its time to fail is left alone, so that callers do not wait for it again and again.
//! Pure: the time is an argument.
//!
//! 1. A failure within `QUICK` costs callers nothing worth saving: the store is asked the next time.
//! 2. After a slower one it is left alone `FACTOR` times as long as it took, at most `LONGEST`. Then one caller asks; as
//!    long as it waits for the answer, the others go on without.
//! 3. An answer, also a quick failure, ends that.

use std::time::{Duration, Instant};

const QUICK: Duration = Duration::from_millis(50);
const FACTOR: u32 = 4;
const LONGEST: Duration = Duration::from_secs(5);

/// What one store has earned.
#[derive(Debug, Default)]
pub(super) struct Rest(Option<Until>);

#[derive(Debug)]
struct Until {
    at: Instant,
    length: Duration,
}

impl Rest {
    /// Whether a caller may ask the store. One that may has to tell how it went.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        match &mut self.0 {
            None => true,
            Some(until) if now < until.at => false,
            Some(until) => {
                until.at = now + until.length;
                true
            }
        }
    }

    /// The store answered, or failed after so long.
    pub(super) fn asked(&mut self, failed: bool, took: Duration, now: Instant) {
        self.0 = (failed && took > QUICK).then(|| {
            let length = took.saturating_mul(FACTOR).min(LONGEST);
            Until {
                at: now + length,
                length,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_store_that_answers_or_fails_at_once_is_asked_each_time() {
        let (mut rest, now) = (Rest::default(), Instant::now());
        for (failed, took) in [(false, ms(10_000)), (true, ms(50)), (true, ms(0))] {
            assert!(rest.may_ask(now));
            rest.asked(failed, took, now);
            assert!(rest.may_ask(now), "{failed} {took:?}");
        }
    }

    #[test]
    fn a_store_that_fails_slowly_is_left_alone_for_longer_than_it_took_but_not_for_long() {
        for (took, last, over) in [
            (ms(100), ms(399), ms(400)),
            (ms(3_000), ms(4_999), LONGEST),
            (ms(u64::MAX / 8), ms(4_999), LONGEST),
        ] {
            let (mut rest, now) = (Rest::default(), Instant::now());
            rest.asked(true, took, now);
            assert!(!rest.may_ask(now + last), "{took:?}");
            assert!(rest.may_ask(now + over), "{took:?}");
        }
    }

    #[test]
    fn after_the_rest_one_caller_asks_and_the_others_go_on_without() {
        let (mut rest, now) = (Rest::default(), Instant::now());
        rest.asked(true, ms(100), now);
        let later = now + ms(400);
        assert!(rest.may_ask(later));
        assert!(!rest.may_ask(later));
        assert!(!rest.may_ask(later + ms(399)));
        rest.asked(false, ms(100), later + ms(100));
        assert!(rest.may_ask(later + ms(100)));
    }

    #[test]
    fn one_who_never_tells_how_it_went_keeps_the_store_from_nobody_for_ever() {
        let (mut rest, now) = (Rest::default(), Instant::now());
        rest.asked(true, ms(100), now);
        assert!(rest.may_ask(now + ms(400)));
        assert!(rest.may_ask(now + ms(800)));
    }
}
