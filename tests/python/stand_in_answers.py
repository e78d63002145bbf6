"""How the stand-in answers: HTTP, streams, and the faults that take the place of a good answer.

What it serves and what it remembers is left to ``stand_in``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import queue
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from stand_in import StandIn

__all__ = ["RESET", "Fault", "FaultKind", "Outbox", "Request", "Server", "event_text"]

Outbox = queue.SimpleQueue[bytes | None]

FaultKind = Literal[
    "black_hole",  # takes the request and never answers
    "stall",  # answers normally, but only after `seconds`
    "stall_body",  # sends the head and half of the body, then nothing for `seconds`, then the rest
    "refuse",  # closes the connection without an answer
    "reset",  # closes the connection with a TCP reset, without an answer
    "status",  # answers `status` with `headers` and `body`
    "garbage",  # answers 200 with bytes that are neither JSON nor events
    "not_http",  # answers bytes that are not HTTP
    "half_chunk",  # answers in chunks and closes in the middle of one
    "half_payload",  # announces a length and closes after half of it
    "drip",  # sends the body in pieces of `piece` bytes, `seconds` apart
    "malformed_event",  # stream: an event whose data is not JSON, then the normal stream
    "unknown_event",  # stream: an event with a name nobody knows, then the normal stream
    "retry_hint",  # stream: a `retry:` of `seconds`, then the normal stream
    "comments",  # stream: comments before and between the lines of the first event
]

# In a stream's outbox: bytes to send, None for a clean end, and this for a torn one.
RESET = b""

_STREAM_PREFIXES: dict[str, bytes] = {
    "malformed_event": b'event: put\ndata: {"path": "/", "data": {"flags": \n\n',
    "unknown_event": b'event: nobody-knows-this\ndata: {"path": "/"}\n\n',
    "comments": b":\n: a comment\n:another\n\n",
}


@dataclass(frozen=True)
class Request:
    """One request as it arrived; ``body`` is decompressed, ``raw`` is what was on the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes
    raw: bytes
    at: float

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Fault:
    kind: FaultKind
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 60.0
    piece: int = 1
    times: int | None = None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: StandIn) -> None:
        self.owner = owner
        self._open: set[Any] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # Also for the connections it accepts, so that another socket may take the port while they are there.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The inherited method asks the resolver for this machine's name.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def stop_listening(self) -> None:
        """Refuses connections, and keeps the port: a socket that is bound and does not listen."""
        self.server_close()
        self.socket = socket.socket(self.address_family, self.socket_type)
        self.server_bind()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self._open_lock:
            return len(self._open)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that go away, and faults that close the connection, are what this stand-in is for.
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_REPORT(self) -> None:
        self._serve("REPORT")

    def _serve(self, method: str) -> None:
        owner = self.server.owner
        parts = urlsplit(self.path)
        fault = owner.take_fault(parts.path, self.headers["Authorization"])
        raw = b"" if fault is not None and fault.kind == "black_hole" else self._read_body()
        body = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" and raw else raw
        request = Request(method, parts.path, dict(parse_qsl(parts.query)), self.headers, body, raw, time.monotonic())
        owner.record(request)
        if fault is not None and not self._before_answer(fault):
            return
        if parts.path == "/all":
            self._stream(fault)
            return
        status, headers, answer = self._normal_answer(request)
        if fault is not None and fault.kind == "garbage":
            status, answer = 200, b"\x00\xff<html>this is neither JSON nor an event</html>\xfe"
        self._send(status, headers, answer, fault)

    def _normal_answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        owner = self.server.owner
        if request.path == "/sdk/latest-all":
            body = owner.latest_all()
            etag = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
            if request.headers.get("If-None-Match") == etag:
                return 304, {"ETag": etag}, b""
            return 200, {"ETag": etag, "Content-Type": "application/json"}, body
        if request.path in ("/bulk", "/diagnostic") and request.method == "POST":
            owner.accept(request)
            return 202, {}, b""
        return 404, {}, b'{"message": "not found"}'

    def _before_answer(self, fault: Fault) -> bool:
        """Does what a fault does before the answer; False when it replaces the answer."""
        owner = self.server.owner
        if fault.kind == "black_hole":
            owner.stopping.wait()
        elif fault.kind == "stall":
            return not owner.stopping.wait(fault.seconds)
        elif fault.kind == "reset":
            _reset(self.connection)
        elif fault.kind == "not_http":
            self.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        elif fault.kind == "status":
            self._send(fault.status, fault.headers, fault.body, None)
            return False
        elif fault.kind != "refuse":
            return True
        self.close_connection = True
        return False

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, fault: Fault | None) -> None:
        kind = fault.kind if fault is not None else None
        if not body and kind in ("half_chunk", "half_payload", "stall_body", "drip"):
            body = b'{"accepted": true}'  # an empty body has no half
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if kind == "half_chunk":
            self.send_header("Transfer-Encoding", "chunked")
        elif status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2
        if kind == "half_chunk":
            self.wfile.write(b"%x\r\n" % (len(body) + 1) + body[:half])
            self.close_connection = True
        elif kind == "half_payload":
            self.wfile.write(body[:half])
            self.close_connection = True
        elif fault is not None and kind == "stall_body":
            self.wfile.write(body[:half])
            if not self.server.owner.stopping.wait(fault.seconds):
                self.wfile.write(body[half:])
        elif fault is not None and kind == "drip":
            for start in range(0, len(body), fault.piece):
                self.wfile.write(body[start : start + fault.piece])
                if self.server.owner.stopping.wait(fault.seconds):
                    break
        else:
            self.wfile.write(body)

    def _stream(self, fault: Fault | None) -> None:
        owner = self.server.owner
        kind = fault.kind if fault is not None else None
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.connection.settimeout(None)
        outbox, first = owner.open_stream()
        try:
            half = len(first) // 2
            if kind == "garbage":
                first = b"\x00\xff<html>this is no event</html>\xfe"
            elif kind == "half_chunk":
                self.wfile.write(b"%x\r\n" % len(first) + first[:half])
                return
            elif kind == "half_payload":
                # Whole chunks and a clean end of the body, in the middle of an event.
                self._chunk(first[:half])
                self.wfile.write(b"0\r\n\r\n")
                return
            elif fault is not None and kind == "stall_body":
                self._chunk(first[:half])
                if owner.stopping.wait(fault.seconds):
                    return
                first = first[half:]
            elif fault is not None and kind == "drip":
                for start in range(0, len(first), fault.piece):
                    self._chunk(first[start : start + fault.piece])
                    if owner.stopping.wait(fault.seconds):
                        return
                first = b""
            elif fault is not None and kind == "retry_hint":
                first = b"retry: %d\n\n" % int(fault.seconds * 1000) + first
            elif kind is not None:
                first = _STREAM_PREFIXES.get(kind, b"") + first
                if kind == "comments":
                    first = first.replace(b"\ndata:", b"\n: between two lines\ndata:")
            if first:
                self._chunk(first)
            self._relay(outbox)
        finally:
            owner.close_stream(outbox)

    def _relay(self, outbox: Outbox) -> None:
        # A reader on the side notices a client that goes away, without waiting for the next write to fail.
        reader = threading.Thread(target=self._notice_end, args=(outbox,), name="stand-in-stream", daemon=True)
        reader.start()
        data: bytes | None = b":\n"
        try:
            while data:
                try:
                    data = outbox.get(timeout=self.server.owner.heartbeat)
                except queue.Empty:
                    data = b":\n"
                if data:
                    self._chunk(data)
            if data is None:
                self.wfile.write(b"0\r\n\r\n")
        finally:
            # While a thread reads, closing would not reach the other side.
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RD)
            reader.join(5)
        if data == RESET:
            _reset(self.connection)

    def _notice_end(self, outbox: Outbox) -> None:
        with suppress(OSError, ValueError):
            while self.connection.recv(1024):
                pass
        outbox.put(None)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the library's name
        """Every request is recorded; nothing is printed."""


def event_text(name: str, data: Any) -> bytes:
    """A server-sent event; text is sent as it is, anything else as JSON."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n".encode()


def _reset(connection: socket.socket) -> None:
    """Closes a connection by a TCP reset; the handler that still holds it finds it closed."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(connection.detach())
