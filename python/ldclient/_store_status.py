"""Tells the state of the data store: ``client.data_store_status_provider``."""

from __future__ import annotations

import threading
import weakref

from .interfaces import DataStoreStatus, DataStoreStatusProvider
from .listeners import Listeners

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["StatusProvider"]

# The store itself is looked at every half a second while it is down.
_LOOK = 0.25


class StatusProvider(DataStoreStatusProvider):
    """Asks the native client, and calls listeners on one daemon thread that runs while there are any."""

    def __init__(self, client: Any, store: Any) -> None:
        self._client = weakref.ref(client)
        enabled = getattr(store, "is_monitoring_enabled", None)
        self._is_monitored = callable(enabled) and callable(getattr(store, "is_available", None)) and bool(enabled())
        self._listeners = Listeners()
        self._watching: threading.Thread | None = None
        self._last = DataStoreStatus(True, False)

    @property
    def status(self) -> DataStoreStatus:
        """Whether the store answers, and whether it has to be filled again."""
        client = self._client()
        if client is None or not self._is_monitored:
            return DataStoreStatus(True, False)
        return DataStoreStatus(*client._store_status())

    def is_monitoring_enabled(self) -> bool:
        """Whether the status means anything: only persistent stores fail."""
        return self._is_monitored

    def add_listener(self, listener: Callable[[DataStoreStatus], None]) -> None:
        """Calls the listener with each new status."""
        self._listeners.add(listener)
        watching = self._watching
        if self._is_monitored and (watching is None or not watching.is_alive()):
            self._last = self.status
            self._watching = threading.Thread(target=self._watch, name="ldclient-store-status", daemon=True)
            self._watching.start()

    def remove_listener(self, listener: Callable[[DataStoreStatus], None]) -> None:
        """Calls the listener no more."""
        self._listeners.remove(listener)

    def _watch(self) -> None:
        pause = threading.Event()
        while self._listeners.has_listeners():
            client = self._client()
            if client is None or client.is_closed():
                return
            del client
            status = self.status
            if status != self._last:
                self._last = status
                self._listeners.notify(status)
            pause.wait(_LOOK)
