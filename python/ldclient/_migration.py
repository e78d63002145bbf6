"""The client's part of migrations: which stage a flag is in, and the event of an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _hooks, _ldclient, logs
from .migrations.tracker import MigrationFlag, OpTracker
from .migrations.types import Stage

if TYPE_CHECKING:
    from typing import Any

    from .client import LDClient
    from .evaluation import EvaluationDetail

# What was said about arguments.
_told: set[str] = set()


def variation(client: LDClient, key: str, user: object, default_stage: object) -> tuple[Stage, OpTracker]:
    """The stage, and a tracker for the operation."""
    if isinstance(default_stage, Stage):
        default = default_stage
    else:
        default = Stage.OFF
        kind = type(default_stage).__name__
        _tell_once(f"A default stage must be an ldclient.Stage; instead of one of type {kind}, OFF is used.")
    context = _ldclient.context_of(user)
    flag = None

    def answer() -> EvaluationDetail[Any]:
        nonlocal flag
        detail, known = client._migration_detail(key, context, default.value)
        flag = None if known is None else MigrationFlag(*known, key)
        return detail

    if client._hooks:
        detail = _hooks.around(client, "migration_variation", key, context, default.value, answer)
    else:
        detail = answer()
    return Stage(detail.value), OpTracker(key, flag, context, detail, default)


def track_op(client: LDClient, tracker: object) -> None:
    """Records what a tracker measured; says why where there is nothing to record."""
    event = tracker.build() if isinstance(tracker, OpTracker) else f"{type(tracker).__name__} is no OpTracker"
    if isinstance(event, str):
        _tell_once(f"A migration operation was not recorded: {event}.")
        return
    if client._told is not None:
        client._told.migrated(event)
        return
    try:
        client._track_migration_op(event.context, event.members(), event.sampling_ratio)
    except (OverflowError, TypeError, ValueError) as error:
        _tell_once(f"A migration operation was not recorded: its tracker holds what cannot be sent ({error}).")


def _tell_once(message: str) -> None:
    if message not in _told:
        _told.add(message)
        logs.logger().error("%s", message)
