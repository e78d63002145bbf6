"""Between the native client and feature stores in Python: items as JSON text on one side, as dicts on the other.

When a store is asked, and on which thread, is the native client's question.
"""

from __future__ import annotations

import json
import weakref

from . import logs
from .feature_store import InMemoryFeatureStore
from .feature_store_helpers import CachingStoreWrapper
from .interfaces import FeatureStore
from .versioned_data_kind import FEATURES, SEGMENTS

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from . import _ldclient
    from .versioned_data_kind import VersionedDataKind

__all__ = ["Bridge", "FedStore", "follow", "lend_thread", "options"]

_KINDS = {kind.namespace: kind for kind in (FEATURES, SEGMENTS)}
_FOREVER = float("inf")


class Bridge:
    """A store of Python's as the native client asks it. Raises what the store raises."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._core = store._core if isinstance(store, CachingStoreWrapper) else None
        self._has_texts = _has_texts(self._core)

    def all(self, namespace: str) -> dict[str, str]:
        """Returns all items' texts by key."""
        kind = _KINDS[namespace]
        if self._core is not None and self._has_texts:
            texts: dict[str, str] = self._core.texts(kind)
            return texts
        if self._core is not None:
            items = self._core.get_all_internal(kind)
        else:
            items = self._store.all(kind, lambda found: found)
        return {str(key): _text(kind, item) for key, item in (items or {}).items() if item is not None}

    def get(self, namespace: str, key: str) -> str | None:
        """Returns an item's text, or None."""
        kind = _KINDS[namespace]
        if self._core is not None and self._has_texts:
            text: str | None = self._core.text(kind, key)
            return text
        if self._core is not None:
            item = self._core.get_internal(kind, key)
        else:
            item = self._store.get(kind, key, lambda found: found)
        return None if item is None else _text(kind, item)

    def init(self, features: dict[str, str], segments: dict[str, str]) -> None:
        """Replaces everything."""
        data: dict[VersionedDataKind, dict[str, Any]] = {
            SEGMENTS: _items(segments),
            FEATURES: _in_order(_items(features)),
        }
        store = self._store
        (store._replace if isinstance(store, InMemoryFeatureStore) else store.init)(data)

    def upsert(self, namespace: str, key: str, version: int, text: str) -> None:
        """Puts an item in unless that version or a newer one is there."""
        kind, item, store = _KINDS[namespace], json.loads(text), self._store
        item.setdefault("key", key)
        item.setdefault("version", version)
        if isinstance(store, InMemoryFeatureStore):
            store._put(kind, item)
        elif item.get("deleted"):
            store.delete(kind, key, version)
        else:
            store.upsert(kind, item)

    def initialized(self) -> bool:
        """Tells whether anyone ever filled the store."""
        if self._core is not None:
            return bool(self._core.initialized_internal())
        # A property, as the interface has it; some wrote a method.
        initialized = self._store.initialized
        return bool(initialized() if callable(initialized) else initialized)

    def is_available(self) -> bool:
        """Tells whether the store answers, as far as it can be asked."""
        is_available = getattr(self._core or self._store, "is_available", None)
        if callable(is_available):
            return bool(is_available())
        self.initialized()
        return True


class FedStore(FeatureStore):
    """The store that a data source of an application's own writes to: the client's memory, and the real store soon
    after. Reads come from the real store."""

    def __init__(self, store: Any, client: Any) -> None:
        self._store = store
        self._client = weakref.ref(client)

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, Any]]) -> None:
        """Replaces everything."""
        self._tell("init", all_data)

    def upsert(self, kind: VersionedDataKind, item: Any) -> None:
        """Puts an item in unless that version or a newer one is there."""
        self._tell("upsert", (kind, item))

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes an item unless that version or a newer one is there."""
        self._tell("delete", (kind, key, version))

    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = lambda item: item) -> Any:
        """Returns what ``callback`` makes of the real store's item."""
        return self._store.get(kind, key, callback)

    def all(self, kind: VersionedDataKind, callback: Callable[[Any], Any] = lambda items: items) -> Any:
        """Returns what ``callback`` makes of the real store's items."""
        return self._store.all(kind, callback)

    @property
    def initialized(self) -> bool:
        """Whether the real store was ever filled."""
        return Bridge(self._store).initialized()

    def _tell(self, what: str, data: Any) -> None:
        client = self._client()
        if client is not None:
            _deliver(client, what, data, True)


def follow(store: InMemoryFeatureStore, client: Any) -> None:
    """Lets a client hear of what is put into its store, from now on. The client is not kept alive by it."""
    reference = weakref.ref(client)

    def hear(what: str, data: Any) -> bool:
        followed = reference()
        if followed is None or followed.is_closed():
            return False
        _deliver(followed, what, data, False)
        return True

    store._hear.append(hear)
    if store.initialized:
        hear("init", {kind: store.all(kind) for kind in _KINDS.values()})


def _deliver(client: _ldclient.Client, what: str, data: Any, write: bool) -> None:
    if what == "init":
        by_name = {kind.namespace: (kind, items) for kind, items in data.items()}
        parts = []
        for name, member in (("features", "flags"), ("segments", "segments")):
            kind, items = by_name.get(name, (_KINDS[name], {}))
            texts = (f"{json.dumps(key)}: {_text(kind, item)}" for key, item in items.items())
            parts.append(f'"{member}": {{{", ".join(texts)}}}')
        client._deliver(f"{{{', '.join(parts)}}}", write)
    elif what == "upsert":
        kind, item = data
        item = kind.encode(item)
        client._deliver_item(kind.namespace, str(item["key"]), _text(kind, item), write)
    else:
        kind, key, version = data
        client._deliver_deletion(kind.namespace, key, version, write)


def options(store: Any) -> dict[str, Any] | None:
    """Returns how the native client is to use a store, or None for its own memory.

    :raises TypeError: it is no feature store
    """
    if store is None:
        return None
    missing = [name for name in ("get", "all", "init", "upsert", "delete") if not callable(getattr(store, name, None))]
    if missing:
        raise TypeError(f"feature_store: {type(store).__name__} has no method {missing[0]}()")
    if isinstance(store, InMemoryFeatureStore):
        # What it holds is in the client's memory too, kept alike by `follow`.
        return {"native": None, "bridge": Bridge(store), "caching": _FOREVER}
    if isinstance(store, CachingStoreWrapper):
        native = getattr(store._core, "_native", None)
        bridge = Bridge(store) if native is None else None
        return {"native": native, "bridge": bridge, "caching": float(max(store._caching.expiration, 0))}
    # How long it keeps anything is its own affair.
    return {"native": None, "bridge": Bridge(store), "caching": 0.0}


def lend_thread(work: _ldclient.StoreWork) -> None:
    """Starts the daemon thread that a store in Python is asked on. Never raises."""
    import threading

    try:
        threading.Thread(target=work.run, name="ldclient-store", daemon=True).start()
    except RuntimeError:
        # The interpreter ends.
        logs.logger().debug("There is no thread for the feature store any more.")


def _has_texts(core: Any) -> bool:
    """Whether a core keeps texts, and does so as it was made: one of a subclass may have changed what they mean."""
    if core is None or not hasattr(core, "texts"):
        return False
    from .integrations._stores import TextCore

    return isinstance(core, TextCore) and all(
        getattr(type(core), name) is getattr(TextCore, name) for name in ("get_internal", "get_all_internal")
    )


def _text(kind: VersionedDataKind, item: Any) -> str:
    # An item that no JSON can hold is malformed alone.
    try:
        return json.dumps(kind.encode(item))
    except (TypeError, ValueError):
        return '"it cannot be written as JSON"'


def _items(texts: dict[str, str]) -> dict[str, Any]:
    items = {}
    for key, text in texts.items():
        item = json.loads(text)
        if isinstance(item, dict):
            item.setdefault("key", key)
            item.setdefault("version", 0)
            items[key] = item
    return items


def _in_order(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags so that each stands behind those that it needs, for stores that write one after the other."""
    ordered: dict[str, Any] = {}
    visited: set[str] = set()
    for first in flags:
        stack = [first]
        while stack:
            key = stack[-1]
            waiting: list[str] = []
            if key not in visited:
                visited.add(key)
                needed = flags[key].get("prerequisites") or []
                names = [str(one.get("key")) for one in needed if isinstance(one, dict)]
                waiting = [name for name in names if name in flags and name not in visited]
            if waiting:
                stack.extend(waiting)
            else:
                ordered.setdefault(stack.pop(), flags[key])
    return ordered
