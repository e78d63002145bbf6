"""Calls what an application wrote to take the place of the delivery of events.

1. It is called on the thread that evaluates, as launchdarkly-server-sdk 9.20 does: after `variation` it has the event.
2. What it raises is logged the first time, by method: the exception's type and place, never its text. What is no
   Exception is meant for the program and goes through.
3. Once a call has taken longer than `_SLOW`, or has not come back for so long, it is called on a thread of its own and
   nobody waits for it any more. What it does not keep up with is dropped, which is said once.
4. Evaluations and events in the midst of its `send_event` are not told to it: it would call itself without end.
5. A forked child uses the object as it is.
6. After the client's close nothing is told.
"""

from __future__ import annotations

import _thread
import os
import queue
import time

from . import _hooks, _ldclient, logs
from .events import EventInputCustom, EventInputEvaluation, EventInputIdentify, Flag

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .client import LDClient
    from .config import Config

# Seconds that an evaluation may be held up.
_SLOW = 1.0

# (key, flag, variation, value, reason, flag that this one is a prerequisite of, whether it is tracked)
_Evaluation = tuple[str, "Flag | None", "int | None", object, "dict[str, Any] | None", "Flag | None", bool]


def attach(client: LDClient, config: Config) -> Told:
    """Makes the event processor or consumer of a Config, and has the events of a client given to it.

    :raises TypeError: the option is nothing that can be called
    """
    told = Told(config) if config.event_processor_class is not None else ToldAsDicts(config)
    import sys

    # They are run around evaluations for hooks as well, of which there may be none.
    client._set_hooks(sys.modules[_hooks.__name__])
    client._set_event_processor(told)
    return told


class Told:
    """An event processor, which gets the objects of :mod:`ldclient.events`."""

    flag = Flag

    def __init__(self, config: Config) -> None:
        self._capacity = config.events_max_pending
        self._complained: set[str] = set()
        # When the calls that are under way began, by process and thread.
        self._began: dict[tuple[int, int], float] = {}
        self._slow = False
        self._lane: _Lane | None = None
        self._stopped = False
        self._processor = self._make(config)

    def _make(self, config: Config) -> Any:
        return _callable("event_processor_class", config.event_processor_class)(config)

    def evaluated(self, user: object, default: Any, evaluations: list[_Evaluation]) -> None:
        """Tells of one evaluation, the prerequisites on its way first."""
        context = _ldclient.context_of(user)
        for key, flag, variation, value, reason, of, tracked in evaluations:
            default_value = default if of is None else None
            self.send(
                EventInputEvaluation(
                    _now(), context, key, flag, variation, value, reason, default_value, of, bool(tracked)
                )
            )

    def identified(self, user: object) -> None:
        """Tells of ``identify``."""
        self.send(EventInputIdentify(_now(), _ldclient.context_of(user)))

    def tracked(self, user: object, name: str, data: Any, metric_value: Any) -> None:
        """Tells of ``track``."""
        self.send(EventInputCustom(_now(), _ldclient.context_of(user), name, data, metric_value))

    def migrated(self, event: Any) -> None:
        """Tells of a step of a migration."""
        self.send(event)

    def send(self, event: object) -> None:
        """Hands an event over."""
        if self._stopped:
            return
        here = os.getpid(), _thread.get_ident()
        if here in self._began:
            return
        start = time.monotonic()
        if self._began and any(process == here[0] and start - began > _SLOW for (process, _), began in self._calls()):
            self._say_slow()
        if self._slow:
            self._put("send_event", event)
            return
        self._began[here] = start
        try:
            self._call("send_event", event)
        finally:
            self._began.pop(here, None)
        if time.monotonic() - start > _SLOW:
            self._say_slow()

    def flush(self) -> None:
        """Asks for what waits to be sent."""
        if self._stopped:
            return
        if self._slow:
            self._put("flush")
        else:
            self._call("flush")

    def stop(self, seconds: float) -> None:
        """Stops the processor; one that holds up its callers at most so long."""
        if self._stopped:
            return
        self._stopped = True
        if self._slow:
            lane = self._put("stop")
            lane.ended.acquire(timeout=max(seconds, 0.0))
        else:
            self._call("stop")

    def _call(self, method: str, *arguments: object) -> None:
        try:
            getattr(self._processor, method)(*arguments)
        except Exception as error:
            if method not in self._complained:
                self._complained.add(method)
                logs.logger().error(
                    "The event processor %s raised an exception in %s: %s. Evaluations are not harmed; this is said once.",
                    type(self._processor).__name__,
                    method,
                    _hooks.describe(error),
                )

    def _calls(self) -> list[tuple[tuple[int, int], float]]:
        return list(self._began.copy().items())

    def _put(self, method: str, *arguments: object) -> _Lane:
        lane = self._lane
        if lane is None or lane.process != os.getpid():
            lane = self._lane = _Lane(self._run, self._capacity)
        try:
            lane.waiting.put_nowait((method, arguments))
        except queue.Full:
            self._say_once("full", "The event processor %s does not keep up: events are dropped.")
        return lane

    def _run(self, method: str, *arguments: object) -> None:
        here = os.getpid(), _thread.get_ident()
        self._began[here] = float("inf")
        try:
            self._call(method, *arguments)
        finally:
            self._began.pop(here, None)

    def _say_slow(self) -> None:
        self._slow = True
        self._say_once(
            "slow",
            "The event processor %s holds up evaluations: send_event took more than a second. From now on it is called on "
            "a thread of its own.",
        )

    def _say_once(self, what: str, message: str) -> None:
        if what not in self._complained:
            self._complained.add(what)
            logs.logger().warning(message, type(self._processor).__name__)


class ToldAsDicts(Told):
    """An event consumer of ldclient-py 2 to 5, which takes dicts out of a queue on a thread of its own.

    The dicts are those of ldclient-py 5: ``kind``, ``creationDate``, ``key``, ``user`` and what the kind adds. Steps of
    migrations were unknown to it, and are not told.
    """

    def _make(self, config: Config) -> Any:
        from ._sources import arity

        factory = _callable("event_consumer_class", config.event_consumer_class)
        waiting: queue.Queue[object] = queue.Queue(self._capacity)
        # Between 4.0 and 6.0 it was not given the key.
        has_key = arity(factory)[0] == 3
        consumer = factory(waiting, config.sdk_key, config) if has_key else factory(waiting, config)
        consumer.start()
        return _Consumer(consumer, waiting)

    def evaluated(self, user: object, default: Any, evaluations: list[_Evaluation]) -> None:
        """Tells of one evaluation, the prerequisites on its way first."""
        for key, flag, _, value, _, of, _ in evaluations:
            event = {"kind": "feature", "key": key, "user": _user(user), "value": value}
            event["version"] = None if flag is None else flag.version
            if of is None:
                event["default"] = default
            else:
                event["prereqOf"] = of.key
            self._queue(event)

    def identified(self, user: object) -> None:
        """Tells of ``identify``."""
        who = _user(user)
        self._queue({"kind": "identify", "key": who.get("key"), "user": who})

    def tracked(self, user: object, name: str, data: Any, metric_value: Any) -> None:
        """Tells of ``track``."""
        event = {"kind": "custom", "key": name, "user": _user(user), "data": data}
        if metric_value is not None:
            event["metricValue"] = metric_value
        self._queue(event)

    def migrated(self, event: Any) -> None:
        """Tells nothing."""

    def _queue(self, event: dict[str, Any]) -> None:
        event["creationDate"] = _now()
        if not self._stopped and not self._processor.put(event):
            self._say_once("full", "The event consumer %s does not keep up: events are dropped.")


class _Consumer:
    """A consumer and its queue."""

    def __init__(self, consumer: Any, waiting: queue.Queue[object]) -> None:
        self._consumer = consumer
        self._waiting = waiting

    def put(self, event: object) -> bool:
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            return False
        return True

    def flush(self) -> None:
        self._consumer.flush()

    def stop(self) -> None:
        if self._consumer.is_alive():
            self._consumer.stop()


class _Lane:
    """A thread that calls the processor in the place of those who evaluate."""

    def __init__(self, run: Callable[..., None], capacity: int) -> None:
        import threading

        self.process = os.getpid()
        self.waiting: queue.Queue[tuple[str, tuple[object, ...]]] = queue.Queue(capacity)
        self.ended = threading.Semaphore(0)
        self._run = run
        threading.Thread(target=self._work, name="ldclient-event-processor", daemon=True).start()

    def _work(self) -> None:
        method = ""
        while method != "stop":
            method, arguments = self.waiting.get()
            self._run(method, *arguments)
        self.ended.release()


def _callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{name}: expected a class or a function that makes one, got {type(value).__name__}")
    return value


def _user(user: object) -> dict[str, Any]:
    """A user as ldclient-py 5 had it: the caller's dict, its key as text."""
    if not isinstance(user, dict):
        return _ldclient.context_of(user).to_dict()
    copy = dict(user)
    if copy.get("key") is not None:
        copy["key"] = str(copy["key"])
    return copy


def _now() -> int:
    return int(time.time() * 1000)
