"""The development server: LaunchDarkly's server-side protocol, served from flag files to any SDK in any language.

HTTP is left to ``protocol``, versions and changes to ``served``, files to ``watching``, open streams to ``streams``,
the wording of events to ``event_lines``, and arguments and signals to ``command``.

1. ``GET /all`` is the stream, ``GET /sdk/latest-all`` the poll, ``POST /bulk`` and ``POST /diagnostic`` take events.
2. A stream's first event and its changes come from the same state: both are queued under one lock.
3. Any SDK key is accepted; none is looked at, kept or printed.
4. Bad input gets a 4xx that says what was wrong, and the server goes on.
5. A payload id that was seen before is answered but not recorded again, as the service does.
"""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ldclient.local.event_lines import describe, describe_diagnostic
from ldclient.local.protocol import Listener
from ldclient.local.served import ServedData
from ldclient.local.streams import Streams
from ldclient.local.watching import FlagFiles

__all__ = ["DevelopmentServer", "why_not_listening"]

_KEPT_EVENTS = 1000
_KEPT_PAYLOAD_IDS = 1000
_WATCH_INTERVAL = 0.1
_ABOUT = """\
This is the development server of ldclient. It serves flags from files to LaunchDarkly server-side SDKs.

Point an SDK here with base URI, stream URI and events URI all set to {uri}
and any SDK key. In Python:

    Config("any-key", base_uri="{uri}", stream_uri="{uri}", events_uri="{uri}")

Files: {files}

GET  /status          how many flags, segments, streams and events
GET  /events          the last {kept} events received, as JSON
GET  /all             the stream of flags and their changes
GET  /sdk/latest-all  all flags and segments
POST /bulk            takes analytics events
POST /diagnostic      takes diagnostic events
"""


class DevelopmentServer:
    """Serves flag files until it is stopped; a context manager.

    :param paths: flag files, JSON or YAML, with ``flags``, ``flagValues`` and ``segments``; they are watched
    :param host: the address to listen on; the loopback address unless told otherwise
    :param port: the port to listen on; 0 takes any free one
    :param events_file: a file to which each event received is appended as one line of JSON
    :param say: called from any thread with a line about each event and each changed flag; None says nothing
    :param warn: called from any thread with a line when the files turn bad or good again; None says nothing
    :param heartbeat: seconds between two heartbeats on a stream

    Raises ValueError when a flag file is missing or malformed, and OSError when the port cannot be had.

    >>> with DevelopmentServer(["flags.json"]) as server:  # doctest: +SKIP
    ...     print(server.uri)
    http://127.0.0.1:41783
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        events_file: str | Path | None = None,
        say: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
        heartbeat: float = 15.0,
    ) -> None:
        self._say = say
        self._warn = warn
        self._files = FlagFiles(paths)
        self._lock = threading.Lock()
        self._served = ServedData()
        self._served.replace(self._files.read())
        self._received: deque[Any] = deque(maxlen=_KEPT_EVENTS)
        self._counts = {"events": 0, "payloads": 0, "diagnostics": 0}
        self._payload_ids: OrderedDict[str, None] = OrderedDict()
        self._stopped = threading.Event()
        self._started = time.time()
        with ExitStack() as undo:
            self._http = Listener(host, port, self)
            undo.callback(self._http.server_close)
            self._streams = Streams(heartbeat)
            undo.callback(self._streams.stop)
            self._events_file: IO[str] | None = None
            if events_file is not None:
                self._events_file = Path(events_file).open("a", encoding="utf-8")  # noqa: SIM115, stop() closes it
            undo.pop_all()
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.1,), name="ldclient-serve", daemon=True),
            threading.Thread(target=self._watch, name="ldclient-serve-files", daemon=True),
        ]

    @property
    def uri(self) -> str:
        """The address to give to an SDK, without a slash at its end."""
        host, port = self._http.server_address[:2]
        text = host.decode() if isinstance(host, bytes | bytearray) else str(host)
        return f"http://[{text}]:{port}" if ":" in text else f"http://{text}:{port}"

    def start(self) -> None:
        """Starts to serve and to watch the files; returns at once."""
        self._streams.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends every stream and connection and the server's threads, within about a second. May be called twice."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if self._threads[0].ident is not None:
            self._http.shutdown()
        self._http.server_close()
        self._streams.stop()
        self._http.close_connections()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(1.0)
        with self._lock:
            if self._events_file is not None:
                self._events_file.close()
                self._events_file = None

    def __enter__(self) -> DevelopmentServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def events(self) -> list[Any]:
        """The last 1,000 events received, oldest first."""
        with self._lock:
            return list(self._received)

    def status(self) -> dict[str, Any]:
        """What ``GET /status`` answers."""
        with self._lock:
            return {
                "status": "ok",
                "flags": self._served.count("flags"),
                "segments": self._served.count("segments"),
                "streams": len(self._streams),
                "received": dict(self._counts),
                "files": self._files.paths,
                "uptimeSeconds": round(time.time() - self._started, 3),
            }

    def about(self) -> str:
        """What ``GET /`` answers: a short text for people."""
        return _ABOUT.format(uri=self.uri, files=", ".join(self._files.paths), kept=_KEPT_EVENTS)

    def latest_all(self) -> tuple[bytes, str]:
        """The body of the poll and its entity tag."""
        with self._lock:
            return self._served.body(), self._served.etag()

    def latest(self, kind: str, key: str | None) -> str | None:
        """One item, or all of a kind when key is None, as JSON text; None when there is no such item."""
        with self._lock:
            return self._served.all(kind) if key is None else self._served.get(kind, key)

    def open_stream(self, connection: socket.socket, head: bytes, chunked: bool) -> None:
        """Takes over a connection as a stream that begins with all the data there is now."""
        with self._lock:
            self._streams.add(connection, head, self._served.put_event(), chunked)

    def receive_events(self, events: list[Any], payload_id: str | None) -> None:
        """Keeps, writes and tells events that an SDK sent."""
        with self._lock:
            if payload_id is not None and self._seen(payload_id):
                return
            self._counts["payloads"] += 1
            self._counts["events"] += len(events)
            self._received.extend(events)
            if self._events_file is not None:
                self._events_file.writelines(json.dumps(event) + "\n" for event in events)
                self._events_file.flush()
        if self._say is not None:
            for event in events:
                for line in describe(event):
                    self._say(f"event: {line}")

    def receive_diagnostic(self, event: Any) -> None:
        """Counts and tells a diagnostic event."""
        with self._lock:
            self._counts["diagnostics"] += 1
        if self._say is not None:
            self._say(f"event: {describe_diagnostic(event)}")

    def _seen(self, payload_id: str) -> bool:
        if payload_id in self._payload_ids:
            return True
        self._payload_ids[payload_id] = None
        if len(self._payload_ids) > _KEPT_PAYLOAD_IDS:
            self._payload_ids.popitem(last=False)
        return False

    def _watch(self) -> None:
        while not self._stopped.wait(_WATCH_INTERVAL):
            data, line = self._files.poll()
            if data is not None:
                try:
                    self._serve(data)
                except ValueError as error:
                    line = f"error: {error}; still serving the last good data"
            if line is not None and self._warn is not None:
                self._warn(line)

    def _serve(self, data: dict[str, Any]) -> None:
        with self._lock:
            changes = self._served.replace(data)
            if changes:
                self._streams.send(b"".join(change.event for change in changes))
        if self._say is not None:
            for change in changes:
                what = "deleted" if change.item is None else "now at"
                self._say(f"{change.kind[:-1]} {json.dumps(change.key)} {what} version {change.version}")


def why_not_listening(error: OSError, host: str, port: int) -> str:
    """A sentence for a developer about a server that could not be opened."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program; "
            "choose another with --port, or --port 0 for any free one"
        )
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port} of {host}; choose a port above 1023 with --port"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; choose another with --host"
    return f"cannot listen on port {port} of {host}: {error}"
