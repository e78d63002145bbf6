"""What makes a feature store of the part that a database decides."""

from __future__ import annotations

import time
from collections import OrderedDict

from .feature_store import CacheConfig
from .interfaces import DiagnosticDescription, FeatureStore, FeatureStoreCore

# `typing` takes longer to import than this whole module; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .versioned_data_kind import VersionedDataKind

__all__ = ["CachingStoreWrapper"]

_INITED = "$inited"


class CachingStoreWrapper(DiagnosticDescription, FeatureStore):
    """A feature store made of a :class:`ldclient.interfaces.FeatureStoreCore`, with a cache in front of it.

    A client asks the core itself and keeps what it reads in its own form, for as long as the cache's setting says. The
    cache here is for those who use the store by itself.

    :param core: the part that the database decides; ``is_available()`` makes its failures observable
    :param cache_config: how long what was read is kept
    """

    __INITED_CACHE_KEY__ = _INITED

    def __init__(self, core: FeatureStoreCore, cache_config: CacheConfig) -> None:
        self._core: Any = core
        self._caching = cache_config
        self._items: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._inited = False

    def is_monitoring_enabled(self) -> bool:
        """Whether failures of the database are noticed and told."""
        return callable(getattr(self._core, "is_available", None))

    def is_available(self) -> bool:
        """Whether the database answers; False where the core cannot tell."""
        return bool(self._core.is_available()) if self.is_monitoring_enabled() else False

    def init(self, all_encoded_data: Mapping[VersionedDataKind, Mapping[str, Any]]) -> None:
        """Replaces everything: kind -> key -> item. Raises what the core raises."""
        self._core.init_internal(all_encoded_data)
        self._items.clear()
        for kind, items in all_encoded_data.items():
            decoded = {key: kind.decode(item) for key, item in items.items()}
            for key, item in decoded.items():
                self._keep(f"{kind.namespace}:{key}", item)
            self._keep(kind.namespace, _living(decoded))
        self._inited = True

    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = lambda item: item) -> Any:
        """Returns what ``callback`` makes of the item, or of None where there is none. Raises what the core raises."""
        known, item = self._kept(f"{kind.namespace}:{key}")
        if not known:
            item = self._core.get_internal(kind, key)
            item = None if item is None else kind.decode(item)
            self._keep(f"{kind.namespace}:{key}", item)
        return callback(None if item is None or item.get("deleted") else item)

    def all(self, kind: VersionedDataKind, callback: Callable[[Any], Any] = lambda items: items) -> Any:
        """Returns what ``callback`` makes of the dict of all items by key. Raises what the core raises."""
        known, items = self._kept(kind.namespace)
        if not known:
            found = self._core.get_all_internal(kind) or {}
            items = _living({key: kind.decode(item) for key, item in found.items()})
            self._keep(kind.namespace, items)
        return callback(items)

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Puts the mark of a deletion in unless that version or a newer one is there. Raises what the core raises."""
        self.upsert(kind, {"key": key, "version": version, "deleted": True})

    def upsert(self, kind: VersionedDataKind, encoded_item: Any) -> None:
        """Puts an item in unless that version or a newer one is there. Raises what the core raises."""
        state = kind.decode(self._core.upsert_internal(kind, kind.encode(encoded_item)))
        self._keep(f"{kind.namespace}:{state['key']}", state)
        self._items.pop(kind.namespace, None)

    @property
    def initialized(self) -> bool:
        """Whether anyone ever filled the database. Raises what the core raises."""
        if not self._inited:
            known, inited = self._kept(_INITED)
            if not known:
                inited = bool(self._core.initialized_internal())
                self._keep(_INITED, inited)
            self._inited = inited
        return self._inited

    def close(self) -> None:
        """Forgets what was kept, and closes the core if it can be closed."""
        self._items.clear()
        close = getattr(self._core, "close", None)
        if callable(close):
            close()

    def describe_configuration(self, config: Any) -> str:
        """Returns the core's name in diagnostic events, or 'custom'."""
        describe = getattr(self._core, "describe_configuration", None)
        return str(describe(config)) if callable(describe) else "custom"

    def _kept(self, name: str) -> tuple[bool, Any]:
        until, item = self._items.get(name, (0.0, None))
        return (True, item) if until > time.monotonic() else (False, None)

    def _keep(self, name: str, item: Any) -> None:
        if not self._caching.enabled:
            return
        self._items[name] = (time.monotonic() + self._caching.expiration, item)
        self._items.move_to_end(name)
        while len(self._items) > max(self._caching.capacity, 1):
            self._items.popitem(last=False)


def _living(items: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in items.items() if not item.get("deleted")}
