//! Asking for all data again and again, with the `ETag` of the last answer.
//!
//! 1. There is always a next poll, `interval` after the last one, not sooner but for rule 3. After a status 4xx other than 400, 408
//!    and 429 it is in the extended regime, 5 minutes to 1 hour, until two polls in a row succeed.
//! 2. A status 304 is a success: the data is what we have. An `ETag` is kept only for data that was applied.
//! 3. After the machine or the process stood still the next poll follows at once.
//! 4. An answer that cannot be read is `INVALID_DATA`, and nothing of it is applied.

use std::time::{Duration, Instant};

use super::status::ErrorKind;
use super::teller::{Teller, Trouble, random};
use crate::events::log::Level;
use crate::store::Change;
use crate::transport::Http;
use crate::transport::retry::Retry;

pub(super) fn run(url: &str, interval: Duration, http: &Http, teller: &mut Teller) {
    teller.log(Level::Debug, "Polling for flag data.".to_owned());
    let mut retry = Retry::polling(interval);
    let mut etag = None;
    loop {
        let polled = poll(url, &mut etag, http, teller);
        if teller.is_stopping() {
            return;
        }
        let delay = match polled {
            Ok(()) => {
                teller.valid();
                retry.record_success(Instant::now())
            }
            Err(trouble) if trouble.at_once => {
                teller.connects_anew(&trouble);
                continue;
            }
            Err(trouble) => {
                let random = random();
                let delay = retry.record_failure(trouble.failure_kind(), Instant::now(), random);
                teller.trouble(&trouble, delay);
                delay
            }
        };
        if teller.pause(delay) {
            return;
        }
    }
}

fn poll(
    url: &str,
    etag: &mut Option<String>,
    http: &Http,
    teller: &mut Teller,
) -> Result<(), Trouble> {
    let known = etag.clone();
    let mut headers = vec![("Accept", "application/json")];
    headers.extend(known.as_deref().map(|etag| ("If-None-Match", etag)));
    let response = http.get(url, &headers)?;
    if teller.is_stopping() {
        return Ok(());
    }
    match response.status {
        200 => {
            teller.environment(response.header("x-ld-envid"));
            let change = Change::full_after(&teller.known(), &response.body).map_err(|error| {
                Trouble::new(
                    ErrorKind::InvalidData,
                    format!("the flag data cannot be read: {error}"),
                )
            })?;
            *etag = response.header("etag").map(str::to_owned);
            teller.apply_whole(change, &response.body);
            Ok(())
        }
        304 if known.is_some() => {
            teller.environment(response.header("x-ld-envid"));
            Ok(())
        }
        status => Err(Trouble::of_status(status)),
    }
}
