"""Hands the log records of native threads to :mod:`logging`.

Native threads never touch the interpreter; they queue what they have to say. An API call that finds the queue not
empty calls :func:`start_drain`, and one daemon thread emits the records, each with the time it was made. No lock is
held here: it could be inherited locked by a forked child.
"""

from __future__ import annotations

import os

from . import _ldclient

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger

__all__ = ["drain", "logger", "start_drain"]

# The process id while its drain thread runs. An inherited entry names the parent, so a child starts its own.
_draining: dict[int, object] = {}


def logger() -> Logger:
    """Returns the logger ``ldclient.util``, the one every release since 0.19 logs through."""
    # Imported here so that `import ldclient` stays cheap where an application does not log.
    import logging

    return logging.getLogger("ldclient.util")


def drain() -> int:
    """Emits every queued record on the calling thread and returns how many there were. Never raises an Exception."""
    emitted = 0
    while records := _ldclient.take_log_records():
        for created, level, name, message in records:
            _emit(created, level, name, message)
        emitted += len(records)
    return emitted


def start_drain() -> None:
    """Starts the thread that drains the queue and ends, unless it runs already. Returns at once and never raises.

    Late in the end of the interpreter no thread can be started; the records then wait for the drain at exit.
    """
    token = object()
    pid = os.getpid()
    if _draining.setdefault(pid, token) is not token:
        return
    try:
        import threading

        threading.Thread(target=_drain_and_end, args=(pid,), name="ldclient-logs", daemon=True).start()
    except RuntimeError:
        _draining.pop(pid, None)


def _drain_and_end(pid: int) -> None:
    token = object()
    while True:
        try:
            drain()
        finally:
            _draining.pop(pid, None)
        # A record queued between the last look and the line above found the thread "running": look once more, as the
        # one drain again.
        if _draining.setdefault(pid, token) is not token:
            return
        if not drain():
            _draining.pop(pid, None)
            return


def _emit(created: float, level: int, name: str, message: str) -> None:
    import logging

    target = logging.getLogger(name)
    try:
        if not target.isEnabledFor(level):
            return
        record = target.makeRecord(name, level, "ldclient", 0, message, (), None)
        record.relativeCreated += (created - record.created) * 1000
        record.created = created
        record.msecs = int((created - int(created)) * 1000) + 0.0
        target.handle(record)
    except Exception:
        # A filter or handler that raises costs its record, not the ones behind it.
        if logging.raiseExceptions:
            import traceback

            traceback.print_exc()
