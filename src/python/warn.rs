//! Warnings about what a caller gave, each told once a process through Python's logging, on the caller's thread.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use super::convert::Unsendable;
use super::ending::Inside;

/// How many different warnings are told at most; after that none is.
const MOST: usize = 10_000;

/// Taken for a moment by threads that are attached to Python; never over a call.
static TOLD: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// Logs a warning, unless one of this name was logged before. Never raises.
pub fn once(py: Python<'_>, name: &str, message: impl FnOnce() -> String) {
    if is_new(name) {
        log(py, "warning", &message());
    }
}

/// The same for what need not be a mistake.
pub fn inform_once(py: Python<'_>, name: &str, message: impl FnOnce() -> String) {
    if is_new(name) {
        log(py, "info", &message());
    }
}

fn is_new(name: &str) -> bool {
    let hash = foldhash::fast::FixedState::with_seed(2).hash_one(name);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.len() < MOST && told.insert(hash)
}

fn log(py: Python<'_>, level: &str, message: &str) {
    let _inside = Inside::enter(py);
    let told = py
        .import("ldclient.logs")
        .and_then(|logs| logs.call_method0("logger"))
        .and_then(|logger| logger.call_method1(level, ("%s", message)));
    // A handler that raises is the application's own affair, but no reason to fail an evaluation.
    drop(told);
}

/// Says that an attribute cannot be sent, never what it holds.
pub fn attribute_not_sent(py: Python<'_>, name: &str, why: &Unsendable) {
    once(py, &format!("attribute:{name}"), || {
        format!("The attribute \"{name}\" was left out: {}.", why.0)
    });
}
