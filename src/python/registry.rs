//! All clients of the process, for what concerns each of them: their log lines, and the end of the process.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::client::Client;
use crate::events::log::Level;

/// Taken for a moment by threads that are attached to Python; never over a call.
static CLIENTS: Mutex<Vec<Weak<Client>>> = Mutex::new(Vec::new());

/// Remembers a client for as long as somebody holds it.
pub fn add(client: &Arc<Client>) {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    clients.retain(|client| client.strong_count() > 0);
    clients.push(Arc::downgrade(client));
}

fn all() -> Vec<Arc<Client>> {
    CLIENTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .filter_map(Weak::upgrade)
        .collect()
}

/// Closes all clients within so many seconds altogether. For the end of the process.
#[pyfunction]
pub fn close_all(py: Python<'_>, timeout: f64) {
    let clients = all();
    if clients.is_empty() {
        return;
    }
    let end = Instant::now() + Duration::from_secs_f64(timeout.clamp(0.0, 3_600.0));
    py.detach(|| {
        // Asked first and then waited for, so that all deliver at the same time.
        for client in &clients {
            if let (false, Some(events)) = (client.is_closed(), client.live().runtime.events()) {
                events.flush();
            }
        }
        for client in &clients {
            client.close(end.saturating_duration_since(Instant::now()));
        }
    });
}

/// What native threads have to say: (seconds since 1970, logging level, logger, message). Never waits.
#[pyfunction]
pub fn take_log_records() -> Vec<(f64, u8, &'static str, String)> {
    let records = all()
        .into_iter()
        .flat_map(|client| client.live().runtime.take_logs());
    records
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
