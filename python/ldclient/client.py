"""The client: what starts one, closes one and names it. Evaluations and events are the native base class's."""

from __future__ import annotations

import os
from _weakref import ref

from . import _exit, _ldclient, _uwsgi, _values, logs
from ._ldclient import FlushResult
from ._pinned import PinnedClient
from .config import Config
from .context import Context
from .evaluation import EvaluationDetail, FeatureFlagsState

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, overload

    from typing_extensions import Self

    from ._event_processor import Told
    from ._hooks import Registered
    from ._ldclient import _User
    from .hook import Hook
    from .interfaces import (
        BigSegmentStoreStatusProvider,
        DataSourceStatusProvider,
        DataStoreStatusProvider,
        FlagTracker,
    )
    from .migrations import OpTracker, Stage
    from .stats import Readiness, Stats
    from .tracking import Notifier

__all__ = ["Config", "Context", "EvaluationDetail", "FeatureFlagsState", "FlushResult", "LDClient"]

# Longer than this a start blocks whatever supervises the process.
_LONGEST_SENSIBLE_WAIT = 60


class LDClient(_ldclient.Client):
    """A client of one environment. Create one and keep it: it holds the flags, a connection and two threads.

    :param config: the options, with the SDK key in them
    :param start_wait: seconds to wait for the flags; default 5, 0 returns at once. Without flags in time the client is
        returned all the same and evaluations return their defaults until the flags are there
    :raises TypeError: an argument has the wrong type
    :raises ValueError: a key is given twice and differently, or the options ask for something this release lacks

    Every method may be called from any thread, and goes on working in a forked child. Earlier releases' calls work too:
    ``LDClient("sdk-key", config, 5)``.

    >>> with LDClient(Config(offline=True)) as client:
    ...     client.variation("any.flag", {"key": "aa0ceb"}, False)
    False
    """

    _config: Config
    _source: Any = None
    _close_store = True
    # The client that will take this one's place once it has flags, after a new key or Config was assigned.
    _replacement: LDClient | None = None
    _notifier: Notifier | None = None
    # What is told of events, where the application delivers them itself.
    _told: Told | None = None

    def __new__(cls, *_arguments: Any, **_named: Any) -> Self:
        return super().__new__(cls)

    if TYPE_CHECKING:

        @overload
        def __init__(self, config: Config, start_wait: float = 5) -> None: ...

        @overload
        def __init__(self, sdk_key: str | None = None, config: Config | None = None, start_wait: float = 5) -> None: ...

    def __init__(self, *positional: Any, **named: Any) -> None:
        config, start_wait = _read_arguments(positional, named)
        self._hooks: list[Registered] = []
        config._refuse_what_is_missing()
        self._config = config
        _uwsgi.check_threads()
        _exit.arrange()
        if not config.sdk_key and not config.offline:
            logs.logger().warning("Missing or blank sdk_key.")
        if config.offline:
            logs.logger().info("Started the client in offline mode.")
        options = config._options()
        if config._has_own_events():
            from . import _event_processor

            self._told = _event_processor.attach(self, config)
            options["send_events"] = False
        _warn_of_a_twin(self)
        self._big_segments = _big_segments(self, options["big_segments"])
        attach = None if config.offline else getattr(config.update_processor_class, "_attach", None)
        if options["own_source"] and not (config.offline or attach):
            from ._sources import OwnSource

            self._source = OwnSource(config, self)
            options["own_source"] = self._source.number
        wait = 0.0 if config.offline or options["own_source"] else start_wait
        if config._hooks or config._plugins:
            self._open_with_hooks(options, wait)
        else:
            self._open(options, wait)
        if attach:
            attach(self)
        elif not config.offline:
            self._follow_store(start_wait)
        if start_wait > 0:
            self._log_start()

    def _follow_store(self, start_wait: float) -> None:
        """Starts what is Python's: a data source of the application's own, and the ear on its store in memory."""
        if self._source is not None:
            self._source.start()
            self._source.wait(start_wait)
        elif self._config.feature_store is not None:
            from ._stores import follow
            from .feature_store import InMemoryFeatureStore

            if isinstance(self._config.feature_store, InMemoryFeatureStore):
                follow(self._config.feature_store, self)

    async def wait_for_initialization_async(self, timeout: float) -> bool:
        """Does what ``wait_for_initialization`` does without blocking the event loop: of asyncio, or of trio.

        :param timeout: seconds to wait at most
        :return: whether the client has flags, or needs none

        Returns early when flags will never come: the client was closed, or its files cannot be read and are not watched.
        No thread waits meanwhile. The task can be cancelled; that loses nothing.
        """
        from . import _awaiting

        return await _awaiting.flags(self, timeout)

    def rotate_sdk_key(self, sdk_key: str) -> None:
        """Goes on with another SDK key of the same environment, or at once with the same key, where it works again.

        :param sdk_key: the key. One with characters that no key has is discarded with a warning; nothing changes then

        Returns at once. The flags that are known go on being served while the data is asked for with the new key; events
        that wait, and all later ones, are sent with it. A key that the service refuses is an error line in the log and
        the ``last_error`` of ``stats()``; the known flags stay. Forked children go on with the new key, too.
        """
        checked = _values.sdk_key(sdk_key)
        if not checked:
            return
        from . import _state

        self._config = self._config._with_sdk_key(checked)
        _state.note_rotation(self, checked)
        self._rotate(checked)

    def close(self, timeout: float = 2.0) -> None:
        """Delivers what waits, stops all threads and closes all connections, within so many seconds.

        :param timeout: seconds after which what has not been delivered is dropped, which ``stats()`` counts as closed

        A data source, an event processor and a feature store of the application's own are stopped and closed, too, in
        the time that they take. More calls do nothing. A KeyboardInterrupt ends the wait, not the delivery. Evaluations
        go on being answered from the flags that are known.
        """
        if self._told is not None:
            self._told.stop(timeout)
        source, self._source = self._source, None
        if source is not None:
            source.stop()
        super().close(timeout)
        close, self._close_store = self._close_store, False
        store = self._config.feature_store
        if close and callable(getattr(store, "close", None)):
            try:
                store.close()
            except Exception:
                logs.logger().exception("The feature store raised when it was closed.")

    def get_sdk_key(self) -> str:
        """Returns the SDK key; '' when there is none."""
        return self._config.sdk_key

    @property
    def sdk_key(self) -> str:
        """The SDK key (releases 2 and 3); '' when there is none."""
        return self._config.sdk_key

    @property
    def api_key(self) -> str:
        """The SDK key (releases before 2.0); '' when there is none."""
        return self._config.sdk_key

    def toggle(self, key: str, context: _User | None, default: Any = False) -> Any:
        """Does what ``variation`` does, with the default False. Deprecated since 2.0: call ``variation``."""
        _deprecated("toggle")
        return self.variation(key, context, default)

    def get_flag(self, key: str, context: _User | None, default: Any = False) -> Any:
        """Does what ``variation`` does, with the default False. Deprecated since 2.0: call ``variation``."""
        _deprecated("get_flag")
        return self.variation(key, context, default)

    def readiness(self, max_age: float | None = None) -> Readiness:
        """Returns whether evaluations mean something at this moment. Never waits; made for health checks.

        :param max_age: seconds without a sign of life of the data source after which flags count as stale. The service
            gives one every few minutes on a quiet stream, so less than 300 makes sense for polling only. Default: flags
            are as fresh as the state of the data source says

        - ``"fresh"``: the flags are those that the data source has. Offline clients are always fresh.
        - ``"stale"``: there are flags, but the data source is interrupted, silent, closed, or not yet heard in this
          process. The last known flags are served.
        - ``"missing"``: there are no flags, so evaluations return their defaults.

        A probe of readiness is best content with ``!= "missing"``: an application with the last known flags can work.
        """
        stats = super().stats()
        if stats["offline"]:
            return "fresh"
        if not stats["initialized"]:
            return "missing"
        # Nothing feeds a client of a store that somebody else fills.
        valid = "INITIALIZING" if self._config.use_ldd else "VALID"
        age = stats["contact_age_seconds"]
        is_old = max_age is not None and age is not None and age > max_age
        return "stale" if is_old or stats["state"] not in ("VALID", valid) else "fresh"

    def stats(self) -> Stats:
        """Returns how the client is doing in this process; :class:`ldclient.stats.Stats` tells what the members mean."""
        stats = super().stats()
        replacement = self._replacement
        stats["replacement"] = None if replacement is None else replacement.stats()["state"]
        return stats

    def pinned(self) -> PinnedClient:
        """Returns this client as it is now: a view whose answers no later change of a flag can alter.

        With a persistent feature store everything is read from the store first, which may wait for it.
        """
        return PinnedClient(self)

    def add_hook(self, hook: Hook) -> None:
        """Adds a hook, whose stages run from the next evaluation on; hooks that are there from the start belong into
        the Config. What is no :class:`ldclient.hook.Hook` is left out with a warning."""
        from . import _hooks

        _hooks.add(self, [hook])

    def migration_variation(self, key: str, context: _User, default_stage: Stage) -> tuple[Stage, OpTracker]:
        """Returns the stage of a migration, and a tracker for what is measured of one operation in it.

        :param key: the migration flag
        :param context: whom it is evaluated for
        :param default_stage: the stage when the flag has none; anything that is no Stage counts as OFF, with an error
            line
        """
        from . import _migration

        return _migration.variation(self, key, context, default_stage)

    def track_migration_op(self, tracker: OpTracker) -> None:
        """Records what was measured of one operation. A :class:`ldclient.Migrator` does it by itself. Never raises.

        :param tracker: the one that ``migration_variation`` returned. One that says too little is not recorded, with an
            error line that says why
        """
        from . import _migration

        _migration.track_op(self, tracker)

    @property
    def big_segment_store_status_provider(self) -> BigSegmentStoreStatusProvider:
        """Tells whether the store of ``Config(big_segments=...)`` answers and is up to date, now and when that changes.

        Without a store, and offline, the status is always not available.
        """
        if self._big_segments is None:
            from ._big_segments import StatusProvider

            self._big_segments = StatusProvider(self)
        return self._big_segments

    @property
    def flag_tracker(self) -> FlagTracker:
        """Tells of changes of flags: ``add_listener``, ``add_flag_value_change_listener``, ``remove_listener``.

        >>> with LDClient(Config(offline=True)) as client:
        ...     client.flag_tracker.add_listener(lambda change: print(change.key))
        """
        return self._notifications().flag_tracker

    @property
    def data_source_status_provider(self) -> DataSourceStatusProvider:
        """Tells whether flags arrive: ``status``, ``add_listener``, ``remove_listener``."""
        return self._notifications().source_status

    @property
    def data_store_status_provider(self) -> DataStoreStatusProvider:
        """Tells whether the feature store works: ``status``, ``add_listener``, ``remove_listener``."""
        return self._notifications().store_status

    def _notifications(self) -> Notifier:
        """Returns what calls this client's listeners, made when it is first asked for."""
        from .tracking import Notifier

        made = self._notifier
        # One step, so that of several threads all get the same one.
        if made is None:
            made = self.__dict__.setdefault("_notifier", Notifier(self, self._config.feature_store))
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open_with_hooks(self, options: dict[str, Any], start_wait: float) -> None:
        """Opens the client with the hooks and plugins of its Config, which are there before it waits for flags."""
        from . import _hooks, _plugins

        config = self._config
        plugins = _plugins.Plugins(config) if config._plugins else None
        _hooks.add(self, [*config._hooks, *(plugins.hooks() if plugins else ())])
        self._open(options, start_wait if plugins is None else 0.0)
        if plugins is not None:
            try:
                plugins.register(self)
                self.wait_for_initialization(start_wait)
            except BaseException:
                # Nobody gets this client.
                self.close(0)
                raise
            logs.drain()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} {self._state()}>"

    def _state(self) -> str:
        try:
            if self.is_closed():
                return "closed"
            if self.is_offline():
                return "offline"
            return "initialized" if self.is_initialized() else "waiting for flags"
        except Exception:
            return "not started"

    def _wait_for_start(self, seconds: float) -> None:
        """Waits for the flags, at most that long, and logs the outcome."""
        if seconds > 0 and not self._has_data():
            self.wait_for_initialization(seconds)
            self._log_start()

    def _is_open(self) -> bool:
        try:
            return not self.is_closed()
        except RuntimeError:
            # It failed to start.
            return False

    def _has_data(self) -> bool:
        """Tells whether evaluations mean something: the flags are there, or nothing will ever be asked."""
        return self.is_offline() or self.is_initialized()

    def _log_start(self) -> None:
        if self._config.offline:
            return
        if self.is_initialized():
            logs.logger().info("The client is initialized.")
        else:
            logs.logger().warning(
                "The client has no flags yet: evaluations return their defaults until they arrive. It goes on trying."
            )


def _read_arguments(positional: tuple[Any, ...], named: dict[str, Any]) -> tuple[Config, float]:
    # The SDK key came first in every release before 7.0 and is an option of the Config since.
    order = ("config", "start_wait") if positional and isinstance(positional[0], Config) else _OLD_ORDER
    if len(positional) > len(order):
        raise TypeError(f"LDClient() takes at most {len(order)} positional arguments ({len(positional)} given)")
    found = dict(zip(order, positional, strict=False))
    for given_name, value in named.items():
        name = "sdk_key" if given_name == "api_key" else given_name
        if name not in _OLD_ORDER:
            raise TypeError(f"LDClient() has no argument {given_name!r}")
        if name in found:
            raise TypeError(f"LDClient() got more than one value for {name!r}")
        found[name] = value
    if not {"sdk_key", "config"} & found.keys():
        raise TypeError('LDClient() needs its options: LDClient(config=Config(sdk_key="..."))')

    config = found.get("config")
    if config is not None and not isinstance(config, Config):
        raise TypeError(f"config: expected a Config, got {type(config).__name__}")
    given_key = _values.text("sdk_key", found.get("sdk_key"))
    if given_key:
        if config is not None and config.sdk_key and config.sdk_key != given_key:
            raise ValueError("sdk_key: the argument and the Config name two different keys; give one of them")
        config = Config(sdk_key=given_key) if config is None else config._with_sdk_key(given_key)
    start_wait = float(_values.number("start_wait", found.get("start_wait"), 5))
    if start_wait > _LONGEST_SENSIBLE_WAIT:
        logs.logger().warning(
            "start_wait is %g s: the client may block its caller that long. At most %d is sensible.",
            start_wait,
            _LONGEST_SENSIBLE_WAIT,
        )
    return Config() if config is None else config, max(start_wait, 0.0)


def _warn_of_a_twin(client: LDClient) -> None:
    """Logs a warning, once a process, when another open client has the same key and options."""
    global _told_of_twins
    pid, config = os.getpid(), client._config
    others = [(maker, other) for maker, other in _made if other() is not None]
    _made[:] = [*others, (pid, ref(client))]
    if config.offline or _told_of_twins == pid:
        return
    for maker, other in others:
        twin = other()
        # One that was inherited sleeps until it is asked something.
        if maker == pid and twin is not None and twin._config == config and twin._is_open():
            _told_of_twins = pid
            logs.logger().warning(
                "There is another open client of the same SDK key and configuration. Each has its own connection, "
                "threads and copy of the flags: make one and share it, for example by ldclient.get()."
            )
            return


def _big_segments(client: LDClient, options: Any) -> BigSegmentStoreStatusProvider | None:
    """Makes the status provider of a client that has a store; imported only then."""
    if options is None:
        return None
    from ._big_segments import StatusProvider

    provider: BigSegmentStoreStatusProvider = options.setdefault("status_provider", StatusProvider(client))
    return provider


def _deprecated(name: str) -> None:
    import warnings

    warnings.warn(f"LDClient.{name}() is deprecated, call variation()", DeprecationWarning, stacklevel=3)


_OLD_ORDER = ("sdk_key", "config", "start_wait")

# Clients that somebody holds, with the process that made each, and the process that was told of two equal ones.
_made: list[tuple[int, ref[LDClient]]] = []
_told_of_twins = 0

# `ldclient.client` is this module, and in programs of 2.x and 3.x the shared client. `ldclient.client.LDClient` must
# resolve either way.
for _name in ("Config", "LDClient"):
    setattr(LDClient, _name, globals()[_name])
