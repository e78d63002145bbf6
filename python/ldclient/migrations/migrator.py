"""Reads and writes through a migration flag: which origins, in which order, and what is measured on the way."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .tracker import OpTracker
from .types import (
    ExecutionOrder,
    MigrationConfig,
    MigratorCompareFn,
    MigratorFn,
    Operation,
    OperationResult,
    Origin,
    Result,
    Stage,
    WriteResult,
)

if TYPE_CHECKING:
    from .._ldclient import _User
    from ..client import LDClient

__all__ = ["Migrator", "MigratorBuilder"]

# Origins in each stage, the authoritative one first.
_READ = {
    Stage.OFF: (Origin.OLD,),
    Stage.DUALWRITE: (Origin.OLD,),
    Stage.SHADOW: (Origin.OLD, Origin.NEW),
    Stage.LIVE: (Origin.NEW, Origin.OLD),
    Stage.RAMPDOWN: (Origin.NEW,),
    Stage.COMPLETE: (Origin.NEW,),
}
_WRITTEN = {
    Stage.OFF: (Origin.OLD,),
    Stage.DUALWRITE: (Origin.OLD, Origin.NEW),
    Stage.SHADOW: (Origin.OLD, Origin.NEW),
    Stage.LIVE: (Origin.NEW, Origin.OLD),
    Stage.RAMPDOWN: (Origin.NEW, Origin.OLD),
    Stage.COMPLETE: (Origin.NEW,),
}


class Migrator(ABC):
    """Reads and writes as a migration flag says. Made by :class:`MigratorBuilder`; may be used from any thread."""

    @abstractmethod
    def read(self, key: str, context: _User, default_stage: Stage, payload: Any = None) -> OperationResult:
        """Reads the origins of the stage and returns what the authoritative one answered.

        :param key: the migration flag
        :param context: whom it is evaluated for
        :param default_stage: the stage when the flag has none
        :param payload: given to the functions that read
        """

    @abstractmethod
    def write(self, key: str, context: _User, default_stage: Stage, payload: Any = None) -> WriteResult:
        """Writes the origins of the stage, the authoritative one first; after a failure of it, the other one is not.

        :param key: the migration flag
        :param context: whom it is evaluated for
        :param default_stage: the stage when the flag has none
        :param payload: given to the functions that write
        """


class MigratorBuilder:
    """Makes a :class:`Migrator`.

    :param client: the client that evaluates and records. By default reads are parallel, and latency and errors measured

    >>> from ldclient import Config, LDClient, Result, Stage
    >>> client = LDClient(Config(offline=True))
    >>> builder = MigratorBuilder(client)
    >>> builder = builder.read(lambda key: Result.success("old"), lambda key: Result.success("new"))
    >>> builder = builder.write(lambda row: Result.success(None), lambda row: Result.success(None))
    >>> builder.build().read("database.move", {"key": "aa0ceb"}, Stage.LIVE).value
    'new'
    """

    def __init__(self, client: LDClient) -> None:
        self._client = client
        self.__read_execution_order = ExecutionOrder.PARALLEL
        self.__measure_latency = True
        self.__measure_errors = True
        self.__read_config: MigrationConfig | None = None
        self.__write_config: MigrationConfig | None = None

    def read_execution_order(self, order: ExecutionOrder) -> MigratorBuilder:
        """Sets the order in which both origins are read.

        :param order: the order; anything else changes nothing
        """
        if isinstance(order, ExecutionOrder):
            self.__read_execution_order = order
        return self

    def track_latency(self, enabled: bool) -> MigratorBuilder:
        """Sets whether it is measured how long each origin takes."""
        self.__measure_latency = enabled
        return self

    def track_errors(self, enabled: bool) -> MigratorBuilder:
        """Sets whether failures are recorded."""
        self.__measure_errors = enabled
        return self

    def read(self, old: MigratorFn, new: MigratorFn, comparison: MigratorCompareFn | None = None) -> MigratorBuilder:
        """Sets how origins are read.

        :param old: reads the old one. Takes the payload, returns a :class:`Result`; an exception is a failure
        :param new: reads the new one
        :param comparison: tells whether two values are equal. Without it, consistency is not measured
        """
        self.__read_config = MigrationConfig(old, new, comparison)
        return self

    def write(self, old: MigratorFn, new: MigratorFn) -> MigratorBuilder:
        """Sets how origins are written.

        :param old: writes the old one. Takes the payload, returns a :class:`Result`; an exception is a failure
        :param new: writes the new one
        """
        self.__write_config = MigrationConfig(old, new)
        return self

    def build(self) -> Migrator | str:
        """Makes the migrator, or says in words what it lacks."""
        if self.__read_config is None:
            return "read configuration not provided"
        if self.__write_config is None:
            return "write configuration not provided"
        return _Migrator(
            self._client,
            self.__read_execution_order,
            self.__read_config,
            self.__write_config,
            self.__measure_latency,
            self.__measure_errors,
        )


class _Migrator(Migrator):
    def __init__(
        self,
        client: LDClient,
        order: ExecutionOrder,
        reads: MigrationConfig,
        writes: MigrationConfig,
        measure_latency: bool,
        measure_errors: bool,
    ) -> None:
        self._client = client
        self._order = order
        self._reads = reads
        self._writes = writes
        self._measure_latency = measure_latency
        self._measure_errors = measure_errors

    def read(self, key: str, context: _User, default_stage: Stage, payload: Any = None) -> OperationResult:
        stage, tracker = self._client.migration_variation(key, context, default_stage)
        tracker.operation(Operation.READ)
        steps = self._steps(_READ[stage], self._reads, tracker, payload)
        if len(steps) == 1:
            result = steps[0]()
        else:
            result, other = self._read_both(*steps)
            compare = self._reads.comparison
            if compare is not None and result.is_success() and other.is_success():
                tracker.consistent(lambda: compare(result.value, other.value))
        self._client.track_migration_op(tracker)
        return result

    def write(self, key: str, context: _User, default_stage: Stage, payload: Any = None) -> WriteResult:
        stage, tracker = self._client.migration_variation(key, context, default_stage)
        tracker.operation(Operation.WRITE)
        first, *others = self._steps(_WRITTEN[stage], self._writes, tracker, payload)
        authoritative = first()
        nonauthoritative = others[0]() if others and authoritative.is_success() else None
        self._client.track_migration_op(tracker)
        return WriteResult(authoritative, nonauthoritative)

    def _read_both(
        self, authoritative: Callable[[], OperationResult], other: Callable[[], OperationResult]
    ) -> tuple[OperationResult, OperationResult]:
        if self._order is ExecutionOrder.PARALLEL:
            return _at_once(authoritative, other)
        if self._order is ExecutionOrder.RANDOM and random.random() < 0.5:
            second = other()
            return authoritative(), second
        return authoritative(), other()

    def _steps(
        self, origins: tuple[Origin, ...], config: MigrationConfig, tracker: OpTracker, payload: Any
    ) -> list[Callable[[], OperationResult]]:
        functions = {Origin.OLD: config.old, Origin.NEW: config.new}
        return [
            lambda origin=origin: self._run(origin, functions[origin], tracker, payload)  # type: ignore[misc]
            for origin in origins
        ]

    def _run(self, origin: Origin, function: MigratorFn, tracker: OpTracker, payload: Any) -> OperationResult:
        tracker.invoked(origin)
        start = time.monotonic()
        try:
            returned: Any = function(payload)
        except Exception as error:
            returned = Result.fail(f"the {origin.value} origin's operation raised an exception", error)
        took = time.monotonic() - start
        if isinstance(returned, Result):
            result = returned
        else:
            kind = type(returned).__name__
            result = Result.fail(f"the {origin.value} origin's operation returned no Result but a value of type {kind}")
        if self._measure_latency:
            tracker.latency(origin, timedelta(seconds=took))
        if self._measure_errors and not result.is_success():
            tracker.error(origin)
        return OperationResult(origin, result)


def _at_once(
    authoritative: Callable[[], OperationResult], other: Callable[[], OperationResult]
) -> tuple[OperationResult, OperationResult]:
    """Both, the second one on a thread of its own with the caller's context variables. Waits for both."""
    # Imported here, where gevent may have replaced it by now.
    import contextvars
    import threading

    finished: list[OperationResult | BaseException] = []

    def run() -> None:
        try:
            finished.append(other())
        except BaseException as error:
            finished.append(error)

    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(run,), name="ldclient-migration-read", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:
        # No thread can be had: then one after the other.
        return authoritative(), other()
    try:
        first = authoritative()
    finally:
        thread.join()
    second = finished[0]
    if isinstance(second, BaseException):
        raise second
    return first, second
