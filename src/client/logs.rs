//! What native threads have to say, kept until Python's side takes it: they never call a log handler themselves.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::outages;
use crate::events::log::{Level, Log, Part};

/// How many records wait at most; older ones go first.
const CAPACITY: usize = 1_000;

/// A line for the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it was said, in seconds since 1970.
    pub time: f64,
    /// How much it matters.
    pub level: Level,
    /// What was said.
    pub message: String,
}

/// The lines that wait.
#[derive(Default)]
pub struct LogQueue {
    /// Tells this client's outages from those of others.
    client: usize,
    records: Mutex<VecDeque<Record>>,
    waiting: AtomicBool,
    lost: AtomicU64,
}

impl LogQueue {
    pub(super) fn new() -> LogQueue {
        static CLIENTS: AtomicUsize = AtomicUsize::new(0);
        LogQueue {
            client: CLIENTS.fetch_add(1, Ordering::Relaxed),
            ..LogQueue::default()
        }
    }

    /// The client is left: its outages are over.
    pub(super) fn leave(&self) {
        outages::left(self.client);
    }

    /// Whether there is anything to take.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes everything.
    pub fn take(&self) -> Vec<Record> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.store(false, Ordering::Relaxed);
        let mut taken: Vec<Record> = records.drain(..).collect();
        drop(records);
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if let (true, Some(first)) = (lost > 0, taken.first()) {
            let message = format!("{lost} earlier log lines were lost: too many waited");
            taken.insert(
                0,
                Record {
                    time: first.time,
                    level: Level::Warning,
                    message,
                },
            );
        }
        taken
    }
}

impl Log for LogQueue {
    fn log(&self, level: Level, message: String) {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == CAPACITY {
            records.pop_front();
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        records.push_back(Record {
            time,
            level,
            message,
        });
        self.waiting.store(true, Ordering::Relaxed);
    }

    fn failed(&self, part: Part, level: Level, message: String) {
        let level = outages::failed((self.client, part), level);
        self.log(level, message);
    }

    fn is_news(&self, part: Part) -> bool {
        outages::is_news((self.client, part))
    }

    fn recovered(&self, part: Part, message: String) {
        let level = outages::recovered((self.client, part));
        self.log(level, message);
    }
}
