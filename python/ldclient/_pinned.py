"""A view of a client that answers every question from the flags of one moment: :class:`PinnedClient`."""

from __future__ import annotations

from . import _ldclient, ambient

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from ._hooks import Registered

__all__ = ["PinnedClient"]


class PinnedClient(_ldclient.Client):
    """What :meth:`ldclient.LDClient.pinned` returns: the client as it was then. Two reads of a flag cannot disagree.

    It has all methods of a client that evaluate flags or record events. Flags that change afterwards are not seen, also
    not after a fork; events go where the client's go. Making one costs about as much as an evaluation, and keeping one
    keeps the memory of its flags: let go of it at the end of the request. Any thread may use it.

    In a ``with`` block it is what the module's functions ask:

    >>> from ldclient import Config, LDClient, use, variation
    >>> with LDClient(Config(offline=True)) as client, client.pinned(), use({"key": "aa0ceb"}):
    ...     variation("your.feature.key", False)
    False
    """

    __slots__ = ("_hooks", "client")

    client: Any
    """The client that this is a view of."""

    _hooks: list[Registered]

    def __init__(self, client: Any) -> None:
        self.client = client
        self._hooks = client._hooks
        self._pin(client)

    def pinned(self) -> Self:
        """Returns this view."""
        return self

    def close(self, timeout: float = 2.0) -> None:
        """Does nothing: a view has nothing to close, and the client is its owner's to close."""

    def __enter__(self) -> Self:
        ambient._frame.set(ambient.Frame(ambient.current(), lambda: self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ambient.leave()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} of {self.client!r}>"


PinnedClient.__module__ = "ldclient"
