"""The test service that the contract harness drives: HTTP in, calls of the public API of ``ldclient`` out.

Run as ``python service.py PORT``; it listens on loopback only. What the commands do is ``commands.py``'s question.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from capabilities import DECLARED
from commands import ClientUnderTest, UnknownCommandError

import ldclient

_Json = dict[str, Any]


class Service(ThreadingHTTPServer):
    """The clients that exist, by number."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.clients: dict[str, ClientUnderTest] = {}
        self.numbers = itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    """One request. A malformed one is answered 400, a failure of ours 500 with its traceback, for the harness's log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Service

    def do_GET(self) -> None:
        self._answer(
            200, {"name": "ldclient-rs", "clientVersion": ldclient.__version__, "capabilities": sorted(DECLARED)}
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            parameters = json.loads(body)
            self._make_client(parameters) if self.path == "/" else self._command(parameters)
        except (ValueError, KeyError, UnknownCommandError):
            self._answer(400, {"error": traceback.format_exc()})
        except Exception:
            self._answer(500, {"error": traceback.format_exc()})

    def do_DELETE(self) -> None:
        if self.path == "/":
            self._answer(204)
            threading.Thread(target=self.server.shutdown).start()
            return
        client = self.server.clients.pop(self.path, None)
        if client is None:
            self._answer(404)
            return
        client.close()
        self._answer(204)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def _make_client(self, parameters: _Json) -> None:
        logging.getLogger("ldclient").info("--- %s", parameters.get("tag"))
        client = ClientUnderTest(parameters["configuration"])
        path = f"/clients/{next(self.server.numbers)}"
        self.server.clients[path] = client
        self._answer(201, location=path)

    def _command(self, parameters: _Json) -> None:
        client = self.server.clients.get(self.path)
        if client is None:
            self._answer(404)
            return
        command = parameters["command"]
        answer = client.do(command, parameters.get(command) or {})
        self._answer(202 if answer is None else 200, answer)

    def _answer(self, status: int, answer: _Json | None = None, location: str | None = None) -> None:
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        if location is not None:
            self.send_header("Location", location)
        if answer is not None:
            self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serves until it is told to end."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    with Service(int(sys.argv[1])) as service:
        service.serve_forever()


if __name__ == "__main__":
    main()
