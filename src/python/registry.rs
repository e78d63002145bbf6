//! All clients of the process, for what concerns each of them: their log lines, and the end of the process.
//!
//! 1. In a forked process nothing here adopts a client: one that was never asked anything there has nothing to end.
//! 2. A client that is dropped delivers what waits in the background. The end of the process waits for it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::client::{Client, Ending, Record, Runtime};
use crate::events::log::Level;

/// Taken for a moment by threads that are attached to Python; never over a call.
static CLIENTS: Mutex<Vec<Weak<Client>>> = Mutex::new(Vec::new());

/// What is left of dropped clients until their last events are sent. Taken as the one above.
static LEAVING: Mutex<Vec<Arc<Runtime>>> = Mutex::new(Vec::new());

/// Remembers a client for as long as somebody holds it.
pub fn add(client: &Arc<Client>) {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    clients.retain(|client| client.strong_count() > 0);
    clients.push(Arc::downgrade(client));
    drop(clients);
    drop(leaving());
}

/// Lets go of a client that nobody holds any more, without waiting.
pub fn leave(client: &Client) {
    if let Some(runtime) = client.leave()
        && !runtime.has_left()
    {
        let mut leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.push(runtime);
    }
    drop(leaving());
}

fn all() -> Vec<Arc<Client>> {
    CLIENTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .filter_map(Weak::upgrade)
        .collect()
}

/// Those that have not left yet; forgets the others.
fn leaving() -> Vec<Arc<Runtime>> {
    let mut leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
    let (inherited, own) = leaving
        .drain(..)
        .partition(|runtime: &Arc<Runtime>| !runtime.is_of_this_process());
    std::mem::forget::<Vec<Arc<Runtime>>>(inherited);
    let (gone, own): (Vec<_>, Vec<_>) = own
        .into_iter()
        .partition(|runtime| runtime.has_left() && !runtime.has_logs());
    leaving.clone_from(&own);
    drop(leaving);
    drop(gone);
    own
}

/// Delivers what waits in all clients, within so many seconds altogether. For the end of the process.
#[pyfunction]
pub fn flush_all(py: Python<'_>, timeout: f64) {
    let clients = all();
    let end = end_of(timeout);
    py.detach(|| {
        let runtimes: Vec<Arc<Runtime>> = clients
            .iter()
            .filter(|client| !client.is_closed())
            .filter_map(|client| client.live_here().map(|live| live.runtime.clone()))
            .collect();
        // Asked first and then waited for, so that all deliver at the same time.
        let events = || runtimes.iter().filter_map(|runtime| runtime.events());
        events().for_each(crate::events::Events::flush);
        for events in events() {
            let _ = events.flush_within(end.saturating_duration_since(Instant::now()));
        }
    });
}

/// Closes all clients within so many seconds altogether. For the end of the process.
#[pyfunction]
pub fn close_all(py: Python<'_>, timeout: f64) {
    let (clients, leaving) = (all(), leaving());
    let end = end_of(timeout);
    py.detach(|| {
        // Asked first and then waited for, so that all deliver at the same time.
        let mut runtimes: Vec<Arc<Runtime>> =
            clients.iter().filter_map(|client| client.leave()).collect();
        runtimes.extend(leaving);
        let left = end.saturating_duration_since(Instant::now());
        // There is nobody to tell.
        let _ = Ending::begin(runtimes, left).wait_for_end();
    });
    for client in clients.iter().filter(|client| client.live_here().is_some()) {
        client.stop_big_segments();
    }
}

fn end_of(timeout: f64) -> Instant {
    Instant::now() + Duration::from_secs_f64(timeout.clamp(0.0, 3_600.0))
}

/// What native threads have to say: (seconds since 1970, logging level, logger, message). Never waits.
#[pyfunction]
pub fn take_log_records() -> Vec<(f64, u8, &'static str, String)> {
    let mut records: Vec<Record> = Vec::new();
    for client in all() {
        if let Some(live) = client.live_here() {
            records.append(&mut live.runtime.take_logs());
        }
    }
    for runtime in leaving() {
        records.append(&mut runtime.take_logs());
    }
    records
        .into_iter()
        .map(|record| {
            let level = match record.level {
                Level::Debug => 10,
                Level::Info => 20,
                Level::Warning => 30,
                Level::Error => 40,
            };
            (record.time, level, "ldclient.util", record.message)
        })
        .collect()
}
