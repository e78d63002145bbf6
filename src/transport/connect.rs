//! Connections that can be ended from another thread at any moment, a pending connect included, and TLS over them
//! from a configuration that is built once. Proxies for plain targets are left to `forward`.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};
use ureq::unversioned::transport::time::{Duration as After, Instant as Moment};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, RustlsConnector,
    ShutdownHandle, Transport, TransportAdapter,
};
use ureq::{Error, Timeout};

use super::standstill::{Clocks, Watch};

/// The least an address gets of the limit, however many there are.
const LEAST_PER_ADDRESS: Duration = Duration::from_millis(250);
/// How long the agent keeps a connection for the next request.
const LONGEST_IDLE: Duration = Duration::from_secs(15);

/// Opens TCP connections.
#[derive(Debug)]
pub(super) struct TcpConnector {
    pub(super) clocks: Clocks,
}

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, Tcp>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let start = Instant::now();
        let limit = details.timeout.not_zero().map(|limit| *limit);
        let mut last = Error::ConnectionFailed;
        let count = details.addrs.len();
        for (number, address) in details.addrs.iter().enumerate() {
            let left = limit.map(|limit| limit.saturating_sub(start.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Error::Timeout(Timeout::Connect));
            }
            // Half of what is left for each address but the last, so that a dead one cannot use up everything.
            let share = left.map(|left| {
                if number + 1 == count {
                    left
                } else {
                    (left / 2).max(LEAST_PER_ADDRESS).min(left)
                }
            });
            match open(*address, share, details) {
                Ok(line) => {
                    let buffers = LazyBuffers::new(
                        details.config.input_buffer_size(),
                        details.config.output_buffer_size(),
                    );
                    return Ok(Some(Either::B(Tcp {
                        line,
                        buffers,
                        read_limit: None,
                        write_limit: None,
                        clocks: self.clocks,
                        watch: Watch::new((self.clocks.read)()),
                    })));
                }
                Err(error) if is_shut(&error) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// The error of a connection that was ended from another thread.
fn shut() -> Error {
    Error::Io(io::Error::new(
        io::ErrorKind::NotConnected,
        "the connection was shut down",
    ))
}

fn is_shut(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::NotConnected)
}

fn open(
    address: SocketAddr,
    limit: Option<Duration>,
    details: &ConnectionDetails,
) -> Result<Arc<Line>, Error> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    let line = Arc::new(Line {
        stream: socket.into(),
        shut: AtomicBool::new(false),
    });
    // Known before it connects, so that a pending connect can be ended as well. A shut-down that falls between this
    // line and the connect below is seen only once the connect is over; its limit bounds that.
    let handle = Arc::downgrade(&line);
    (details.register_shutdown)(handle as Weak<dyn ShutdownHandle>)?;
    let socket = SockRef::from(&line.stream);
    let connected = match limit {
        Some(limit) => socket.connect_timeout(&address.into(), limit),
        None => socket.connect(&address.into()),
    };
    if line.shut.load(Ordering::SeqCst) {
        return Err(shut());
    }
    match connected {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            return Err(Error::Timeout(Timeout::Connect));
        }
        // A kind of its own for "shut down": see `is_shut`.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            return Err(Error::ConnectionFailed);
        }
        Err(error) => return Err(error.into()),
    }
    line.stream.set_nodelay(true)?;
    Ok(line)
}

/// A socket that is in use here and may be shut down elsewhere.
#[derive(Debug)]
struct Line {
    stream: TcpStream,
    shut: AtomicBool,
}

impl ShutdownHandle for Line {
    fn shutdown(&self) {
        self.shut.store(true, Ordering::SeqCst);
        // Fails where the peer was faster.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// A TCP connection.
pub(super) struct Tcp {
    line: Arc<Line>,
    buffers: LazyBuffers,
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
    clocks: Clocks,
    /// Since something was last sent or awaited.
    watch: Watch,
}

/// What an error says of a connection from before a standstill.
#[derive(Debug)]
pub(super) struct StoodStill;

impl fmt::Display for StoodStill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process or the machine stood still")
    }
}

impl std::error::Error for StoodStill {}

impl Tcp {
    fn outcome(&self, error: io::Error, timeout: NextTimeout) -> Error {
        if self.line.shut.load(Ordering::SeqCst) {
            return shut();
        }
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
            _ => error.into(),
        }
    }
}

/// The wait that `timeout` leaves, or its error where nothing is left.
fn wait(timeout: NextTimeout) -> Result<Option<Duration>, Error> {
    match timeout.not_zero() {
        Some(_) if timeout.after.is_zero() => Err(Error::Timeout(timeout.reason)),
        limit => Ok(limit.map(|limit| *limit)),
    }
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let limit = wait(timeout)?;
        if limit != self.write_limit {
            self.line.stream.set_write_timeout(limit)?;
            self.write_limit = limit;
        }
        let output = &self.buffers.output()[..amount];
        let written = (&self.line.stream).write_all(output);
        written.map_err(|error| self.outcome(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let limit = wait(timeout)?;
        let start = Instant::now();
        if self.watch.machine_stood_still((self.clocks.read)()) {
            return Err(Error::Io(io::Error::other(StoodStill)));
        }
        let mut left = limit;
        loop {
            let slice = left.map_or(self.clocks.tick, |left| left.min(self.clocks.tick));
            if Some(slice) != self.read_limit {
                self.line.stream.set_read_timeout(Some(slice))?;
                self.read_limit = Some(slice);
            }
            match (&self.line.stream).read(self.buffers.input_append_buf()) {
                Ok(0) if self.line.shut.load(Ordering::SeqCst) => return Err(shut()),
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                // A process with an interval timer is interrupted all the time: the limit must not start over.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) && !self.line.shut.load(Ordering::SeqCst) =>
                {
                    if self.watch.stood_still(slice, (self.clocks.read)()) {
                        return Err(Error::Io(io::Error::other(StoodStill)));
                    }
                }
                Err(error) => return Err(self.outcome(error, timeout)),
            }
            left = limit.map(|limit| limit.saturating_sub(start.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Error::Timeout(timeout.reason));
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // The agent keeps no connection this long, by a clock that a standstill stops.
        let idle = self.watch.stood_still(LONGEST_IDLE, (self.clocks.read)());
        if idle
            || self.line.shut.load(Ordering::SeqCst)
            || self.line.stream.set_nonblocking(true).is_err()
        {
            return false;
        }
        // An idle connection has nothing to say. Bytes or an end here mean that it cannot be used again.
        let quiet = matches!(
            self.line.stream.peek(&mut [0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        );
        quiet && self.line.stream.set_nonblocking(false).is_ok()
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// TLS from the one configuration of the agent. `ureq` would build a configuration, platform roots and all, for each
/// connection of a request that has settings of its own; ours differ in time-outs and proxy only.
#[derive(Debug)]
pub(super) struct TlsConnector {
    platform: RustlsConnector,
    private: Option<Arc<ClientConfig>>,
}

impl TlsConnector {
    /// With `private`, connections are made from that configuration instead of the agent's.
    pub(super) fn new(private: Option<Arc<ClientConfig>>) -> Self {
        Self {
            platform: RustlsConnector::default(),
            private,
        }
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<<RustlsConnector as Connector<In>>::Out, Tls>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(config) = &self.private
            && details.needs_tls()
        {
            return match chained {
                Some(plain) if !plain.is_tls() => {
                    Ok(Some(Either::B(Tls::open(config, plain, details)?)))
                }
                Some(sealed) => Ok(Some(Either::A(Either::A(sealed)))),
                None => Err(Error::ConnectionFailed),
            };
        }
        let of_agent = ConnectionDetails {
            uri: details.uri,
            addrs: details.resolver.empty(),
            config: details.config,
            request_level: false,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        Ok(self.platform.connect(&of_agent, chained)?.map(Either::A))
    }
}

/// TLS over a connection, from a configuration of ours.
pub(super) struct Tls {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Tls {
    fn open(
        config: &Arc<ClientConfig>,
        plain: impl Transport,
        details: &ConnectionDetails,
    ) -> Result<Self, Error> {
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Tls("the host is no name that a certificate could have"))?;
        let mut timeout = details.timeout;
        // The limit counts from the moment at which connecting began.
        if let (After::Exact(left), Moment::Exact(begun), Moment::Exact(now)) =
            (timeout.after, details.now, (details.current_time)())
        {
            timeout.after = left
                .saturating_sub(now.saturating_duration_since(begun))
                .into();
        }
        let mut socket = TransportAdapter::new(plain.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(timeout);
        let mut connection = ClientConnection::new(Arc::clone(config), name)?;
        connection.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        let stream = StreamOwned::new(connection, socket);
        Ok(Self { buffers, stream })
    }
}

impl Transport for Tls {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
