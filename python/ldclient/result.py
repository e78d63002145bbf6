"""The outcome of an operation: :class:`Result`, which is public as ``ldclient.Result``."""

from __future__ import annotations

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Result"]


class Result:
    """Success with a value, or failure with words and perhaps an exception. Immutable.

    Make one by :meth:`success` or :meth:`fail`.

    >>> Result.success(3).value, Result.fail("no answer").error
    (3, 'no answer')
    """

    __slots__ = ("_error", "_exception", "_value")

    def __init__(self, value: Any, error: str | None, exception: Exception | None) -> None:
        self._value = value
        self._error = error
        self._exception = exception

    @staticmethod
    def success(value: Any) -> Result:
        """Returns a success.

        :param value: what came of it; None will do
        """
        return Result(value, None, None)

    @staticmethod
    def fail(error: str, exception: Exception | None = None) -> Result:
        """Returns a failure.

        :param error: what went wrong, in words
        :param exception: what was raised, if anything was
        """
        return Result(None, error, exception)

    def is_success(self) -> bool:
        """Tells whether this is a success."""
        return self._error is None

    @property
    def value(self) -> Any:
        """The value of a success, else None."""
        return self._value

    @property
    def error(self) -> str | None:
        """What went wrong, or None for a success."""
        return self._error

    @property
    def exception(self) -> Exception | None:
        """What was raised, or None."""
        return self._exception

    def __repr__(self) -> str:
        if self._error is None:
            return f"Result.success({self._value!r})"
        return f"Result.fail({self._error!r}, {self._exception!r})"


Result.__module__ = "ldclient"
