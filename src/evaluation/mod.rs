//! Evaluation.

mod outcome;

pub use outcome::{BigSegmentsStatus, ErrorKind, Outcome, Reason, ReasonValue};
