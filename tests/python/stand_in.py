"""A stand-in for the service, for tests: serves flags, takes events, records every request and injects faults.

Standard library only, in the test's own process, on a free loopback port. It takes no part in deciding flags and knows
nothing of the client under test. How it answers, and how it fails, is left to ``stand_in_answers``.

>>> with StandIn(flags={"a": constant_flag("a", True)}) as service:  # doctest: +SKIP
...     client = LDClient(Config("key", base_uri=service.uri, stream_uri=service.uri, events_uri=service.uri))
...     service.put(constant_flag("a", False))
...     service.fault("/bulk", status=503, headers={"Retry-After": "1"}, times=1)
...     service.wait_for_events(1)

Faults, each for a path (``/all`` is the stream, ``/sdk/latest-all`` the poll, ``/bulk`` the events, ``/diagnostic``) or
for every path (``"*"``), a number of times or until ``heal``:

========================  ============================================================================================
What happens              How to ask for it
========================  ============================================================================================
stalls, then answers      ``fault(path, "stall", seconds=3)``; half-way through the body: ``"stall_body"``
never answers             ``fault(path, "black_hole")``
401, 500, ...             ``fault(path, status=401)``, with ``headers`` and ``body``
refuses some SDK keys     ``accept_only("the-new-key")``: 401 to every other one; ``accept_only()`` takes all again
closes without an answer  ``fault(path, "refuse")``, by a TCP reset: ``"reset"``
garbage                   ``fault(path, "garbage")``; no HTTP at all: ``"not_http"``; half an event's JSON:
                          ``"malformed_event"``
half a chunk              ``fault(path, "half_chunk")``; a clean end in the middle: ``"half_payload"``
slow                      ``fault(path, "drip", piece=100, seconds=0.01)``
connections refused       ``go_down()``, until ``come_back()``; open ones are torn
an open stream dies       ``end_streams()``, by a TCP reset: ``end_streams(reset=True)``; falls silent: nothing to do,
                          without ``heartbeat`` a stream is silent
nobody reads              ``silent_port()``: connections are taken, nothing is read or answered. With ``https`` in place
                          of ``http`` the handshake hangs
nobody takes connections  ``black_hole_port()``: a connect hangs
names are not found       ``hanging_resolver()``: the environment for a program in which look-ups never end
========================  ============================================================================================
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from stand_in_answers import RESET, Fault, FaultKind, Outbox, Request, Server, event_text

__all__ = [
    "FaultKind",
    "Payload",
    "Request",
    "StandIn",
    "black_hole_port",
    "constant_flag",
    "hanging_resolver",
    "silent_port",
]


@dataclass(frozen=True)
class Payload:
    """The events of one accepted ``POST /bulk``."""

    events: list[dict[str, Any]]
    headers: Message


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
        self._faults: dict[str, list[Fault]] = {}
        self._keys: frozenset[str] = frozenset()
        self._streams: set[Outbox] = set()
        self._requests: list[Request] = []
        self._payloads: list[Payload] = []
        self._payload_ids: set[str] = set()
        self._diagnostics: list[dict[str, Any]] = []
        for kind, items in (("flags", flags or {}), ("segments", segments or {})):
            for key, item in items.items():
                self._items[kind][key] = self._versioned(kind, {**item, "key": key})
        self._http = Server(self)
        self._thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._http.serve_forever, args=(0.02,), name="stand-in", daemon=True)

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
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join(5)
        self._http.end_connections()
        self._http.server_close()

    def go_down(self) -> None:
        """Refuses connections from now on, and tears those that are open."""
        self._http.shutdown()
        self._thread.join(5)
        self._http.stop_listening()
        self.end_streams(reset=True)
        self._http.end_connections()

    def come_back(self) -> None:
        """Listens again, on the same port."""
        self._http.server_activate()
        self._thread = self._new_thread()
        self._thread.start()

    @property
    def uri(self) -> str:
        """What to give as base, stream and events URI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._http.server_address[1])

    @property
    def connections(self) -> int:
        """How many connections are open, streams included."""
        return self._http.connections

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
        return event_text("put", {"path": "/", "data": self._items})

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
        self.send_raw(event_text(name, data))

    def send_raw(self, data: bytes) -> None:
        """Sends bytes to every open stream, each time as one chunk."""
        with self._changed:
            for outbox in self._streams:
                outbox.put(data)

    def end_streams(self, *, reset: bool = False) -> None:
        """Ends every open stream: cleanly, or torn by a TCP reset."""
        with self._changed:
            for outbox in self._streams:
                outbox.put(RESET if reset else None)

    def open_stream(self) -> tuple[Outbox, bytes]:
        """Begins a stream: where its bytes come from, and its first event."""
        outbox: Outbox = Outbox()
        with self._changed:
            self._streams.add(outbox)
            self._changed.notify_all()
            return outbox, self._put_event()

    def close_stream(self, outbox: Outbox) -> None:
        """Forgets a stream."""
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

        ``fault("/all", status=401)`` is the short form of ``fault("/all", "status", status=401)``. The path "*" stands
        for every path that has no fault of its own.
        """
        with self._changed:
            new = Fault(kind, status, dict(headers or {}), body, seconds, piece, times)
            self._faults.setdefault(path, []).append(new)

    def heal(self, path: str | None = None) -> None:
        """Removes the faults of a path, or all of them; those under way go on."""
        with self._changed:
            if path is None:
                self._faults.clear()
            else:
                self._faults.pop(path, None)

    def accept_only(self, *keys: str) -> None:
        """Answers 401 to requests with another SDK key; without keys, every key is good again. Open streams stay."""
        with self._changed:
            self._keys = frozenset(keys)

    def take_fault(self, path: str, key: str | None) -> Fault | None:
        """The fault that the next request to a path with this SDK key meets, used up once."""
        with self._changed:
            if self._keys and key not in self._keys:
                return Fault("status", 401)
            for faults in (self._faults.get(path, []), self._faults.get("*", [])):
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

    def record(self, request: Request) -> None:
        """Remembers a request."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def accept(self, request: Request) -> None:
        """Remembers what an accepted request brought."""
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


@contextmanager
def silent_port() -> Iterator[str]:
    """The URI of a port that takes connections and never reads, answers or closes them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def black_hole_port() -> Iterator[str]:
    """The URI of a port that leaves connects hanging: its queue of connections is full, and nobody takes any."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        while True:
            one = stack.enter_context(socket.socket())
            one.settimeout(0.2)
            try:
                one.connect(address)
            except TimeoutError:
                break
        yield f"http://127.0.0.1:{address[1]}"


_HANGS = """
#include <stddef.h>
#include <string.h>
#include <unistd.h>
struct addrinfo;
/* Every look-up of a name below `.invalid` never ends; the others fail at once (EAI_NONAME). */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    (void)service, (void)hints, (void)found;
    size_t length = node ? strlen(node) : 0;
    if (length > 8 && strcmp(node + length - 8, ".invalid") == 0)
        for (;;) pause();
    return -2;
}
"""


def hanging_resolver(folder: Path) -> dict[str, str]:
    """Variables of the environment of a program in which looking up a name below ``.invalid`` never ends.

    :param folder: where the library is built that does it
    :raises LookupError: there is no C compiler, or no system that loads such a library
    """
    compiler = shutil.which("cc")
    if sys.platform != "linux":
        raise LookupError("a hanging resolver is put before the system's by LD_PRELOAD, which Linux has")
    if compiler is None:
        raise LookupError("a hanging resolver is a library in C, and there is no compiler (cc)")
    library = folder / "hangs.so"
    if not library.exists():
        (folder / "hangs.c").write_text(_HANGS)
        built = [compiler, "-shared", "-fPIC", "-o", f"{library}.new", "hangs.c"]
        subprocess.run(built, cwd=folder, check=True, capture_output=True, timeout=60)
        Path(f"{library}.new").rename(library)
    return {"LD_PRELOAD": str(library)}
