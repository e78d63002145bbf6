"""Feature flags for Python.

>>> import ldclient
>>> from ldclient import Config
>>> ldclient.config = Config(offline=True)
>>> ldclient.get().variation("your.feature.key", {"key": "aa0ceb"}, False)
False

This module holds one shared client. ``ldclient.sdk_key`` and ``ldclient.config`` may be assigned, or set by
:func:`set_sdk_key` and :func:`set_config`, in any order; :func:`get` builds the client and returns it. To have several
clients, make them by :class:`LDClient`.
"""

from __future__ import annotations

import sys

try:
    from . import _ldclient  # noqa: F401 - the others ask for it, and could not say what is wrong
except ImportError as _error:
    from ._interpreters import explain as _explain

    _explain(_error)
    raise

from . import _values, ambient, client, context, evaluation, integrations, logs
from ._shared import SharedClient as _SharedClient
from .ambient import use
from .client import LDClient
from .config import Config
from .context import Context, ContextBuilder, ContextMultiBuilder
from .version import VERSION as VERSION

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger
    from logging import NullHandler as NullHandler
    from types import ModuleType
    from typing import Any, TypeVar, overload

    from . import hook as hook
    from . import interfaces as interfaces
    from . import migrations as migrations
    from . import plugin as plugin
    from . import versioned_data_kind as versioned_data_kind
    from ._pinned import PinnedClient as PinnedClient
    from .migrations import (
        ExecutionOrder,
        MigrationConfig,
        Migrator,
        MigratorBuilder,
        MigratorCompareFn,
        MigratorFn,
        Operation,
        OperationResult,
        OpTracker,
        Origin,
        Stage,
        WriteResult,
    )
    from .result import Result as Result

    _T = TypeVar("_T")

    # The submodule or the Config in force: see _Package. (The submodule itself can be imported under its full name.)
    config: Any
    log: Logger
    sdk_key: str | None
    start_wait: float
else:
    # The type of every module; the module `types` would be one more to import.
    ModuleType = type(sys)

__all__ = [
    "Config",
    "Context",
    "ContextBuilder",
    "ContextMultiBuilder",
    "ExecutionOrder",
    "LDClient",
    "MigrationConfig",
    "Migrator",
    "MigratorBuilder",
    "MigratorCompareFn",
    "MigratorFn",
    "OpTracker",
    "Operation",
    "OperationResult",
    "Origin",
    "PinnedClient",
    "Result",
    "Stage",
    "WriteResult",
    "client",
    "context",
    "evaluation",
    "get",
    "hook",
    "integrations",
    "interfaces",
    "migrations",
    "pinned",
    "plugin",
    "set_config",
    "set_sdk_key",
    "track",
    "use",
    "variation",
    "variation_detail",
]

__version__ = VERSION

__LONG_SCALE__ = float(0xFFFFFFFFFFFFFFF)

__BASE_TYPES__ = (str, float, int, bool)

__BUILTINS__ = ["key", "ip", "country", "email", "firstName", "lastName", "avatar", "name", "anonymous"]

# Names that are imported when they are first asked for, and the submodules that have them; None is a submodule itself.
_IMPORTED_WHEN_ASKED_FOR = {
    "hook": None,
    "interfaces": None,
    "migrations": None,
    "plugin": None,
    "versioned_data_kind": None,
    "ExecutionOrder": "migrations",
    "MigrationConfig": "migrations",
    "Migrator": "migrations",
    "MigratorBuilder": "migrations",
    "MigratorCompareFn": "migrations",
    "MigratorFn": "migrations",
    "OpTracker": "migrations",
    "Operation": "migrations",
    "OperationResult": "migrations",
    "Origin": "migrations",
    "PinnedClient": "_pinned",
    "Result": "result",
    "Stage": "migrations",
    "WriteResult": "migrations",
}

_state = _SharedClient()


def get() -> LDClient:
    """Returns the shared client; the first call builds it and waits up to ``ldclient.start_wait`` seconds for flags.

    :raises RuntimeError: neither a key nor a Config was given
    :raises ValueError: the Config asks for something this release lacks

    Later calls cost one look at a variable and never wait, whatever another thread does with the key or the Config.
    """
    ready = _state.ready
    return _state.settle() if ready is None else ready


def set_config(config: Config) -> None:
    """Sets the configuration of the shared client.

    :param config: the configuration; an equal one changes nothing
    :raises TypeError: it is no Config
    :raises ValueError: a client exists and the Config asks for something this release lacks

    When the shared client exists already, another one is started. The call waits for it at most ``ldclient.start_wait``
    seconds; the old client serves until the new one has flags, also after that, and is then closed in the background.
    """
    if config is None:
        raise TypeError("set_config: expected a Config, got None")
    _state.set_config(config, variable=False)


def set_sdk_key(sdk_key: str) -> None:
    """Sets the SDK key of the shared client, whatever key its Config has; an equal one changes nothing.

    :param sdk_key: the key. One with characters that no key has is discarded with a warning
    :raises TypeError: it is not text

    A client that exists already is replaced as :func:`set_config` describes.
    """
    _state.set_sdk_key(sdk_key, variable=False)


if TYPE_CHECKING:

    @overload
    def variation(key: str, default: None = None, /) -> Any: ...

    @overload
    def variation(key: str, *, default: None) -> Any: ...

    @overload
    def variation(key: str, user: object, default: None, /) -> Any: ...

    @overload
    def variation(key: str, default: bool, /) -> bool: ...

    @overload
    def variation(key: str, *, default: bool) -> bool: ...

    @overload
    def variation(key: str, user: object, default: bool, /) -> bool: ...

    @overload
    def variation(key: str, default: str, /) -> str: ...

    @overload
    def variation(key: str, *, default: str) -> str: ...

    @overload
    def variation(key: str, user: object, default: str, /) -> str: ...

    @overload
    def variation(key: str, default: int, /) -> int: ...

    @overload
    def variation(key: str, *, default: int) -> int: ...

    @overload
    def variation(key: str, user: object, default: int, /) -> int: ...

    @overload
    def variation(key: str, default: float, /) -> float: ...

    @overload
    def variation(key: str, *, default: float) -> float: ...

    @overload
    def variation(key: str, user: object, default: float, /) -> float: ...

    @overload
    def variation(key: str, default: list[Any], /) -> list[Any]: ...

    @overload
    def variation(key: str, *, default: list[Any]) -> list[Any]: ...

    @overload
    def variation(key: str, user: object, default: list[Any], /) -> list[Any]: ...

    @overload
    def variation(key: str, default: dict[str, Any], /) -> dict[str, Any]: ...

    @overload
    def variation(key: str, *, default: dict[str, Any]) -> dict[str, Any]: ...

    @overload
    def variation(key: str, user: object, default: dict[str, Any], /) -> dict[str, Any]: ...

    @overload
    def variation(key: str, default: _T, /) -> _T: ...

    @overload
    def variation(key: str, *, default: _T) -> _T: ...

    @overload
    def variation(key: str, user: object, default: _T, /) -> _T: ...


def variation(key: str, *arguments: Any, **named: Any) -> Any:
    """Returns the flag's value for the ambient user, the one of the ``with ldclient.use(user):`` block around the call.

    :param key: the flag
    :param default: what is returned when the flag has no value for the user, and outside such a block; default None
    :raises RuntimeError: neither a key nor a Config was given

    Type checkers take the value to have the default's type, which is the flag's to keep: what it serves is returned, of
    whatever type. ``bool_variation`` and the other siblings, on :func:`get`, return the default instead.

    With three arguments, ``variation(key, user, default)``, the user is the one that is named. In a request of a
    framework whose middleware is installed (``ldclient.flask``, ``.django``, ``.asgi``, ``.wsgi``) the user is the
    request's, and all evaluations see the flags of one moment.

    >>> with use({"key": "aa0ceb"}):
    ...     variation("your.feature.key", False)
    False
    """
    scope = ambient.innermost()
    client = get() if scope is None else scope.client()
    if len(arguments) == 1 and not named:
        return client.variation(key, None if scope is None else scope.user, arguments[0])
    return client.variation(key, *_asked("variation", scope, arguments, named))


if TYPE_CHECKING:

    @overload
    def variation_detail(key: str, default: None = None, /) -> evaluation.EvaluationDetail[Any]: ...

    @overload
    def variation_detail(key: str, *, default: None) -> evaluation.EvaluationDetail[Any]: ...

    @overload
    def variation_detail(key: str, user: object, default: None, /) -> evaluation.EvaluationDetail[Any]: ...

    @overload
    def variation_detail(key: str, default: bool, /) -> evaluation.EvaluationDetail[bool]: ...

    @overload
    def variation_detail(key: str, *, default: bool) -> evaluation.EvaluationDetail[bool]: ...

    @overload
    def variation_detail(key: str, user: object, default: bool, /) -> evaluation.EvaluationDetail[bool]: ...

    @overload
    def variation_detail(key: str, default: str, /) -> evaluation.EvaluationDetail[str]: ...

    @overload
    def variation_detail(key: str, *, default: str) -> evaluation.EvaluationDetail[str]: ...

    @overload
    def variation_detail(key: str, user: object, default: str, /) -> evaluation.EvaluationDetail[str]: ...

    @overload
    def variation_detail(key: str, default: int, /) -> evaluation.EvaluationDetail[int]: ...

    @overload
    def variation_detail(key: str, *, default: int) -> evaluation.EvaluationDetail[int]: ...

    @overload
    def variation_detail(key: str, user: object, default: int, /) -> evaluation.EvaluationDetail[int]: ...

    @overload
    def variation_detail(key: str, default: float, /) -> evaluation.EvaluationDetail[float]: ...

    @overload
    def variation_detail(key: str, *, default: float) -> evaluation.EvaluationDetail[float]: ...

    @overload
    def variation_detail(key: str, user: object, default: float, /) -> evaluation.EvaluationDetail[float]: ...

    @overload
    def variation_detail(key: str, default: list[Any], /) -> evaluation.EvaluationDetail[list[Any]]: ...

    @overload
    def variation_detail(key: str, *, default: list[Any]) -> evaluation.EvaluationDetail[list[Any]]: ...

    @overload
    def variation_detail(key: str, user: object, default: list[Any], /) -> evaluation.EvaluationDetail[list[Any]]: ...

    @overload
    def variation_detail(key: str, default: dict[str, Any], /) -> evaluation.EvaluationDetail[dict[str, Any]]: ...

    @overload
    def variation_detail(key: str, *, default: dict[str, Any]) -> evaluation.EvaluationDetail[dict[str, Any]]: ...

    @overload
    def variation_detail(
        key: str, user: object, default: dict[str, Any], /
    ) -> evaluation.EvaluationDetail[dict[str, Any]]: ...

    @overload
    def variation_detail(key: str, default: _T, /) -> evaluation.EvaluationDetail[_T]: ...

    @overload
    def variation_detail(key: str, *, default: _T) -> evaluation.EvaluationDetail[_T]: ...

    @overload
    def variation_detail(key: str, user: object, default: _T, /) -> evaluation.EvaluationDetail[_T]: ...


def variation_detail(key: str, *arguments: Any, **named: Any) -> Any:
    """Returns what :func:`variation` does, as an ``EvaluationDetail`` with the reason. Takes the same arguments.

    >>> with use({"key": "aa0ceb"}):
    ...     variation_detail("your.feature.key", False).reason["errorKind"]
    'CLIENT_NOT_READY'
    """
    scope = ambient.innermost()
    client = get() if scope is None else scope.client()
    return client.variation_detail(key, *_asked("variation_detail", scope, arguments, named))


def _asked(method: str, scope: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    """The user and the default of a call."""
    if len(arguments) == 2 and not named:
        return arguments[0], arguments[1]
    if len(arguments) + len(named) > 1 or named.keys() - {"default"}:
        raise TypeError(f"{method}() takes (key, default) or (key, user, default)")
    default = named["default"] if named else arguments[0] if arguments else None
    return (None if scope is None else scope.user), default


def track(name: str, data: object = None, metric_value: float | None = None) -> None:
    """Records that the ambient user did something.

    :param name: the event
    :param data: what to send with it; any value that JSON has
    :param metric_value: a number for a metric
    :raises RuntimeError: neither a key nor a Config was given

    Outside a ``with ldclient.use(user):`` block the event is sent for one anonymous user of the process, and the first
    one logs a warning.
    """
    user = ambient.current()
    ambient.client().track(name, ambient.anonymous_user() if user is None else user, data, metric_value)


def pinned() -> PinnedClient:
    """Returns a view of the client as it is now, for a ``with`` block inside which two reads of a flag cannot disagree.

    :raises RuntimeError: neither a key nor a Config was given

    The block keeps the ambient user. ``with ldclient.use(user, pinned=True):`` does both at once.

    >>> with use({"key": "aa0ceb"}), pinned():
    ...     variation("your.feature.key", False)
    False
    """
    return ambient.client().pinned()


def _reset_client() -> None:
    """Closes the shared client; the next :func:`get` builds a new one. For tests."""
    _state.reset()


class _Package(ModuleType):
    """The type of this module: what lets ``ldclient.sdk_key = ...`` do something."""

    @property
    def sdk_key(self) -> str | None:
        """The SDK key that was assigned or set, or None. Wins over the key in ``config``."""
        return _state.sdk_key

    @sdk_key.setter
    def sdk_key(self, key: str | None) -> None:
        _state.set_sdk_key(key, variable=True)

    @property
    def start_wait(self) -> float:
        """Seconds that the first ``get()``, and a change of key or Config after it, wait for flags; default 5."""
        return _state.start_wait

    @start_wait.setter
    def start_wait(self, seconds: float) -> None:
        _state.start_wait = _values.number("start_wait", seconds, 5, least=0)

    @property
    def config(self) -> Any:
        """The submodule; once a Config is assigned here, the Config in force (which has the submodule's names)."""
        return _state.config if _state.uses_variables and _state.config else _submodule("config")

    @config.setter
    def config(self, value: Any) -> None:
        # The import machinery assigns every submodule to its package.
        if not isinstance(value, ModuleType):
            _state.set_config(value, variable=True)

    @property
    def client(self) -> Any:
        """The submodule; in a program that assigns ``sdk_key`` or ``config``, the shared client once there is one."""
        return _state.current if _state.uses_variables and _state.current else _submodule("client")

    @client.setter
    def client(self, value: Any) -> None:
        if not isinstance(value, ModuleType):
            _state.install(value)


def _submodule(name: str) -> ModuleType:
    return sys.modules[f"{__name__}.{name}"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # What an application may never ask for is imported when it does.
        if name in _IMPORTED_WHEN_ASKED_FOR:
            from importlib import import_module

            home = _IMPORTED_WHEN_ASKED_FOR[name]
            module = import_module(f"{__name__}.{home or name}")
            return getattr(module, name) if home else module
        # Both need `logging`, which takes longer to import than this package.
        if name == "log":
            return logs.logger()
        if name == "NullHandler":
            from logging import NullHandler

            return NullHandler
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Package
