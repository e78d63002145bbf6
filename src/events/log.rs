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

/// What an outage strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Flag data does not arrive.
    Flags,
    /// Events are not delivered.
    Events,
}

/// Takes a line; returns at once, from any thread.
pub trait Log: Send + Sync {
    /// Takes a line. `message` never holds the SDK key.
    fn log(&self, level: Level, message: String);

    /// Takes a line about an outage, which may be told already by somebody else.
    fn failed(&self, _part: Part, level: Level, message: String) {
        self.log(level, message);
    }

    /// Whether somebody else, who spoke for this part too, has recovered meanwhile, so that a failure is to be told again.
    fn is_news(&self, _part: Part) -> bool {
        false
    }

    /// Takes the line about its end.
    fn recovered(&self, _part: Part, message: String) {
        self.log(Level::Info, message);
    }
}
