"""Big segment stores in databases: Redis natively, DynamoDB by ``boto3``.

Keys and columns are those that launchdarkly-server-sdk 9.20 reads and the Relay Proxy writes. Names and defaults of
arguments are the question of :mod:`ldclient.integrations`.
"""

from __future__ import annotations

from .. import _ldclient, _values
from ..interfaces import BigSegmentStore, BigSegmentStoreMetadata

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["DynamoDBBigSegmentStore", "RedisBigSegmentStore"]

# What ``redis.ConnectionPool.from_url`` takes and has no meaning here.
_NO_EFFECT = {
    "client_name",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "health_check_interval",
    "protocol",
    "retry",
    "retry_on_error",
    "retry_on_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "socket_read_size",
}


class RedisBigSegmentStore(BigSegmentStore):
    """Big segments in Redis. A client asks it natively; its methods are there for those who wrap it.

    Connections are opened when one is needed, and anew in a forked process.
    """

    def __init__(self, url: str, prefix: str | None, options: Mapping[str, Any]) -> None:
        given = {name: value for name, value in options.items() if name not in _NO_EFFECT and value is not None}
        # What the address says itself wins, as with the Python package redis.
        for name in _said_by(url) & given.keys():
            del given[name]
        database = given.pop("db", None)
        self._native = _ldclient.RedisBigSegments(
            _values.text("url", url) or "redis://localhost:6379/0",
            _values.text("prefix", prefix) or "launchdarkly",
            username=_values.text("username", given.pop("username", None)) or None,
            password=_values.text("password", given.pop("password", None)) or None,
            database=None if database is None else int(database),
            connect_timeout=_values.number(
                "socket_connect_timeout", given.pop("socket_connect_timeout", 2), 2, above=0
            ),
            timeout=_values.number("socket_timeout", given.pop("socket_timeout", 3), 3, above=0),
            connections=_values.whole("max_connections", given.pop("max_connections", 16), 16, least=1),
        )
        if given:
            raise ValueError(
                f"redis_opts: {', '.join(sorted(given))} cannot be honoured by the native Redis client. Username, "
                'password, database and "rediss" for TLS belong into the url'
            )

    def get_metadata(self) -> BigSegmentStoreMetadata:
        """Returns when the store was last brought up to date.

        :raises ConnectionError: Redis does not answer
        """
        return BigSegmentStoreMetadata(self._native.last_updated_ms())

    def get_membership(self, context_hash: str) -> dict[str, bool] | None:
        """Returns the segments that name the context; None if none does.

        :raises ConnectionError: Redis does not answer
        """
        return self._native.membership(context_hash)

    def stop(self) -> None:
        """Does nothing: connections close with the store."""


class DynamoDBBigSegmentStore(BigSegmentStore):
    """Big segments in a DynamoDB table with the partition key ``namespace`` and the sort key ``key``, both text."""

    def __init__(self, table_name: str, prefix: str | None, options: Mapping[str, Any]) -> None:
        try:
            import boto3  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError as error:
            raise NotImplementedError("DynamoDB needs boto3: pip install boto3") from error
        self._table_name = table_name
        self._prefix = f"{prefix}:" if prefix else ""
        self._client: Any = boto3.client("dynamodb", **options)

    def get_metadata(self) -> BigSegmentStoreMetadata:
        """Returns when the store was last brought up to date. Raises what ``boto3`` raises."""
        name = self._prefix + "big_segments_metadata"
        number = self._item(name, name).get("synchronizedOn", {}).get("N")
        return BigSegmentStoreMetadata(None if number is None else int(number))

    def get_membership(self, context_hash: str) -> dict[str, bool] | None:
        """Returns the segments that name the context; None if none does. Raises what ``boto3`` raises."""
        item = self._item(self._prefix + "big_segments_user", context_hash)
        membership = dict.fromkeys(item.get("excluded", {}).get("SS") or (), False)
        membership.update(dict.fromkeys(item.get("included", {}).get("SS") or (), True))
        return membership or None

    def stop(self) -> None:
        """Does nothing: connections close with the store."""

    def _item(self, namespace: str, key: str) -> dict[str, Any]:
        keys = {"namespace": {"S": namespace}, "key": {"S": key}}
        answer = self._client.get_item(TableName=self._table_name, Key=keys)
        item: dict[str, Any] | None = answer.get("Item")
        return item or {}


def _said_by(url: str) -> set[str]:
    """The options that the address decides itself."""
    from urllib.parse import parse_qs, urlsplit

    parts = urlsplit(url)
    said = set(parse_qs(parts.query)) & {"db", "username", "password"}
    if parts.scheme != "unix" and parts.path.strip("/"):
        said.add("db")
    if parts.username:
        said.add("username")
    if parts.password:
        said.add("password")
    return said
