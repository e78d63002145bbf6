"""Open event streams of the development server: one thread and one selector for all of them.

What the events say is for ``ldclient.local.server``; here bytes are only queued, framed and written.

1. A stream is handed over with its response head; from then on no thread belongs to it.
2. ``add`` and ``send`` never wait. What one thread adds and sends arrives in that order on every stream.
3. A heartbeat comment goes to each stream every ``heartbeat`` seconds, so that clients can tell silence from death.
4. A client that takes no byte for ``patience`` seconds is dropped; it connects again when it wants to go on.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from contextlib import suppress

__all__ = ["Streams"]


class Streams:
    """Writes every event to every open stream from one daemon thread.

    :param heartbeat: seconds between two heartbeat comments
    :param patience: seconds that a client may refuse to take bytes before it is dropped
    """

    def __init__(self, heartbeat: float = 15.0, patience: float = 60.0) -> None:
        self._heartbeat = heartbeat
        self._patience = patience
        # (new stream, None) or (None, event); one queue for both keeps their order (rule 2).
        self._queue: deque[tuple[_Stream | None, bytes]] = deque()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._open: set[_Stream] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="ldclient-serve-streams", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Ends every stream and the thread. Returns after ``timeout`` seconds at the latest. May be called twice."""
        self._stopping = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        else:
            self._close_all()

    def add(self, connection: socket.socket, head: bytes, first: bytes, chunked: bool) -> None:
        """Takes over a connection: writes the response head and the first event, then all that is sent later."""
        stream = _Stream(connection, chunked)
        stream.pending.append(memoryview(head))
        stream.pending.append(memoryview(_chunk(first) if chunked else first))
        self._queue.append((stream, b""))
        self._wake()

    def send(self, event: bytes) -> None:
        """Queues an event for every stream that is open now."""
        self._queue.append((None, event))
        self._wake()

    def __len__(self) -> int:
        return len(self._open)

    def _wake(self) -> None:
        # Full means that a wake-up is already waiting to be read; closed means that the thread has ended.
        with suppress(BlockingIOError, OSError):
            self._wake_in.send(b".")

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_out, selectors.EVENT_READ)
            next_heartbeat = time.monotonic() + self._heartbeat
            while not self._stopping:
                for key, mask in selector.select(max(0.0, next_heartbeat - time.monotonic())):
                    if key.data is None:
                        with suppress(BlockingIOError):
                            self._wake_out.recv(4096)
                        self._take_queue(selector)
                    else:
                        self._serve(selector, key.data, mask)
                if time.monotonic() >= next_heartbeat:
                    next_heartbeat = time.monotonic() + self._heartbeat
                    self._drop_stalled(selector)
                    self._broadcast(selector, b":\n")
        self._close_all()

    def _take_queue(self, selector: selectors.BaseSelector) -> None:
        while self._queue:
            stream, event = self._queue.popleft()
            if stream is None:
                self._broadcast(selector, event)
                continue
            self._open.add(stream)
            selector.register(stream.connection, selectors.EVENT_READ, stream)
            self._write(selector, stream)

    def _broadcast(self, selector: selectors.BaseSelector, event: bytes) -> None:
        plain, chunk = memoryview(event), memoryview(_chunk(event))
        for stream in tuple(self._open):
            idle = not stream.pending
            stream.pending.append(chunk if stream.chunked else plain)
            if idle:
                stream.progressed = time.monotonic()
                self._write(selector, stream)

    def _serve(self, selector: selectors.BaseSelector, stream: _Stream, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            try:
                gone = not stream.connection.recv(4096)
            except BlockingIOError:
                gone = False
            except OSError:
                gone = True
            if gone:
                self._drop(selector, stream)
                return
        if mask & selectors.EVENT_WRITE:
            self._write(selector, stream)

    def _write(self, selector: selectors.BaseSelector, stream: _Stream) -> None:
        try:
            stream.write()
        except OSError:
            self._drop(selector, stream)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if stream.pending else 0)
        if selector.get_key(stream.connection).events != wanted:
            selector.modify(stream.connection, wanted, stream)

    def _drop_stalled(self, selector: selectors.BaseSelector) -> None:
        too_long_ago = time.monotonic() - self._patience
        for stream in tuple(self._open):
            if stream.pending and stream.progressed < too_long_ago:
                self._drop(selector, stream)

    def _drop(self, selector: selectors.BaseSelector, stream: _Stream) -> None:
        self._open.discard(stream)
        selector.unregister(stream.connection)
        stream.connection.close()

    def _close_all(self) -> None:
        while self._queue:
            stream, _ = self._queue.popleft()
            if stream is not None:
                self._open.add(stream)
        for stream in self._open:
            if stream.chunked and not stream.pending:
                # The end of a chunked body, so that clients see an end rather than a torn connection.
                with suppress(OSError):
                    stream.connection.send(b"0\r\n\r\n")
            stream.connection.close()
        self._open.clear()
        self._wake_in.close()
        self._wake_out.close()


class _Stream:
    """One client: its socket and the bytes that it has not taken yet."""

    __slots__ = ("chunked", "connection", "pending", "progressed")

    def __init__(self, connection: socket.socket, chunked: bool) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.chunked = chunked
        self.pending: deque[memoryview] = deque()
        self.progressed = time.monotonic()

    def write(self) -> None:
        """Writes as much as the client takes now; raises OSError when it is gone."""
        while self.pending:
            part = self.pending[0]
            try:
                taken = self.connection.send(part)
            except BlockingIOError:
                return
            self.progressed = time.monotonic()
            if taken == len(part):
                self.pending.popleft()
            else:
                self.pending[0] = part[taken:]


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)
