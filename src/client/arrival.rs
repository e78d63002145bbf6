//! Who waits for the first flag data: threads, and event loops by a socket that becomes readable. What the data is, and
//! what an application does without it, is left to others.
//!
//! 1. A wait ends when data is there, or when none will ever come: the source has given up, or the client was left.
//! 2. An event loop waits for no thread of ours and none of Python's: the native side ends a connected pair of sockets,
//!    which works with every loop. Native threads never touch the interpreter.
//! 3. A socket whose other side is gone (the wait was given up) is forgotten by the next wait.

use std::io::{self, Read};
use std::net::Shutdown;
#[cfg(not(unix))]
use std::net::{TcpListener, TcpStream as Socket};
#[cfg(unix)]
use std::os::unix::net::UnixStream as Socket;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The side of a pair that the one who waits reads from: it ends when there is no more reason to wait.
pub type Signal = Socket;

#[derive(Debug, Default)]
pub(super) struct Arrival {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    data: bool,
    over: bool,
    sockets: Vec<Socket>,
}

impl Arrival {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Data is there.
    pub(super) fn data(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.data, true) {
            self.wake(state);
        }
    }

    /// No data will come any more.
    pub(super) fn over(&self) {
        let mut state = self.state();
        state.over = true;
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        for socket in state.sockets.drain(..) {
            // Not merely closed: a process that was forked meanwhile may hold it too.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Whether there is nothing to wait for any more.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.state();
        state.data || state.over
    }

    /// Waits until there is nothing to wait for, at most so long.
    pub(super) fn wait(&self, timeout: Duration) {
        let _ = self
            .changed
            .wait_timeout_while(self.state(), timeout, |state| !state.data && !state.over);
    }

    /// What an event loop waits for; `None` when there is nothing to wait for.
    pub(super) fn signal(&self) -> io::Result<Option<Signal>> {
        let mut state = self.state();
        if state.data || state.over {
            return Ok(None);
        }
        let (ours, theirs) = pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        state
            .sockets
            .retain(|mut socket| !matches!(socket.read(&mut [0]), Ok(0)));
        state.sockets.push(ours);
        Ok(Some(theirs))
    }
}

#[cfg(unix)]
fn pair() -> io::Result<(Socket, Socket)> {
    Socket::pair()
}

#[cfg(not(unix))]
fn pair() -> io::Result<(Socket, Socket)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = Socket::connect(listener.local_addr()?)?;
    loop {
        let (theirs, address) = listener.accept()?;
        // Anybody on this machine may have been faster.
        if address == ours.local_addr()? {
            return Ok((ours, theirs));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_data_and_when_none_will_come() {
        for end in [Arrival::data, Arrival::over] {
            let arrival = Arrival::default();
            let mut signal = arrival.signal().unwrap().unwrap();
            assert!(!arrival.is_settled());
            assert_eq!(
                signal.read(&mut [0]).unwrap_err().kind(),
                io::ErrorKind::WouldBlock
            );
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| arrival.wait(Duration::from_secs(60)));
                end(&arrival);
                waiting.join().unwrap();
            });
            assert_eq!(signal.read(&mut [0]).unwrap(), 0);
            assert!(arrival.is_settled() && arrival.signal().unwrap().is_none());
        }
    }

    #[test]
    fn a_wait_that_was_given_up_leaves_nothing_behind() {
        let arrival = Arrival::default();
        for _ in 0..100 {
            drop(arrival.signal().unwrap());
        }
        assert_eq!(arrival.state().sockets.len(), 1);
    }
}
