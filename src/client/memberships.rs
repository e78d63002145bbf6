//! The answers of a big segment store that are remembered, for a while and up to a number. Time is an argument.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::evaluation::Membership;

/// Memberships by context key. The one that was written first goes first; reading changes nothing about that.
#[derive(Default)]
pub(super) struct Memberships {
    known: HashMap<Arc<str>, Known, foldhash::fast::FixedState>,
    /// In the order in which they were written, so that the expired ones come first. One that was written again is
    /// here twice; its earlier place has another time.
    written: VecDeque<(Arc<str>, Instant)>,
}

struct Known {
    membership: Arc<Membership>,
    at: Instant,
}

impl Memberships {
    /// What was remembered of this context less than `for_long` ago.
    pub(super) fn get(
        &self,
        context_key: &str,
        now: Instant,
        for_long: Duration,
    ) -> Option<Arc<Membership>> {
        let known = self.known.get(context_key)?;
        (now.saturating_duration_since(known.at) < for_long).then(|| known.membership.clone())
    }

    /// Remembers what the store said of this context, also that it said nothing.
    pub(super) fn put(
        &mut self,
        context_key: &str,
        membership: Arc<Membership>,
        now: Instant,
        for_long: Duration,
        capacity: usize,
    ) {
        self.known.remove(context_key);
        while let Some((key, at)) = self.written.front() {
            let current = self.known.get(key).is_some_and(|known| known.at == *at);
            let expired = now.saturating_duration_since(*at) >= for_long;
            if current && !expired && self.known.len() < capacity {
                break;
            }
            if current {
                self.known.remove(key);
            }
            self.written.pop_front();
        }
        if capacity == 0 || for_long.is_zero() {
            return;
        }
        let key: Arc<str> = context_key.into();
        self.written.push_back((key.clone(), now));
        self.known.insert(
            key,
            Known {
                membership,
                at: now,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    fn membership(segment: &str) -> Arc<Membership> {
        Arc::new([(segment.into(), true)].into_iter().collect())
    }

    fn knows(memberships: &Memberships, key: &str, now: Instant) -> bool {
        memberships.get(key, now, LONG).is_some()
    }

    #[test]
    fn what_is_older_than_its_time_is_not_known() {
        let (mut all, start) = (Memberships::default(), Instant::now());
        all.put("a", membership("s"), start, LONG, 10);
        let before = start + Duration::from_millis(4_999);
        assert_eq!(all.get("a", before, LONG), Some(membership("s")));
        assert_eq!(all.get("a", start + LONG, LONG), None);
    }

    #[test]
    fn the_one_that_was_written_first_goes_first_even_when_it_was_just_read() {
        let (mut all, start) = (Memberships::default(), Instant::now());
        all.put("a", membership("s"), start, LONG, 2);
        all.put("b", membership("s"), start, LONG, 2);
        assert!(knows(&all, "a", start));
        all.put("c", membership("s"), start, LONG, 2);
        assert!(!knows(&all, "a", start) && knows(&all, "b", start) && knows(&all, "c", start));
    }

    #[test]
    fn writing_a_key_again_makes_it_the_last_to_go_and_takes_no_other_ones_place() {
        let (mut all, start) = (Memberships::default(), Instant::now());
        let later = start + Duration::from_secs(1);
        all.put("a", membership("s"), start, LONG, 2);
        all.put("b", membership("s"), start, LONG, 2);
        all.put("a", membership("t"), later, LONG, 2);
        assert!(knows(&all, "b", later));
        assert_eq!(all.get("a", later, LONG), Some(membership("t")));
        all.put("c", membership("s"), later, LONG, 2);
        assert!(!knows(&all, "b", later) && knows(&all, "a", later) && knows(&all, "c", later));
    }

    #[test]
    fn nothing_is_remembered_where_there_is_no_place_or_no_time() {
        let (mut all, start) = (Memberships::default(), Instant::now());
        all.put("a", membership("s"), start, LONG, 0);
        all.put("b", membership("s"), start, Duration::ZERO, 10);
        assert!(all.known.is_empty() && all.written.is_empty());
    }

    #[test]
    fn one_that_nobody_asks_for_any_more_does_not_keep_the_places_of_the_others() {
        let (mut all, start) = (Memberships::default(), Instant::now());
        all.put("never again", membership("s"), start, LONG, 10);
        for round in 1..1_000 {
            all.put("a", membership("s"), start + LONG * round, LONG, 10);
        }
        assert_eq!((all.known.len(), all.written.len()), (1, 1));
    }

    #[test]
    fn a_time_without_end_does_not_overflow() {
        let (mut all, start) = (Memberships::default(), Instant::now());
        all.put("a", membership("s"), start, Duration::MAX, 1);
        let later = start + Duration::from_secs(1_000_000);
        assert!(all.get("a", later, Duration::MAX).is_some());
    }
}
