"""Feature stores, data sources and requesters that an application wrote itself, in the forms of all eras."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ldclient import Config, LDClient
from ldclient.feature_store import CacheConfig, InMemoryFeatureStore
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.interfaces import FeatureStore, FeatureStoreCore
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

USER = {"key": "u"}


def flag(version: int = 1, value: object = "a") -> dict[str, Any]:
    return {"key": "f", "version": version, "on": False, "offVariation": 0, "variations": [value], "own": [1.0]}


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


class OwnStore(FeatureStore):
    def __init__(self) -> None:
        self.items = InMemoryFeatureStore()
        self.broken = False

    def get(self, kind: Any, key: str, callback: Callable[[Any], Any] = lambda item: item) -> Any:
        self.check()
        return self.items.get(kind, key, callback)

    def all(self, kind: Any, callback: Callable[[Any], Any] = lambda items: items) -> Any:
        self.check()
        return self.items.all(kind, callback)

    def init(self, all_data: Any) -> None:
        self.check()
        self.items.init(all_data)

    def delete(self, kind: Any, key: str, version: int) -> None:
        self.check()
        self.items.delete(kind, key, version)

    def upsert(self, kind: Any, item: Any) -> None:
        self.check()
        self.items.upsert(kind, item)

    @property
    def initialized(self) -> bool:
        self.check()
        return self.items.initialized

    def is_monitoring_enabled(self) -> bool:
        return True

    def is_available(self) -> bool:
        return not self.broken

    def check(self) -> None:
        if self.broken:
            raise RuntimeError("down")


class OwnCore(FeatureStoreCore):
    def __init__(self) -> None:
        self.data: dict[str, dict[str, Any]] = {}

    def init_internal(self, all_data: Any) -> None:
        self.data = {kind.namespace: dict(items) for kind, items in all_data.items()}

    def get_internal(self, kind: Any, key: str) -> Any:
        return self.data.get(kind.namespace, {}).get(key)

    def get_all_internal(self, kind: Any) -> Any:
        return self.data.get(kind.namespace, {})

    def upsert_internal(self, kind: Any, item: Any) -> Any:
        self.data.setdefault(kind.namespace, {})[item["key"]] = item
        return item

    def initialized_internal(self) -> bool:
        return bool(self.data)


def test_a_store_in_memory_that_the_application_fills_counts_at_once() -> None:
    store = InMemoryFeatureStore()
    store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
    with LDClient(Config("sdk-key", feature_store=store, use_ldd=True, send_events=False)) as client:
        assert client.is_initialized()
        assert client.variation("f", USER, "default") == "a"
        store.upsert(FEATURES, flag(2, "b"))
        assert client.variation("f", USER, "default") == "b"
        store.delete(FEATURES, "f", 3)
        assert client.variation("f", USER, "default") == "default"


def test_a_store_of_ones_own_is_read_for_each_evaluation_and_its_failures_are_contained() -> None:
    store = OwnStore()
    store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
    with LDClient(Config("sdk-key", feature_store=store, use_ldd=True, send_events=False)) as client:
        assert client.variation("f", USER, "default") == "a"
        store.upsert(FEATURES, flag(2, "b"))
        assert client.variation("f", USER, "default") == "b"
        store.broken = True
        assert client.variation("f", USER, "default") == "b"
        assert not client.data_store_status_provider.status.available
        store.broken = False
        store.upsert(FEATURES, flag(3, "c"))
        eventually(lambda: bool(client.variation("f", USER, "default") == "c"))
        assert client.data_store_status_provider.status.available


def test_nobody_claims_that_a_flag_does_not_exist_while_the_store_fails() -> None:
    store = OwnStore()
    store.init({FEATURES: {}, SEGMENTS: {}})
    with LDClient(Config("sdk-key", feature_store=store, use_ldd=True, send_events=False)) as client:
        assert client.variation_detail("f", USER, "default").reason["errorKind"] == "FLAG_NOT_FOUND"
        assert client.all_flags_state(USER).valid
        store.broken = True
        detail = client.variation_detail("f", USER, "default")
        assert (detail.value, detail.reason) == ("default", {"kind": "ERROR", "errorKind": "EXCEPTION"})
        assert not client.all_flags_state(USER).valid


def test_the_core_of_a_caching_store_is_read_again_before_its_time_is_over() -> None:
    core = OwnCore()
    core.init_internal({FEATURES: {"f": flag()}, SEGMENTS: {}})
    store = CachingStoreWrapper(core, CacheConfig(0.5))
    with LDClient(Config("sdk-key", feature_store=store, use_ldd=True, send_events=False)) as client:
        assert client.variation("f", USER, "default") == "a"
        core.upsert_internal(FEATURES, flag(2, "b"))
        assert client.variation("f", USER, "default") == "a"
        eventually(lambda: bool(client.variation("f", USER, "default") == "b"))


class Source:
    stopped = 0

    def __init__(self, store: Any, ready: threading.Event | None) -> None:
        self.store, self.ready = store, ready

    def start(self) -> None:
        self.store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
        if self.ready is not None:
            self.ready.set()

    def stop(self) -> None:
        type(self).stopped += 1

    def is_alive(self) -> bool:
        return True

    def initialized(self) -> bool:
        return True


FACTORIES: list[Callable[..., Source]] = [
    lambda config, store, ready: Source(store, ready),  # noqa: ARG005
    lambda config, requester, store, ready: Source(store, ready),  # noqa: ARG005
    lambda sdk_key, config, requester, store, ready: Source(store, ready),  # noqa: ARG005
    lambda api_key, config, store: Source(store, None),  # noqa: ARG005
]


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("make_store", [lambda: None, InMemoryFeatureStore, OwnStore])
def test_a_source_of_any_era_feeds_the_client_and_its_store(factory: Any, make_store: Any) -> None:
    store = make_store()
    stopped = Source.stopped
    config = Config("sdk-key", feature_store=store, update_processor_class=factory, send_events=False)
    with LDClient(config, start_wait=0.1) as client:
        assert client.is_initialized()
        assert client.variation("f", USER, "default") == "a"
        if store is not None:
            eventually(lambda: store.initialized)
            assert store.get(FEATURES, "f") == flag()
    assert Source.stopped == stopped + 1


class Requester:
    def get_all_data(self) -> Any:
        return {FEATURES: {"f": flag()}, SEGMENTS: {}}


class OldRequester:
    def __init__(self, sdk_key: str, config: Config) -> None:
        assert sdk_key == config.sdk_key

    def get_all(self) -> Any:
        return {"f": flag()}


@pytest.mark.parametrize("requester", [lambda config: Requester(), OldRequester])  # noqa: ARG005
def test_polling_asks_the_requester_of_the_application(requester: Any) -> None:
    config = Config("sdk-key", stream=False, feature_requester_class=requester, send_events=False)
    with LDClient(config, start_wait=5) as client:
        assert client.variation("f", USER, "default") == "a"


def test_what_is_no_store_is_refused() -> None:
    with pytest.raises(TypeError, match="no method"):
        LDClient(Config("sdk-key", feature_store=object(), use_ldd=True))
