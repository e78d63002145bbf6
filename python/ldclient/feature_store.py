"""The feature store in memory, and how long persistent ones are cached."""

from __future__ import annotations

from _thread import RLock

from .interfaces import DiagnosticDescription, FeatureStore

# `typing` takes longer to import than this whole module; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .versioned_data_kind import VersionedDataKind

__all__ = ["CacheConfig", "InMemoryFeatureStore"]


class CacheConfig:
    """How long what was read from a persistent store is kept. Immutable.

    :param expiration: seconds; default 15. 0 or less keeps nothing: each evaluation reads the store.
        ``float("inf")`` keeps what was read for as long as the client lives
    :param capacity: how many items a :class:`ldclient.feature_store_helpers.CachingStoreWrapper` that is used by itself
        keeps; default 1000. A client keeps all

    >>> CacheConfig.default().expiration, CacheConfig.disabled().enabled
    (15.0, False)
    """

    DEFAULT_EXPIRATION = 15.0
    DEFAULT_CAPACITY = 1000

    def __init__(self, expiration: float = DEFAULT_EXPIRATION, capacity: int = DEFAULT_CAPACITY) -> None:
        self._expiration = expiration
        self._capacity = capacity

    @staticmethod
    def default() -> CacheConfig:
        """Returns what is used where nothing is said: 15 seconds."""
        return CacheConfig()

    @staticmethod
    def disabled() -> CacheConfig:
        """Returns the setting that keeps nothing."""
        return CacheConfig(expiration=0)

    @property
    def enabled(self) -> bool:
        """Whether anything is kept."""
        return self._expiration > 0

    @property
    def expiration(self) -> float:
        """Seconds for which an item is kept."""
        return self._expiration

    @property
    def capacity(self) -> int:
        """How many items are kept."""
        return self._capacity


class InMemoryFeatureStore(FeatureStore, DiagnosticDescription):
    """Flags and segments in this process. What is put into one that a client was given counts at once.

    >>> from ldclient.versioned_data_kind import FEATURES
    >>> store = InMemoryFeatureStore()
    >>> store.init({FEATURES: {"a": {"key": "a", "version": 1}}})
    >>> store.get(FEATURES, "a")
    {'key': 'a', 'version': 1}
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._items: dict[str, dict[str, Any]] = {}
        self._filled = False
        # What the clients that were given this store hear of its changes.
        self._hear: list[Callable[[str, Any], bool]] = []

    def is_monitoring_enabled(self) -> bool:
        """Returns False: memory does not fail."""
        return False

    def is_available(self) -> bool:
        """Returns True: memory does not fail."""
        return True

    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = lambda item: item) -> Any:
        """Returns what ``callback`` makes of the item, or of None where there is none."""
        item = self._items.get(kind.namespace, {}).get(key)
        return callback(None if item is None or item.get("deleted") else item)

    def all(self, kind: VersionedDataKind, callback: Callable[[Any], Any] = lambda items: items) -> Any:
        """Returns what ``callback`` makes of the dict of all items by key, without deleted ones."""
        with self._lock:
            items = dict(self._items.get(kind.namespace, {}))
        return callback({key: item for key, item in items.items() if not item.get("deleted")})

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, Any]]) -> None:
        """Replaces everything: kind -> key -> item."""
        self._replace(all_data)
        self._tell("init", all_data)

    def upsert(self, kind: VersionedDataKind, item: Any) -> None:
        """Puts an item in unless that version or a newer one is there."""
        if self._put(kind, item):
            self._tell("upsert", (kind, item))

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes an item unless that version or a newer one is there."""
        if self._put(kind, {"key": key, "version": version, "deleted": True}):
            self._tell("delete", (kind, key, version))

    @property
    def initialized(self) -> bool:
        """Whether anyone ever filled it."""
        return self._filled

    def describe_configuration(self, config: Any) -> str:  # noqa: ARG002
        """Returns its name in diagnostic events."""
        return "memory"

    def _replace(self, all_data: Mapping[VersionedDataKind, Mapping[str, Any]]) -> None:
        items = {kind.namespace: {key: kind.decode(item) for key, item in of.items()} for kind, of in all_data.items()}
        with self._lock:
            self._items = items
            self._filled = True

    def _put(self, kind: VersionedDataKind, item: Any) -> bool:
        item = kind.decode(item)
        with self._lock:
            items = self._items.setdefault(kind.namespace, {})
            old = items.get(item["key"])
            newer: bool = old is None or old["version"] < item["version"]
            if newer:
                items[item["key"]] = item
        return newer

    def _tell(self, what: str, data: Any) -> None:
        for hear in list(self._hear):
            if not hear(what, data):
                self._hear.remove(hear)
