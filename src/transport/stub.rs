//! Servers for the tests of this folder: a closure per connection, on a free loopback port, plain or TLS. What is
//! answered is left to each test.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// No stub waits longer for its client.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

/// A connection as the stub's closure sees it.
pub(super) struct Connection {
    pub(super) stream: Box<dyn ReadWrite>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Received {
    /// The request line and headers, without the blank line, names as sent.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

impl Connection {
    /// The next request, or none at the end of the connection.
    pub(super) fn request(&mut self) -> Option<Received> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let mut received = Received {
            head: String::from_utf8_lossy(&head).trim_end().to_owned(),
            body: Vec::new(),
        };
        let length = received
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        received.body = vec![0; length];
        self.stream.read_exact(&mut received.body).ok()?;
        Some(received)
    }

    /// Writes; a client that has gone is no failure of the stub's.
    pub(super) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self
            .stream
            .write_all(bytes.as_ref())
            .and_then(|()| self.stream.flush());
    }

    /// An answer with a length.
    pub(super) fn answer(&mut self, status: &str, headers: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.write([head.as_bytes(), body].concat());
    }

    pub(super) fn chunk(&mut self, data: &str) {
        self.write(format!("{:x}\r\n{data}\r\n", data.len()));
    }

    /// Waits until the client has gone.
    pub(super) fn wait_for_end(&mut self) {
        let _ = io::copy(&mut self.stream, &mut io::sink());
    }
}

/// A server that ends with the test.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
    ended: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Stub {
    /// Serves each connection on a thread of its own.
    pub(super) fn start(serve: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::over(|socket| Some(Box::new(socket)), serve)
    }

    /// The same, over what `wrap` makes of the socket.
    pub(super) fn over(
        wrap: impl Fn(TcpStream) -> Option<Box<dyn ReadWrite>> + Send + Sync + 'static,
        serve: impl Fn(Connection) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let sockets = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let work = Arc::new((wrap, serve));
        let accepting = {
            let (ended, sockets, connections) = (
                Arc::clone(&ended),
                Arc::clone(&sockets),
                Arc::clone(&connections),
            );
            thread::spawn(move || {
                while let Ok((socket, _)) = listener.accept() {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    connections.fetch_add(1, Ordering::SeqCst);
                    socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    socket.set_write_timeout(Some(PATIENCE)).unwrap();
                    socket.set_nodelay(true).unwrap();
                    let kept = socket.try_clone().unwrap();
                    sockets
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(kept);
                    let work = Arc::clone(&work);
                    thread::spawn(move || {
                        let last = socket.try_clone().unwrap();
                        if let Some(stream) = (work.0)(socket) {
                            (work.1)(Connection { stream });
                        }
                        let _ = last.shutdown(Shutdown::Both);
                    });
                }
            })
        };
        Self {
            address,
            connections,
            sockets,
            ended,
            accepting: Some(accepting),
        }
    }

    /// Answers every request with what `answer` writes, on connections that stay open.
    pub(super) fn answering(
        answer: impl Fn(&Received, &mut Connection) + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |mut connection| {
            while let Some(request) = connection.request() {
                answer(&request, &mut connection);
            }
        })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections were accepted.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        for socket in self
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
