"""A stand-in for a Consul agent, for where no real one can be had: its key-value store in memory, on loopback.

It answers what stores and the contract harness ask of ``/v1/kv`` and ``/v1/txn``: reading one key or a prefix, writing
with and without check-and-set, deleting, and transactions of set, delete, get and cas. Blocking queries, sessions, locks
and access control are left out. Run as ``python consul_stand_in.py PORT``.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

# As Consul limits them.
_MOST_OPERATIONS = 64
_LARGEST_VALUE = 512 * 1024


class Entries:
    """Keys and their values. The index counts the changes, as Consul's does."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.index = 1
        self._entries: dict[str, dict[str, Any]] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        return self._entries.get(key)

    def under(self, prefix: str) -> list[dict[str, Any]]:
        return [entry for key, entry in sorted(self._entries.items()) if key.startswith(prefix)]

    def set(self, key: str, value: bytes, flags: int = 0) -> dict[str, Any]:
        self.index += 1
        old = self._entries.get(key)
        entry = {
            "LockIndex": 0,
            "Key": key,
            "Flags": flags,
            "Value": base64.b64encode(value).decode() if value else None,
            "CreateIndex": old["CreateIndex"] if old else self.index,
            "ModifyIndex": self.index,
        }
        self._entries[key] = entry
        return entry

    def is_at(self, key: str, index: int) -> bool:
        """Tells whether the key was last changed at that index; 0 stands for a key that does not exist."""
        entry = self._entries.get(key)
        return (entry["ModifyIndex"] if entry else 0) == index

    def delete(self, key: str) -> None:
        self.index += 1
        self._entries.pop(key, None)

    def delete_under(self, prefix: str) -> None:
        self.index += 1
        for entry in self.under(prefix):
            del self._entries[entry["Key"]]


class Agent(ThreadingHTTPServer):
    """The agent's HTTP interface."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.entries = Entries()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Agent

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self) -> None:
        key, query = self._key()
        if key is None:
            leader = urlsplit(self.path).path == "/v1/status/leader"
            self._answer(200 if leader else 404, "127.0.0.1:8300" if leader else None)
            return
        entries = self.server.entries
        with entries.lock:
            if "keys" in query:
                found: Any = [entry["Key"] for entry in entries.under(key)]
                separator = query.get("separator")
                if separator:
                    found = sorted({_cut(name, key, separator) for name in found})
            elif "recurse" in query:
                found = entries.under(key)
            else:
                entry = entries.get(key)
                if entry is not None and "raw" in query:
                    self._send(200, base64.b64decode(entry["Value"] or ""), "application/octet-stream")
                    return
                found = [entry] if entry else []
            self._answer(200 if found else 404, found or None)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if urlsplit(self.path).path == "/v1/txn":
            self._transact(json.loads(body))
            return
        key, query = self._key()
        if key is None:
            self._answer(404, None)
        elif len(body) > _LARGEST_VALUE:
            self._send(413, b"the value is larger than Consul allows", "text/plain")
        else:
            entries = self.server.entries
            with entries.lock:
                done = "cas" not in query or entries.is_at(key, int(query["cas"]))
                if done:
                    entries.set(key, body, int(query.get("flags") or 0))
            self._answer(200, done)

    def do_DELETE(self) -> None:
        key, query = self._key()
        if key is None:
            self._answer(404, None)
            return
        entries = self.server.entries
        with entries.lock:
            done = "cas" not in query or entries.is_at(key, int(query["cas"]))
            if "recurse" in query:
                entries.delete_under(key)
            elif done:
                entries.delete(key)
        self._answer(200, done)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def _key(self) -> tuple[str | None, dict[str, str]]:
        where = urlsplit(self.path)
        query = dict(parse_qsl(where.query, keep_blank_values=True))
        prefix = "/v1/kv/"
        if not where.path.startswith(prefix):
            return None, query
        return unquote(where.path[len(prefix) :]).lstrip("/"), query

    def _transact(self, operations: list[dict[str, Any]]) -> None:
        entries = self.server.entries
        steps = [operation["KV"] for operation in operations]
        if len(steps) > _MOST_OPERATIONS:
            self._send(413, b"the transaction has more operations than Consul allows", "text/plain")
            return
        with entries.lock:
            errors = [
                {"OpIndex": number, "What": reason}
                for number, step in enumerate(steps)
                if (reason := _fault(entries, step))
            ]
            if errors:
                self._answer(409, {"Results": None, "Errors": errors})
                return
            results = [{"KV": result} for step in steps if (result := _apply(entries, step))]
        self._answer(200, {"Results": results, "Errors": None})

    def _answer(self, status: int, answer: Any) -> None:
        self._send(status, b"" if answer is None else json.dumps(answer).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Consul-Index", str(self.server.entries.index))
        self.send_header("X-Consul-Knownleader", "true")
        self.send_header("X-Consul-Lastcontact", "0")
        self.end_headers()
        self.wfile.write(body)


def _cut(name: str, prefix: str, separator: str) -> str:
    end = name.find(separator, len(prefix))
    return name if end < 0 else name[: end + len(separator)]


def _fault(entries: Entries, step: dict[str, Any]) -> str | None:
    verb, key = step["Verb"], step["Key"]
    if verb in ("cas", "delete-cas", "check-index") and not entries.is_at(key, step.get("Index") or 0):
        return f"failed to set key {key!r}, index is stale"
    if verb == "get" and entries.get(key) is None:
        return f"key {key!r} doesn't exist"
    known = ("set", "cas", "get", "get-tree", "check-index", "delete", "delete-cas", "delete-tree")
    return None if verb in known else f"unknown KV verb {verb!r}"


def _apply(entries: Entries, step: dict[str, Any]) -> dict[str, Any] | None:
    verb, key = step["Verb"], step["Key"]
    if verb in ("set", "cas"):
        entry = entries.set(key, base64.b64decode(step.get("Value") or ""), step.get("Flags") or 0)
        return {**entry, "Value": None}
    if verb == "get":
        return entries.get(key)
    if verb == "delete-tree":
        entries.delete_under(key)
    elif verb.startswith("delete"):
        entries.delete(key)
    return None


def main() -> None:
    """Serves until it is told to end."""
    with Agent(int(sys.argv[1])) as agent:
        agent.serve_forever()


if __name__ == "__main__":
    main()
