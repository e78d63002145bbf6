"""Feature stores in DynamoDB and Consul: what they hold, how a client reads and caches them, and what it makes of
outages and of what others left there.
"""

from __future__ import annotations

import contextlib
import unittest
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import databases
from databases import TABLE, Table, account
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.integrations import DynamoDB
from ldclient.integrations._stores import ConsulCore
from ldclient.interfaces import BigSegmentStore, FeatureStore, FeatureStoreCore
from ldclient.testing.stores import BigSegmentStoreContract, FeatureStoreCoreContract
from redis_server import unused_port

pytestmark = [pytest.mark.once, pytest.mark.timeout(120)]

UNCACHED = CacheConfig.disabled()


class OnDynamoDB:
    """A table for all tests of a class."""

    parts: ClassVar[contextlib.ExitStack]
    table: ClassVar[Table]

    @classmethod
    def setUpClass(cls) -> None:
        cls.parts = contextlib.ExitStack()
        cls.table = cls.parts.enter_context(databases.dynamodb())

    @classmethod
    def tearDownClass(cls) -> None:
        cls.parts.close()

    def clear(self, prefix: str) -> None:  # noqa: ARG002
        self.table.clear()


class TestDynamoDBContract(OnDynamoDB, FeatureStoreCoreContract, unittest.TestCase):
    def make_core(self, prefix: str) -> FeatureStoreCore:
        core: FeatureStoreCore = self.make_store(prefix)._core
        return core

    def make_store(self, prefix: str) -> CachingStoreWrapper:
        return DynamoDB.new_feature_store(TABLE, prefix, self.table.options, UNCACHED)

    def make_unavailable_store(self) -> FeatureStore:
        return DynamoDB.new_feature_store(TABLE, None, account(unused_port()), UNCACHED)

    def make_interrupted_store(self, prefix: str, interrupt: Callable[[], None]) -> FeatureStore:
        store = self.make_store(prefix)
        store._core._client.meta.events.register("before-call.dynamodb.PutItem", lambda **_: interrupt())
        return store


class TestDynamoDBBigSegmentContract(OnDynamoDB, BigSegmentStoreContract, unittest.TestCase):
    def make_store(self, prefix: str) -> BigSegmentStore:
        return DynamoDB.new_big_segment_store(TABLE, prefix, self.table.options)

    def write_time(self, prefix: str, last_up_to_date: int) -> None:
        name = f"{prefix}:big_segments_metadata"
        self.table.put(name, name, synchronizedOn={"N": str(last_up_to_date)})

    def write_membership(self, prefix: str, context_hash: str, included: Any, excluded: Any) -> None:
        lists = {"included": list(included), "excluded": list(excluded)}
        sets = {name: {"SS": references} for name, references in lists.items() if references}
        self.table.put(f"{prefix}:big_segments_user", context_hash, **sets)

    def make_unavailable_store(self) -> BigSegmentStore:
        return DynamoDB.new_big_segment_store(TABLE, None, account(unused_port()))


class TestConsulContract(FeatureStoreCoreContract, unittest.TestCase):
    parts: ClassVar[contextlib.ExitStack]
    agent: ClassVar[databases.Consul]

    @classmethod
    def setUpClass(cls) -> None:
        cls.parts = contextlib.ExitStack()
        cls.agent = cls.parts.enter_context(databases.consul())

    @classmethod
    def tearDownClass(cls) -> None:
        cls.parts.close()

    def make_core(self, prefix: str) -> FeatureStoreCore:
        return ConsulCore(None, self.agent.port, prefix, {})

    def clear(self, prefix: str) -> None:
        self.agent.ask("DELETE", f"{prefix}/?recurse")

    def make_unavailable_core(self) -> FeatureStoreCore:
        return ConsulCore(None, unused_port(), None, {})

    def make_interrupted_core(self, prefix: str, interrupt: Callable[[], None]) -> FeatureStoreCore:
        class Interrupted(ConsulCore):
            def _ask(self, method: str, name: str, body: str | None = None, **query: str) -> str | None:
                if "cas" in query:
                    interrupt()
                return super()._ask(method, name, body, **query)

        return Interrupted(None, self.agent.port, prefix, {})
