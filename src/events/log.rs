//! What background threads have to say. They never write a log themselves: who implements this queues the line for
//! the application's own logging.

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// A change that needs no action.
    Info,
    /// Something was lost or will be, and may mend itself.
    Warning,
    /// Something that only people can mend.
    Error,
}

/// Takes a line; returns at once, from any thread.
pub trait Log: Send + Sync {
    /// Takes a line. `message` never holds the SDK key.
    fn log(&self, level: Level, message: String);
}
