"""What flags and segments can come from besides the service: files, databases, and what a test makes itself."""

from __future__ import annotations

import os

from .. import _values

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from ..feature_store import CacheConfig
    from ..feature_store_helpers import CachingStoreWrapper
    from ..interfaces import BigSegmentStore
    from .test_data import TestData as TestData

__all__ = ["Consul", "DynamoDB", "Files", "Redis", "TestData"]


class Consul:
    """Stores in Consul, by its HTTP interface: no other package is needed."""

    DEFAULT_PREFIX = "launchdarkly"

    @staticmethod
    def new_feature_store(
        host: str | None = None,
        port: int | None = None,
        prefix: str | None = None,
        consul_opts: Mapping[str, Any] | None = None,
        caching: CacheConfig | None = None,
    ) -> CachingStoreWrapper:
        """Keeps flags and segments in Consul; give the result to ``Config(feature_store=...)``.

        :param host: default 127.0.0.1
        :param port: default 8500
        :param prefix: stands before all keys, with a slash; default ``launchdarkly``
        :param consul_opts: ``token``, ``scheme``, ``dc``, ``verify``, ``timeout`` (seconds, default 3)
        :param caching: how long what was read is kept, and whether at all; default 15 seconds
        :return: the store; nothing is connected yet
        :raises ValueError: an option cannot be honoured
        """
        from ._stores import ConsulCore, new_store

        return new_store(ConsulCore(host, port, prefix, consul_opts or {}), caching)


class DynamoDB:
    """Stores in Amazon DynamoDB. They need the package ``boto3``: ``pip install 'ldclient-rs[dynamodb]'``."""

    @staticmethod
    def new_feature_store(
        table_name: str,
        prefix: str | None = None,
        dynamodb_opts: Mapping[str, Any] | None = None,
        caching: CacheConfig | None = None,
    ) -> CachingStoreWrapper:
        """Keeps flags and segments in a table; give the result to ``Config(feature_store=...)``.

        :param table_name: a table that exists, with a partition key ``namespace`` and a sort key ``key``, both text
        :param prefix: stands before all keys, with a colon; default none
        :param dynamodb_opts: arguments for ``boto3.client``; what they leave out is found as ``boto3`` always does
        :param caching: how long what was read is kept, and whether at all; default 15 seconds
        :return: the store; nothing is connected yet
        :raises NotImplementedError: ``boto3`` is not installed
        """
        from ._stores import DynamoDBCore, new_store

        return new_store(DynamoDBCore(table_name, prefix, dynamodb_opts or {}), caching)

    @staticmethod
    def new_big_segment_store(
        table_name: str, prefix: str | None = None, dynamodb_opts: Mapping[str, Any] | None = None
    ) -> BigSegmentStore:
        """Looks up big segments in a table; give the result to ``BigSegmentsConfig(store=...)``.

        :param table_name: a table that exists, with a partition key ``namespace`` and a sort key ``key``, both text
        :param prefix: stands before all keys, with a colon; default none
        :param dynamodb_opts: arguments for ``boto3.client``; what they leave out is found as ``boto3`` always does
        :return: the store; nothing is connected yet
        :raises NotImplementedError: ``boto3`` is not installed
        """
        from ._big_segments import DynamoDBBigSegmentStore

        return DynamoDBBigSegmentStore(table_name, prefix, dynamodb_opts or {})


class Redis:
    """Stores in Redis. They are native: no other package is needed."""

    DEFAULT_URL = "redis://localhost:6379/0"
    DEFAULT_PREFIX = "launchdarkly"
    DEFAULT_MAX_CONNECTIONS = 16

    @staticmethod
    def new_feature_store(
        url: str = "redis://localhost:6379/0",
        prefix: str = "launchdarkly",
        max_connections: int = 16,
        caching: CacheConfig | None = None,
        redis_opts: Mapping[str, Any] | None = None,
    ) -> CachingStoreWrapper:
        """Keeps flags and segments in Redis; give the result to ``Config(feature_store=...)``.

        :param url: ``redis://[[user]:password@]host[:port][/database]``, ``rediss://`` for TLS, ``unix:///path``
        :param prefix: stands before all keys, with a colon
        :param max_connections: how many connections there may be at a time; that of ``redis_opts`` wins
        :param caching: how long what was read is kept, and whether at all; default 15 seconds
        :param redis_opts: ``username``, ``password`` and ``db`` where the url has none, ``socket_timeout`` (default 3)
            and ``socket_connect_timeout`` (default 2) in seconds, ``max_connections``. What concerns only the Python
            package ``redis`` has no effect
        :return: the store; nothing is connected yet
        :raises ValueError: the url is none, or an option cannot be honoured

        >>> from ldclient.config import Config
        >>> config = Config("sdk-key", feature_store=Redis.new_feature_store("redis://localhost:6379/0"))
        """
        from ._stores import RedisCore, new_store

        return new_store(RedisCore(url, prefix, {"max_connections": max_connections, **(redis_opts or {})}), caching)

    @staticmethod
    def new_big_segment_store(
        url: str = "redis://localhost:6379/0",
        prefix: str = "launchdarkly",
        max_connections: int = 16,
        redis_opts: Mapping[str, Any] | None = None,
    ) -> BigSegmentStore:
        """Looks up big segments in Redis; give the result to ``BigSegmentsConfig(store=...)``.

        :param url: ``redis://[[user]:password@]host[:port][/database]``, ``rediss://`` for TLS, ``unix:///path``
        :param prefix: stands before all keys, with a colon
        :param max_connections: how many connections there may be at a time; that of ``redis_opts`` wins
        :param redis_opts: ``username``, ``password`` and ``db`` where the url has none, ``socket_timeout`` (default 3)
            and ``socket_connect_timeout`` (default 2) in seconds, ``max_connections``. What concerns only the Python
            package ``redis`` has no effect
        :return: the store; nothing is connected yet
        :raises ValueError: the url is none, or an option cannot be honoured

        >>> from ldclient.config import BigSegmentsConfig, Config
        >>> store = Redis.new_big_segment_store("redis://localhost:6379/0")
        >>> config = Config("sdk-key", big_segments=BigSegmentsConfig(store))
        """
        from ._big_segments import RedisBigSegmentStore

        return RedisBigSegmentStore(url, prefix, {"max_connections": max_connections, **(redis_opts or {})})


class _FileSource:
    """The value for ``Config(update_processor_class=...)`` that reads flags from files. Immutable."""

    __slots__ = ("auto_update", "force_polling", "paths", "poll_interval")

    paths: tuple[str, ...]
    auto_update: bool
    poll_interval: float
    force_polling: bool

    def __init__(self, paths: tuple[str, ...], auto_update: bool, poll_interval: float, force_polling: bool) -> None:
        self.paths = paths
        self.auto_update = auto_update
        self.poll_interval = poll_interval
        self.force_polling = force_polling

    def options(self) -> dict[str, object]:
        """Returns the settings in the form that the native client reads."""
        return {"paths": list(self.paths), "auto_update": self.auto_update, "poll_interval": self.poll_interval}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _FileSource):
            return NotImplemented
        return self.options() == other.options() and self.force_polling == other.force_polling

    def __hash__(self) -> int:
        return hash((self.paths, self.auto_update, self.poll_interval, self.force_polling))

    def __repr__(self) -> str:
        return (
            f"Files.new_data_source(paths={list(self.paths)!r}, auto_update={self.auto_update}, "
            f"poll_interval={self.poll_interval}, force_polling={self.force_polling})"
        )


class Files:
    """Flags from files instead of the service, for tests and for development."""

    @staticmethod
    def new_data_source(
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        auto_update: bool = False,
        poll_interval: float = 1,
        force_polling: bool = False,
    ) -> _FileSource:
        """Describes a file source; give the result to ``Config(update_processor_class=...)``.

        :param paths: one path or several, absolute or relative to the current directory; what the files hold is merged
        :param auto_update: whether to read the files again when they change
        :param poll_interval: seconds between two looks at the files where their system cannot tell of changes; > 0
        :param force_polling: accepted as in the reference SDK
        :return: the data source; no file is read yet
        :raises TypeError: an argument has the wrong type
        :raises ValueError: there is no path, or the interval is not positive

        An error in any file (a missing one, malformed content, a key that occurs twice) loads none of them.

        >>> from ldclient.config import Config
        >>> config = Config(update_processor_class=Files.new_data_source("flags.json"), send_events=False)
        """
        names = _values.paths("paths", paths)
        if not names:
            raise ValueError("paths: expected at least one path")
        return _FileSource(
            names,
            _values.switch("auto_update", auto_update),
            _values.number("poll_interval", poll_interval, 1, above=0),
            _values.switch("force_polling", force_polling),
        )


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Programs that run in earnest have no use for it.
        if name == "TestData":
            from .test_data import TestData

            return TestData
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
