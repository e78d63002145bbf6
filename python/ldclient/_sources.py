"""Data sources and requesters of an application's own: made with the arguments that their release of the SDK gave them,
run on Python threads, feeding the native client through the store they are given.

1. Each is made and started with the client. ``config.data_source_update_sink`` of the Config that it is given takes data
   too, and its state; one that tells no state is valid once it is ready.
2. A forked child has none of its threads: the first call on the client there makes and starts another one, on a thread
   of its own, so that nobody waits for it. The inherited one is never called again.
3. It is stopped by the process that started it, when the client is closed.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from _thread import RLock

from . import logs
from ._stores import FedStore, follow
from .feature_store import InMemoryFeatureStore
from .interfaces import DataSourceErrorInfo, DataSourceErrorKind, DataSourceState, DataSourceUpdateSink, UpdateProcessor
from .versioned_data_kind import FEATURES, SEGMENTS

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .config import Config
    from .versioned_data_kind import VersionedDataKind

__all__ = ["OwnSource", "arity", "renew"]

_OF_ALL_ERAS = 3

_numbers = itertools.count(1)
# Those of clients that are open, by their numbers.
_known: weakref.WeakValueDictionary[int, OwnSource] = weakref.WeakValueDictionary()


class _Ready(threading.Event):
    """The event that a data source sets once it has data, or knows that none will come."""

    def __init__(self, noticed: Callable[[], None]) -> None:
        super().__init__()
        self._noticed = noticed

    def set(self) -> None:
        """Wakes whoever waits, and notices."""
        # Noticed last: whether a source says that it is ready may depend on this event.
        super().set()
        self._noticed()


class UpdateSink(DataSourceUpdateSink):
    """Takes data and states from the data source of one client."""

    def __init__(self, client: Any) -> None:
        self._client = weakref.ref(client)
        self.store: Any = None

    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict[str, Any]]]) -> None:
        """Replaces everything. Raises what the store raises."""
        self._watched(lambda: self.store.init(all_data))

    def upsert(self, kind: VersionedDataKind, item: dict[str, Any]) -> None:
        """Puts an item in unless that version or a newer one is there. Raises what the store raises."""
        self._watched(lambda: self.store.upsert(kind, item))

    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes an item unless that version or a newer one is there. Raises what the store raises."""
        self._watched(lambda: self.store.delete(kind, key, version))

    def update_status(self, new_state: DataSourceState, new_error: DataSourceErrorInfo | None = None) -> None:
        """Has the client tell this state and this failure. Never raises for a client that is closed."""
        client = self._client()
        if client is None or client.is_closed():
            return
        error = None
        if new_error is not None:
            status_code = min(max(int(new_error.status_code or 0), 0), 65_535)
            error = (new_error.kind.name, status_code, float(new_error.time), new_error.message or "")
        client._set_source_status(new_state.name, error)

    def _watched(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:
            failure = DataSourceErrorInfo(DataSourceErrorKind.STORE_ERROR, 0, time.time(), str(error))
            self.update_status(DataSourceState.INTERRUPTED, failure)
            raise


class OwnSource:
    """The data source of one client. The number is what the native client knows it by."""

    def __init__(self, config: Config, client: Any) -> None:
        self._client = weakref.ref(client)
        self._sink = UpdateSink(client)
        self._config = config._with_update_sink(self._sink)
        self._ready = _Ready(self._look)
        self._processor: Any = None
        # The process that the processor runs in.
        self._process = os.getpid()
        self._stopped = False
        # Kept, because a destructor could wait for a thread that only the parent has.
        self._inherited: list[Any] = []
        self.number = next(_numbers)
        _known[self.number] = self

    def start(self) -> None:
        """Makes and starts it; raises what that raises. The client is open."""
        given = self._config.feature_store
        if given is None or isinstance(given, InMemoryFeatureStore):
            self._sink.store = InMemoryFeatureStore() if given is None else given
            follow(self._sink.store, self._client())
        else:
            self._sink.store = FedStore(given, self._client())
        self._begin()

    def renew(self) -> None:
        """Makes and starts another one, on a thread of its own, in a process that inherited this one. Never raises."""
        process = os.getpid()
        if self._process == process:
            return
        self._process, self._ready = process, _Ready(self._look)
        self._inherited.append(self._processor)
        self._processor = None
        if isinstance(self._sink.store, InMemoryFeatureStore):
            # A thread of the parent's may have held it.
            self._sink.store._lock = RLock()
        try:
            threading.Thread(target=self._begin_again, name="ldclient-source", daemon=True).start()
        except RuntimeError:
            logs.logger().warning("The system has no thread for the data source: flags stay as they are.")

    def wait(self, seconds: float) -> None:
        """Waits until the source is ready or has given up, at most so long."""
        if seconds > 0:
            self._ready.wait(seconds)
        self._look()

    def stop(self) -> None:
        """Stops the source. What it raises is logged."""
        self._stopped = True
        stop = getattr(self._processor, "stop", None)
        if not callable(stop) or self._process != os.getpid():
            return
        try:
            stop()
        except Exception:
            logs.logger().exception("The data source %s raised when it was stopped.", type(self._processor).__name__)

    def _begin(self) -> None:
        make = self._config.update_processor_class or _Polling
        processor = _make(make, self._config, self._sink.store, self._ready)
        self._processor = processor
        processor.start()

    def _begin_again(self) -> None:
        try:
            self._begin()
        except Exception:
            logs.logger().exception("The data source could not be started in a forked process: flags stay as they are.")
        if self._stopped:
            # The client was closed meanwhile.
            self.stop()

    def _look(self) -> None:
        client = self._client()
        if client is None or self._processor is None:
            return
        initialized = getattr(self._processor, "initialized", None)
        try:
            is_ready = bool(initialized()) if callable(initialized) else bool(initialized)
        except Exception:
            logs.logger().exception("The data source %s raised.", type(self._processor).__name__)
            return
        if is_ready:
            client._set_ready()


def renew(number: int) -> None:
    """Begins a data source again, in a process that inherited it. Never raises."""
    source = _known.get(number)
    if source is not None:
        source.renew()


def arity(factory: Any) -> tuple[int, str]:
    """Returns how many positional arguments a class or function takes, and the name of the first one."""
    import inspect

    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return -1, ""
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return -1, ""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [parameter for parameter in parameters if parameter.kind in kinds]
    required = [parameter for parameter in positional if parameter.default is parameter.empty]
    return len(required), positional[0].name if positional else ""


def _make(factory: Any, config: Config, store: Any, ready: threading.Event) -> Any:
    count, first = arity(factory)
    if count == 5:
        return factory(config.sdk_key, config, _requester(config), store, ready)
    if count == 4:
        return factory(config, _requester(config), store, ready)
    if count == _OF_ALL_ERAS and first in ("api_key", "sdk_key"):
        # Before 2.0 there was no event: such a source is ready when it says so.
        return factory(config.sdk_key, config, store)
    return factory(config, store, ready)


def _requester(config: Config) -> Any:
    factory = config.feature_requester_class
    if factory is None:
        return None
    count, _ = arity(factory)
    return factory(config.sdk_key, config) if count == 2 else factory(config)


class _Polling(UpdateProcessor):
    """Asks the requester of ``Config(feature_requester_class=...)`` again and again."""

    def __init__(self, config: Config, store: Any, ready: threading.Event) -> None:
        self._requester = _requester(config)
        self._interval = config.poll_interval
        self._store = store
        self._ready = ready
        self._stopping = threading.Event()
        self._failing = False
        self._has_data = False

    def start(self) -> None:
        """Starts the thread."""
        threading.Thread(target=self._run, name="ldclient-requester", daemon=True).start()

    def stop(self) -> None:
        """Ends the thread after what it is doing."""
        self._stopping.set()

    def is_alive(self) -> bool:
        """Tells whether it goes on asking."""
        return not self._stopping.is_set()

    def initialized(self) -> bool:
        """Tells whether any data has come."""
        return self._has_data

    def _run(self) -> None:
        while True:
            try:
                self._store.init(_all_data(self._requester))
            except Exception as error:
                if not self._failing:
                    logs.logger().warning(
                        "The feature requester raised %s. It is asked again every %g s; more failures are not logged.",
                        type(error).__name__,
                        self._interval,
                    )
                self._failing = True
            else:
                if self._failing:
                    logs.logger().info("The feature requester delivers again.")
                self._failing, self._has_data = False, True
                self._ready.set()
            if self._stopping.wait(self._interval):
                return


def _all_data(requester: Any) -> dict[Any, Any]:
    ask = getattr(requester, "get_all_data", None) or requester.get_all
    data = ask()
    if FEATURES in data or SEGMENTS in data:
        return {kind: data.get(kind, {}) for kind in (FEATURES, SEGMENTS)}
    if "flags" in data or "segments" in data:
        return {FEATURES: data.get("flags") or {}, SEGMENTS: data.get("segments") or {}}
    # Before 5.0 there were only flags.
    return {FEATURES: data, SEGMENTS: {}}
