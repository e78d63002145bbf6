"""Flags for the length of a test: :class:`flags`, a context manager, a decorator, and what the pytest fixture is.

1. Inside a block ``ldclient.get()`` and everything that asks it (module functions, frameworks, templates) is answered by
   a client of the block, which opens no connection and starts no thread. Clients that the application made itself are
   its own: give them a :class:`ldclient.integrations.TestData`.
2. A block belongs to the task or thread that entered it and to the tasks that this one creates. A thread that knows of no
   block (one that the code under test started) sees the block that was entered last.
3. A block begins with the flags of the block around it. What it changes, nobody outside it sees.
4. Evaluations and events are kept, here and in all blocks around. Nothing is sent.
5. In strict mode a flag that the block does not have is an error, which is raised once more at the end of the block in
   case the code under test caught it.
"""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from itertools import count
from typing import TYPE_CHECKING, Any

from .. import _shared
from .._pinned import PinnedClient
from ..client import LDClient
from ..config import Config
from ..hook import EvaluationSeriesContext, Hook, Metadata, TrackSeriesContext
from ..integrations.test_data import TestData
from ..request import UnknownFlagError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

    from ..context import Context
    from ..evaluation import EvaluationDetail
    from ..integrations.test_data import FlagBuilder

__all__ = ["Evaluation", "Event", "UnknownFlagError", "flags"]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation that took place in a block."""

    key: str
    """The flag."""
    value: Any
    """What was served."""
    context: Context
    """Whom it was evaluated for."""
    default: Any
    """The caller's default."""
    reason: Any
    """Why that was served; ``reason["kind"]`` is ERROR for a default."""


@dataclass(frozen=True)
class Event:
    """One event that was recorded in a block, by ``track``."""

    name: str
    """Its name."""
    context: Context
    """Whom it is about."""
    data: Any
    """What was to be sent with it."""
    metric_value: float | None
    """The number, or None."""


class flags:  # noqa: N801 - it reads as a verb: `with flags(new_ui=True):`
    """Sets flags for a ``with`` block, a function, a coroutine function or a class of tests.

    :param values: flags by key, with the value that everybody is served: any that JSON has
    :param _strict: whether a flag that is not set is an error; default False, which serves the caller's default
    :param named: the same by name. Underscores stand for hyphens, too: ``new_ui`` sets ``new_ui`` and ``new-ui``

    Called while it is in force, as the pytest fixture is, it sets more flags.

    >>> import ldclient
    >>> with flags(new_ui=True) as block:
    ...     ldclient.get().variation("new-ui", {"key": "ann"}, False)
    ...     block({"colour": "red"})
    ...     ldclient.get().variation("colour", {"key": "ann"}, None)
    ...     ldclient.get().track("bought", {"key": "ann"}, {"price": 3})
    ...     [(event.name, event.data) for event in block.events]
    True
    flags(colour='red', new-ui=True, new_ui=True)
    'red'
    [('bought', {'price': 3})]
    """

    # No test, whatever a runner thinks.
    __test__ = False

    def __init__(self, values: Mapping[str, Any] | None = None, /, *, _strict: bool = False, **named: Any) -> None:
        self.strict = _strict
        """Whether a flag that is not set is an error."""
        self.evaluations: list[Evaluation] = []
        """The evaluations that took place inside the block, in order."""
        self.events: list[Event] = []
        """What ``track`` recorded inside the block, in order."""
        self._first = _by_key(values, named)
        self._values: dict[str, Any] = {}
        self._undo: list[dict[str, Any]] = []
        self._source = TestData.data_source()
        self._client: _BlockClient | None = None
        self._outer: flags | None = None
        self._unknown: list[str] = []

    def __call__(self, values: Any = None, /, **named: Any) -> Any:
        """Sets more flags while the block is in force, and returns it; before that, decorates a function or class."""
        if self._client is None:
            return self._decorate(values)
        wanted = _by_key(values, named)
        self._undo.append({key: self._source._builders.get(key) for key in wanted})
        self._set(wanted)
        return _Change(self)

    def __getitem__(self, key: str) -> Any:
        """The value of a flag that was set to one."""
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Sets one flag."""
        self._set({key: value})

    def flag(self, key: str) -> FlagBuilder:
        """Returns a builder of a flag that is not the same for everybody; give it to :meth:`update`."""
        return self._source.flag(key)

    def update(self, builder: FlagBuilder) -> Self:
        """Sets a flag: ``flags.update(flags.flag("new-ui").variation_for_user("ann", True))``."""
        self._source.update(builder)
        self._values.pop(builder._key, None)
        return self

    @property
    def client(self) -> LDClient:
        """The client of the block, to hand to code that takes one.

        :raises RuntimeError: the block is not in force
        """
        if self._client is None:
            raise RuntimeError("these flags are not in force: use them in a `with` block or as a decorator")
        return self._client

    def evaluated(self, key: str) -> list[Any]:
        """What was served of a flag inside the block, in order."""
        return [evaluation.value for evaluation in self.evaluations if evaluation.key == key]

    def tracked(self, name: str) -> list[Event]:
        """The events of that name, in order."""
        return [event for event in self.events if event.name == name]

    def __enter__(self) -> Self:
        if self._client is not None:
            raise RuntimeError("these flags are in force already")
        self._outer = _block_here()
        if self._outer is not None:
            for builder in list(self._outer._source._builders.values()):
                self._source.update(builder)
            self._values.update(self._outer._values)
            self.strict = self.strict or self._outer.strict
        self._client = _BlockClient(self)
        self._set(self._first)
        _begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _end(self)
        client, self._client = self._client, None
        if client is not None:
            client.close(0)
        self._source = TestData.data_source()
        self._values.clear()
        unknown, self._unknown = self._unknown, []
        if unknown and error is None:
            raise UnknownFlagError(unknown[0])

    def __repr__(self) -> str:
        return f"flags({', '.join(f'{key}={value!r}' for key, value in sorted(self._values.items()))})"

    def _set(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            builder = self._source.flag(key)
            if isinstance(value, bool):
                self._source.update(builder.boolean_flag().variation_for_all(value))
            else:
                self._source.update(builder.value_for_all(value))
            self._values[key] = value

    def _revert(self) -> None:
        for key, builder in self._undo.pop().items():
            self._values.pop(key, None)
            if builder is not None:
                self._source.update(builder)
            elif self._client is not None:
                _forget(self._source, self._client, key)

    def _asked(self, key: object) -> None:
        if self.strict and isinstance(key, str) and key not in self._source._flags:
            self._unknown.append(key)
            raise UnknownFlagError(key)

    def _decorate(self, decorated: Any) -> Any:
        if isinstance(decorated, type):
            return self._decorate_class(decorated)
        if not callable(decorated):
            raise TypeError("flags as a decorator take a function or a class; set flags by name: @flags(new_ui=True)")
        from inspect import iscoroutinefunction

        if iscoroutinefunction(decorated):

            @wraps(decorated)
            async def later(*arguments: Any, **named: Any) -> Any:
                with self._again():
                    return await decorated(*arguments, **named)

            return later

        @wraps(decorated)
        def now(*arguments: Any, **named: Any) -> Any:
            with self._again():
                return decorated(*arguments, **named)

        return now

    def _decorate_class(self, decorated: type) -> type:
        from unittest import TestCase

        if not issubclass(decorated, TestCase):
            for name, value in list(vars(decorated).items()):
                if name.startswith("test") and callable(value):
                    setattr(decorated, name, self._decorate(value))
            return decorated
        set_up: Any = decorated.setUp

        @wraps(set_up)
        def with_flags(case: Any) -> None:
            block = self._again()
            case.flags = block.__enter__()
            case.addCleanup(block.__exit__, None, None, None)
            set_up(case)

        setattr(decorated, "setUp", with_flags)  # noqa: B010 - the same for every class
        return decorated

    def _again(self) -> flags:
        return flags(self._first, _strict=self.strict)


class _Change:
    """What a call to flags in force returns: in a ``with`` block, what it set is undone at the end."""

    def __init__(self, block: flags) -> None:
        self._block = block

    def __enter__(self) -> flags:
        return self._block

    def __exit__(self, *_: object) -> None:
        self._block._revert()

    def __repr__(self) -> str:
        return repr(self._block)


class _Recorder(Hook):
    """Keeps what happens in a block, for it and those around it."""

    def __init__(self, block: flags) -> None:
        self._block = block

    @property
    def metadata(self) -> Metadata:
        return Metadata(name="ldclient.testing")

    def after_evaluation(
        self, series_context: EvaluationSeriesContext, data: dict[Any, Any], detail: EvaluationDetail[Any]
    ) -> dict[Any, Any]:
        context, default = series_context.context, series_context.default_value
        evaluation = Evaluation(series_context.key, detail.value, context, default, detail.reason)
        block: flags | None = self._block
        while block is not None:
            block.evaluations.append(evaluation)
            block = block._outer
        return data

    def after_track(self, series_context: TrackSeriesContext) -> None:
        series = series_context
        event = Event(series.key, series.context, series.data, series.metric_value)
        block: flags | None = self._block
        while block is not None:
            block.events.append(event)
            block = block._outer


class _BlockClient(LDClient):
    """The client of a block."""

    def __init__(self, block: flags) -> None:
        self._block = block
        # Each has a key of its own: no two of them are twins.
        config = Config(
            f"testing-{next(_numbers)}",
            update_processor_class=block._source,
            send_events=False,
            hooks=[_Recorder(block)],
        )
        super().__init__(config, 0)

    def pinned(self) -> PinnedClient:
        return _BlockView(self)


class _BlockView(PinnedClient):
    """A pinned view of a block's client."""

    @property
    def _block(self) -> flags:
        block: flags = self.client._block
        return block


def _guarded(name: str) -> Any:
    method = getattr(LDClient, name)

    @wraps(method)
    def call(self: Any, key: Any, *arguments: Any, **named: Any) -> Any:
        self._block._asked(key)
        return method(self, key, *arguments, **named)

    return call


for _type in ("", "bool_", "int_", "float_", "str_", "json_"):
    for _suffix in ("", "_detail"):
        _name = f"{_type}variation{_suffix}"
        for _class in (_BlockClient, _BlockView):
            setattr(_class, _name, _guarded(_name))

_numbers = count(1)


class _Router:
    """What ``ldclient.get()`` returns while a block is in force: the client of the caller's block."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return LDClient

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        block = _block_here()
        client = sys.modules["ldclient"].get() if block is None else block._client
        return getattr(client, name)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the block's client open."""

    def __repr__(self) -> str:
        return f"<the client of {_block_here()!r}>"


_ROUTER: Any = _Router()

_entered: ContextVar[flags | None] = ContextVar("ldclient.testing", default=None)
_blocks: list[flags] = []
_lock = threading.Lock()


def _block_here() -> flags | None:
    block = _entered.get()
    if block is not None and block._client is not None:
        return block
    return _blocks[-1] if _blocks else None


def _begin(block: flags) -> None:
    _entered.set(block)
    with _lock:
        _blocks.append(block)
        _substitute(_ROUTER)


def _end(block: flags) -> None:
    if _entered.get() is block:
        _entered.set(block._outer)
    with _lock:
        if block in _blocks:
            _blocks.remove(block)
        if not _blocks:
            _substitute(None)


def _substitute(client: Any) -> None:
    _shared.SharedClient.substitute = client
    package: Any = sys.modules["ldclient"]
    package._state._publish()


def _forget(source: TestData, client: LDClient, key: str) -> None:
    """Takes a flag back that did not exist before."""
    with source._lock():
        known = source._flags.pop(key, None)
        source._builders.pop(key, None)
        if known is not None:
            client._deliver_deletion("features", key, known["version"] + 1, False)


def _by_key(values: Any, named: dict[str, Any]) -> dict[str, Any]:
    if values is not None and not hasattr(values, "items"):
        raise TypeError(f"flags: expected a dictionary of values by key, got {type(values).__name__}")
    wanted = dict(values or {})
    for name, value in named.items():
        wanted[name] = value
        wanted[name.replace("_", "-")] = value
    return wanted
