"""A stand-in for the service, for tests: serves flags, takes events, records every request and injects faults.

Standard library only, in the test's own process, on a free loopback port. It takes no part in deciding flags and knows
nothing of the client under test.

>>> with StandIn(flags={"a": constant_flag("a", True)}) as service:  # doctest: +SKIP
...     client = LDClient(Config("key", base_uri=service.uri, stream_uri=service.uri, events_uri=service.uri))
...     service.put(constant_flag("a", False))
...     service.fault("/bulk", status=503, headers={"Retry-After": "1"}, times=1)
...     service.wait_for_events(1)
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

__all__ = ["FaultKind", "Payload", "Request", "StandIn", "constant_flag", "silent_port"]

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
_RESET = b""

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


@dataclass(frozen=True)
class Payload:
    """The events of one accepted ``POST /bulk``."""

    events: list[dict[str, Any]]
    headers: Message


@dataclass
class _Fault:
    kind: FaultKind
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 60.0
    piece: int = 1
    times: int | None = None


def constant_flag(key: str, value: Any, version: int | None = None, **fields: Any) -> dict[str, Any]:
    """A flag that answers ``value`` for everyone; ``fields`` are set on top. No version leaves it to the stand-in."""
    flag: dict[str, Any] = {
        "key": key,
        "on": True,
        "variations": [value],
        "fallthrough": {"variation": 0},
        "offVariation": 0,
        "targets": [],
        "rules": [],
        "prerequisites": [],
        "salt": "salt",
    }
    if version is not None:
        flag["version"] = version
    return {**flag, **fields}


class StandIn:
    """The stand-in; a context manager. Everything may be called from any thread.

    :param flags: flag key to flag
    :param segments: segment key to segment
    :param heartbeat: seconds between heartbeats on streams; None sends none
    """

    def __init__(
        self,
        flags: Mapping[str, Mapping[str, Any]] | None = None,
        segments: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        heartbeat: float | None = None,
    ) -> None:
        self.heartbeat = heartbeat
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._items: dict[str, dict[str, dict[str, Any]]] = {"flags": {}, "segments": {}}
        self._versions: dict[tuple[str, str], int] = {}
        self._faults: dict[str, list[_Fault]] = {}
        self._streams: set[queue.SimpleQueue[bytes | None]] = set()
        self._requests: list[Request] = []
        self._payloads: list[Payload] = []
        self._payload_ids: set[str] = set()
        self._diagnostics: list[dict[str, Any]] = []
        for kind, items in (("flags", flags or {}), ("segments", segments or {})):
            for key, item in items.items():
                self._items[kind][key] = self._versioned(kind, {**item, "key": key})
        self._http = _Server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="stand-in", daemon=True)

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends every connection and thread."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self.end_streams()
        if self._thread.ident is not None:
            self._http.shutdown()
        self._http.end_connections()
        self._http.server_close()
        self._thread.join(5)

    @property
    def uri(self) -> str:
        """What to give as base, stream and events URI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._http.server_address[1])

    # --- flags and segments ---

    def put(self, flag: Mapping[str, Any]) -> int:
        """Puts a flag and tells the streams by ``patch``. A flag without version gets the next one; returned."""
        return self._put("flags", flag)

    def put_segment(self, segment: Mapping[str, Any]) -> int:
        """As ``put``, for a segment."""
        return self._put("segments", segment)

    def delete(self, key: str, version: int | None = None) -> int:
        """Deletes a flag and tells the streams by ``delete``; returns the version of the deletion."""
        return self._delete("flags", key, version)

    def delete_segment(self, key: str, version: int | None = None) -> int:
        """As ``delete``, for a segment."""
        return self._delete("segments", key, version)

    def put_all(
        self,
        flags: Mapping[str, Mapping[str, Any]],
        segments: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Replaces everything and tells the streams by ``put``."""
        with self._changed:
            self._items = {"flags": {}, "segments": {}}
            for kind, items in (("flags", flags), ("segments", segments or {})):
                for key, item in items.items():
                    self._items[kind][key] = self._versioned(kind, {**item, "key": key})
            self.send_raw(self._put_event())

    def _put(self, kind: str, item: Mapping[str, Any]) -> int:
        with self._changed:
            new = self._versioned(kind, dict(item))
            self._items[kind][new["key"]] = new
            self.send_event("patch", {"path": f"/{kind}/{new['key']}", "data": new})
            return int(new["version"])

    def _delete(self, kind: str, key: str, version: int | None) -> int:
        with self._changed:
            self._items[kind].pop(key, None)
            used = self._versioned(kind, {"key": key} if version is None else {"key": key, "version": version})
            self.send_event("delete", {"path": f"/{kind}/{key}", "version": used["version"]})
            return int(used["version"])

    def _versioned(self, kind: str, item: dict[str, Any]) -> dict[str, Any]:
        last = self._versions.get((kind, item["key"]), 0)
        item.setdefault("version", last + 1)
        self._versions[kind, item["key"]] = max(last, item["version"])
        return item

    def latest_all(self) -> bytes:
        """The body of ``/sdk/latest-all``."""
        with self._changed:
            return json.dumps(self._items).encode()

    def _put_event(self) -> bytes:
        return _event("put", {"path": "/", "data": self._items})

    # --- streams ---

    @property
    def streams(self) -> int:
        """How many streams are open."""
        with self._changed:
            return len(self._streams)

    def wait_for_streams(self, count: int = 1, timeout: float = 10.0) -> None:
        """Returns when at least ``count`` streams are open, or with 0 when none is."""
        what = f"{count} open stream(s)" if count else "no open stream"
        self._wait(lambda: len(self._streams) >= count if count else not self._streams, timeout, what)

    def send_event(self, name: str, data: Any) -> None:
        """Sends an event to every open stream; text is sent as it is, anything else as JSON."""
        self.send_raw(_event(name, data))

    def send_raw(self, data: bytes) -> None:
        """Sends bytes to every open stream, each time as one chunk."""
        with self._changed:
            for outbox in self._streams:
                outbox.put(data)

    def end_streams(self, *, reset: bool = False) -> None:
        """Ends every open stream: cleanly, or torn by a TCP reset."""
        with self._changed:
            for outbox in self._streams:
                outbox.put(_RESET if reset else None)

    def _open_stream(self) -> tuple[queue.SimpleQueue[bytes | None], bytes]:
        outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self._changed:
            self._streams.add(outbox)
            self._changed.notify_all()
            return outbox, self._put_event()

    def _close_stream(self, outbox: queue.SimpleQueue[bytes | None]) -> None:
        with self._changed:
            self._streams.discard(outbox)
            self._changed.notify_all()

    # --- faults ---

    def fault(
        self,
        path: str,
        kind: FaultKind = "status",
        *,
        status: int = 500,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        seconds: float = 60.0,
        piece: int = 1,
        times: int | None = None,
    ) -> None:
        """Makes requests to ``path`` fail, ``times`` times or for ever. Faults of one path are used up in order.

        ``fault("/all", status=401)`` is the short form of ``fault("/all", "status", status=401)``.
        """
        with self._changed:
            new = _Fault(kind, status, dict(headers or {}), body, seconds, piece, times)
            self._faults.setdefault(path, []).append(new)

    def heal(self, path: str | None = None) -> None:
        """Removes the faults of a path, or all of them; those under way go on."""
        with self._changed:
            if path is None:
                self._faults.clear()
            else:
                self._faults.pop(path, None)

    def _take_fault(self, path: str) -> _Fault | None:
        with self._changed:
            faults = self._faults.get(path, [])
            while faults:
                if faults[0].times is None:
                    return faults[0]
                if faults[0].times > 0:
                    faults[0].times -= 1
                    return faults[0]
                faults.pop(0)
            return None

    # --- what arrived ---

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order in which they were complete."""
        with self._changed:
            return list(self._requests)

    def requests_to(self, path: str) -> list[Request]:
        """The requests to one path."""
        return [request for request in self.requests if request.path == path]

    def wait_for_requests(self, path: str, count: int = 1, timeout: float = 10.0) -> list[Request]:
        """Returns the requests to a path when there are at least ``count``."""
        self._wait(
            lambda: sum(request.path == path for request in self._requests) >= count,
            timeout,
            f"{count} request(s) to {path}",
        )
        return self.requests_to(path)

    @property
    def payloads(self) -> list[Payload]:
        """The accepted payloads of events; one whose payload id was seen before is not among them."""
        with self._changed:
            return list(self._payloads)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every accepted event, in order."""
        return [event for payload in self.payloads for event in payload.events]

    def events_of(self, kind: str) -> list[dict[str, Any]]:
        """The accepted events of one kind."""
        return [event for event in self.events if event.get("kind") == kind]

    @property
    def diagnostics(self) -> list[dict[str, Any]]:
        """Every accepted diagnostic event."""
        with self._changed:
            return list(self._diagnostics)

    def counted(self, flag_key: str) -> dict[int | None, int]:
        """How often each variation of a flag was counted, over all summaries; None is "no variation"."""
        totals: dict[int | None, int] = {}
        for event in self.events_of("summary"):
            for counter in event["features"].get(flag_key, {}).get("counters", []):
                variation = counter.get("variation")
                totals[variation] = totals.get(variation, 0) + counter["count"]
        return totals

    def wait_for_events(self, count: int = 1, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Returns all events when at least ``count`` were accepted."""
        self._wait(lambda: sum(len(p.events) for p in self._payloads) >= count, timeout, f"{count} event(s)")
        return self.events

    def wait_for_event(self, kind: str, timeout: float = 10.0) -> dict[str, Any]:
        """Returns the first event of a kind when there is one."""
        self._wait(
            lambda: any(event.get("kind") == kind for p in self._payloads for event in p.events),
            timeout,
            f"an event of kind {kind}",
        )
        return self.events_of(kind)[0]

    def wait_for_diagnostics(self, count: int = 1, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Returns all diagnostic events when at least ``count`` were accepted."""
        self._wait(lambda: len(self._diagnostics) >= count, timeout, f"{count} diagnostic event(s)")
        return self.diagnostics

    def _wait(self, reached: Callable[[], bool], timeout: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout):
                arrived = [f"{request.method} {request.path}" for request in self._requests]
                events = [event for payload in self._payloads for event in payload.events]
                raise AssertionError(f"no {what} within {timeout} s; requests: {arrived}; events: {events}")

    def _record(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def _accept(self, request: Request) -> None:
        with self._changed:
            if request.path == "/diagnostic":
                self._diagnostics.append(request.json())
            else:
                payload_id = request.headers.get("X-LaunchDarkly-Payload-ID")
                if payload_id is None or payload_id not in self._payload_ids:
                    self._payloads.append(Payload(request.json(), request.headers))
                if payload_id is not None:
                    self._payload_ids.add(payload_id)
            self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: StandIn) -> None:
        self.owner = owner
        self._open: set[Any] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # The inherited method asks the resolver for this machine's name.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

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
    server: _Server
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
        fault = owner._take_fault(parts.path)
        raw = b"" if fault is not None and fault.kind == "black_hole" else self._read_body()
        body = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" and raw else raw
        request = Request(method, parts.path, dict(parse_qsl(parts.query)), self.headers, body, raw, time.monotonic())
        owner._record(request)
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
            owner._accept(request)
            return 202, {}, b""
        return 404, {}, b'{"message": "not found"}'

    def _before_answer(self, fault: _Fault) -> bool:
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

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, fault: _Fault | None) -> None:
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

    def _stream(self, fault: _Fault | None) -> None:
        owner = self.server.owner
        kind = fault.kind if fault is not None else None
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.connection.settimeout(None)
        outbox, first = owner._open_stream()
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
            owner._close_stream(outbox)

    def _relay(self, outbox: queue.SimpleQueue[bytes | None]) -> None:
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
        if data == _RESET:
            _reset(self.connection)

    def _notice_end(self, outbox: queue.SimpleQueue[bytes | None]) -> None:
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

    def log_message(self, format: str, *args: Any) -> None:
        """Every request is recorded; nothing is printed."""


@contextmanager
def silent_port() -> Iterator[str]:
    """The URI of a port that takes connections and never reads, answers or closes them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _event(name: str, data: Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n".encode()


def _reset(connection: socket.socket) -> None:
    """Closes a connection by a TCP reset; the handler that still holds it finds it closed."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(connection.detach())
