"""Watches a big segment store: the thread that polls its state, and those who hear of it.

What the state is, and what an evaluation makes of it, is decided natively. One daemon thread a client polls, whether
the store is native or written in Python. It is begun with the client, and again by the first call in a forked process.
Listeners are called where all are: :mod:`ldclient.tracking`.
"""

from __future__ import annotations

import threading
import weakref

from . import logs
from .interfaces import BigSegmentStoreStatus, BigSegmentStoreStatusProvider
from .listeners import Listeners

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._ldclient import BigSegmentWatch
    from .client import LDClient

__all__ = ["StatusProvider"]


class StatusProvider(BigSegmentStoreStatusProvider):
    """The status provider of one client; that of a client without a store always says that none is available.

    It does not keep the client, and holds no lock: a forked child could inherit it locked.
    """

    def __init__(self, client: LDClient) -> None:
        self._client = weakref.ref(client)
        self._listeners = Listeners()
        self._watch: BigSegmentWatch | None = None
        self._ended = threading.Event()
        self._last: BigSegmentStoreStatus | None = None

    @property
    def status(self) -> BigSegmentStoreStatus:
        """The state as last polled. Before the first poll has ended, this asks the store, and waits for it."""
        watch = self._watch
        return BigSegmentStoreStatus(False, False) if watch is None else BigSegmentStoreStatus(*watch.status())

    def add_listener(self, listener: Callable[[BigSegmentStoreStatus], None]) -> None:
        """Has the listener called, on the thread of all listeners, with each status that differs from the one before.

        :param listener: takes a :class:`ldclient.interfaces.BigSegmentStoreStatus`. What it raises is logged
        """
        self._listeners.add(listener)

    def remove_listener(self, listener: Callable[[BigSegmentStoreStatus], None]) -> None:
        """Ends that; does nothing for a listener that was not added."""
        self._listeners.remove(listener)

    def _begin(self, watch: BigSegmentWatch) -> None:
        # A new event, because one that was inherited may have been locked at the fork.
        self._watch, self._ended = watch, threading.Event()
        thread = threading.Thread(
            target=_poll, args=(watch, self._ended, weakref.ref(self)), name="ldclient-big-segments", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            logs.logger().warning("The system has no thread that could watch the Big Segment store.")

    def _end(self) -> None:
        self._ended.set()

    def _update(self, status: BigSegmentStoreStatus) -> None:
        last, self._last = self._last, status
        client = self._client()
        if client is not None and last is not None and last != status:
            client._notifications().post(self._listeners, status)

    def __del__(self) -> None:
        self._ended.set()


def _poll(watch: BigSegmentWatch, ended: threading.Event, provider: weakref.ref[StatusProvider]) -> None:
    look = watch.status
    while not ended.is_set():
        status = BigSegmentStoreStatus(*look())
        look = watch.poll
        holder, interval = provider(), watch.interval
        if holder is None or interval is None or ended.is_set():
            return
        holder._update(status)
        # While it waits the thread must not keep the client's provider.
        del holder
        ended.wait(min(interval, threading.TIMEOUT_MAX))
