"""What is measured of one migration operation, and the event that is made of it. Sending it is the client's part."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from .. import logs
from ..context import Context
from ..evaluation import EvaluationDetail
from ..events import EventInput
from .types import Operation, Origin, Stage

__all__ = ["MigrationOpEvent", "OpTracker"]

_MILLISECOND = timedelta(milliseconds=1)

# Types of errors of comparisons that were logged.
_complained: set[str] = set()


class MigrationFlag(NamedTuple):
    """What an operation needs to know of its flag."""

    version: int
    sampling_ratio: int | None = None
    check_ratio: int | None = None
    key: str = ""


class MigrationOpEvent(EventInput):
    """What was measured of one operation. Made by :meth:`OpTracker.build`."""

    __slots__ = (
        "consistent",
        "consistent_ratio",
        "default_stage",
        "detail",
        "errors",
        "flag",
        "invoked",
        "key",
        "latencies",
        "operation",
    )

    def __init__(
        self,
        timestamp: int,
        context: Context,
        key: str,
        flag: MigrationFlag | None,
        operation: Operation,
        default_stage: Stage,
        detail: EvaluationDetail[Any],
        invoked: set[Origin],
        consistent: bool | None,
        consistent_ratio: int | None,
        errors: set[Origin],
        latencies: dict[Origin, timedelta],
    ) -> None:
        super().__init__(timestamp, context, None if flag is None else flag.sampling_ratio)
        self.key = key
        self.flag = flag
        self.operation = operation
        self.default_stage = default_stage
        self.detail = detail
        self.invoked = invoked
        self.consistent = consistent
        self.consistent_ratio = consistent_ratio
        self.errors = errors
        self.latencies = latencies

    def to_debugging_dict(self) -> dict[str, Any]:
        """Everything it says, with the context as a dict and of the flag only its key."""
        return {
            "timestamp": self.timestamp,
            "context": self.context.to_dict(),
            "flag": None if self.flag is None else {"key": self.key},
            "operation": self.operation.value,
            "default_stage": self.default_stage.value,
            "detail": self.detail,
            "invoked": self.invoked,
            "consistent": self.consistent,
            "consistent_ratio": self.consistent_ratio,
            "errors": self.errors,
            "latencies": self.latencies,
        }

    def members(self) -> dict[str, Any]:
        """The event's own members in the form of the service (as launchdarkly-server-sdk 9.20 sends them)."""
        detail = self.detail
        evaluation: dict[str, Any] = {"key": self.key, "value": detail.value, "default": self.default_stage.value}
        if self.flag is not None:
            evaluation["version"] = self.flag.version
        if detail.variation_index is not None:
            evaluation["variation"] = detail.variation_index
        if detail.reason is not None:
            evaluation["reason"] = detail.reason
        measurements: list[dict[str, Any]] = [{"key": "invoked", "values": _marks(self.invoked)}]
        if self.consistent is not None:
            measurements.append({"key": "consistent", "value": self.consistent})
            if self.consistent_ratio not in (None, 1):
                measurements[-1]["samplingRatio"] = self.consistent_ratio
        if self.latencies:
            values = {origin.value: duration / _MILLISECOND for origin, duration in self.latencies.items()}
            measurements.append({"key": "latency_ms", "values": values})
        if self.errors:
            measurements.append({"key": "error", "values": _marks(self.errors)})
        members: dict[str, Any] = {
            "operation": self.operation.value,
            "evaluation": evaluation,
            "measurements": measurements,
        }
        if self.sampling_ratio not in (None, 1):
            members["samplingRatio"] = self.sampling_ratio
        return members


class OpTracker:
    """Collects what is measured of one operation; ``LDClient.migration_variation`` returns one for each.

    Its methods return the tracker itself, may be called from any thread, and ignore arguments of a wrong type. It holds
    no lock: a comparison may take its time and use the tracker.

    :param key: the migration flag
    :param flag: what is known of the flag; None if there is none
    :param context: whom the flag was evaluated for
    :param detail: what the evaluation answered
    :param default_stage: the caller's default
    """

    def __init__(
        self,
        key: str,
        flag: MigrationFlag | None,
        context: Context,
        detail: EvaluationDetail[Any],
        default_stage: Stage,
    ) -> None:
        self.__key = key
        self.__flag = flag
        self.__context = context
        self.__detail = detail
        self.__default_stage = default_stage
        self.__operation: Operation | None = None
        self.__invoked: set[Origin] = set()
        self.__consistent: bool | None = None
        ratio = None if flag is None else flag.check_ratio
        self.__consistent_ratio = 1 if ratio is None else ratio
        self.__errors: set[Origin] = set()
        self.__latencies: dict[Origin, timedelta] = {}

    def operation(self, op: Operation) -> OpTracker:
        """Says what is done.

        :param op: a read or a write
        """
        if isinstance(op, Operation):
            self.__operation = op
        return self

    def invoked(self, origin: Origin) -> OpTracker:
        """Says that an origin was read or written.

        :param origin: which one
        """
        if isinstance(origin, Origin):
            self.__invoked.add(origin)
        return self

    def consistent(self, is_consistent: Callable[[], bool]) -> OpTracker:
        """Says whether both origins gave the same.

        :param is_consistent: compares. Called at most once, on this thread, and only for one in so many operations as
            the flag's check ratio says. When it raises, nothing is measured, and it is logged once for each type
        """
        ratio = self.__consistent_ratio
        # The module's own generator is seeded anew in a forked process.
        if ratio == 1 or (ratio > 1 and random.random() < 1 / ratio):
            try:
                self.__consistent = bool(is_consistent())
            except Exception as error:
                _complain(self.__key, error)
        return self

    def error(self, origin: Origin) -> OpTracker:
        """Says that reading or writing an origin failed.

        :param origin: which one
        """
        if isinstance(origin, Origin):
            self.__errors.add(origin)
        return self

    def latency(self, origin: Origin, duration: timedelta) -> OpTracker:
        """Says how long reading or writing an origin took.

        :param origin: which one
        :param duration: how long
        """
        if _is(origin, Origin) and _is(duration, timedelta):
            self.__latencies[origin] = duration
        return self

    def build(self) -> MigrationOpEvent | str:
        """Makes the event, or says in words why there can be none."""
        invoked, errors, latencies = self.__invoked.copy(), self.__errors.copy(), self.__latencies.copy()
        if self.__operation is None:
            return "operation not provided"
        if not self.__key:
            return "migration operation cannot contain an empty key"
        if not invoked:
            return "no origins were invoked"
        if not self.__context.valid:
            return "provided context was invalid"
        for origin in Origin:
            if origin in invoked:
                continue
            if origin in latencies:
                return f"provided latency for origin '{origin.value}' without recording invocation"
            if origin in errors:
                return f"provided error for origin '{origin.value}' without recording invocation"
        consistent = self.__consistent
        if consistent is not None and len(invoked) != 2:
            return "provided consistency without recording both invocations"
        return MigrationOpEvent(
            int(time.time() * 1000),
            self.__context,
            self.__key,
            self.__flag,
            self.__operation,
            self.__default_stage,
            self.__detail,
            invoked,
            consistent,
            None if consistent is None else self.__consistent_ratio,
            errors,
            latencies,
        )


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind)


def _marks(origins: set[Origin]) -> dict[str, bool]:
    return {origin.value: True for origin in Origin if origin in origins}


def _complain(key: str, error: Exception) -> None:
    name = type(error).__name__
    if name not in _complained:
        _complained.add(name)
        logs.logger().error(
            "The comparison of a migration (flag %s) raised %s; its consistency is not measured.", key, name
        )
