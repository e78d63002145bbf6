"""The protocol of the development server: requests in, answers out, one thread for each connection not yet a stream.

What is served and what becomes of events is left to its ``Owner``, which is ``ldclient.local.server``.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import zlib
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from ldclient.local.served import KINDS

__all__ = ["MAX_BODY", "Listener", "Owner"]

MAX_BODY = 32 * 1024 * 1024
"""The largest body taken by ``POST``, in bytes, before and after decompression."""

_IDLE_TIMEOUT = 75.0


class Owner(Protocol):
    """What the requests ask; called from any thread."""

    def latest_all(self) -> tuple[bytes, str]:
        """The body of the poll and its entity tag."""

    def latest(self, kind: str, key: str | None) -> str | None:
        """One item, or all of a kind when key is None, as JSON text; None when there is no such item."""

    def open_stream(self, connection: socket.socket, head: bytes, chunked: bool) -> None:
        """Takes over a connection as a stream."""

    def receive_events(self, events: list[Any], payload_id: str | None) -> None:
        """Takes the events of one payload."""

    def receive_diagnostic(self, event: Any) -> None:
        """Takes a diagnostic event."""

    def events(self) -> list[Any]:
        """The last events received."""

    def status(self) -> dict[str, Any]:
        """What ``GET /status`` answers."""

    def about(self) -> str:
        """What ``GET /`` answers."""


class Listener(ThreadingHTTPServer):
    """The listening socket, with a thread for each connection that is not a stream."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    # On Windows this option would let two servers share a port.
    allow_reuse_address = os.name == "posix"

    def __init__(self, host: str, port: int, owner: Owner) -> None:
        self.owner = owner
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = family
        super().__init__((str(address[0]), port), _Handler)

    def server_bind(self) -> None:
        """Binds without asking the resolver for this machine's name, which can take seconds."""
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a defect of the server and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """Wakes the threads that wait for the next request of a connection that was kept alive."""
        with self._connections_lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _RejectedError(Exception):
    """A request that is answered with a 4xx and its reason."""

    def __init__(self, status: HTTPStatus, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, answers them, hands streams over."""

    server: Listener
    protocol_version = "HTTP/1.1"
    server_version = "ldclient-development-server"
    sys_version = ""
    timeout = _IDLE_TIMEOUT
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        owner = self.server.owner
        path = self._path()
        if path == "/all":
            self._open_stream()
        elif path == "/sdk/latest-all":
            body, etag = owner.latest_all()
            if self._matches(etag):
                self._answer(HTTPStatus.NOT_MODIFIED, b"", etag=etag)
            else:
                self._answer(HTTPStatus.OK, body, etag=etag)
        elif path == "/events":
            self._answer(HTTPStatus.OK, json.dumps(owner.events()).encode())
        elif path == "/status":
            self._answer(HTTPStatus.OK, json.dumps(owner.status(), indent=2).encode() + b"\n")
        elif path == "/":
            self._answer(HTTPStatus.OK, owner.about().encode(), "text/plain; charset=utf-8")
        elif path in ("/bulk", "/diagnostic"):
            self._reject(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes POST")
        else:
            self._get_item(path)

    def do_POST(self) -> None:
        owner = self.server.owner
        path = self._path()
        try:
            if path == "/bulk":
                events = self._json_body()
                if not isinstance(events, list):
                    raise _RejectedError(HTTPStatus.BAD_REQUEST, "/bulk takes a JSON array of events")
                owner.receive_events(events, self.headers.get("X-LaunchDarkly-Payload-ID"))
                self._answer(HTTPStatus.ACCEPTED, b"")
            elif path == "/diagnostic":
                owner.receive_diagnostic(self._json_body())
                self._answer(HTTPStatus.ACCEPTED, b"")
            elif path in ("/", "/all", "/sdk/latest-all", "/events", "/status"):
                raise _RejectedError(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes GET")
            else:
                raise _RejectedError(HTTPStatus.NOT_FOUND, self._unknown(path))
        except _RejectedError as rejected:
            self._reject(rejected.status, rejected.problem)

    def _get_item(self, path: str) -> None:
        for kind in KINDS:
            prefix = f"/sdk/latest-{kind}"
            if path == prefix or path.startswith(prefix + "/"):
                key = unquote(path[len(prefix) + 1 :]) or None
                found = self.server.owner.latest(kind, key)
                if found is None:
                    self._reject(HTTPStatus.NOT_FOUND, f"there is no {kind[:-1]} {json.dumps(key)}")
                else:
                    self._answer(HTTPStatus.OK, found.encode())
                return
        self._reject(HTTPStatus.NOT_FOUND, self._unknown(path))

    def _unknown(self, path: str) -> str:
        return f"the development server has nothing at {json.dumps(path)}; GET / lists what it has"

    def _open_stream(self) -> None:
        chunked = self.request_version == "HTTP/1.1"
        head = [
            "HTTP/1.1 200 OK",
            f"Server: {self.server_version}",
            f"Date: {self.date_time_string()}",
            "Content-Type: text/event-stream; charset=utf-8",
            "Cache-Control: no-cache",
            "Transfer-Encoding: chunked" if chunked else "Connection: close",
        ]
        # Detached, so that the end of this handler neither shuts down nor closes what is the stream's from now on.
        kept = self.connection
        connection = socket.socket(kept.family, kept.type, kept.proto, fileno=kept.detach())
        self.close_connection = True
        self.server.owner.open_stream(connection, "\r\n".join([*head, "", ""]).encode(), chunked)

    def _path(self) -> str:
        # Some SDKs join a base URI that ends in a slash with a path that begins with one.
        target = "/" + self.path.lstrip("/") if self.path.startswith("/") else self.path
        try:
            return "/" + urlsplit(target).path.strip("/")
        except ValueError:
            return target

    def _matches(self, etag: str) -> bool:
        given = [tag.strip().removeprefix("W/") for tag in self.headers.get("If-None-Match", "").split(",")]
        return etag in given or "*" in given

    def handle_expect_100(self) -> bool:
        """Refuses a body that is too large before it is sent."""
        length = self.headers.get("Content-Length", "")
        if length.isdecimal() and len(length) < 20 and int(length) > MAX_BODY:
            self._reject(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large())
            return False
        return super().handle_expect_100()

    def _json_body(self) -> Any:
        body = self._decompressed(self._read_body())
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _RejectedError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from None

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        given = self.headers.get("Content-Length")
        if given is None:
            raise _RejectedError(HTTPStatus.LENGTH_REQUIRED, "a POST needs a Content-Length or a chunked body")
        if not (given.isascii() and given.isdecimal() and len(given) < 20):
            raise _RejectedError(HTTPStatus.BAD_REQUEST, f"Content-Length {json.dumps(given)} is not a number")
        if int(given) > MAX_BODY:
            raise _RejectedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large())
        body = self.rfile.read(int(given))
        if len(body) < int(given):
            raise _RejectedError(HTTPStatus.BAD_REQUEST, f"the body ended after {len(body)} of {given} bytes")
        return body

    def _read_chunks(self) -> bytes:
        parts: list[bytes] = []
        total = 0
        while True:
            line = self.rfile.readline(1000)
            try:
                size = int(line.split(b";")[0].strip().decode("ascii"), 16)
            except ValueError:
                size = -1
            if size < 0:
                raise _RejectedError(HTTPStatus.BAD_REQUEST, "a chunk of the body has no size")
            total += size
            if total > MAX_BODY:
                raise _RejectedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large())
            if size == 0:
                while self.rfile.readline(1000).strip():
                    pass
                return b"".join(parts)
            part = self.rfile.read(size)
            if len(part) < size:
                raise _RejectedError(HTTPStatus.BAD_REQUEST, "the body ended in the middle of a chunk")
            parts.append(part)
            self.rfile.readline(1000)

    def _decompressed(self, body: bytes) -> bytes:
        encoding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding == "identity":
            return body
        if encoding not in ("gzip", "x-gzip"):
            problem = f"Content-Encoding {json.dumps(encoding)} is not known here; gzip is"
            raise _RejectedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)
        unzip = zlib.decompressobj(wbits=31)
        try:
            plain = unzip.decompress(body, MAX_BODY + 1)
        except zlib.error as error:
            raise _RejectedError(HTTPStatus.BAD_REQUEST, f"the body is not gzip: {error}") from None
        if len(plain) > MAX_BODY:
            raise _RejectedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large())
        if not unzip.eof:
            raise _RejectedError(HTTPStatus.BAD_REQUEST, "the gzip body is cut short")
        return plain

    def _answer(
        self, status: HTTPStatus, body: bytes, content_type: str = "application/json", etag: str | None = None
    ) -> None:
        self.send_response(status)
        if etag is not None:
            self.send_header("ETag", etag)
        if body:
            self.send_header("Content-Type", content_type)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _reject(self, status: HTTPStatus, problem: str) -> None:
        # Part of the body may be unread, so nothing that follows on this connection can be trusted.
        self.close_connection = True
        self._answer(status, json.dumps({"message": problem}).encode() + b"\n")
        self._discard_rest()

    def _discard_rest(self) -> None:
        """Reads on for a moment: closing with bytes unread would reset the connection and lose the answer."""
        deadline = time.monotonic() + 1.0
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(65536):
                    return

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """What the library rejects by itself (a malformed request, an unknown method), in the form of ``_reject``."""
        # A line that is no request counts as HTTP/0.9 for the library, which would leave out the status.
        self.request_version = self.protocol_version
        with suppress(OSError):
            if code == HTTPStatus.NOT_IMPLEMENTED:
                self._reject(HTTPStatus.METHOD_NOT_ALLOWED, "the development server takes GET and POST")
            else:
                self._reject(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the library's name
        """Requests are not logged: what matters is told as events and changes."""


def _too_large() -> str:
    return f"the body is larger than {MAX_BODY} bytes"
