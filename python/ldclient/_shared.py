"""The client that ``ldclient.get()`` returns: when it is built, and how another one takes its place.

1. ``ready`` is the client while nothing is to be settled, None otherwise. ``get()`` reads it and nothing else.
2. The first ``get()`` builds the client. Callers that come meanwhile get the same client, at the latest when
   ``start_wait`` seconds have passed since the build began.
3. A new key or configuration starts a second client beside the first. The first one serves until the second has data;
   every ``get()`` meanwhile asks it, and the one that finds data swaps them. The old one is closed in the background.
4. No lock is held while anything is waited for or logged. Locks and builds belong to one process id: what a forked
   child inherits half done, it does not wait for.
5. A key that was assigned wins over a Config's. A key that came by ``set_sdk_key`` wins too, until ``set_config``
   brings a Config with a key of its own, as in 4.x to 6.x.
"""

from __future__ import annotations

import os
import time
from _thread import RLock, get_ident

from . import _values, logs
from .client import LDClient
from .config import Config

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Event
    from typing import Any

# How long a caller waits beyond start_wait for another thread to construct the client, which waits for nothing itself.
_CONSTRUCTION_LIMIT = 5.0


class _Build:
    """A first client on its way, made by one thread and awaited by others."""

    __slots__ = ("built", "client", "config", "deadline", "error", "pid", "thread")

    built: Event

    def __init__(self, config: Config, start_wait: float) -> None:
        # Not imported at the top: it costs time at import, and gevent may have replaced it by now.
        import threading

        self.config = config
        self.deadline = time.monotonic() + start_wait
        self.built = threading.Event()
        self.client: LDClient | None = None
        self.error: BaseException | None = None
        self.pid = os.getpid()
        self.thread = get_ident()

    def remaining(self) -> float:
        return max(self.deadline - time.monotonic(), 0.0)


class SharedClient:
    """The one client of the module ``ldclient``, with the key and the Config it is made of."""

    substitute: Any = None
    """What is served instead, everywhere: what ``ldclient.testing`` puts in the client's place."""

    def __init__(self) -> None:
        self.ready: LDClient | None = None
        self.start_wait: float = 5
        self.uses_variables = False
        self._serving: LDClient | None = None
        self._candidate: LDClient | None = None
        self._build: _Build | None = None
        self._key = ""
        self._key_is_variable = False
        self._config: Config | None = None
        self._wish = 0
        self._locks: dict[int, RLock] = {}

    @property
    def sdk_key(self) -> str | None:
        """The key that was assigned or set, or None."""
        return self._key or None

    @property
    def config(self) -> Config | None:
        """The Config that was assigned or set, or None."""
        return self._config

    @property
    def current(self) -> LDClient | None:
        """The client that serves, or None before the first ``get()``."""
        return self._serving

    def settle(self) -> LDClient:
        """Returns the client when ``ready`` is None: builds the first one, or swaps in the next one."""
        if self.substitute is not None:
            return self.substitute  # type: ignore[no-any-return]
        serving = self._serving
        if serving is not None:
            candidate = self._candidate
            if candidate is not None and candidate._has_data():
                self._promote(candidate)
                return self._serving or candidate
            return serving
        with self._lock():
            if self._serving is not None:
                return self._serving
            build = self._build
            if build is not None and build.pid != os.getpid():
                if build.client is not None:
                    self._build, self._serving = None, build.client
                    self._publish()
                    return build.client
                build = None
            if build is not None:
                mine = False
            else:
                config = self._wanted()
                if config is None:
                    raise RuntimeError(
                        'set_config was not called: assign ldclient.sdk_key = "..." or call '
                        'ldclient.set_config(Config(sdk_key="...")) before ldclient.get()'
                    )
                mine = True
                build = self._build = _Build(config, self.start_wait)
        return self._finish(build) if mine else self._await(build)

    def set_sdk_key(self, key: object, *, variable: bool) -> None:
        """Takes a new key; '' or None forgets the last one. A key that cannot be one is discarded with a warning."""
        checked = _values.sdk_key(key)
        if key and not checked:
            return
        self.uses_variables = self.uses_variables or variable
        with self._lock():
            before = self._inputs()
            self._key, self._key_is_variable = checked, variable
        self._apply(before)

    def set_config(self, config: object, *, variable: bool) -> None:
        """Takes a new Config; None forgets the last one.

        :raises TypeError: it is something else
        :raises ValueError: a client exists and the Config asks for something this release lacks; nothing changes then
        """
        if config is not None and not isinstance(config, Config):
            raise TypeError(f"ldclient.config: expected a Config, got {type(config).__name__}")
        self.uses_variables = self.uses_variables or variable
        with self._lock():
            before = self._inputs()
            self._config = config
            if config is not None and config.sdk_key and not variable and not self._key_is_variable:
                self._key = ""
        self._apply(before)

    def note_rotation(self, client: Any, key: str) -> None:
        """Keeps the inputs true to a client whose key was rotated, if it is the one that serves."""
        with self._lock():
            if self._serving is not client:
                return
            if self._key:
                self._key = key
            elif self._config is not None:
                self._config = self._config._with_sdk_key(key)

    def install(self, client: Any) -> None:
        """Serves this client from now on, or none with None; what served before is closed in the background."""
        with self._lock():
            dropped = self._take_all()
            self._serving = client
            self._publish()
        _retire(*(one for one in dropped if one is not client))

    def reset(self) -> None:
        """Closes what serves and waits for it; the next ``get()`` builds a new client."""
        with self._lock():
            dropped = self._take_all()
            self._publish()
        for client in dropped:
            client.close()

    def _lock(self) -> RLock:
        pid = os.getpid()
        lock = self._locks.get(pid)
        return self._locks.setdefault(pid, RLock()) if lock is None else lock

    def _inputs(self) -> tuple[str, bool, Config | None]:
        return self._key, self._key_is_variable, self._config

    def _wanted(self) -> Config | None:
        if self._config is None:
            return Config(sdk_key=self._key) if self._key else None
        return self._config._with_sdk_key(self._key) if self._key else self._config

    def _publish(self) -> None:
        # While there is a substitute, every call comes to `settle`.
        self.ready = self._serving if self._candidate is None and self.substitute is None else None
        if self._serving is not None:
            self._serving._replacement = self._candidate

    def _take_all(self) -> list[LDClient]:
        taken = [client for client in (self._serving, self._candidate) if client is not None]
        self._serving = self._candidate = self._build = None
        return taken

    def _finish(self, build: _Build) -> LDClient:
        try:
            client = build.client = LDClient(config=build.config, start_wait=0)
        except BaseException as error:
            build.error = error
            with self._lock():
                if self._build is build:
                    self._build = None
            raise
        finally:
            build.built.set()
        try:
            client._wait_for_start(build.remaining())
        finally:
            with self._lock():
                is_first = self._build is build
                if is_first:
                    self._build, self._serving = None, client
                    self._publish()
                wanted = self._wanted()
        if is_first and wanted is not None and wanted != build.config:
            # Changed while this client was on its way; whoever changed it has gone on already.
            try:
                self._replace(wanted, self._wish, 0)
            except Exception as error:
                logs.logger().error("The new key or configuration was not taken: %s", error)
        return client

    def _await(self, build: _Build) -> LDClient:
        if build.thread == get_ident() and not build.built.is_set():
            raise RuntimeError("ldclient.get() was called (by a log handler?) while this thread builds the client")
        build.built.wait(build.remaining() + _CONSTRUCTION_LIMIT)
        if build.error is not None:
            raise build.error
        client = build.client
        if client is None:
            raise RuntimeError("the client is being built by another thread, which has not come to an end in time")
        if not client._has_data():
            client.wait_for_initialization(build.remaining())
        return client

    def _apply(self, before: tuple[str, bool, Config | None]) -> None:
        with self._lock():
            self._wish += 1
            wish = self._wish
            wanted = self._wanted()
            if wanted is None or self._serving is None:
                return
            if self._candidate is not None and _config_of(self._candidate) == wanted:
                return
            dropped = None
            if _config_of(self._serving) == wanted:
                dropped, self._candidate = self._candidate, None
                self._publish()
                wanted = None
        if wanted is None:
            _retire(dropped)
            return
        try:
            self._replace(wanted, wish, self.start_wait)
        except Exception:
            with self._lock():
                if self._wish == wish:
                    self._key, self._key_is_variable, self._config = before
            raise

    def _replace(self, config: Config, wish: int, wait: float) -> None:
        logs.logger().info("Starting another client for a new key or configuration.")
        candidate = LDClient(config=config, start_wait=0)
        with self._lock():
            dropped: LDClient | None = candidate
            if self._wish == wish and self._serving is not None:
                dropped, self._candidate = self._candidate, candidate
                self._publish()
        _retire(dropped)
        if dropped is candidate:
            return
        candidate._wait_for_start(wait)
        if candidate._has_data():
            self._promote(candidate)

    def _promote(self, candidate: LDClient) -> None:
        with self._lock():
            if self._candidate is not candidate:
                return
            replaced, self._serving, self._candidate = self._serving, candidate, None
            self._publish()
        if replaced is not candidate:
            _retire(replaced)


def _config_of(client: object) -> object:
    return getattr(client, "_config", None)


def _retire(*clients: LDClient | None) -> None:
    """Closes clients in the background: closing sends their last events, which takes time."""
    for client in clients:
        if client is None:
            continue
        try:
            import threading

            threading.Thread(target=client.close, name="ldclient-close", daemon=True).start()
        except RuntimeError:
            # The interpreter ends; whatever is still open is closed at exit.
            return
