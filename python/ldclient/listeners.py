"""A list of callbacks that hear one value each time. Which thread calls them is the caller's question."""

from __future__ import annotations

from . import logs

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Listeners"]


class Listeners:
    """Callbacks, called one after the other in the order in which they were added.

    No lock is held while one is called, nor anywhere else: it could be inherited locked by a forked child. Each step on
    the list is a single one of the interpreter's.
    """

    __slots__ = ("_callbacks",)

    _callbacks: list[Callable[[Any], None]]

    def __init__(self) -> None:
        self._callbacks = []

    def has_listeners(self) -> bool:
        """Tells whether anybody listens."""
        return bool(self._callbacks)

    def add(self, listener: Callable[[Any], None]) -> None:
        """Adds a callback; one that is added twice is called twice."""
        self._callbacks.append(listener)

    def remove(self, listener: Callable[[Any], None]) -> bool:
        """Removes a callback once; tells whether it was there."""
        try:
            self._callbacks.remove(listener)
        except ValueError:
            return False
        return True

    def notify(self, value: Any) -> None:
        """Calls every callback with the value. One that raises is logged and keeps no other from hearing it."""
        for listener in list(self._callbacks):
            # It may have been removed by one that was called before it.
            if listener not in self._callbacks:
                continue
            try:
                listener(value)
            # A listener that wants to end its thread is one among others there.
            except (Exception, SystemExit):
                logs.logger().exception("A listener for %s raised; the others were called.", type(value).__name__)
