//! An event as it waits in the buffer. Its JSON form is the output's question.

use std::sync::Arc;

use crate::model::{Context, Value};

/// Something that happened, whole.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) at_ms: i64,
    pub(super) context: Arc<Context>,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// A context was seen for the first time.
    Index,
    /// The application named a context.
    Identify,
    /// The application's own event: its members, written.
    Custom(Vec<u8>),
    /// An evaluation that is sent because its flag is tracked.
    Feature(Arc<Evaluation>),
    /// An evaluation that is sent because its flag is being debugged.
    Debug(Arc<Evaluation>),
    /// A step of a migration; the members are the service's.
    MigrationOp(Value),
}

/// One evaluation.
#[derive(Debug)]
pub(super) struct Evaluation {
    pub(super) key: Box<str>,
    pub(super) value: Value,
    pub(super) default: Value,
    pub(super) version: Option<i64>,
    pub(super) variation: Option<usize>,
    pub(super) reason: Option<Value>,
    pub(super) prerequisite_of: Option<Box<str>>,
}
