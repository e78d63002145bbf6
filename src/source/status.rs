//! The state of a source and its last error, by the service's words. Pure: the time is an argument.

/// Whether data arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No data has arrived yet.
    Initializing,
    /// The data is what the source has now.
    Valid,
    /// Data arrived, but none can be had now. The last known data goes on being served.
    Interrupted,
    /// The source was stopped.
    Off,
}

impl State {
    /// The state that the service calls so.
    #[must_use]
    pub fn named(word: &str) -> Option<State> {
        [
            State::Initializing,
            State::Valid,
            State::Interrupted,
            State::Off,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }

    /// The service's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Initializing => "INITIALIZING",
            State::Valid => "VALID",
            State::Interrupted => "INTERRUPTED",
            State::Off => "OFF",
        }
    }
}

/// What an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// None of the others.
    Unknown,
    /// No connection, or one that failed.
    NetworkError,
    /// The service answered with an error status.
    ErrorResponse,
    /// What arrived cannot be read.
    InvalidData,
    /// A store refused the data.
    StoreError,
}

impl ErrorKind {
    /// What the service calls so; [`ErrorKind::Unknown`] for any other word.
    #[must_use]
    pub fn named(word: &str) -> ErrorKind {
        [
            ErrorKind::NetworkError,
            ErrorKind::ErrorResponse,
            ErrorKind::InvalidData,
            ErrorKind::StoreError,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .unwrap_or(ErrorKind::Unknown)
    }

    /// The service's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Unknown => "UNKNOWN",
            ErrorKind::NetworkError => "NETWORK_ERROR",
            ErrorKind::ErrorResponse => "ERROR_RESPONSE",
            ErrorKind::InvalidData => "INVALID_DATA",
            ErrorKind::StoreError => "STORE_ERROR",
        }
    }
}

/// An error of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorInfo {
    /// What it is.
    pub kind: ErrorKind,
    /// The HTTP status of an [`ErrorKind::ErrorResponse`], else 0.
    pub status: u16,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: i64,
    /// What happened, in words.
    pub message: String,
}

/// The state, since when, and the last error, by the rules of launchdarkly-server-sdk 9.20:
///
/// 1. Before the first data, an interruption leaves the state [`State::Initializing`].
/// 2. `since_ms` moves only with the state; the last error stays until the next one.
/// 3. The same state without a new error is no change. After [`State::Off`] nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// The last error, even when the state is fine again.
    pub error: Option<ErrorInfo>,
}

impl Status {
    /// The status of a source that has just been made.
    #[must_use]
    pub fn new(now_ms: i64) -> Status {
        Status {
            state: State::Initializing,
            since_ms: now_ms,
            error: None,
        }
    }

    /// Takes in what a source tells; says whether anything changed.
    pub fn update(&mut self, state: State, error: Option<ErrorInfo>, now_ms: i64) -> bool {
        let state = match (self.state, state) {
            (State::Off, _) => return false,
            (State::Initializing, State::Interrupted) => State::Initializing,
            (_, state) => state,
        };
        if state == self.state && error.is_none() {
            return false;
        }
        if state != self.state {
            self.state = state;
            self.since_ms = now_ms;
        }
        if error.is_some() {
            self.error = error;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> ErrorInfo {
        ErrorInfo {
            kind: ErrorKind::NetworkError,
            status: 0,
            time_ms: 1,
            message: message.to_owned(),
        }
    }

    #[test]
    fn an_interruption_before_the_first_data_leaves_the_state_initializing() {
        let mut status = Status::new(10);
        assert!(status.update(State::Interrupted, Some(error("a")), 20));
        assert_eq!((status.state, status.since_ms), (State::Initializing, 10));
        assert_eq!(status.error, Some(error("a")));
    }

    #[test]
    fn since_moves_with_the_state_only_and_the_last_error_stays() {
        let mut status = Status::new(10);
        assert!(status.update(State::Valid, None, 20));
        assert!(!status.update(State::Valid, None, 30));
        assert!(status.update(State::Interrupted, Some(error("a")), 40));
        assert!(status.update(State::Interrupted, Some(error("b")), 50));
        assert_eq!((status.since_ms, &status.error), (40, &Some(error("b"))));
        assert!(status.update(State::Valid, None, 60));
        assert_eq!((status.since_ms, &status.error), (60, &Some(error("b"))));
    }

    #[test]
    fn off_is_the_end() {
        let mut status = Status::new(10);
        assert!(status.update(State::Off, None, 20));
        assert!(!status.update(State::Valid, Some(error("late")), 30));
        assert_eq!((status.state, status.since_ms), (State::Off, 20));
    }
}
