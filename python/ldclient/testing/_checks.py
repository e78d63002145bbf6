"""What the contracts of stores are made of: comparisons that say which rule was broken, and skips that say why.

Nothing here needs pytest: a broken rule is an AssertionError, a skip is what :mod:`unittest` and pytest both know.
"""

from __future__ import annotations

import contextlib
import unittest

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn, TypeVar

    _Store = TypeVar("_Store")

__all__ = ["closing", "fails", "is_true", "same", "skip"]


def same(found: Any, expected: Any, what: str, rule: str) -> None:
    """Fails unless both are equal.

    :param what: what was found there, as "get('a')"
    :param rule: what the store has to do
    """
    if found != expected:
        raise AssertionError(f"{what} is {found!r}, not {expected!r}. {rule}")


def is_true(answer: Any, what: str, rule: str) -> None:
    """Fails unless the answer counts as true."""
    if not answer:
        raise AssertionError(f"{what} is {answer!r}. {rule}")


def fails(ask: Callable[[], object], what: str, rule: str) -> None:
    """Fails unless asking raises an Exception."""
    try:
        answer = ask()
    except Exception:
        return
    raise AssertionError(f"{what} returned {answer!r} instead of raising. {rule}")


def skip(reason: str) -> NoReturn:
    """Ends a test as skipped."""
    raise unittest.SkipTest(reason)


@contextlib.contextmanager
def closing(store: _Store, how: str = "close") -> Iterator[_Store]:
    """Closes a store in the end, if it can be closed."""
    try:
        yield store
    finally:
        close = getattr(store, how, None)
        if callable(close):
            close()
