//! Why a request gave no answer, in words fit for a log: no header, no credentials, no SDK key. An answer with an
//! error status is not a failure but a response.

use std::fmt;
use std::io;
use std::time::Duration;

use ureq::{Error, Timeout};

use super::connect::StoodStill;
use super::http::WHOLE_BODY;

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// [`Http::shut_down`](super::Http::shut_down) was called.
    Closed,
    /// Something took longer than its limit; says what.
    Timeout(String),
    /// The process or the machine stood still for so long that the connection is not to be waited for.
    StoodStill,
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

    /// What an error of the agent means. `host` names the target, and the proxy where there is one.
    pub(super) fn of_request(error: Error, host: &str, connect: Duration, read: Duration) -> Self {
        match error {
            Error::Timeout(reason) => Self::Timeout(match reason {
                Timeout::Connect | Timeout::Resolve => {
                    format!("no connection to {host} within {connect:?}")
                }
                Timeout::PerRead | Timeout::RecvResponse => {
                    format!("no answer from {host} within {read:?}")
                }
                Timeout::RecvBody => {
                    format!("the answer from {host} did not end within {WHOLE_BODY:?}")
                }
                _ => format!("sending to {host} took longer than {read:?}"),
            }),
            Error::BodyExceedsLimit(_) => Self::TooLarge,
            Error::HostNotFound => Self::Network(format!("no address for the name of {host}")),
            Error::ConnectionFailed => Self::Network(format!("no connection to {host}")),
            Error::ConnectProxyFailed(reason) => Self::Proxy(proxy_refusal(&reason)),
            Error::InvalidProxyUrl => Self::Proxy("the proxy is not a valid URL".to_owned()),
            Error::Rustls(error) => of_tls(&error, host),
            Error::Io(error) => of_io(&error, host),
            Error::Decompress(_, error) => match inner::<Error>(&error) {
                Some(Error::BodyExceedsLimit(_)) => Self::TooLarge,
                _ => Self::Network(format!("the compressed answer from {host} is damaged")),
            },
            // The resolver's own.
            Error::Other(error) => match error.downcast::<Self>() {
                Ok(failure) => *failure,
                Err(_) => Self::Network(format!("no connection to {host}")),
            },
            Error::Protocol(error) => {
                Self::Network(format!("the answer from {host} is not valid HTTP: {error}"))
            }
            Error::LargeResponseHeader(..) => Self::Network(format!(
                "the headers of the answer from {host} are too large"
            )),
            Error::RedirectFailed | Error::TooManyRedirects => {
                Self::Network(format!("a redirect from {host} cannot be followed"))
            }
            // Its text holds the URL, and with it whatever credentials someone wrote there.
            Error::BadUri(_) => Self::Invalid(format!("a URL of {host} cannot be used")),
            Error::Http(_) => Self::Invalid("the request cannot be sent as it is".to_owned()),
            Error::Tls(reason) => Self::Network(format!("TLS with {host} failed: {reason}")),
            other => Self::Network(format!("the request to {host} failed: {other}")),
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
            Self::StoodStill => StoodStill.fmt(f),
            Self::Timeout(what)
            | Self::Network(what)
            | Self::Certificate(what)
            | Self::Proxy(what)
            | Self::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

fn inner<T: std::error::Error + 'static>(error: &io::Error) -> Option<&T> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn of_io(error: &io::Error, host: &str) -> Failure {
    if let Some(error) = inner::<rustls::Error>(error) {
        return of_tls(error, host);
    }
    if inner::<StoodStill>(error).is_some() {
        return Failure::StoodStill;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Failure::Network(format!("{host} ended the connection early"))
        }
        _ => Failure::Network(format!("the connection to {host} failed: {error}")),
    }
}

fn of_tls(error: &rustls::Error, host: &str) -> Failure {
    use rustls::AlertDescription as Alert;
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(reason) => Failure::Certificate(format!(
            "the certificate of {host} is not trusted: {reason}"
        )),
        Tls::NoCertificatesPresented => {
            Failure::Certificate(format!("{host} presented no certificate"))
        }
        Tls::AlertReceived(
            alert @ (Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied),
        ) => Failure::Certificate(format!("{host} does not accept our certificate: {alert:?}")),
        // What the platform's verifier says where the system has no certificates at all.
        Tls::General(reason) if reason.contains("No CA certificates") => Failure::Certificate(
            "this system has no certificates to trust; name a CA file or set SSL_CERT_FILE"
                .to_owned(),
        ),
        error => Failure::Network(format!("TLS with {host} failed: {error}")),
    }
}

fn proxy_refusal(reason: &str) -> String {
    match reason.rsplit('/').next() {
        Some("407") => "the proxy wants other credentials (status 407)".to_owned(),
        Some(status) if status.parse::<u16>().is_ok() => {
            format!("the proxy refused the connection (status {status})")
        }
        _ => "the proxy did not answer".to_owned(),
    }
}
