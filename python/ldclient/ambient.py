"""The ambient user: the one a block of code runs for, so that calls inside it need not name it.

The user lives in a context variable: every thread and every asyncio task sees its own. A thread that is started
inside the block begins without one (as with every context variable), a task begins with its creator's.
"""

from __future__ import annotations

import os

from . import logs

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import ContextVar
    from types import TracebackType

    from ._ldclient import _User
else:
    # Where it comes from; the module that shows it does nothing else, and would be one more to import.
    from _contextvars import ContextVar

__all__ = ["anonymous_user", "current", "use"]


class _Frame:
    """One entered ``use`` block; ``outer`` is the one around it."""

    __slots__ = ("outer", "user")

    def __init__(self, user: _User | None, outer: _Frame | None) -> None:
        self.user = user
        self.outer = outer


_frame: ContextVar[_Frame | None] = ContextVar("ldclient.ambient", default=None)

# One anonymous user a process: a forked child must not share its parent's, so the process id is the key. setdefault
# is atomic, where a lock could be inherited locked.
_anonymous: dict[int, dict[str, object]] = {}


class use:  # noqa: N801 - it reads as a verb: `with use(user):`
    """Makes ``user`` the ambient user inside a ``with`` block.

    :param user: a :class:`ldclient.Context`, a user dictionary, or None for "nobody" (hides an outer user)

    Blocks nest; leaving one brings back the user of the block around it. One ``use`` object may be entered any number
    of times, also by several threads at once. Entering and leaving never raise.

    >>> with use({"key": "aa0ceb"}):
    ...     current()
    {'key': 'aa0ceb'}
    """

    __slots__ = ("_user",)

    def __init__(self, user: _User | None) -> None:
        self._user = user

    def __enter__(self) -> _User | None:
        _frame.set(_Frame(self._user, _frame.get()))
        return self._user

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        frame = _frame.get()
        if frame is not None:
            _frame.set(frame.outer)


def current() -> _User | None:
    """Returns the ambient user of this thread or task, or None outside every :class:`use` block. Never raises."""
    frame = _frame.get()
    return None if frame is None else frame.user


def anonymous_user() -> dict[str, object]:
    """Returns the user that stands for "this process" in events that were tracked without a user.

    It is ``{"key": <random text>, "anonymous": True}``, the same object for the life of the process and another one
    in a forked child. The first call in a process logs a warning that shows how to name the user. Never raises.
    """
    pid = os.getpid()
    user = _anonymous.get(pid)
    if user is not None:
        return user
    made: dict[str, object] = {"key": os.urandom(16).hex(), "anonymous": True}
    user = _anonymous.setdefault(pid, made)
    if user is made:
        logs.logger().warning(
            "track() was called without a user: its events are sent for one anonymous user of this process. "
            'Name the user as the second of three arguments, track("event name", user, data), '
            "or make the call inside `with ldclient.use(user):`."
        )
    return user
