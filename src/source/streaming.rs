//! The service's stream: connecting, reading, and trying again. What an event means is `message`'s question, how long
//! to wait `transport::retry`'s.
//!
//! What happens when the stream fails:
//! 1. There is always a next attempt. A failure of the network, a close by the server, a status 5xx, 400, 408 or 429
//!    is waited out with doubling waits and jitter; any other status 4xx, such as 401 or 403, in the extended regime,
//!    because someone has to act: it is one error line in the log, and ends by itself once they have.
//! 2. Silence of 5 minutes, comments included, is a failure: the connection is dead.
//! 3. Data that cannot be read is `INVALID_DATA`. Nothing after it on that connection is applied; the next one starts
//!    with all data again.
//! 4. An event counts when its last line is there. Half of one at the end of the body is never applied, nor is an
//!    event above 256 MiB read on.
//! 5. An event or path that nobody knows is logged once and skipped: the service may be newer than we are.
//! 6. `put` alone makes the state VALID. A patch before the first `put` of a connection is applied all the same; the
//!    versions decide.
//! 7. Waits start afresh after 60 s without a failure. A `retry:` field replaces the first wait.
//! 8. Stopping comes before the connection breaks, and is asked for first at every error: a break we made ourselves
//!    is no failure, is not logged and is not told.
//! 9. A stop ends any wait at once. Only where the system cannot be interrupted does the thread end later.
//! 10. After the machine or the process stood still (a closed laptop, a paused or frozen machine) the next attempt
//!     follows at once, whatever was waited for. That is no failure: the state stays, and nothing is logged.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::message::{self, Message};
use super::status::ErrorKind;
use super::teller::{self, Teller, Trouble};
use crate::events::log::Level;
use crate::transport::retry::Retry;
use crate::transport::sse::{Item, Parser};
use crate::transport::{Failure, Http, StreamResponse};

const LARGEST_EVENT: usize = 256 * 1024 * 1024;
const BUFFER: usize = 32 * 1024;

pub(super) fn run(url: &str, initial_delay: Duration, http: &Http, teller: &mut Teller) {
    teller.log(
        Level::Debug,
        "Connecting to the stream of flag data.".to_owned(),
    );
    let mut stream = Stream {
        retry: Retry::streaming(initial_delay),
        attempt: None,
        teller,
    };
    loop {
        stream.attempt = Some(Instant::now());
        let trouble = match http.open_stream(url, &[], stream.teller.pace().idle) {
            Ok(response) => stream.read(response),
            Err(failure) => failure.into(),
        };
        if stream.teller.is_stopping() {
            return;
        }
        if trouble.at_once {
            stream.teller.connects_anew(&trouble);
            continue;
        }
        let random = teller::random();
        let delay = stream
            .retry
            .record_failure(trouble.failure_kind(), Instant::now(), random);
        if let Some(started) = stream.attempt.take() {
            stream.teller.stream_init(started, true);
        }
        stream.teller.trouble(&trouble, delay);
        if stream.teller.pause(delay) {
            return;
        }
    }
}

struct Stream<'a> {
    retry: Retry,
    /// When the attempt began, until it is known how it went.
    attempt: Option<Instant>,
    teller: &'a mut Teller,
}

impl Stream<'_> {
    /// Reads until there is nothing more to read, and says why.
    fn read(&mut self, mut response: StreamResponse) -> Trouble {
        if response.status != 200 {
            return Trouble::of_status(response.status);
        }
        if let Some(kind) = response
            .header("content-type")
            .filter(|kind| !is_event_stream(kind))
        {
            let kind: String = kind.chars().take(100).collect();
            return Trouble::new(
                ErrorKind::InvalidData,
                format!("the answer is no event stream but {kind:?}"),
            );
        }
        self.teller.environment(response.header("x-ld-envid"));
        let mut parser = Parser::new(LARGEST_EVENT);
        let mut buffer = vec![0; BUFFER];
        loop {
            let amount = match response.body.read(&mut buffer) {
                Ok(0) => {
                    return Trouble::new(ErrorKind::NetworkError, "the server closed the stream");
                }
                Ok(amount) => amount,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Failure::from_io(error).into(),
            };
            self.teller.heard();
            let mut trouble = None;
            let fed = parser.feed(&buffer[..amount], &mut |item| {
                if trouble.is_none() && !self.teller.is_stopping() {
                    trouble = self.item(item).err();
                }
            });
            if let Some(trouble) = trouble {
                return trouble;
            }
            if let Err(too_large) = fed {
                return Trouble::new(ErrorKind::InvalidData, too_large.to_string());
            }
        }
    }

    fn item(&mut self, item: Item) -> Result<(), Trouble> {
        let (name, data) = match item {
            Item::Event { name, data, .. } => (name, data),
            Item::Retry(milliseconds) => {
                self.retry.server_hint(Duration::from_millis(milliseconds));
                return Ok(());
            }
            Item::Comment => return Ok(()),
        };
        let message = message::read(&name, &data, || self.teller.known()).map_err(|error| {
            let name: String = name.chars().take(100).collect();
            Trouble::new(
                ErrorKind::InvalidData,
                format!("a {name} event of the stream cannot be read: {error}"),
            )
        })?;
        match message {
            Message::Full(change) => {
                self.teller.apply_whole(change, &data);
                if let Some(started) = self.attempt.take() {
                    self.teller.stream_init(started, false);
                }
                self.teller.valid();
            }
            Message::One(change) => self.teller.apply(change),
            Message::Unknown(what) => self.teller.remark(what),
        }
        self.retry.record_success(Instant::now());
        Ok(())
    }
}

/// Reads one connection's body to its end.
#[cfg(test)]
pub(super) fn read_one(response: StreamResponse, teller: &mut Teller) -> Trouble {
    let mut stream = Stream {
        retry: Retry::streaming(Duration::ZERO),
        attempt: None,
        teller,
    };
    stream.read(response)
}

fn is_event_stream(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/event-stream")
}
