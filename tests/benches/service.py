"""A flag service and event sink on loopback, in a process of its own. Leaves the data to workload.py.

It prints its port, serves until its standard input ends, and takes any SDK key: the key tells the clients apart.
`GET /counts?key=…&evaluations=N&custom=N&seconds=S` answers with what this key has delivered since the last such
question that was satisfied: at once when as many have arrived, otherwise after `seconds` at the latest.
"""

from __future__ import annotations

import gzip
import json
import socketserver
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import workload


class Sink:
    """Counts what each key delivered."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts: dict[str, Counter[str]] = {}

    def add(self, key: str, body: bytes) -> None:
        found: Counter[str] = Counter()
        for event in json.loads(body):
            found[f"events of kind {event['kind']}"] += 1
            if event["kind"] == "summary":
                for flag, summary in event["features"].items():
                    for counter in summary["counters"]:
                        found["evaluations"] += counter["count"]
                        found[f"{flag} = {json.dumps(counter.get('value'))}"] += counter["count"]
            elif event["kind"] == "custom":
                found["custom"] += 1
        with self._changed:
            self._counts.setdefault(key, Counter()).update(found)
            self._changed.notify_all()

    def take(self, key: str, evaluations: int, custom: int, seconds: float) -> dict[str, int]:
        with self._changed:

            def complete() -> bool:
                counts = self._counts.get(key, Counter())
                return counts["evaluations"] >= evaluations and counts["custom"] >= custom

            self._changed.wait_for(complete, seconds)
            return dict(self._counts.pop(key, {}))


# What the service sends, by the first part of the path.
WRITTEN = {
    name: json.dumps(found).encode()
    for name, found in {"": workload.data(), "thousand": workload.thousand(), "large": workload.large()}.items()
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sink = Sink()

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        first, _, rest = address.path[1:].partition("/")
        name, path = (first, f"/{rest}") if first in WRITTEN else ("", address.path)
        if path == "/all":
            self.stream(name)
        elif path == "/sdk/latest-all":
            self.answer(200, WRITTEN[name], {"ETag": '"1"'})
        elif address.path == "/counts":
            asked = {name: values[0] for name, values in parse_qs(address.query).items()}
            counts = self.sink.take(
                asked["key"], int(asked["evaluations"]), int(asked["custom"]), float(asked["seconds"])
            )
            self.answer(200, json.dumps(counts).encode())
        else:
            self.answer(404, b"")

    def do_POST(self) -> None:
        body = (
            self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else self.chunks()
        )
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.endswith("/bulk"):
            self.sink.add(self.headers["Authorization"], body)
        self.answer(202, b"")

    def chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def stream(self, name: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")  # without it urllib3 waits for a full buffer
        self.end_headers()
        event = b'event: put\ndata: {"path": "/", "data": %b}\n\n' % WRITTEN[name]
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.wfile.flush()
        self.close_connection = True
        self.rfile.read(1)  # until the client goes away

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # The base class would look up the host's name, which may take seconds where no resolver answers.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        pass  # a client that went away


def main() -> None:
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
