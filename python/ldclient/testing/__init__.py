"""For the tests of applications. Each part is a module of its own, imported where it is used:

- :class:`ldclient.testing.flags`: sets flags for a test, as a context manager, a decorator and a pytest fixture.
- :mod:`ldclient.testing.stores`: what a feature store or a big segment store that you wrote has to do, as tests.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .overrides import Evaluation, Event, UnknownFlagError, flags

__all__ = ["Evaluation", "Event", "UnknownFlagError", "flags"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import overrides

        return getattr(overrides, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
