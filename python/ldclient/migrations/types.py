"""The words of migrations: stages, origins, operations, orders, and what operations take and return."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from ..result import Result

__all__ = [
    "ExecutionOrder",
    "MigrationConfig",
    "MigratorCompareFn",
    "MigratorFn",
    "Operation",
    "OperationResult",
    "Origin",
    "Result",
    "Stage",
    "WriteResult",
]

_E = TypeVar("_E", bound=Enum)


MigratorFn = Callable[[Any | None], Result]
"""A read or a write of one origin: takes the payload (None if there is none) and returns a :class:`Result`."""

MigratorCompareFn = Callable[[Any, Any], bool]
"""Tells whether the values of two successful reads are equal: the authoritative one first."""


def _named(kind: type[_E], value: object) -> _E | None:
    return next((member for member in kind if member.value == value), None)


class ExecutionOrder(Enum):
    """In which order both origins are read in the stages that read both."""

    SERIAL = "serial"
    """The authoritative one, then the other."""

    RANDOM = "random"
    """One after the other; which one is first is drawn each time."""

    PARALLEL = "parallel"
    """Both at once: the authoritative one on the caller's thread, the other on a thread of its own."""

    @staticmethod
    def from_str(order: str) -> ExecutionOrder | None:
        """The order of that value; None if there is none."""
        return _named(ExecutionOrder, order)


class Operation(Enum):
    """What is done to an origin."""

    READ = "read"
    """Both origins may be read at once."""

    WRITE = "write"
    """Origins are written one after the other."""


class Origin(Enum):
    """Where data is."""

    OLD = "old"
    """What is migrated from."""

    NEW = "new"
    """What is migrated to."""


class Stage(Enum):
    """How far a migration is.

    ============ =========================================== ===========================================
    stage        read (the authoritative origin is in front) written (the authoritative origin is first)
    ============ =========================================== ===========================================
    OFF          old                                         old
    DUALWRITE    old                                         old, new
    SHADOW       old and new                                 old, new
    LIVE         new and old                                 new, old
    RAMPDOWN     new                                         new, old
    COMPLETE     new                                         new
    ============ =========================================== ===========================================
    """

    OFF = "off"
    DUALWRITE = "dualwrite"
    SHADOW = "shadow"
    LIVE = "live"
    RAMPDOWN = "rampdown"
    COMPLETE = "complete"

    @staticmethod
    def from_str(stage: str) -> Stage | None:
        """The stage of that value; None if there is none."""
        return _named(Stage, stage)


class OperationResult(Result):
    """A :class:`Result` with the origin that it came from."""

    def __init__(self, origin: Origin, result: Result) -> None:
        super().__init__(result.value, result.error, result.exception)
        self.__origin = origin

    def __repr__(self) -> str:
        return f"<OperationResult {self.__origin.value}: {super().__repr__()}>"

    @property
    def origin(self) -> Origin:
        """Where it was read or written."""
        return self.__origin


class WriteResult:
    """What became of a write: of the authoritative origin, and of the other one if it was written."""

    def __init__(self, authoritative: OperationResult, nonauthoritative: OperationResult | None = None) -> None:
        self.__authoritative = authoritative
        self.__nonauthoritative = nonauthoritative

    @property
    def authoritative(self) -> OperationResult:
        """Of the origin that counts in this stage; it is written first."""
        return self.__authoritative

    @property
    def nonauthoritative(self) -> OperationResult | None:
        """Of the other one; None when the stage does not write it, and after a failure of the first."""
        return self.__nonauthoritative


class MigrationConfig:
    """The functions for one operation on both origins.

    :param old: for the old origin
    :param new: for the new origin
    :param comparison: of reads: tells whether what both found is equal
    """

    def __init__(self, old: MigratorFn, new: MigratorFn, comparison: MigratorCompareFn | None = None) -> None:
        self.__old = old
        self.__new = new
        self.__comparison = comparison

    @property
    def old(self) -> MigratorFn:
        """For the old origin."""
        return self.__old

    @property
    def new(self) -> MigratorFn:
        """For the new origin."""
        return self.__new

    @property
    def comparison(self) -> MigratorCompareFn | None:
        """Tells whether what both found is equal."""
        return self.__comparison
