"""Calls listeners: ``flag_tracker``, ``data_source_status_provider`` and ``data_store_status_provider`` of a client.

1. Native threads never touch the interpreter. What they have to tell waits in the native client; one daemon thread a
   process, ``ldclient-listeners``, takes it and calls the listeners, of all clients, one after the other.
2. The thread runs while anybody listens to a client that is open. It ends with the last one, and begins again with the
   next.
3. A forked child has no such thread; the first call on a client there starts one. Listeners that were added before the
   fork hear what happens in the child, too.
4. A listener that raises is logged. One that waits keeps other listeners waiting, nothing else. One may use the client,
   add and remove listeners, itself too, and close the client.
5. No lock is held, here or while a listener is called: it could be inherited locked.
"""

from __future__ import annotations

import os
from collections import deque

from . import _ldclient, logs
from .interfaces import (
    DataSourceErrorInfo,
    DataSourceErrorKind,
    DataSourceState,
    DataSourceStatus,
    DataSourceStatusProvider,
    DataStoreStatus,
    DataStoreStatusProvider,
    DataStoreUpdateSink,
    FlagChange,
    FlagTracker,
    FlagValueChange,
)
from .listeners import Listeners

# `typing` takes longer to import than this whole module; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from typing import Any

    from ._ldclient import Client, _Status, _User

__all__ = ["Notifier", "finish", "start"]

# Seconds after which the thread looks whether anybody still listens, should nothing wake it.
_LOOK = 1.0

# How many values of components in Python wait at most; older ones go first.
_POSTED = 10_000

# Those that somebody listens to, by their own identity. It keeps their clients alive: an application may hold nothing
# but its listener.
_listened: dict[int, Notifier] = {}

# The thread by the process that it runs in. An inherited entry names the parent, so a child starts its own.
_running: dict[int, threading.Thread] = {}


class Notifier:
    """What one client tells, and to whom."""

    def __init__(self, client: Client, store: Any = None) -> None:
        self._client = client
        self._flags = Listeners()
        self._source = Listeners()
        self._store = Listeners()
        self._posted: deque[tuple[Listeners, object]] = deque(maxlen=_POSTED)
        self.flag_tracker = _FlagTracker(self, self._flags, client)
        self.source_status = _SourceStatusProvider(self, self._source, client)
        self._store_is_monitored = _is_monitored(store)
        self.store_sink = _StoreStatusSink(self, self._store)
        self.store_status = _StoreStatusProvider(self, self.store_sink, client, self._store_is_monitored)

    def add(self, listeners: Listeners, listener: Callable[[Any], None]) -> None:
        """Adds a listener to one of this client's lists, which may also be a component's own, and has it heard."""
        listeners.add(listener)
        self._want()
        _listened[id(self)] = self
        start()

    def remove(self, listeners: Listeners, listener: Callable[[Any], None]) -> None:
        """Removes it again; does nothing if it is not there."""
        listeners.remove(listener)
        self._want()

    def post(self, listeners: Listeners, value: object) -> None:
        """Has the listeners called with a value, on their thread. Never waits. For components in Python."""
        if listeners.has_listeners():
            self._posted.append((listeners, value))
            _listened[id(self)] = self
            start()
            _ldclient.wake_listeners()

    def deliver(self) -> bool:
        """Calls the listeners with what waits; tells whether anything more can come, the client not being closed."""
        keys, statuses, stores, ended = self._client._take_notices()
        for status in statuses:
            self._source.notify(_source_status(status))
        for store in stores:
            self._store.notify(DataStoreStatus(*store))
        for key in keys:
            self._flags.notify(FlagChange(key))
        while self._posted:
            listeners, value = self._posted.popleft()
            listeners.notify(value)
        return not ended

    def has_listeners(self) -> bool:
        """Tells whether anybody listens to what the native client tells, or something waits for somebody."""
        return any(self._wanted()) or bool(self._posted)

    def _wanted(self) -> tuple[bool, bool, bool]:
        store = self._store_is_monitored and self._store.has_listeners()
        return self._flags.has_listeners(), self._source.has_listeners(), store

    def _want(self) -> None:
        self._client._want_notices(*self._wanted())
        if not self.has_listeners():
            # The thread may now have nothing to wait for.
            _ldclient.wake_listeners()


class _FlagTracker(FlagTracker):
    def __init__(self, notifier: Notifier, listeners: Listeners, client: Client) -> None:
        self._notifier = notifier
        self._listeners = listeners
        self._client = client

    def add_listener(self, listener: Callable[[FlagChange], None]) -> None:
        self._notifier.add(self._listeners, listener)

    def remove_listener(self, listener: Callable[[FlagChange], None]) -> None:
        self._notifier.remove(self._listeners, listener)

    def add_flag_value_change_listener(
        self,
        key: str,
        context: _User,
        listener: Callable[[FlagValueChange], None] | None = None,
        *,
        fn: Callable[[FlagValueChange], None] | None = None,
    ) -> Callable[[FlagChange], None]:
        # The interface of the reference SDK names it `listener`, its implementation `fn`.
        called = listener if fn is None else fn
        if called is None:
            raise TypeError("add_flag_value_change_listener: expected a listener, got None")
        subscription = _ValueSubscription(self._client, key, context, called)
        self.add_listener(subscription)
        # Only now, so that no change falls between the first look and the first notice.
        subscription.begin()
        return subscription


class _ValueSubscription:
    """Listens to changes of one flag, and calls its listener with those of its value for one context."""

    def __init__(self, client: Client, key: str, context: _User, listener: Callable[[FlagValueChange], None]) -> None:
        self._client = client
        self._key = key
        self._context = context
        self._listener = listener
        self._value: Any = _NOT_YET

    def begin(self) -> None:
        value = self._evaluate()
        # A notice that came first has looked already.
        if self._value is _NOT_YET:
            self._value = value

    def __call__(self, change: FlagChange) -> None:
        if change.key != self._key:
            return
        new = self._evaluate()
        old, self._value = self._value, new
        if old is not _NOT_YET and not _is_same(old, new):
            self._listener(FlagValueChange(self._key, old, new))

    def _evaluate(self) -> Any:
        return self._client.variation(self._key, self._context, None)


_NOT_YET = object()


def _is_same(one: Any, other: Any) -> bool:
    # In Python True equals 1; in a flag's data it does not.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


class _SourceStatusProvider(DataSourceStatusProvider):
    def __init__(self, notifier: Notifier, listeners: Listeners, client: Client) -> None:
        self._notifier = notifier
        self._listeners = listeners
        self._client = client

    @property
    def status(self) -> DataSourceStatus:
        return _source_status(self._client._source_status())

    def add_listener(self, listener: Callable[[DataSourceStatus], None]) -> None:
        self._notifier.add(self._listeners, listener)

    def remove_listener(self, listener: Callable[[DataSourceStatus], None]) -> None:
        self._notifier.remove(self._listeners, listener)


def _source_status(status: _Status) -> DataSourceStatus:
    state, since, error = status
    info = None
    if error is not None:
        kind, status_code, time, message = error
        info = DataSourceErrorInfo(DataSourceErrorKind[kind], status_code, time, message)
    return DataSourceStatus(DataSourceState[state], since, info)


class _StoreStatusSink(DataStoreUpdateSink):
    """Where a data store tells its status, if the native client does not ask for it."""

    def __init__(self, notifier: Notifier, listeners: Listeners) -> None:
        self._notifier = notifier
        self._listeners = listeners
        self._status = DataStoreStatus(True, False)

    def status(self) -> DataStoreStatus:
        return self._status

    def update_status(self, status: DataStoreStatus) -> None:
        before, self._status = self._status, status
        if before != status:
            self._notifier.post(self._listeners, status)

    @property
    def listeners(self) -> Listeners:
        return self._listeners


def _is_monitored(store: Any) -> bool:
    """Whether the status of a store means anything: only persistent ones fail, and not all can tell."""
    enabled = getattr(store, "is_monitoring_enabled", None)
    return callable(enabled) and callable(getattr(store, "is_available", None)) and bool(enabled())


class _StoreStatusProvider(DataStoreStatusProvider):
    def __init__(self, notifier: Notifier, sink: _StoreStatusSink, client: Client, is_monitored: bool) -> None:
        self._notifier = notifier
        self._sink = sink
        self._client = client
        self._is_monitored = is_monitored

    @property
    def status(self) -> DataStoreStatus:
        return DataStoreStatus(*self._client._store_status()) if self._is_monitored else self._sink.status()

    def is_monitoring_enabled(self) -> bool:
        return self._is_monitored

    def add_listener(self, listener: Callable[[DataStoreStatus], None]) -> None:
        if self._is_monitored:
            self._notifier.add(self._sink.listeners, listener)
        else:
            # Statuses of such a store are posted, which starts the thread: nobody has to wait for them.
            self._sink.listeners.add(listener)

    def remove_listener(self, listener: Callable[[DataStoreStatus], None]) -> None:
        self._notifier.remove(self._sink.listeners, listener)


def start() -> None:
    """Starts the thread unless it runs already. Returns at once and never raises.

    Late in the end of the interpreter no thread can be started; then nobody is told any more.
    """
    pid = os.getpid()
    if pid in _running or not _listened:
        return
    import threading

    thread = threading.Thread(target=_run, args=(pid,), name="ldclient-listeners", daemon=True)
    if _running.setdefault(pid, thread) is not thread:
        return
    try:
        thread.start()
    except RuntimeError:
        _running.pop(pid, None)


def finish(timeout: float) -> None:
    """Waits at most so many seconds for the thread, once all clients are closed. For the end of the process."""
    thread = _running.get(os.getpid())
    if thread is None:
        return
    import threading

    if thread is not threading.current_thread():
        _ldclient.wake_listeners()
        try:
            thread.join(timeout)
        except RuntimeError:
            # Another thread is just about to start it.
            return


def _run(pid: int) -> None:
    thread = _running[pid]
    heard = 0
    while True:
        try:
            while _listened:
                _deliver()
                if _listened:
                    heard = _ldclient.wait_for_notices(heard, _LOOK)
        finally:
            _running.pop(pid, None)
        # Who came between the last look and the line above found the thread running: look once more, as the one
        # thread again.
        if not _listened or _running.setdefault(pid, thread) is not thread:
            return


def _deliver() -> None:
    for name, notifier in list(_listened.items()):
        try:
            goes_on = notifier.deliver()
        except Exception:
            logs.logger().exception("Calling listeners failed; it goes on with what comes next.")
            continue
        if not goes_on or not notifier.has_listeners():
            _listened.pop(name, None)
            # Another thread may have added a listener in between, and found the entry in its place.
            if goes_on and notifier.has_listeners():
                _listened[name] = notifier


# The process id alone does not tell a child whose parent's parent had the same one.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)
