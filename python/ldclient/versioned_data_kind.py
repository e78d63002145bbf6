"""The two kinds of item that a feature store holds: :data:`FEATURES` and :data:`SEGMENTS`.

Names and paths are those of launchdarkly-server-sdk 9.20; a store sees in a kind only its ``namespace``.
"""

from __future__ import annotations

# `typing` takes longer to import than this whole module; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["FEATURES", "SEGMENTS", "VersionedDataKind", "VersionedDataKindWithOrdering"]


class VersionedDataKind:
    """A kind of item.

    :param namespace: its name in a store: ``features`` or ``segments``
    :param request_api_path: the path of its items in the polling service
    :param stream_api_path: what the paths of its items begin with on the stream
    :param decoder: what makes something else of an item; None leaves it as it is

    >>> FEATURES.namespace, SEGMENTS.namespace
    ('features', 'segments')
    """

    def __init__(
        self,
        namespace: str,
        request_api_path: str,
        stream_api_path: str,
        decoder: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self._namespace = namespace
        self._request_api_path = request_api_path
        self._stream_api_path = stream_api_path
        self._decoder = decoder

    @property
    def namespace(self) -> str:
        """The kind's name in a store."""
        return self._namespace

    @property
    def request_api_path(self) -> str:
        """The path of its items in the polling service."""
        return self._request_api_path

    @property
    def stream_api_path(self) -> str:
        """What the paths of its items begin with on the stream."""
        return self._stream_api_path

    def decode(self, data: Any) -> Any:
        """Returns the item that this data stands for. Flags and segments are dicts in either form."""
        return data if self._decoder is None else self._decoder(data)

    def encode(self, item: Any) -> Any:
        """Returns the dict to store for an item; one that has ``to_json_dict`` is asked for it."""
        if isinstance(item, dict):
            return item
        to_json_dict = getattr(item, "to_json_dict", None)
        return item if to_json_dict is None else to_json_dict()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._namespace!r})"


class VersionedDataKindWithOrdering(VersionedDataKind):
    """A kind of item that knows in which order stores should write: what others rest on comes first.

    :param priority: kinds are written from the lowest number on
    :param get_dependency_keys: the keys of the items of the same kind that an item rests on; None for none
    """

    def __init__(
        self,
        namespace: str,
        request_api_path: str,
        stream_api_path: str,
        decoder: Callable[[dict[str, Any]], Any] | None,
        priority: int,
        get_dependency_keys: Callable[[dict[str, Any]], Iterable[str]] | None,
    ) -> None:
        super().__init__(namespace, request_api_path, stream_api_path, decoder)
        self._priority = priority
        self._get_dependency_keys = get_dependency_keys

    @property
    def priority(self) -> int:
        """Kinds are written from the lowest number on."""
        return self._priority

    @property
    def get_dependency_keys(self) -> Callable[[dict[str, Any]], Iterable[str]] | None:
        """What tells the keys of the items of the same kind that an item rests on; None for none."""
        return self._get_dependency_keys


def _prerequisites(flag: dict[str, Any]) -> Iterable[str]:
    return [prerequisite["key"] for prerequisite in flag.get("prerequisites") or [] if "key" in prerequisite]


FEATURES = VersionedDataKindWithOrdering("features", "/sdk/latest-flags", "/flags/", None, 1, _prerequisites)
"""Flags."""

SEGMENTS = VersionedDataKindWithOrdering("segments", "/sdk/latest-segments", "/segments/", None, 0, None)
"""Segments."""
