//! The client of one generation: one agent, pool, TLS configuration and resolver. What the bytes mean is left to the
//! callers; which proxy is used, to `proxy`.
//!
//! 1. Every wait has a limit: the look-up, connecting, each read and each write, and the headers of an answer that is
//!    read whole. A stream has no limit but the silence it may keep.
//! 2. An answer with any status is a response. Redirects of GET are followed 5 times, with the credentials only where
//!    the host stays the same; those of POST are handed to the caller.
//! 3. `shut_down` sets a flag first: whatever error or end comes after it is [`Failure::Closed`].
//! 4. The agent is made by the first request, on its thread: reading certificates takes milliseconds that nobody who
//!    starts a client should wait for. What stands in the way is that request's failure; the next one looks again.

use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use ureq::config::{AutoHeaderValue, Config, RedirectAuthHeaders};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, AsSendBody, Body, BodyReader, Error};

use super::connect::{TcpConnector, TlsConnector};
use super::forward::ForwardConnector;
use super::resolver::{BoundedResolver, Lookups};
use super::{Failure, Options, proxy, room, tls};

/// Ten streams with the agent's default of 128 KiB would cost 4 MiB.
const BUFFER: usize = 16 * 1024;
const MAX_REDIRECTS: u32 = 5;
/// However slowly its bytes trickle, a whole answer ends.
pub(super) const WHOLE_BODY: Duration = Duration::from_secs(10 * 60);

/// The HTTP client of one generation. Clones share everything, [`Http::shut_down`] included.
#[derive(Clone)]
pub struct Http {
    inner: Arc<Inner>,
}

struct Inner {
    /// Only ever set, never waited for.
    agent: OnceLock<Agent>,
    headers: ArcSwap<HeaderMap>,
    options: Options,
    closing: Arc<AtomicBool>,
    lookups: Arc<Lookups>,
}

/// A whole answer, whatever its status.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

/// An answer whose body is still arriving, whatever its status.
pub struct StreamResponse {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body as it arrives. [`Failure::from_io`] tells what an error of it means.
    pub body: Box<dyn Read + Send>,
}

impl Response {
    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }
}

impl StreamResponse {
    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }
}

impl fmt::Debug for StreamResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamResponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Http {
    /// A client for this process. Reads no file, connects to nothing, starts no thread.
    ///
    /// # Errors
    /// A header that cannot be sent.
    pub fn new(options: &Options) -> Result<Self, String> {
        Self::with_lookups(options, Lookups::of_process())
    }

    pub(super) fn with_lookups(options: &Options, lookups: Arc<Lookups>) -> Result<Self, String> {
        Ok(Self {
            inner: Arc::new(Inner {
                agent: OnceLock::new(),
                headers: ArcSwap::from_pointee(headers(&options.headers)?),
                options: options.clone(),
                closing: Arc::new(AtomicBool::new(false)),
                lookups,
            }),
        })
    }

    /// The agent; the first call makes it, and reads the files that the options name.
    pub(super) fn agent(&self) -> Result<&Agent, Failure> {
        let inner = &*self.inner;
        if let Some(agent) = inner.agent.get() {
            return Ok(agent);
        }
        let made = inner.make_agent().map_err(Failure::Invalid)?;
        // Of two threads one wins, and neither waits.
        let _ = inner.agent.set(made);
        match inner.agent.get() {
            // A shut-down that came meanwhile has found no agent.
            Some(agent) if self.is_closed() => {
                agent.clone().shutdown();
                Err(Failure::Closed)
            }
            Some(agent) => Ok(agent),
            None => Err(Failure::Closed),
        }
    }

    /// Fetches `url` whole. `headers` are added to those of the options and replace them where they have the same
    /// name. Gzip is accepted and undone.
    ///
    /// # Errors
    /// A [`Failure`] where there was no whole answer; a status is none.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response, Failure> {
        let request = self.request(
            Method::GET,
            url,
            headers,
            &[(header::ACCEPT_ENCODING, "gzip")],
            (),
        )?;
        self.whole(request, MAX_REDIRECTS)
    }

    /// Sends `body` to `url` and reads the answer whole. Nothing is sent twice: a caller that wants a second attempt
    /// makes it.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, Failure> {
        let request = self.request(
            Method::POST,
            url,
            headers,
            &[(header::ACCEPT_ENCODING, "gzip")],
            body,
        )?;
        self.whole(request, 0)
    }

    /// Opens an event stream, and returns once its headers have arrived. `idle` limits each wait for bytes, that for
    /// the headers included.
    ///
    /// # Errors
    /// As [`Http::get`]. Reading the body fails with an [`io::Error`] that [`Failure::from_io`] understands.
    pub fn open_stream(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        idle: Duration,
    ) -> Result<StreamResponse, Failure> {
        let fixed = [
            (header::ACCEPT, "text/event-stream"),
            (header::ACCEPT_ENCODING, "identity"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        let request = self.request(Method::GET, url, headers, &fixed, ())?;
        let (proxy, host) = self.route(request.uri())?;
        let agent = self.agent()?;
        let request = agent
            .configure_request(request)
            .proxy(proxy)
            .timeout_per_read(Some(idle))
            .build();
        let failed = |error| self.failure(error, &host, idle);
        let (parts, body) = agent.run(request).map_err(failed)?.into_parts();
        Ok(StreamResponse {
            status: parts.status.as_u16(),
            headers: received(&parts.headers),
            body: Box::new(StreamBody {
                http: self.clone(),
                reader: body.into_reader(),
                host,
                idle,
            }),
        })
    }

    /// Ends every call of this client and its clones at once, those blocked on other threads too, with
    /// [`Failure::Closed`]; so does every later call. Never to be called in a child on what it inherited: the sockets
    /// are the parent's too.
    pub fn shut_down(&self) {
        self.inner.closing.store(true, Ordering::SeqCst);
        if let Some(agent) = self.inner.agent.get() {
            agent.clone().shutdown();
        }
        self.inner.lookups.wake();
    }

    /// Sends another SDK key from the next request on. One that cannot be sent changes nothing.
    pub fn authorize(&self, sdk_key: &str) {
        if let Ok((name, value)) = header_of("Authorization", sdk_key) {
            let mut headers = HeaderMap::clone(&self.inner.headers.load());
            headers.insert(name, value);
            self.inner.headers.store(Arc::new(headers));
        }
    }

    /// Whether [`Http::shut_down`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.closing.load(Ordering::SeqCst)
    }

    fn request<B>(
        &self,
        method: Method,
        url: &str,
        extra: &[(&str, &str)],
        fixed: &[(HeaderName, &'static str)],
        body: B,
    ) -> Result<Request<B>, Failure> {
        if self.is_closed() {
            return Err(Failure::Closed);
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target(url).map_err(Failure::Invalid)?;
        let headers = request.headers_mut();
        headers.clone_from(&self.inner.headers.load());
        for (name, value) in extra {
            let (name, value) = header_of(name, value).map_err(Failure::Invalid)?;
            headers.insert(name, value);
        }
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(request)
    }

    /// The proxy to go through, and what messages call the way to the target.
    fn route(&self, uri: &Uri) -> Result<(Option<ureq::Proxy>, String), Failure> {
        let options = &self.inner.options;
        let host = authority(uri).to_owned();
        let chosen = options.proxy.as_deref();
        let Some(url) = proxy::proxy_for(&uri.to_string(), chosen, &options.environment) else {
            return Ok((None, host));
        };
        let proxy = proxy::parse(&url).map_err(Failure::Proxy)?;
        let host = format!(
            "{host} (through the proxy {}:{})",
            proxy.host(),
            proxy.port()
        );
        Ok((Some(proxy), host))
    }

    fn whole<B: AsSendBody>(
        &self,
        request: Request<B>,
        redirects: u32,
    ) -> Result<Response, Failure> {
        let options = &self.inner.options;
        let agent = self.agent()?;
        let (proxy, host) = self.route(request.uri())?;
        let request = agent
            .configure_request(request)
            .proxy(proxy)
            .max_redirects(redirects)
            .timeout_recv_response(Some(options.read_timeout))
            .timeout_recv_body(Some(WHOLE_BODY))
            .build();
        let failed = |error| self.failure(error, &host, options.read_timeout);
        let (parts, body): (_, Body) = agent.run(request).map_err(failed)?.into_parts();
        let body = body.into_with_config().limit(options.max_body).reader();
        let body = room::read_whole(body).map_err(|error| failed(Error::from(error)))?;
        if self.is_closed() {
            return Err(Failure::Closed);
        }
        Ok(Response {
            status: parts.status.as_u16(),
            headers: received(&parts.headers),
            body,
        })
    }

    fn failure(&self, error: Error, host: &str, read_limit: Duration) -> Failure {
        if self.is_closed() {
            return Failure::Closed;
        }
        let connect = self.inner.options.connect_timeout;
        Failure::of_request(error, host, connect, read_limit)
    }
}

impl Inner {
    fn make_agent(&self) -> Result<Agent, String> {
        let options = &self.options;
        let agent_name = match self
            .headers
            .load()
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
        {
            Some(name) => AutoHeaderValue::Provided(Arc::new(name.to_owned())),
            None => AutoHeaderValue::None,
        };
        let trust = tls::trust(options)?;
        let config: Config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(trust.config)
            .user_agent(agent_name)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .max_redirects(MAX_REDIRECTS)
            .max_redirects_will_error(false)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_per_read(Some(options.read_timeout))
            .timeout_per_write(Some(options.read_timeout))
            .build();
        let connector = ()
            .chain(ForwardConnector {
                direct: config.clone(),
            })
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector {
                clocks: options.clocks,
            })
            .chain(TlsConnector::new(trust.private));
        let resolver = BoundedResolver {
            lookups: Arc::clone(&self.lookups),
            closing: Arc::clone(&self.closing),
        };
        Ok(Agent::with_parts(config, connector, resolver))
    }
}

struct StreamBody {
    http: Http,
    reader: BodyReader<'static>,
    host: String,
    idle: Duration,
}

impl Read for StreamBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.http.is_closed() {
            return Err(Failure::Closed.into_io());
        }
        match self.reader.read(buffer) {
            // A body that has no length of its own ends cleanly when its connection is shut down.
            Ok(_) if self.http.is_closed() => Err(Failure::Closed.into_io()),
            Ok(amount) => Ok(amount),
            Err(error) => Err(self
                .http
                .failure(Error::from(error), &self.host, self.idle)
                .into_io()),
        }
    }
}

/// The URL as a request target, or what is wrong with it. The URL itself is not shown: it may hold credentials.
pub(super) fn target(url: &str) -> Result<Uri, String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("the URL is not valid: {error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => {}
        _ => return Err("the URL does not start with http://host or https://host".to_owned()),
    }
    if has_bad_port(&uri) {
        return Err("the port of the URL is not a number up to 65535".to_owned());
    }
    Ok(uri)
}

/// Whether a port is written that is none. The parser of URLs lets it pass, and the default would be used.
pub(super) fn has_bad_port(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let written = authority(uri).strip_prefix(host).unwrap_or_default();
    !matches!(written, "" | ":") && uri.port_u16().is_none()
}

/// The headers that every request carries, or what is wrong with them.
pub(super) fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let (name, value) = header_of(name, value)?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A header, or what is wrong with it. Its value is not shown: it may be the SDK key.
fn header_of(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let known = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} cannot be the name of an HTTP header"))?;
    let visible =
        known != header::AUTHORIZATION || value.bytes().all(|byte| (0x20..0x7F).contains(&byte));
    let mut value = HeaderValue::from_bytes(value.as_bytes())
        .ok()
        .filter(|_| visible)
        .ok_or_else(|| {
            format!("the value of the HTTP header {name} holds a character that cannot be sent")
        })?;
    value.set_sensitive(known == header::AUTHORIZATION);
    Ok((known, value))
}

fn received(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect()
}

fn first<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Host and port for a message, without a user's name or password.
fn authority(uri: &Uri) -> &str {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    authority.rsplit('@').next().unwrap_or_default()
}
