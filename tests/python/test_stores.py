"""Feature stores in DynamoDB and Consul: what they hold, how a client reads and caches them, and what it makes of
outages and of what others left there.
"""

from __future__ import annotations

import contextlib
import json
import os
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import databases
from databases import TABLE, Table, account
from heard import Heard, until
from ldclient import Config, LDClient
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.integrations import Consul, DynamoDB, Files
from ldclient.integrations._stores import ConsulCore
from ldclient.interfaces import BigSegmentStore, DataStoreStatus, FeatureStore, FeatureStoreCore
from ldclient.testing.stores import BigSegmentStoreContract, FeatureStoreCoreContract
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from program import Program
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
        store._core._account.client.meta.events.register("before-call.dynamodb.PutItem", lambda **_: interrupt())
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


# A client on a database


class OnConsul:
    """Flags in Consul, beside the store."""

    name = "Consul"

    def __init__(self, agent: databases.Consul) -> None:
        self.database = agent

    def store(self, caching: CacheConfig = UNCACHED, prefix: str | None = None) -> CachingStoreWrapper:
        return Consul.new_feature_store(port=self.database.port, prefix=prefix, caching=caching)

    def clear(self) -> None:
        self.database.ask("DELETE", "?recurse")

    def put(self, kind: str, key: str, text: str) -> None:
        self.database.ask("PUT", f"launchdarkly/{kind}/{key}", text)

    def text(self, kind: str, key: str) -> str:
        return self.database.ask("GET", f"launchdarkly/{kind}/{key}?raw")

    def is_filled(self) -> bool:
        return "$inited" in self.database.ask("GET", "launchdarkly/$inited")


class OnTable:
    """Flags in DynamoDB, beside the store."""

    name = "DynamoDB"

    def __init__(self, table: Table) -> None:
        self.database = table

    def store(self, caching: CacheConfig = UNCACHED, prefix: str | None = None) -> CachingStoreWrapper:
        return DynamoDB.new_feature_store(TABLE, prefix, self.database.options, caching)

    def clear(self) -> None:
        self.database.clear()

    def put(self, kind: str, key: str, text: str) -> None:
        self.database.put(kind, key, item={"S": text}, version={"N": "1"})

    def text(self, kind: str, key: str) -> str:
        text: str = self._row(kind, key).get("item", {}).get("S", "")
        return text

    def is_filled(self) -> bool:
        return bool(self._row("$inited", "$inited"))

    def _row(self, namespace: str, key: str) -> Any:
        keys = {"namespace": {"S": namespace}, "key": {"S": key}}
        return self.database.client.get_item(TableName=TABLE, Key=keys).get("Item", {})


ON: dict[str, Callable[[], Any]] = {
    "Consul": lambda: _each(databases.consul, OnConsul),
    "DynamoDB": lambda: _each(databases.dynamodb, OnTable),
}


@contextlib.contextmanager
def _each(running: Any, on: Any) -> Iterator[Any]:
    with running() as database:
        yield on(database)


@pytest.fixture(scope="module", params=list(ON))
def kept(request: pytest.FixtureRequest) -> Iterator[Any]:
    with ON[request.param]() as on:
        yield on


@pytest.fixture
def on(kept: Any) -> Any:
    """A database that holds nothing."""
    kept.clear()
    return kept


@pytest.fixture(params=list(ON))
def own(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A database of this test's own, that may be stopped."""
    with ON[request.param]() as on:
        yield on


USER = {"key": "u"}
FOREVER = CacheConfig(float("inf"))
CACHINGS = [UNCACHED, CacheConfig(60), FOREVER]


def flag(key: str = "f", version: int = 1, value: object = "a", **more: Any) -> dict[str, Any]:
    return {"key": key, "version": version, "on": False, "offVariation": 0, "variations": [value], **more}


def daemon(store: Any, wait: float = 10) -> LDClient:
    return LDClient(Config("sdk-key", feature_store=store, use_ldd=True, send_events=False), start_wait=wait)


def fed(store: Any, file: Path) -> LDClient:
    source = Files.new_data_source(file, auto_update=True, poll_interval=0.05)
    return LDClient(Config("sdk-key", feature_store=store, update_processor_class=source, send_events=False), 10)


def value(client: LDClient, key: str = "f") -> Any:
    return client.variation(key, USER, "default")


@pytest.mark.parametrize("caching", CACHINGS, ids=["off", "60 s", "for ever"])
@pytest.mark.parametrize("prefix", [None, "env"])
def test_a_client_answers_from_the_database_with_all_that_a_flag_rests_on(
    on: Any, caching: CacheConfig, prefix: str | None
) -> None:
    rule = {"variation": 1, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["s"]}]}
    switch = {"on": True, "fallthrough": {"variation": 0}}
    needing = flag("needing", value="no", **switch, prerequisites=[{"key": "needed", "variation": 0}], rules=[rule])
    needing["variations"].append("in the segment")
    flags = {"needing": needing, "needed": flag("needed", **switch), "f": flag()}
    on.store(prefix=prefix).init({FEATURES: flags, SEGMENTS: {"s": {"key": "s", "version": 1, "included": ["u"]}}})
    on.store(prefix="another").init({FEATURES: {"f": flag(value="another")}, SEGMENTS: {}})
    with daemon(on.store(caching, prefix)) as client:
        assert value(client, "needing") == "in the segment"
        assert client.all_flags_state(USER).to_values_map() == {"needing": "in the segment", "needed": "a", "f": "a"}
        assert value(client, "none") == "default"


def test_without_a_cache_each_evaluation_reads_what_is_there_now(on: Any) -> None:
    store = on.store()
    store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
    with daemon(on.store()) as client:
        assert value(client) == "a"
        store.upsert(FEATURES, flag(version=2, value="b"))
        assert value(client) == "b"
        store.delete(FEATURES, "f", 3)
        assert value(client) == "default"


def test_with_a_cache_changes_arrive_in_the_background_and_for_ever_means_never(on: Any) -> None:
    store = on.store()
    store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
    with daemon(on.store(CacheConfig(0.3))) as soon, daemon(on.store(FOREVER)) as never:
        assert (value(soon), value(never)) == ("a", "a")
        store.upsert(FEATURES, flag(version=2, value="b"))
        until(lambda: value(soon), "b")
        assert value(never) == "a"


@pytest.mark.parametrize("caching", CACHINGS, ids=["off", "60 s", "for ever"])
def test_what_the_source_delivers_is_written(on: Any, caching: CacheConfig, tmp_path: Path) -> None:
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"flags": {"f": flag(own=[1.0]), "g": flag("g")}}))
    with fed(on.store(caching), file) as client:
        assert value(client) == "a"
        until(on.is_filled, True)
        assert json.loads(on.text("features", "f")) == flag(own=[1.0])
        file.write_text(json.dumps({"flags": {"f": flag(version=2, value="b")}}))
        until(lambda: value(client), "b")
        until(lambda: json.loads(on.text("features", "f"))["version"], 2)
        until(lambda: on.text("features", "g"), "")


@pytest.mark.parametrize("caching", CACHINGS, ids=["off", "60 s", "for ever"])
def test_a_malformed_or_foreign_record_harms_only_itself_and_is_told_once(
    on: Any, caching: CacheConfig, caplog: pytest.LogCaptureFixture
) -> None:
    on.store().init({FEATURES: {"f": flag()}, SEGMENTS: {}})
    foreign = {"text": "not JSON", "number": "5", "typed": '{"version": 1, "on": "x"}', "bytes": "\x00\x7f"}
    for key, text in foreign.items():
        on.put("features", key, text)
    with daemon(on.store(caching)) as client:
        for _ in range(3):
            assert value(client) == "a"
            for key in foreign:
                detail = client.variation_detail(key, USER, "default")
                assert (detail.value, detail.reason["errorKind"]) == ("default", "MALFORMED_FLAG")
        assert client.all_flags_state(USER).to_values_map() == {"f": "a"}
        assert client.data_store_status_provider.status.available
    for key in foreign:
        said = [record.getMessage() for record in caplog.records if f'"{key}"' in record.getMessage()]
        assert len([line for line in said if "cannot be evaluated" not in line]) == 1, said


def test_while_the_database_is_down_the_last_known_flags_are_served(own: Any) -> None:
    own.store().init({FEATURES: {"f": flag()}, SEGMENTS: {}})
    with daemon(own.store(CacheConfig(0.2))) as cached, daemon(own.store()) as uncached:
        clients = (cached, uncached)
        heard = [Heard() for _ in clients]
        for client, listener in zip(clients, heard, strict=True):
            assert value(client) == "a"
            assert client.data_store_status_provider.is_monitoring_enabled()
            client.data_store_status_provider.add_listener(listener)
        own.database.stop()
        value(uncached)
        for client, listener in zip(clients, heard, strict=True):
            assert listener.wait_for(1) == [DataStoreStatus(False, False)]
            assert value(client) == "a"
        own.database.start()
        own.store().init({FEATURES: {"f": flag(version=2, value="b")}, SEGMENTS: {}})
        for client, listener in zip(clients, heard, strict=True):
            assert listener.wait_for(2)[1] == DataStoreStatus(True, False)
            until(lambda client=client: value(client), "b")


def test_a_database_that_came_back_empty_is_filled_again(own: Any, tmp_path: Path) -> None:
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"flags": {"f": flag()}}))
    with fed(own.store(CacheConfig(0.2)), file) as client:
        until(own.is_filled, True)
        heard = Heard()
        client.data_store_status_provider.add_listener(heard)
        own.database.stop()
        heard.wait_for(1)
        own.database.start()
        down, empty, filled = DataStoreStatus(False, False), DataStoreStatus(True, True), DataStoreStatus(True, False)
        heard.wait_until(lambda values: values[-1] == filled)
        # The stand-in may have been there for a moment without its table.
        assert [status for status in heard.values if status != down] == [empty, filled]
        assert json.loads(own.text("features", "f")) == flag()
        assert value(client) == "a"


def test_a_database_that_is_down_at_the_start_costs_defaults_until_it_is_there(own: Any) -> None:
    own.database.stop()
    with daemon(own.store(), wait=0.2) as client:
        detail = client.variation_detail("f", USER, "default")
        assert (detail.value, detail.reason["errorKind"]) == ("default", "CLIENT_NOT_READY")
        own.database.start()
        own.store().init({FEATURES: {"f": flag()}, SEGMENTS: {}})
        until(lambda: value(client), "a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_parent_and_its_child_ask_at_the_same_time_and_get_their_own_answers(on: Any) -> None:
    on.store().init({FEATURES: {key: flag(key, value=key) for key in ("parent", "child")}, SEGMENTS: {}})
    program = f"""
from ldclient.feature_store import CacheConfig
from ldclient.integrations import Consul, DynamoDB

port, caching = int(sys.argv[2]), CacheConfig.disabled()
if {on.name!r} == "Consul":
    store = Consul.new_feature_store(port=port, caching=caching)
else:
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    from databases import TABLE, account
    store = DynamoDB.new_feature_store(TABLE, None, account(port), caching)
client = LDClient(config(feature_store=store, use_ldd=True, send_events=False), 10)

def ask(key):
    for _ in range(30):
        assert client.variation(key, USER, "default") == key

ask("parent")
# The stand-in keeps no connection open, so answers alone would not show that one is shared.
account = getattr(store._core, "_account", None)
inherited = account and account.client

def work():
    ask("child")
    assert account is None or account.client is not inherited
    client.close()

child = fork(work)
ask("parent")
reap(child)
client.close()
"""
    with Program(program, "http://127.0.0.1:1", str(on.database.port)) as running:
        ended = running.wait()
    assert (ended.code, ended.output) == (0, ""), ended
