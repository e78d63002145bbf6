"""Data sources and requesters of an application's own: made with the arguments that their release of the SDK gave them,
run on Python threads, feeding the native client through the store they are given.
"""

from __future__ import annotations

import threading
import weakref

from . import logs
from ._stores import FedStore, follow
from .feature_store import InMemoryFeatureStore
from .interfaces import UpdateProcessor
from .versioned_data_kind import FEATURES, SEGMENTS

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .config import Config

__all__ = ["OwnSource", "arity"]

_OF_ALL_ERAS = 3


class _Ready(threading.Event):
    """The event that a data source sets once it has data, or knows that none will come."""

    def __init__(self, noticed: Callable[[], None]) -> None:
        super().__init__()
        self._noticed = noticed

    def set(self) -> None:
        """Notices, and wakes whoever waits."""
        # First, so that who was woken finds the client ready.
        self._noticed()
        super().set()


class OwnSource:
    """The data source of one client."""

    def __init__(self, config: Config, client: Any) -> None:
        self._client = weakref.ref(client)
        self._ready = _Ready(self._look)
        self._processor: Any = None
        given = config.feature_store
        self._store: Any
        if given is None or isinstance(given, InMemoryFeatureStore):
            self._store = InMemoryFeatureStore() if given is None else given
            follow(self._store, client)
        else:
            self._store = FedStore(given, client)
        make = config.update_processor_class or _Polling
        self._processor = _make(make, config, self._store, self._ready)
        self._processor.start()

    def wait(self, seconds: float) -> None:
        """Waits until the source is ready or has given up, at most so long."""
        if seconds > 0:
            self._ready.wait(seconds)
        self._look()

    def stop(self) -> None:
        """Stops the source. What it raises is logged."""
        stop = getattr(self._processor, "stop", None)
        if not callable(stop):
            return
        try:
            stop()
        except Exception:
            logs.logger().exception("The data source %s raised when it was stopped.", type(self._processor).__name__)

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
