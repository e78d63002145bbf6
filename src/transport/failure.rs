//! Why a request gave no answer, in words fit for a log: no header, no credentials, no SDK key. An answer with an
//! error status is not a failure but a response.

use std::fmt;
use std::io;

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// [`Http::shut_down`](super::Http::shut_down) was called.
    Closed,
    /// Something took longer than its limit; says what.
    Timeout(String),
    /// The name was not found, or the connection failed or ended early.
    Network(String),
    /// The body is larger than the limit once decompressed.
    TooLarge,
    /// The server's certificate is not trusted, or it does not accept ours.
    Certificate(String),
    /// The proxy cannot be used or refused the connection.
    Proxy(String),
    /// The request cannot be sent as it is: a URL or header with a fault.
    Invalid(String),
}

impl Failure {
    /// The failure behind an error that reading a [`StreamResponse`](super::StreamResponse) body gave.
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Self::Network(error.to_string()),
        }
    }

    pub(super) fn into_io(self) -> io::Error {
        let kind = match self {
            Self::Closed => io::ErrorKind::NotConnected,
            Self::Timeout(_) => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the client is closed"),
            Self::TooLarge => f.write_str("the answer is larger than the limit"),
            Self::Timeout(what)
            | Self::Network(what)
            | Self::Certificate(what)
            | Self::Proxy(what)
            | Self::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}
