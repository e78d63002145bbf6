//! Which log line a success or a failure is worth: one a change of state. Pure: the time is an argument.

use std::time::{Duration, Instant};

use crate::events::log::Level;

/// What is to be logged.
pub(super) type Line = (Level, String);

/// The memory of one source.
#[derive(Debug, Default)]
pub(super) struct Outage {
    had_data: bool,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    since: Instant,
    tries: u32,
    said: Level,
}

impl Outage {
    /// Whether there is one.
    pub(super) fn is_on(&self) -> bool {
        self.current.is_some()
    }

    /// Whole data arrived. A line for the first time and for the first after an outage.
    pub(super) fn ended(&mut self, now: Instant) -> Option<Line> {
        let first = !std::mem::replace(&mut self.had_data, true);
        match self.current.take() {
            Some(outage) => {
                let lasted = in_words(now.saturating_duration_since(outage.since));
                let tries = match outage.tries {
                    1 => "1 try".to_owned(),
                    tries => format!("{tries} tries"),
                };
                let what = if first {
                    "Flag data has arrived"
                } else {
                    "Flag data arrives again"
                };
                Some((Level::Info, format!("{what}, after {lasted} and {tries}.")))
            }
            None if first => Some((Level::Info, "Flag data has arrived.".to_owned())),
            None => None,
        }
    }

    /// An attempt failed. The first failure is a warning, or an error where a person has to act; a later one only
    /// where a person has to act for the first time in this outage. All others are for debugging.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        reason: &str,
        delay: Duration,
        person: bool,
    ) -> Line {
        let worth = if person { Level::Error } else { Level::Warning };
        let outage = self.current.get_or_insert(Current {
            since: now,
            tries: 0,
            said: Level::Debug,
        });
        outage.tries = outage.tries.saturating_add(1);
        let next = in_words(delay);
        if outage.said >= worth {
            return (
                Level::Debug,
                format!(
                    "Try {} failed: {reason}. The next follows in {next}.",
                    outage.tries
                ),
            );
        }
        outage.said = worth;
        let state = if self.had_data {
            "Flag updates are interrupted"
        } else {
            "There is no flag data yet"
        };
        let meanwhile = if self.had_data {
            "The last known flags go on being served"
        } else {
            "Until then every flag serves its default"
        };
        (
            worth,
            format!(
                "{state}: {reason}. The next try follows in {next}. {meanwhile}; further tries are not logged."
            ),
        )
    }
}

/// `0.5 s`, `12 s`, `5 min`.
fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_outage_is_two_lines_however_many_tries_it_takes() {
        let start = Instant::now();
        let mut outage = Outage::default();
        assert_eq!(
            outage.ended(start),
            Some((Level::Info, "Flag data has arrived.".to_owned()))
        );
        assert_eq!(outage.ended(start), None);
        let (level, text) = outage.failed(start, "the server closed the stream", SECOND, false);
        assert_eq!(level, Level::Warning);
        assert_eq!(
            text,
            "Flag updates are interrupted: the server closed the stream. The next try follows in 1.0 s. The last known flags go on being served; further tries are not logged."
        );
        for _ in 0..5 {
            assert_eq!(
                outage.failed(start, "x", 30 * SECOND, false).0,
                Level::Debug
            );
        }
        assert_eq!(
            outage.ended(start + 90 * SECOND),
            Some((
                Level::Info,
                "Flag data arrives again, after 90 s and 6 tries.".to_owned()
            ))
        );
        assert_eq!(outage.ended(start + 91 * SECOND), None);
    }

    #[test]
    fn a_failure_that_needs_a_person_is_one_error_line_even_in_the_middle_of_an_outage() {
        let now = Instant::now();
        let mut outage = Outage::default();
        let levels: Vec<Level> = [false, false, true, true, false]
            .into_iter()
            .map(|person| outage.failed(now, "x", 300 * SECOND, person).0)
            .collect();
        assert_eq!(
            levels,
            [
                Level::Warning,
                Level::Debug,
                Level::Error,
                Level::Debug,
                Level::Debug
            ]
        );
        let (_, text) = outage.ended(now + SECOND).unwrap();
        assert_eq!(text, "Flag data has arrived, after 1.0 s and 5 tries.");
    }
}
