//! The delivery of one body: headers, compression, one retry. What is sent, and what follows from a failure, are the
//! flusher's questions.
//!
//! 1. A status below 300 is success. Network failures and the statuses 400, 408, 429 and 5xx (and what is left) are
//!    tried a second time after a fixed wait, under the same payload id, so that the service can tell a repetition.
//! 2. Every other 4xx is a rejection: it is not tried again.
//! 3. A close ends the wait at once; the second attempt is made nevertheless, unless the close has given up.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use flate2::Compression;
use flate2::write::GzEncoder;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::recorder::Recorder;
use super::sampling::random_id;
use crate::transport::Http;

/// What the service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The header `Date`, as it stands.
    pub date: Option<String>,
}

/// Sends a body with POST, adding the headers that every request of the client has (authorization and so on).
pub trait Post: Send + Sync {
    /// Sends it and waits for the answer, whatever its status; the wait has a limit.
    ///
    /// # Errors
    /// In plain words and without secrets, when there was no answer.
    fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply, String>;

    /// Sends with another SDK key from now on.
    fn authorize(&self, _sdk_key: &str) {}

    /// Ends a post under way, fails all later ones, and closes what is kept open, as far as that can be done. Called by
    /// the flusher when it ends, and from another thread when a close has passed its deadline.
    fn shut_down(&self) {}
}

impl Post for Http {
    fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply, String> {
        let response =
            Http::post(self, url, headers, body).map_err(|failure| failure.to_string())?;
        let date = response.header("date").map(str::to_owned);
        Ok(Reply {
            status: response.status,
            date,
        })
    }

    fn authorize(&self, sdk_key: &str) {
        Http::authorize(self, sdk_key);
    }

    fn shut_down(&self) {
        Http::shut_down(self);
    }
}

/// Why a body did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Refused with this status; the same body would be refused again.
    Rejected(u16),
    /// Failed twice; the text says how.
    Undeliverable(String),
}

/// Never sent: the channel's end is the signal.
pub(super) enum Never {}

/// What deliveries have in common.
pub(super) struct Sender {
    pub(super) post: Arc<dyn Post>,
    pub(super) gzip: bool,
    pub(super) retry_delay: Duration,
    /// Ends when the client closes.
    pub(super) closing: Receiver<Never>,
}

impl Sender {
    /// Posts events or a diagnostic event (which has no payload id), and notes the service's time.
    pub(super) fn deliver(
        &self,
        recorder: &Recorder,
        url: &str,
        body: &[u8],
        is_diagnostic: bool,
    ) -> Result<(), Failure> {
        let id = random_id();
        let mut headers = vec![("Content-Type", "application/json")];
        if !is_diagnostic {
            headers.push(("X-LaunchDarkly-Event-Schema", "4"));
            headers.push(("X-LaunchDarkly-Payload-ID", &id));
        }
        let zipped = if self.gzip { zip(body) } else { None };
        if zipped.is_some() {
            headers.push(("Content-Encoding", "gzip"));
        }
        let body = zipped.as_deref().unwrap_or(body);
        let attempt = || match self.post.post(url, &headers, body) {
            Ok(reply) => {
                if let Some(ms) = reply.date.as_deref().and_then(parse_http_date_ms) {
                    recorder.set_server_time(ms);
                }
                match reply.status {
                    ..300 => Ok(()),
                    400 | 408 | 429 => Err(Failure::Undeliverable(status_text(reply.status))),
                    400..500 => Err(Failure::Rejected(reply.status)),
                    _ => Err(Failure::Undeliverable(status_text(reply.status))),
                }
            }
            Err(error) => Err(Failure::Undeliverable(error)),
        };
        match attempt() {
            Err(failure @ Failure::Undeliverable(_)) => {
                if self.wait_unless_closing() && !recorder.abandoned.load(Ordering::Acquire) {
                    attempt()
                } else {
                    Err(failure)
                }
            }
            end => end,
        }
    }

    /// Waits before the second attempt; tells whether one is to be made.
    fn wait_unless_closing(&self) -> bool {
        match self.closing.recv_timeout(self.retry_delay) {
            Ok(never) => match never {},
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => true,
        }
    }
}

/// A status in words.
pub(super) fn status_text(status: u16) -> String {
    let hint = if status == 401 || status == 403 {
        " (invalid SDK key)"
    } else {
        ""
    };
    format!("HTTP status {status}{hint}")
}

fn zip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::default());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

fn parse_http_date_ms(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc2822)
        .ok()?
        .unix_timestamp()
        .checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read_and_other_texts_are_not() {
        assert_eq!(
            parse_http_date_ms("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777_000)
        );
        assert_eq!(parse_http_date_ms("yesterday"), None);
        assert_eq!(parse_http_date_ms(""), None);
    }
}
