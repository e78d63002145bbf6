"""A listener for tests that remembers what it heard, and waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

DEADLINE = 10.0


class Heard:
    """Call it with values; ``wait_for`` returns them once there are so many."""

    def __init__(self, then: Callable[[Any], object] | None = None) -> None:
        self._values: list[Any] = []
        self._changed = threading.Condition()
        self._then = then
        self.threads: set[str] = set()

    def __call__(self, value: Any) -> None:
        with self._changed:
            self._values.append(value)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()
        if self._then is not None:
            self._then(value)

    @property
    def values(self) -> list[Any]:
        with self._changed:
            return list(self._values)

    def wait_for(self, count: int) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._values) >= count, DEADLINE), self._values
            return list(self._values)

    def wait_until(self, found: Callable[[list[Any]], bool]) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: found(self._values), DEADLINE), self._values
            return list(self._values)


def until(answer: Callable[[], Any], wanted: Any) -> None:
    """Waits until the answer is the wanted one."""
    end = time.monotonic() + DEADLINE
    while answer() != wanted:
        assert time.monotonic() < end, f"still {answer()!r}, not {wanted!r}"
        time.sleep(0.005)


def listening_threads() -> int:
    return [thread.name for thread in threading.enumerate()].count("ldclient-listeners")
