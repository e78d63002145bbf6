"""The end of a process: clients that are still open send their last events, and their last log lines are emitted.

1. ``deliver`` is registered when the first client starts, with :mod:`logging` imported: at exit it runs before
   logging closes its handlers. Clients stay open after it, because exit handlers that were registered before it come
   later and may still use them.
2. ``close`` is registered when the package is imported and does the rest. Both together have one time limit.
3. A child of :mod:`multiprocessing`, or of its fork billiard, does not run the exit handlers it inherited; it gets a
   finalizer of its own. A child of Celery's pool runs no finalizers either: Celery's signal of its end takes their place.
4. None of these packages is imported here: what is not there when a client starts or a process forks is not needed.
5. A forked child that never asked a client anything has nothing to end.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

from . import _ldclient, logs

__all__ = ["arrange", "close", "deliver"]

# Seconds for everything together.
_LIMIT = 2.0

# Seconds of it that listeners have, which may wait for anything.
_LISTENERS = 0.2

# Seconds beyond it that threads of the application have to come back from Python code that the core calls, such as
# hooks.
_THREADS = 0.2

# The process whose exit `deliver` is registered for, and the moment when its time is over, once it has begun to end.
_arranged_for = 0
_end: tuple[int, float] | None = None

_hears_of_celery = False


def arrange() -> None:
    """Sees to the end of this process; called when a client starts. Never raises."""
    global _arranged_for
    if _arranged_for == os.getpid():
        return
    _arranged_for = os.getpid()
    # So that its exit handler is registered before ours, and runs after it.
    import logging  # noqa: F401

    atexit.register(deliver)
    _hear_of_celery()
    for package in ("multiprocessing", "billiard"):
        process = sys.modules.get(f"{package}.process")
        # Set in whatever process was begun by the package, also one that shares no memory with its parent.
        if process is not None and getattr(process.current_process(), "_parent_pid", None) is not None:
            _finalize_child(None)
            return


def deliver() -> None:
    """Waits until all clients have sent what waits, and emits their log lines. Clients stay open."""
    _ldclient.flush_all(_time_left())
    logs.drain()


def close() -> None:
    """Closes all clients, which sends what waits, and emits their log lines."""
    _ldclient.close_all(_time_left())
    # None also while another thread imports it.
    finish = getattr(sys.modules.get("ldclient.tracking"), "finish", None)
    if finish is not None:
        # So that the listeners' thread is not in the middle of something when the interpreter goes.
        finish(min(_time_left(), _LISTENERS))
    logs.drain()
    if sys.version_info < (3, 14):
        # Later versions let the threads that are left stand still.
        _ldclient.keep_out(_THREADS)


def _time_left() -> float:
    global _end
    now = time.monotonic()
    if _end is None or _end[0] != os.getpid():
        _end = os.getpid(), now + _LIMIT
    return max(_end[1] - now, 0.0)


def _after_fork() -> None:
    _ldclient.nobody_inside()
    _hear_of_celery()
    # multiprocessing forgets finalizers when a child begins, and then runs what is registered here. billiard does it
    # with the same registry, but imports it only now.
    if "billiard.process" in sys.modules or "multiprocessing.util" in sys.modules:
        from multiprocessing import util

        util.register_after_fork(_finalize_child, _finalize_child)


def _finalize_child(_: object) -> None:
    from multiprocessing import util

    # After the finalizers of others, which have higher priorities and may still use a client.
    util.Finalize(None, close, exitpriority=-100)


def _hear_of_celery() -> None:
    global _hears_of_celery
    signals = sys.modules.get("celery.signals")
    if signals is not None and not _hears_of_celery:
        _hears_of_celery = True
        signals.worker_process_shutdown.connect(_celery_ends_child, weak=False)


def _celery_ends_child(**_: object) -> None:
    # Others hear of the end after this, so clients stay open.
    deliver()


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
