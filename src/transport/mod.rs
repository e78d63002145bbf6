//! The only HTTP of the crate: connecting, time-outs, trust, proxies, the back-off policy and the framing of
//! event streams. What is asked for, and what an answer means, is left to `events` and `source`.
//!
//! 1. Everything that decides how we connect is in [`Options`]; the environment is read once, by
//!    [`Environment::read`], never behind the caller's back.
//! 2. An [`Http`] belongs to one process. After a fork the child makes a new one from the same [`Options`] and never
//!    reads, posts or shuts down on the inherited one: its sockets are the parent's too.
//! 3. [`Http::shut_down`] ends every blocked call at once, whether it waits for a look-up, a connect, a handshake,
//!    headers or a body.
//! 4. A wait for bytes is interrupted once a second to see whether the machine stood still: what was connected before
//!    that is [`Failure::StoodStill`], not waited for.
//! 5. No [`Failure`], error or `Debug` output holds a header's value, a proxy's password or the SDK key.

mod connect;
mod failure;
pub mod forking;
mod forward;
mod http;
mod private_names;
pub mod proxy;
mod resolver;
pub mod retry;
mod room;
pub mod sse;
pub mod standstill;
mod tls;

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod stub;
#[cfg(test)]
mod tls_tests;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use self::failure::Failure;
pub use self::http::{Http, Response, StreamResponse};
pub use self::proxy::{Environment, proxy_for};
pub use self::resolver::lookups_running;
use self::standstill::Clocks;

/// The default limit of a decompressed body: 256 MiB.
pub const MAX_BODY: u64 = 256 * 1024 * 1024;

/// All that decides how we connect. It is cloned into each generation: after a fork everything is made anew from it.
#[derive(Clone)]
pub struct Options {
    /// Limit of a name look-up, and again of connecting (TCP, proxy and TLS handshake together). Default 10 s.
    pub connect_timeout: Duration,
    /// Limit of each wait for bytes, and of the wait for an answer's headers. Streams have their own. Default 15 s.
    pub read_timeout: Duration,
    /// The proxy's URL; wins over the environment, `NO_PROXY` included. Default none.
    pub proxy: Option<String>,
    /// PEM file (or folder of PEM files) of the certificates to trust, in place of the platform's. Default none.
    pub ca_certs: Option<PathBuf>,
    /// PEM file with the client's certificate chain and its private key. Default none.
    pub cert_file: Option<PathBuf>,
    /// Whether the server's certificate is verified. Default true.
    pub verify: bool,
    /// Headers sent with every request, `Authorization` among them. Default none.
    pub headers: Vec<(String, String)>,
    /// Limit of a decompressed body in bytes. Default [`MAX_BODY`].
    pub max_body: u64,
    /// What the environment says of proxies and certificates. Default: nothing.
    pub environment: Environment,
    /// Where time is read. Default: the system's clocks, once a second.
    pub clocks: Clocks,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(15),
            proxy: None,
            ca_certs: None,
            cert_file: None,
            verify: true,
            headers: Vec::new(),
            max_body: MAX_BODY,
            environment: Environment::default(),
            clocks: Clocks::default(),
        }
    }
}

impl Options {
    /// Says in plain words what is wrong with these options: an unreadable or empty CA file, a key that does not fit
    /// its certificate, a proxy we cannot use, a header that cannot be sent. Reads of the files it names as much as
    /// that takes; connects to nothing. The text holds no secret.
    ///
    /// # Errors
    /// The first fault found. A proxy that comes from the environment is checked by [`Options::check_url`], as only
    /// the URL decides which one is used.
    pub fn check(&self) -> Result<(), String> {
        http::headers(&self.headers)?;
        if let Some(proxy) = &self.proxy {
            proxy::parse(proxy)?;
        }
        tls::check(self)
    }

    /// The same for another SDK key.
    #[must_use]
    pub fn authorized(&self, sdk_key: &str) -> Options {
        let mut options = self.clone();
        for (name, value) in &mut options.headers {
            if name.eq_ignore_ascii_case("authorization") {
                sdk_key.clone_into(value);
            }
        }
        options
    }

    /// Says what is wrong with `url` or with the proxy that requests to it would go through.
    ///
    /// # Errors
    /// A URL that is not `http://host` or `https://host`, or a proxy we cannot use.
    pub fn check_url(&self, url: &str) -> Result<(), String> {
        http::target(url)?;
        match proxy_for(url, self.proxy.as_deref(), &self.environment) {
            Some(proxy) => proxy::parse(&proxy).map(drop),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Options")
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field(
                "proxy",
                &self.proxy.as_deref().map(proxy::without_credentials),
            )
            .field("ca_certs", &self.ca_certs)
            .field("cert_file", &self.cert_file)
            .field("verify", &self.verify)
            .field("headers", &names)
            .field("max_body", &self.max_body)
            .field("environment", &self.environment)
            .field("clocks", &self.clocks)
            .finish()
    }
}
