//! How long to wait before a failed connection is tried again. Pure: the time and the randomness are arguments.
//! Waiting, logging and the status are left to `source`.
//!
//! The rules, as launchdarkly-server-sdk 9.20:
//! 1. There is always a next attempt.
//! 2. A failure is normal (the service should recover by itself) or unexpected (someone has to act: a status 4xx
//!    other than 400, 408, 429).
//! 3. The wait doubles with each failure up to a ceiling, less a random part of at most half of it. Streaming starts
//!    at its initial delay (1 s) and ends at 30 s; polling waits its interval.
//! 4. The first unexpected failure moves to the extended regime, 5 minutes to 1 hour, and starts the doubling over. A
//!    normal failure does not lead back.
//! 5. Streaming starts afresh after 60 s without a failure, polling after 2 successes in a row.
//! 6. A wait is never shorter than the poll interval.
//! 7. A stream's `retry:` field replaces the initial delay of the normal regime.

use std::time::{Duration, Instant};

const STREAMING_INITIAL: Duration = Duration::from_secs(1);
const STREAMING_CEILING: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_secs(30);
const EXTENDED_INITIAL: Duration = Duration::from_secs(5 * 60);
const EXTENDED_CEILING: Duration = Duration::from_secs(60 * 60);
const STREAMING_HEALTHY: Duration = Duration::from_secs(60);
const POLLING_SUCCESSES: u32 = 2;
/// Far above any exponent that still changes a wait; keeps the power from overflowing.
const MAX_EXPONENT: u32 = 20;

/// What a failure says of the time until the service recovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The service should recover without help. Every failure of network, TLS or data is of this kind.
    Normal,
    /// Someone has to act, for example on a rejected SDK key.
    Unexpected,
}

/// The kind of a failure that is an HTTP status.
#[must_use]
pub fn classify_status(status: u16) -> FailureKind {
    match status {
        400 | 408 | 429 => FailureKind::Normal,
        400..=499 => FailureKind::Unexpected,
        _ => FailureKind::Normal,
    }
}

#[derive(Debug, Clone, Copy)]
enum Reset {
    AfterHealthyFor {
        limit: Duration,
        since: Option<Instant>,
    },
    AfterSuccesses {
        limit: u32,
        count: u32,
    },
}

/// The retry state of one source.
#[derive(Debug, Clone)]
pub struct Retry {
    normal_initial: Duration,
    normal_ceiling: Duration,
    floor: Duration,
    reset: Reset,
    attempts: u32,
    extended: bool,
    next: Duration,
}

impl Retry {
    /// For a stream. An `initial` of zero becomes the default of 1 s; one above a ceiling raises the ceiling.
    #[must_use]
    pub fn streaming(initial: Duration) -> Self {
        let initial = if initial.is_zero() {
            STREAMING_INITIAL
        } else {
            initial
        };
        Self {
            normal_initial: initial,
            normal_ceiling: STREAMING_CEILING,
            floor: Duration::ZERO,
            reset: Reset::AfterHealthyFor {
                limit: STREAMING_HEALTHY,
                since: None,
            },
            attempts: 0,
            extended: false,
            next: Duration::ZERO,
        }
    }

    /// For polling every `interval`; zero becomes the default of 30 s.
    #[must_use]
    pub fn polling(interval: Duration) -> Self {
        let interval = if interval.is_zero() {
            POLL_INTERVAL
        } else {
            interval
        };
        Self {
            normal_initial: interval,
            normal_ceiling: interval,
            floor: interval,
            reset: Reset::AfterSuccesses {
                limit: POLLING_SUCCESSES,
                count: 0,
            },
            attempts: 0,
            extended: false,
            next: interval,
        }
    }

    /// The wait before the next operation, as the last outcome decided it.
    #[must_use]
    pub fn next_delay(&self) -> Duration {
        self.next
    }

    /// Whether failures are being waited out in the extended regime.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.extended
    }

    /// Records a failure and returns the wait before the next attempt. `random` is uniform in `0.0..1.0`; a value
    /// outside is taken as the nearest bound.
    pub fn record_failure(&mut self, kind: FailureKind, now: Instant, random: f64) -> Duration {
        self.reset_if_due(now);
        match &mut self.reset {
            Reset::AfterHealthyFor { since, .. } => *since = None,
            Reset::AfterSuccesses { count, .. } => *count = 0,
        }
        if kind == FailureKind::Unexpected && !self.extended {
            self.extended = true;
            self.attempts = 1;
        } else {
            self.attempts = self.attempts.saturating_add(1);
        }
        let (initial, ceiling) = if self.extended {
            (EXTENDED_INITIAL.max(self.normal_initial), EXTENDED_CEILING)
        } else {
            (self.normal_initial, self.normal_ceiling)
        };
        let doubled = initial.saturating_mul(1 << (self.attempts - 1).min(MAX_EXPONENT));
        let delay = doubled.min(ceiling.max(initial));
        let random = if random.is_nan() {
            0.0
        } else {
            random.clamp(0.0, 1.0)
        };
        self.next = delay
            .saturating_sub((delay / 2).mul_f64(random))
            .max(self.floor);
        self.next
    }

    /// Records a success: an event that was handled, or a poll that was answered. Returns the ordinary wait: none for
    /// a stream, the interval for polling.
    pub fn record_success(&mut self, now: Instant) -> Duration {
        match &mut self.reset {
            Reset::AfterHealthyFor { since, .. } => {
                since.get_or_insert(now);
            }
            Reset::AfterSuccesses { count, .. } => *count = count.saturating_add(1),
        }
        self.reset_if_due(now);
        self.next = self.floor;
        self.next
    }

    /// Takes over the `retry:` field of a stream as the initial delay. Zero is ignored: it would ask for a storm.
    pub fn server_hint(&mut self, initial: Duration) {
        if !initial.is_zero() {
            self.normal_initial = initial.min(EXTENDED_CEILING);
        }
    }

    fn reset_if_due(&mut self, now: Instant) {
        let due = match self.reset {
            Reset::AfterHealthyFor { limit, since } => {
                since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
            }
            Reset::AfterSuccesses { limit, count } => count >= limit,
        };
        if due {
            self.attempts = 0;
            self.extended = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FailureKind::{Normal, Unexpected};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn waits(retry: &mut Retry, kind: FailureKind, times: usize) -> Vec<u64> {
        let now = Instant::now();
        (0..times)
            .map(|_| retry.record_failure(kind, now, 0.0).as_secs())
            .collect()
    }

    #[test]
    fn a_status_is_unexpected_only_where_someone_has_to_act() {
        for status in [401, 402, 403, 404, 405, 410, 418, 499] {
            assert_eq!(classify_status(status), Unexpected, "{status}");
        }
        for status in [200, 301, 399, 400, 408, 429, 500, 502, 503, 599] {
            assert_eq!(classify_status(status), Normal, "{status}");
        }
    }

    #[test]
    fn a_stream_waits_one_second_doubling_to_thirty() {
        let mut retry = Retry::streaming(SECOND);
        assert_eq!(retry.next_delay(), Duration::ZERO);
        assert_eq!(waits(&mut retry, Normal, 8), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(waits(&mut retry, Normal, 100_000).last(), Some(&30));
    }

    #[test]
    fn an_initial_delay_above_the_ceiling_raises_it_and_zero_is_the_default() {
        assert_eq!(
            waits(&mut Retry::streaming(45 * SECOND), Normal, 3),
            [45, 45, 45]
        );
        assert_eq!(
            waits(&mut Retry::streaming(Duration::ZERO), Normal, 2),
            [1, 2]
        );
        assert_eq!(
            waits(&mut Retry::streaming(7200 * SECOND), Unexpected, 2),
            [7200, 7200]
        );
        assert_eq!(
            waits(&mut Retry::polling(Duration::ZERO), Normal, 2),
            [30, 30]
        );
        assert!(waits(&mut Retry::streaming(Duration::MAX), Normal, 3)[2] > 0);
    }

    #[test]
    fn an_unexpected_failure_leads_to_the_extended_regime_and_a_normal_one_does_not_lead_back() {
        let mut retry = Retry::streaming(SECOND);
        assert_eq!(waits(&mut retry, Normal, 5), [1, 2, 4, 8, 16]);
        assert_eq!(waits(&mut retry, Unexpected, 3), [300, 600, 1200]);
        assert!(retry.is_extended());
        assert_eq!(waits(&mut retry, Normal, 3), [2400, 3600, 3600]);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        let now = Instant::now();
        for (random, expected) in [
            (0.0, 1000),
            (0.5, 750),
            (1.0, 500),
            (7.0, 500),
            (-1.0, 1000),
            (f64::NAN, 1000),
        ] {
            let wait = Retry::streaming(SECOND).record_failure(Normal, now, random);
            assert_eq!(wait, Duration::from_millis(expected), "{random}");
        }
    }

    #[test]
    fn a_stream_starts_afresh_after_sixty_healthy_seconds_and_not_before() {
        let start = Instant::now();
        let mut retry = Retry::streaming(SECOND);
        waits(&mut retry, Unexpected, 3);
        assert_eq!(retry.record_success(start), Duration::ZERO);
        retry.record_success(start + 30 * SECOND);
        let early = retry
            .clone()
            .record_failure(Normal, start + 59 * SECOND, 0.0);
        assert_eq!(early, 2400 * SECOND);
        let late = retry.record_failure(Normal, start + 60 * SECOND, 0.0);
        assert_eq!(late, SECOND);
        assert!(!retry.is_extended());
    }

    #[test]
    fn a_failure_ends_the_healthy_stretch() {
        let start = Instant::now();
        let mut retry = Retry::streaming(SECOND);
        retry.record_success(start);
        retry.record_failure(Normal, start + SECOND, 0.0);
        let next = retry.record_failure(Normal, start + 100 * SECOND, 0.0);
        assert_eq!(next, 2 * SECOND);
    }

    #[test]
    fn polling_never_waits_less_than_its_interval_nor_more_in_the_normal_regime() {
        let now = Instant::now();
        let mut retry = Retry::polling(30 * SECOND);
        assert_eq!(retry.next_delay(), 30 * SECOND);
        for _ in 0..5 {
            assert_eq!(retry.record_failure(Normal, now, 1.0), 30 * SECOND);
        }
        assert_eq!(
            waits(&mut Retry::polling(7200 * SECOND), Unexpected, 2),
            [7200, 7200]
        );
    }

    #[test]
    fn polling_starts_afresh_after_two_successes_in_a_row() {
        let now = Instant::now();
        let mut retry = Retry::polling(30 * SECOND);
        assert_eq!(waits(&mut retry, Unexpected, 2), [300, 600]);
        assert_eq!(retry.record_success(now), 30 * SECOND);
        assert_eq!(
            waits(&mut retry, Normal, 1),
            [1200],
            "one success is not enough"
        );
        retry.record_success(now);
        assert_eq!(waits(&mut retry, Normal, 1), [2400], "nor are two apart");
        retry.record_success(now);
        retry.record_success(now);
        assert_eq!(waits(&mut retry, Unexpected, 1), [300]);
    }

    #[test]
    fn a_server_hint_replaces_the_initial_delay_and_zero_is_ignored() {
        let mut retry = Retry::streaming(SECOND);
        retry.server_hint(5 * SECOND);
        retry.server_hint(Duration::ZERO);
        assert_eq!(waits(&mut retry, Normal, 4), [5, 10, 20, 30]);
        retry.server_hint(Duration::MAX);
        assert_eq!(
            retry.record_failure(Normal, Instant::now(), 0.0),
            3600 * SECOND
        );
    }
}
