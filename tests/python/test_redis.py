"""Feature stores in Redis: the bytes in it, the three ways of caching, outages, and what others left there."""

from __future__ import annotations

import contextlib
import json
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from heard import Heard
from ldclient import Config, LDClient
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.integrations import Files, Redis
from ldclient.interfaces import BigSegmentStore, DataStoreStatus, FeatureStore, FeatureStoreCore
from ldclient.testing.stores import BigSegmentStoreContract, FeatureStoreCoreContract
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from redis_server import RedisServer, interrupted, running, unused_port

USER = {"key": "u"}


def flag(key: str = "f", version: int = 1, value: object = "a", **more: Any) -> dict[str, Any]:
    return {"key": key, "version": version, "on": False, "offVariation": 0, "variations": [value], **more}


def eventually(check: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def daemon(store: Any) -> LDClient:
    return LDClient(Config("sdk-key", feature_store=store, use_ldd=True, send_events=False), start_wait=5)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


class OnRedis:
    """A server for all tests of a class."""

    server: ClassVar[RedisServer]
    parts: ClassVar[contextlib.ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        cls.parts = contextlib.ExitStack()
        cls.server = cls.parts.enter_context(running())

    @classmethod
    def tearDownClass(cls) -> None:
        cls.parts.close()

    def clear(self, prefix: str) -> None:  # noqa: ARG002
        self.server.ask("FLUSHALL")


class TestFeatureStoreContract(OnRedis, FeatureStoreCoreContract, unittest.TestCase):
    def make_core(self, prefix: str) -> FeatureStoreCore:
        core: FeatureStoreCore = self.make_store(prefix)._core
        return core

    def make_store(self, prefix: str) -> CachingStoreWrapper:
        return Redis.new_feature_store(self.server.url, prefix, caching=CacheConfig.disabled())

    def make_unavailable_store(self) -> FeatureStore:
        return Redis.new_feature_store(f"redis://127.0.0.1:{unused_port()}")

    def make_interrupted_store(self, prefix: str, interrupt: Callable[[], None]) -> FeatureStore:
        url = self.parts.enter_context(interrupted(self.server, interrupt))
        return Redis.new_feature_store(url, prefix, caching=CacheConfig.disabled())


class TestBigSegmentStoreContract(OnRedis, BigSegmentStoreContract, unittest.TestCase):
    def make_store(self, prefix: str) -> BigSegmentStore:
        return Redis.new_big_segment_store(self.server.url, prefix)

    def write_time(self, prefix: str, last_up_to_date: int) -> None:
        self.server.ask("SET", f"{prefix}:big_segments_synchronized_on", str(last_up_to_date))

    def write_membership(self, prefix: str, context_hash: str, included: Any, excluded: Any) -> None:
        for name, references in (("include", included), ("exclude", excluded)):
            if references:
                self.server.ask("SADD", f"{prefix}:big_segment_{name}:{context_hash}", *references)

    def make_unavailable_store(self) -> BigSegmentStore:
        return Redis.new_big_segment_store(f"redis://127.0.0.1:{unused_port()}")


def test_keys_and_values_are_those_of_the_reference(server: RedisServer) -> None:
    store = Redis.new_feature_store(server.url)
    assert not store.initialized
    store.init({FEATURES: {"f": flag()}, SEGMENTS: {"s": {"key": "s", "version": 2}}})
    store.delete(FEATURES, "gone", 7)
    assert server.ask("TYPE", "launchdarkly:features") == "hash"
    assert json.loads(server.ask("HGET", "launchdarkly:features", "f")) == flag()
    assert json.loads(server.ask("HGET", "launchdarkly:segments", "s")) == {"key": "s", "version": 2}
    gone = json.loads(server.ask("HGET", "launchdarkly:features", "gone"))
    assert gone == {"key": "gone", "version": 7, "deleted": True}
    assert server.ask("GET", "launchdarkly:$inited") == "launchdarkly:$inited"


def test_an_older_version_never_replaces_a_newer_one(server: RedisServer) -> None:
    store = Redis.new_feature_store(server.url, prefix="p", caching=CacheConfig.disabled())
    store.init({FEATURES: {"f": flag(version=5)}, SEGMENTS: {}})
    store.upsert(FEATURES, flag(version=5, value="same"))
    store.delete(FEATURES, "f", 4)
    assert store.get(FEATURES, "f") == flag(version=5)
    store.upsert(FEATURES, flag(version=6, value="newer"))
    assert store.get(FEATURES, "f") == flag(version=6, value="newer")
    store.delete(FEATURES, "f", 7)
    assert store.get(FEATURES, "f") is None
    assert store.all(FEATURES) == {}


def test_without_a_cache_each_evaluation_reads_the_flag_and_all_that_it_rests_on(server: RedisServer) -> None:
    on = {"on": True, "fallthrough": {"variation": 0}}
    rule = {"variation": 1, "clauses": [{"attribute": "", "op": "segmentMatch", "values": ["s"]}]}
    needing = flag("needing", value="no", **on, prerequisites=[{"key": "needed", "variation": 0}], rules=[rule])
    needing["variations"].append("in the segment")
    store = Redis.new_feature_store(server.url, caching=CacheConfig.disabled())
    segment = {"key": "s", "version": 1, "included": ["u"]}
    store.init({FEATURES: {"needing": needing, "needed": flag("needed", **on)}, SEGMENTS: {"s": segment}})
    with daemon(store) as client:
        assert client.variation("needing", USER, "default") == "in the segment"
        store.upsert(SEGMENTS, {"key": "s", "version": 2})
        assert client.variation("needing", USER, "default") == "no"
        server.ask("HDEL", "launchdarkly:features", "needing")
        assert client.variation_detail("needing", USER, "default").reason["errorKind"] == "FLAG_NOT_FOUND"


@pytest.mark.parametrize(
    "ask", [lambda c: c.variation("f", USER, "-"), lambda c: c.all_flags_state(USER).get_flag_value("f")]
)
def test_the_first_question_in_daemon_mode_is_answered_though_nobody_waited(
    server: RedisServer, ask: Callable[[LDClient], Any]
) -> None:
    store = Redis.new_feature_store(server.url)
    store.init({FEATURES: {f"f{n}" if n else "f": flag(f"f{n}" if n else "f") for n in range(300)}, SEGMENTS: {}})
    for _ in range(20):
        with LDClient(Config("sdk-key", feature_store=store, use_ldd=True, send_events=False), start_wait=0) as client:
            assert ask(client) == "a"
        store = Redis.new_feature_store(server.url)


def test_a_store_that_is_down_is_waited_for_once_when_nothing_was_read(server: RedisServer) -> None:
    url = server.url
    server.stop()
    store = Redis.new_feature_store(url)
    with LDClient(Config("sdk-key", feature_store=store, use_ldd=True, send_events=False), start_wait=0) as client:
        assert [client.variation("f", USER, "default") for _ in range(100)] == ["default"] * 100


def test_what_was_read_is_kept_for_its_time_and_read_again_in_the_background(server: RedisServer) -> None:
    store = Redis.new_feature_store(server.url, caching=CacheConfig(1))
    store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
    with daemon(store) as client:
        assert client.variation("f", USER, "default") == "a"
        store.upsert(FEATURES, flag(version=2, value="b"))
        assert client.variation("f", USER, "default") == "a"
        eventually(lambda: bool(client.variation("f", USER, "default") == "b"))


def test_what_is_kept_for_ever_is_read_once_and_only_what_was_asked_for(server: RedisServer) -> None:
    store = Redis.new_feature_store(server.url, caching=CacheConfig(float("inf")))
    store.init({FEATURES: {"f": flag(), "other": flag("other")}, SEGMENTS: {}})
    with daemon(store) as client:
        assert client.variation("f", USER, "default") == "a"
        server.ask("FLUSHALL")
        assert client.variation("f", USER, "default") == "a"
        assert client.variation("other", USER, "default") == "default"


def test_a_malformed_or_foreign_record_harms_only_itself(server: RedisServer) -> None:
    for caching in (CacheConfig.disabled(), CacheConfig(60), CacheConfig(float("inf"))):
        store = Redis.new_feature_store(server.url, caching=caching)
        store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
        foreign = ["text", "not JSON", "number", "5", "typed", '{"version": 1, "on": "x"}']
        server.ask("HSET", "launchdarkly:features", *foreign)
        with daemon(store) as client:
            assert client.variation("f", USER, "default") == "a"
            for key in ("text", "number", "typed"):
                assert client.variation_detail(key, USER, "default").reason["errorKind"] == "MALFORMED_FLAG"
            assert client.all_flags(USER) == {"f": "a"}


def test_while_the_server_is_down_the_last_known_flags_are_served_and_it_is_found_again(server: RedisServer) -> None:
    store = Redis.new_feature_store(server.url, caching=CacheConfig(0.2))
    store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
    with daemon(store) as client:
        provider = client.data_store_status_provider
        assert provider.is_monitoring_enabled()
        heard = Heard()
        provider.add_listener(heard)
        server.stop()
        heard.wait_for(1)
        assert not provider.status.available
        assert client.variation("f", USER, "default") == "a"
        server.start()
        store.init({FEATURES: {"f": flag(version=2, value="b")}, SEGMENTS: {}})
        eventually(lambda: provider.status.available and bool(client.variation("f", USER, "default") == "b"))
        assert heard.wait_for(2) == [DataStoreStatus(False, False), DataStoreStatus(True, False)]
        assert heard.threads == {"ldclient-listeners"}


def test_a_server_that_came_back_empty_is_filled_again_and_listeners_hear_so(
    server: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"flags": {"f": flag()}}))
    source = Files.new_data_source(file)
    store = Redis.new_feature_store(server.url, caching=CacheConfig(0.2))
    config = Config("sdk-key", feature_store=store, update_processor_class=source, send_events=False)
    with LDClient(config, start_wait=5) as client:
        eventually(lambda: server.ask("EXISTS", "launchdarkly:$inited") == "1")
        heard = Heard()
        client.data_store_status_provider.add_listener(heard)
        server.stop()
        heard.wait_for(1)
        server.start()
        down, empty, filled = DataStoreStatus(False, False), DataStoreStatus(True, True), DataStoreStatus(True, False)
        assert heard.wait_for(3) == [down, empty, filled]
        assert "f" in server.ask("HKEYS", "launchdarkly:features")
        assert client.variation("f", USER, "default") == "a"


def test_a_server_that_is_down_at_the_start_costs_defaults_and_no_more_time_than_its_time_out(
    server: RedisServer,
) -> None:
    server.stop()
    store = Redis.new_feature_store(server.url)
    begin = time.monotonic()
    config = Config("sdk-key", feature_store=store, use_ldd=True, send_events=False)
    with LDClient(config, start_wait=0.5) as client:
        detail = client.variation_detail("f", USER, "default")
        assert (detail.value, detail.reason["errorKind"]) == ("default", "CLIENT_NOT_READY")
        assert time.monotonic() - begin < 5
        server.start()
        store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
        eventually(lambda: bool(client.variation("f", USER, "default") == "a"))


@pytest.mark.parametrize(
    ("address", "database"),
    [("", 5), ("/", 5), ("/0", 0), ("/2", 2), ("?db=3", 3), ("/2?db=3&socket_timeout=2.5&client_name=me", 3)],
)
def test_what_the_address_says_wins_over_the_options(server: RedisServer, address: str, database: int) -> None:
    url = f"redis://127.0.0.1:{server.port}{address}"
    options = {"db": 5, "decode_responses": True, "socket_timeout": None}
    store = Redis.new_feature_store(url, redis_opts=options)
    store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
    assert server.ask("-n", str(database), "EXISTS", "launchdarkly:$inited") == "1"
    server.ask("-n", str(database), "SET", "launchdarkly:big_segments_synchronized_on", "7")
    assert Redis.new_big_segment_store(url, redis_opts=options).get_metadata().last_up_to_date == 7


def test_a_password_is_taken_from_the_address_first(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "requirepass", "a secret")
    host = f"127.0.0.1:{server.port}"
    for url in (f"redis://:a%20secret@{host}", f"redis://{host}?password=a+secret"):
        assert not Redis.new_feature_store(url, redis_opts={"password": "another"}).initialized
    assert not Redis.new_feature_store(f"redis://{host}", redis_opts={"password": "a secret"}).initialized
    with pytest.raises(ConnectionError) as error:
        assert Redis.new_feature_store(f"redis://:wrong@{host}", redis_opts={"password": "a secret"}).initialized
    assert "wrong" not in str(error.value)


@pytest.mark.parametrize("make", [Redis.new_feature_store, Redis.new_big_segment_store])
@pytest.mark.parametrize("url", ["", "http://:secret@host", "redis://[::secret", "redis://host?db=secret"])
def test_an_address_that_is_none_is_refused_and_not_quoted(make: Callable[..., object], url: str) -> None:
    with pytest.raises(ValueError, match=r"Redis|db") as error:
        make(url)
    assert "secret" not in str(error.value)
    with pytest.raises(ValueError, match="unix_socket_path"):
        make(redis_opts={"unix_socket_path": "/x"})


@pytest.mark.parametrize("caching", [CacheConfig.disabled(), CacheConfig(60), CacheConfig(float("inf"))])
def test_what_the_service_delivers_is_written_as_it_arrived_and_again_after_an_outage(
    server: RedisServer, caching: CacheConfig, tmp_path: Path
) -> None:
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"flags": {"f": flag(own=[1.0])}}))
    source = Files.new_data_source(file, auto_update=True, poll_interval=0.1)
    store = Redis.new_feature_store(server.url, caching=caching)
    config = Config("sdk-key", feature_store=store, update_processor_class=source, send_events=False)
    with LDClient(config, start_wait=5) as client:
        assert client.variation("f", USER, "default") == "a"
        eventually(lambda: server.ask("EXISTS", "launchdarkly:$inited") == "1")
        assert json.loads(server.ask("HGET", "launchdarkly:features", "f"))["own"] == [1.0]
        server.stop()
        file.write_text(json.dumps({"flags": {"f": flag(version=9, value="b")}}))
        eventually(lambda: bool(client.variation("f", USER, "default") == "b"))
        server.start()
        eventually(lambda: "b" in server.ask("HGET", "launchdarkly:features", "f"))
        assert client.variation("f", USER, "default") == "b"
