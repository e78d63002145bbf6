"""Big segment stores in databases: Redis natively, DynamoDB by ``boto3``.

Keys and columns are those that launchdarkly-server-sdk 9.20 reads and the Relay Proxy writes. Names and defaults of
arguments are the question of :mod:`ldclient.integrations`.
"""

from __future__ import annotations

from .. import _ldclient
from ..interfaces import BigSegmentStore, BigSegmentStoreMetadata
from . import _dynamodb, _redis

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["DynamoDBBigSegmentStore", "RedisBigSegmentStore"]


class RedisBigSegmentStore(BigSegmentStore):
    """Big segments in Redis. A client asks it natively; its methods are there for those who wrap it.

    Connections are opened when one is needed, and anew in a forked process.
    """

    def __init__(self, url: str, prefix: str | None, options: Mapping[str, Any]) -> None:
        self._native = _ldclient.RedisBigSegments(_redis.connections(url, options), _redis.prefix_of(prefix))

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
        self._table_name = table_name
        self._prefix = f"{prefix}:" if prefix else ""
        self._account = _dynamodb.Account(options)

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
        answer = self._account.client.get_item(TableName=self._table_name, Key=keys)
        item: dict[str, Any] | None = answer.get("Item")
        return item or {}
