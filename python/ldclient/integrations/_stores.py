"""Feature stores in databases: Redis natively, DynamoDB by ``boto3``, Consul by its HTTP interface. Keys and columns
are those of launchdarkly-server-sdk 9.20 and the Relay Proxy. Names and defaults of arguments are the caller's affair.
"""

from __future__ import annotations

import json
from abc import abstractmethod

from .. import _ldclient, _values
from ..feature_store import CacheConfig
from ..feature_store_helpers import CachingStoreWrapper
from ..interfaces import DiagnosticDescription, FeatureStoreCore
from . import _dynamodb, _redis

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..versioned_data_kind import VersionedDataKind

    _AllData = Mapping[VersionedDataKind, Mapping[str, Any]]

__all__ = ["ConsulCore", "DynamoDBCore", "RedisCore", "TextCore", "new_store"]

_BATCH = 25


class TextCore(DiagnosticDescription, FeatureStoreCore):
    """A core whose database holds JSON text. A client reads the text itself: what others left there in another form
    costs only itself, and is told."""

    @abstractmethod
    def text(self, kind: VersionedDataKind, key: str) -> str | None:
        """Returns the text of an item, or None."""

    @abstractmethod
    def texts(self, kind: VersionedDataKind) -> dict[str, str]:
        """Returns all texts by key."""

    def get_internal(self, kind: VersionedDataKind, key: str) -> Any:
        """Returns an item, deleted or not, or None."""
        text = self.text(kind, key)
        return None if text is None else json.loads(text)

    def get_all_internal(self, kind: VersionedDataKind) -> dict[str, Any]:
        """Returns all items by key, deleted ones too; those that can be read."""
        return _readable(self.texts(kind))


class RedisCore(TextCore):
    """Flags and segments in Redis. A client asks it natively; its methods are there for those who use it by itself.
    They raise ConnectionError when Redis does not do what it is asked."""

    def __init__(self, url: str, prefix: str | None, options: Mapping[str, Any]) -> None:
        self._native = _ldclient.RedisStore(_redis.connections(url, options), _redis.prefix_of(prefix))

    def init_internal(self, all_data: _AllData) -> None:
        """Replaces everything at once."""
        texts = {kind.namespace: {key: json.dumps(item) for key, item in of.items()} for kind, of in all_data.items()}
        self._native.init(texts.get("features", {}), texts.get("segments", {}))

    def text(self, kind: VersionedDataKind, key: str) -> str | None:
        """Returns the text of an item, or None."""
        return self._native.get(kind.namespace, key)

    def texts(self, kind: VersionedDataKind) -> dict[str, str]:
        """Returns all texts by key."""
        return self._native.all(kind.namespace)

    def upsert_internal(self, kind: VersionedDataKind, item: Any) -> Any:
        """Puts an item in unless that version or a newer one is there; returns what is there then."""
        self._native.upsert(kind.namespace, item["key"], item["version"], json.dumps(item))
        return self.get_internal(kind, item["key"]) or item

    def initialized_internal(self) -> bool:
        """Tells whether anyone ever filled it."""
        return self._native.initialized()

    def is_available(self) -> bool:
        """Tells whether Redis answers. Never raises."""
        try:
            self._native.initialized()
        except ConnectionError:
            return False
        return True

    def describe_configuration(self, config: Any) -> str:  # noqa: ARG002
        """Returns its name in diagnostic events."""
        return "Redis"


class DynamoDBCore(TextCore):
    """Flags and segments in a DynamoDB table with the partition key ``namespace`` and the sort key ``key``, both text.
    Methods raise what ``boto3`` raises. Replacing everything is not one step there: items are written first, what is
    left over is deleted then, and the mark comes last."""

    def __init__(self, table_name: str, prefix: str | None, options: Mapping[str, Any]) -> None:
        self._table_name = table_name
        self._prefix = f"{prefix}:" if prefix else ""
        self._account = _dynamodb.Account(options)

    def init_internal(self, all_data: _AllData) -> None:
        """Replaces everything."""
        left = {(self._namespace(kind), key) for kind in all_data for key in self._rows(kind, keys_only=True)}
        requests: list[Any] = []
        for kind, items in all_data.items():
            for key, item in items.items():
                left.discard((self._namespace(kind), key))
                requests.append({"PutRequest": {"Item": self._row(kind, {**item, "key": key})}})
        requests += [{"DeleteRequest": {"Key": _keys(*keys)}} for keys in sorted(left)]
        requests.append({"PutRequest": {"Item": _keys(self._mark, self._mark)}})
        for start in range(0, len(requests), _BATCH):
            self._write(requests[start : start + _BATCH])

    def text(self, kind: VersionedDataKind, key: str) -> str | None:
        """Returns the text of an item, or None."""
        text: str | None = self._item(self._namespace(kind), key).get("item", {}).get("S")
        return text

    def texts(self, kind: VersionedDataKind) -> dict[str, str]:
        """Returns all texts by key."""
        return {key: text for key, text in self._rows(kind).items() if text is not None}

    def upsert_internal(self, kind: VersionedDataKind, item: Any) -> Any:
        """Puts an item in unless that version or a newer one is there; returns what is there then."""
        try:
            self._account.client.put_item(
                TableName=self._table_name,
                Item=self._row(kind, item),
                ConditionExpression="attribute_not_exists(#key) or #version < :version",
                ExpressionAttributeNames={"#key": "key", "#version": "version"},
                ExpressionAttributeValues={":version": {"N": str(item["version"])}},
            )
        except self._account.client.exceptions.ConditionalCheckFailedException:
            return self.get_internal(kind, item["key"])
        return item

    def initialized_internal(self) -> bool:
        """Tells whether anyone ever filled it."""
        return bool(self._item(self._mark, self._mark))

    def is_available(self) -> bool:
        """Tells whether DynamoDB answers. Never raises."""
        try:
            self.initialized_internal()
        except Exception:
            return False
        return True

    def describe_configuration(self, config: Any) -> str:  # noqa: ARG002
        """Returns its name in diagnostic events."""
        return "DynamoDB"

    @property
    def _mark(self) -> str:
        return self._prefix + "$inited"

    def _namespace(self, kind: VersionedDataKind) -> str:
        return self._prefix + kind.namespace

    def _row(self, kind: VersionedDataKind, item: Mapping[str, Any]) -> dict[str, Any]:
        row = _keys(self._namespace(kind), item["key"])
        return {**row, "version": {"N": str(item.get("version", 0))}, "item": {"S": json.dumps(item)}}

    def _item(self, namespace: str, key: str) -> dict[str, Any]:
        answer = self._account.client.get_item(TableName=self._table_name, Key=_keys(namespace, key))
        item: dict[str, Any] | None = answer.get("Item")
        return item or {}

    def _rows(self, kind: VersionedDataKind, keys_only: bool = False) -> dict[str, str | None]:
        query: dict[str, Any] = {
            "TableName": self._table_name,
            "ConsistentRead": True,
            "KeyConditionExpression": "#namespace = :namespace",
            "ExpressionAttributeNames": {"#namespace": "namespace"},
            "ExpressionAttributeValues": {":namespace": {"S": self._namespace(kind)}},
        }
        if keys_only:
            query["ProjectionExpression"] = "#key"
            query["ExpressionAttributeNames"]["#key"] = "key"
        pages = self._account.client.get_paginator("query").paginate(**query)
        return {row["key"]["S"]: row.get("item", {}).get("S") for page in pages for row in page["Items"]}

    def _write(self, requests: list[Any]) -> None:
        # DynamoDB may leave some of a batch undone when it is busy.
        for _ in range(10):
            answer = self._account.client.batch_write_item(RequestItems={self._table_name: requests})
            requests = answer.get("UnprocessedItems", {}).get(self._table_name) or []
            if not requests:
                return
        raise ConnectionError("DynamoDB did not take all items")


class ConsulCore(TextCore):
    """Flags and segments in Consul's key/value store, by its HTTP interface. Methods raise OSError when Consul does not
    do what it is asked. Replacing everything is not one step there, as with DynamoDB."""

    def __init__(self, host: str | None, port: int | None, prefix: str | None, options: Mapping[str, Any]) -> None:
        given = dict(options)
        host = _values.text("host", host or given.pop("host", None)) or "127.0.0.1"
        given.pop("host", None)
        port = int(port or given.pop("port", None) or 8500)
        given.pop("port", None)
        self._address = f"{given.pop('scheme', 'http')}://{host}:{port}/v1/kv/"
        self._token: str | None = given.pop("token", None)
        self._query = {"dc": dc} if (dc := given.pop("dc", None)) else {}
        self._timeout = float(given.pop("timeout", None) or 3)
        self._verify = bool(given.pop("verify", True))
        given.pop("consistency", None)
        if given:
            raise ValueError(f"consul_opts: {', '.join(sorted(given))} cannot be honoured")
        self._prefix = ("launchdarkly" if prefix is None else prefix) + "/"

    def init_internal(self, all_data: _AllData) -> None:
        """Replaces everything."""
        left = set(json.loads(self._ask("GET", self._prefix, keys="") or "[]"))
        left.discard(self._mark)
        for kind, items in all_data.items():
            for key, item in items.items():
                name = self._name(kind, key)
                self._ask("PUT", name, json.dumps(item))
                left.discard(name)
        for name in left:
            self._ask("DELETE", name)
        self._ask("PUT", self._mark, "")

    def text(self, kind: VersionedDataKind, key: str) -> str | None:
        """Returns the text of an item, or None."""
        entry = self._entry(self._name(kind, key))
        return None if entry is None else _value(entry)

    def texts(self, kind: VersionedDataKind) -> dict[str, str]:
        """Returns all texts by key."""
        folder = self._name(kind, "")
        entries = json.loads(self._ask("GET", folder, recurse="") or "[]")
        return {entry["Key"][len(folder) :]: _value(entry) for entry in entries if entry["Key"] != folder}

    def upsert_internal(self, kind: VersionedDataKind, item: Any) -> Any:
        """Puts an item in unless that version or a newer one is there; returns what is there then."""
        name, text = self._name(kind, item["key"]), json.dumps(item)
        for _ in range(10):
            entry = self._entry(name)
            if entry is not None:
                old = _readable({name: _value(entry)}).get(name)
                if old is not None and old.get("version", 0) >= item["version"]:
                    return old
            index = 0 if entry is None else entry["ModifyIndex"]
            if (self._ask("PUT", name, text, cas=str(index)) or "").strip() == "true":
                return item
        raise ConnectionError("others wrote to Consul at the same time, 10 times in a row")

    def initialized_internal(self) -> bool:
        """Tells whether anyone ever filled it."""
        return self._entry(self._mark) is not None

    def is_available(self) -> bool:
        """Tells whether Consul answers. Never raises."""
        try:
            self.initialized_internal()
        except Exception:
            return False
        return True

    def describe_configuration(self, config: Any) -> str:  # noqa: ARG002
        """Returns its name in diagnostic events."""
        return "Consul"

    @property
    def _mark(self) -> str:
        return self._prefix + "$inited"

    def _name(self, kind: VersionedDataKind, key: str) -> str:
        return f"{self._prefix}{kind.namespace}/{key}"

    def _entry(self, name: str) -> Any:
        entries = json.loads(self._ask("GET", name) or "[]")
        return entries[0] if entries else None

    def _ask(self, method: str, name: str, body: str | None = None, **query: str) -> str | None:
        """Returns the answer's text; None where there is no such key."""
        from urllib.error import HTTPError
        from urllib.parse import quote, urlencode
        from urllib.request import Request, urlopen

        address = f"{self._address}{quote(name)}?{urlencode({**self._query, **query})}"
        headers = {"X-Consul-Token": self._token} if self._token else {}
        data = None if body is None else body.encode()
        context = None
        if not self._verify:
            import ssl

            context = ssl._create_unverified_context()
        try:
            request = Request(address, data, headers, method=method)
            with urlopen(request, timeout=self._timeout, context=context) as answer:
                text: str = answer.read().decode()
                return text
        except HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise


def new_store(core: FeatureStoreCore, caching: CacheConfig | None) -> CachingStoreWrapper:
    """Returns the store made of a core."""
    return CachingStoreWrapper(core, CacheConfig.default() if caching is None else caching)


def _keys(namespace: str, key: str) -> dict[str, Any]:
    return {"namespace": {"S": namespace}, "key": {"S": key}}


def _value(entry: Mapping[str, Any]) -> str:
    import base64

    return base64.b64decode(entry["Value"] or "").decode(errors="replace")


def _readable(texts: Mapping[str, str]) -> dict[str, Any]:
    """The items that can be read; what others left there in another form costs only itself."""
    items: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            item = json.loads(text)
        except ValueError:
            continue
        if isinstance(item, dict):
            items[key] = item
    return items
