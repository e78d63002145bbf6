"""Runs the stages of hooks around evaluations and events. The native client calls it once a hook was added.

1. No lock is held anywhere here: what a hook does, waits for or calls back is its caller's time and no one else's.
2. The hooks of a call are those that were there when it began.
3. A stage that raises an Exception is logged the first time, by hook and stage. What is said is the exception's type
   and place, never its text, which may hold what must not be logged. What is no Exception (KeyboardInterrupt,
   SystemExit, a time-out of gevent) is meant for the program and goes through.
4. Which hooks are running is known by thread, so that a hook that evaluates does not run itself without end.
"""

from __future__ import annotations

import _thread
import os

from . import _ldclient, logs
from .hook import EvaluationSeriesContext, Hook, TrackSeriesContext

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .client import LDClient
    from .evaluation import EvaluationDetail

# The hooks whose stages are running, by process and thread. Idents are asked of the module each time, because gevent
# replaces that function by one that tells greenlets apart.
_running: dict[tuple[int, int], tuple[Hook, ...]] = {}

# How many stages may run inside one another on one thread.
_DEEPEST = 2


class Registered:
    """A hook of a client, with the stages of it that were complained about."""

    __slots__ = ("complained", "hook")

    def __init__(self, hook: Hook) -> None:
        self.hook = hook
        self.complained: set[str] = set()


def add(client: LDClient, hooks: Iterable[object]) -> None:
    """Adds hooks to a client. What is no Hook is left out with a warning."""
    for hook in hooks:
        if isinstance(hook, Hook):
            client._hooks.append(Registered(hook))
        else:
            logs.logger().warning("A hook must be an ldclient.hook.Hook; one of type %s was left out.", _type(hook))
    if client._hooks:
        import sys

        client._set_hooks(sys.modules[__name__])


def evaluate(client: LDClient, method: str, key: str, user: object, default: Any) -> EvaluationDetail[Any]:
    """Evaluates as the method of that name does, with the stages around it."""
    return around(client, method, key, user, default, lambda: client._evaluate(method, key, user, default))


def around(
    client: LDClient, method: str, key: str, user: object, default: Any, answer: Callable[[], EvaluationDetail[Any]]
) -> EvaluationDetail[Any]:
    """Returns the answer, with the stages of the evaluation series around it."""
    thread, running = _here()
    hooks = _apart_from(client._hooks, running)
    if not hooks:
        return answer()
    series = EvaluationSeriesContext(key, _ldclient.context_of(user), default, method, client._environment_id())
    kept = []
    for one in hooks:
        hook = one.hook
        data = _run(thread, running, one, "before_evaluation", lambda hook=hook: hook.before_evaluation(series, {}))  # type: ignore[misc]
        kept.append({} if data is None else data)
    detail = answer()
    for one, data in zip(reversed(hooks), reversed(kept), strict=True):
        hook = one.hook
        _run(
            thread,
            running,
            one,
            "after_evaluation",
            lambda hook=hook, data=data: hook.after_evaluation(series, data, detail),  # type: ignore[misc]
        )
    return detail


def track(client: LDClient, name: str, user: object, data: Any, metric_value: Any) -> None:
    """Records an event as ``track`` does, with the stage after it."""
    client._track(name, user, data, metric_value)
    thread, running = _here()
    hooks = _apart_from(client._hooks, running)
    context = _ldclient.context_of(user)
    if not hooks or not context.valid:
        return
    series = TrackSeriesContext(context, name, data, metric_value, client._environment_id())
    for one in hooks:
        hook = one.hook
        _run(thread, running, one, "after_track", lambda hook=hook: hook.after_track(series))  # type: ignore[misc]


def describe(error: BaseException) -> str:
    """What an exception is and where it was raised, without its text."""
    trace = error.__traceback__
    if trace is None:
        return _type(error)
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{_type(error)} in {code.co_name}, line {trace.tb_lineno} of {os.path.basename(code.co_filename)}"


def name_of(named: Any) -> str:
    """The name that a hook or plugin gives itself; its type's where it gives none."""
    try:
        return str(named.metadata.name)
    except Exception:
        return _type(named)


def _run(
    thread: tuple[int, int], running: tuple[Hook, ...], one: Registered, stage: str, run: Callable[[], Any]
) -> Any:
    """What the stage returns; None if it raised."""
    _running[thread] = (*running, one.hook)
    try:
        return run()
    except Exception as error:
        if stage not in one.complained:
            one.complained.add(stage)
            logs.logger().error(
                "The hook %s raised an exception in %s: %s. Evaluations and events are not harmed; this is said once.",
                name_of(one.hook),
                stage,
                describe(error),
            )
        return None
    finally:
        if running:
            _running[thread] = running
        else:
            _running.pop(thread, None)


def _here() -> tuple[tuple[int, int], tuple[Hook, ...]]:
    thread = (os.getpid(), _thread.get_ident())
    return thread, _running.get(thread, ())


def _apart_from(hooks: list[Registered], running: tuple[Hook, ...]) -> list[Registered]:
    if not running:
        return list(hooks)
    if len(running) >= _DEEPEST:
        return []
    return [one for one in hooks if not any(one.hook is other for other in running)]


def _type(thing: object) -> str:
    return type(thing).__name__
