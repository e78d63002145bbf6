"""What the development server serves: flags and segments with versions that only grow, and the changes between them.

Pure data: reading files is left to ``ldclient.local.watching``, HTTP to ``ldclient.local.server``.

1. An SDK ignores an item whose version is not above the one it holds, and people who edit a file by hand do not count
   versions. So an item whose content differs is served with the greater of the file's version and the last served + 1.
2. A deletion uses up a version too, and the key keeps counting from there should it come back.
3. Content that is the same is not sent again, unless the file gives it a greater version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["KINDS", "Change", "ServedData"]

KINDS = ("flags", "segments")
"""The kinds of item, in the words of the protocol's paths."""


class Change:
    """One item that was put (``item`` is its JSON text) or deleted (``item`` is None)."""

    __slots__ = ("item", "key", "kind", "version")

    def __init__(self, kind: str, key: str, version: int, item: str | None) -> None:
        self.kind = kind
        self.key = key
        self.version = version
        self.item = item

    def __repr__(self) -> str:
        return f"Change({self.kind}/{self.key}, version {self.version}, {'deleted' if self.item is None else 'put'})"

    @property
    def event(self) -> bytes:
        """The server-sent event that tells a connected SDK."""
        path = json.dumps(f"/{self.kind}/{self.key}")
        if self.item is None:
            return _event("delete", f'{{"path":{path},"version":{self.version}}}')
        return _event("patch", f'{{"path":{path},"data":{self.item}}}')


class ServedData:
    """The current flags and segments. Not safe for threads: the server calls it under its own lock."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
        self._texts: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        self._deleted: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
        self._body: bytes | None = None
        self._etag = ""

    def replace(self, data: Mapping[str, Any]) -> list[Change]:
        """Takes ``{"flags": {key: item}, "segments": {key: item}}`` and says what changed, segments first.

        Segments go first because a flag that refers to a new segment must find it.
        Raises ValueError, and changes nothing, when an item is not an object.
        """
        new = {kind: data.get(kind) or {} for kind in KINDS}
        for kind in KINDS:
            for key, item in new[kind].items():
                if not isinstance(item, dict):
                    raise ValueError(f'{kind[:-1]} "{key}" must be an object, not {type(item).__name__}')
        changes = [change for kind in reversed(KINDS) for change in self._replace_kind(kind, new[kind])]
        if changes:
            self._body = None
        return changes

    def _replace_kind(self, kind: str, new: Mapping[str, dict[str, Any]]) -> list[Change]:
        items, texts, deleted = self._items[kind], self._texts[kind], self._deleted[kind]
        changes = []
        for key, given in new.items():
            item = {**given, "key": key, "version": _version(given)}
            old = items.get(key)
            if old is not None:
                if {**item, "version": old["version"]} != old:
                    item["version"] = max(item["version"], old["version"] + 1)
                elif item["version"] <= old["version"]:
                    continue
            elif key in deleted:
                item["version"] = max(item["version"], deleted.pop(key) + 1)
            items[key] = item
            texts[key] = json.dumps(item, separators=(",", ":"))
            changes.append(Change(kind, key, item["version"], texts[key]))
        for key in [key for key in items if key not in new]:
            deleted[key] = items.pop(key)["version"] + 1
            del texts[key]
            changes.append(Change(kind, key, deleted[key], None))
        return changes

    def body(self) -> bytes:
        """The answer to ``/sdk/latest-all``: ``{"flags": {…}, "segments": {…}}``."""
        if self._body is None:
            parts = (f"{json.dumps(kind)}:{self.all(kind)}" for kind in KINDS)
            self._body = ("{" + ",".join(parts) + "}").encode()
            self._etag = '"' + hashlib.sha256(self._body).hexdigest()[:32] + '"'
        return self._body

    def etag(self) -> str:
        """The entity tag of ``body()``, quotes included."""
        self.body()
        return self._etag

    def put_event(self) -> bytes:
        """The event that a new stream begins with."""
        return b'event: put\ndata: {"path":"/","data":' + self.body() + b"}\n\n"

    def all(self, kind: str) -> str:
        """Every item of a kind, as the JSON text of an object."""
        return "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in self._texts[kind].items()) + "}"

    def get(self, kind: str, key: str) -> str | None:
        """The JSON text of one item."""
        return self._texts[kind].get(key)

    def count(self, kind: str) -> int:
        """How many items of a kind there are."""
        return len(self._items[kind])


def _version(item: Mapping[str, Any]) -> int:
    version = item.get("version")
    return version if isinstance(version, int) and not isinstance(version, bool) else 1


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()
