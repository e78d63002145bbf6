"""The ambient user: the one a block of code runs for, so that calls inside it need not name it.

1. What a block knows lives in a context variable: every thread and every asyncio task sees its own. A thread that is
   started inside the block begins without one (as with every context variable), a task begins with its creator's.
2. The innermost block counts. Its client is the one it was given, else that of the block around it, else the shared one.
3. A framework whose requests have a context of their own (Flask) is asked by the finder it registered. What it finds
   counts as begun when its request began: a block that was entered since is further in.
"""

from __future__ import annotations

import os
import sys

from . import logs

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar
    from types import TracebackType
    from typing import Any, Protocol

    from ._ldclient import _User
    from ._pinned import PinnedClient
    from .client import LDClient

    class Scope(Protocol):
        """What knows the user of a piece of code, and the client to ask."""

        @property
        def user(self) -> _User | None: ...

        def client(self) -> LDClient | PinnedClient: ...

else:
    # Where it comes from; the module that shows it does nothing else, and would be one more to import.
    from _contextvars import ContextVar


__all__ = ["anonymous_user", "client", "current", "use"]


class Frame:
    """One entered block."""

    __slots__ = ("_ask", "_views", "outer", "user")

    def __init__(
        self,
        user: _User | None,
        ask: Callable[[], LDClient | PinnedClient],
        views: dict[str, PinnedClient] | None = None,
    ) -> None:
        self.user = user
        # The block around it, which counts again when this one is left.
        self.outer = _frame.get()
        self._ask = ask
        # A dictionary if the block has a view of its own. `setdefault` is atomic, so that all threads have the same one.
        self._views = views

    def client(self) -> LDClient | PinnedClient:
        """What evaluates flags here."""
        views = self._views
        if views is None:
            return self._ask()
        view: PinnedClient | None = views.get("view")
        return views.setdefault("view", self._ask().pinned()) if view is None else view


class ScopeFrame:
    """An entered block that is all about a scope, such as the flags of a request."""

    __slots__ = ("outer", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.outer = _frame.get()


# Being imported now.
_package: Any = sys.modules[__package__ or "ldclient"]

_frame: ContextVar[Frame | ScopeFrame | None] = ContextVar("ldclient.ambient", default=None)

# Each gets the innermost block and returns what counts instead of it, or None. Appended to by modules at their import.
finders: list[Callable[[Frame | ScopeFrame | None], Scope | None]] = []

# One anonymous user a process: a forked child must not share its parent's, so the process id is the key. setdefault
# is atomic, where a lock could be inherited locked.
_anonymous: dict[int, dict[str, object]] = {}


class use:  # noqa: N801 - it reads as a verb: `with use(user):`
    """Makes ``user`` the ambient user inside a ``with`` block.

    :param user: a :class:`ldclient.Context`, a user dictionary, or None for "nobody" (hides an outer user)
    :param pinned: whether the block sees the flags as they are at its first evaluation, whatever changes meanwhile;
        default False. For the length of a request or a job, not of a program

    Blocks nest; leaving one brings back the user of the block around it. One ``use`` object may be entered any number
    of times, also by several threads at once. Entering and leaving never raise.

    >>> with use({"key": "aa0ceb"}):
    ...     current()
    {'key': 'aa0ceb'}
    """

    __slots__ = ("_pinned", "_user")

    def __init__(self, user: _User | None, *, pinned: bool = False) -> None:
        self._user = user
        self._pinned = pinned

    def __enter__(self) -> _User | None:
        around = innermost()
        ask = shared_client if around is None else around.client
        _frame.set(Frame(self._user, ask, {} if self._pinned else None))
        return self._user

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave()


def innermost() -> Scope | None:
    """Returns what the code that calls this runs in, or None outside everything. Never raises."""
    entered = _frame.get()
    if finders:
        for find in finders:
            found = find(entered)
            if found is not None:
                return found
    return entered.scope if isinstance(entered, ScopeFrame) else entered


def current() -> _User | None:
    """Returns the ambient user of this thread or task, or None outside every :class:`use` block. Never raises."""
    scope = innermost()
    return None if scope is None else scope.user


def client() -> LDClient | PinnedClient:
    """Returns what the module's functions ask: the view of the block around the call, else the shared client.

    :raises RuntimeError: there is no block with a client of its own, and neither a key nor a Config was given
    """
    scope = innermost()
    return shared_client() if scope is None else scope.client()


def shared_client() -> LDClient:
    """Returns what ``ldclient.get()`` does."""
    client: LDClient = _package.get()
    return client


def leave() -> None:
    """Makes the block around the current one count again. Never raises."""
    entered = _frame.get()
    if entered is not None:
        _frame.set(entered.outer)


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
