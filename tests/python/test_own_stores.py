"""Feature stores that an application wrote itself: when and on which thread they are asked, and what a client makes of one
that is slow, raises, asks its own client, or is there in a forked process.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from heard import until
from ldclient import Config, LDClient
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.interfaces import FeatureStoreCore
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from program import Program

USER = {"key": "u"}
DEADLINE = 10.0
UNCACHED, FOREVER = CacheConfig.disabled(), CacheConfig(float("inf"))


def flag(key: str = "f", version: int = 1, value: object = "a") -> dict[str, Any]:
    return {"key": key, "version": version, "on": False, "offVariation": 0, "variations": [value]}


class Core(FeatureStoreCore):
    """Notes what it was asked, by whom and when; then does what the test wants."""

    def __init__(self, *keys: str) -> None:
        self.data: dict[str, dict[str, Any]] = {"features": {key: flag(key) for key in keys}, "segments": {}}
        self.asked: list[tuple[str, str, float]] = []
        self.then: Callable[[str], None] = lambda _what: None

    def get_internal(self, kind: Any, key: str) -> Any:
        self.note(key)
        return self.data[kind.namespace].get(key)

    def get_all_internal(self, kind: Any) -> Any:
        self.note(kind.namespace)
        return dict(self.data[kind.namespace])

    def init_internal(self, all_data: Any) -> None:
        self.note("init")
        self.data = {kind.namespace: dict(items) for kind, items in all_data.items()}

    def upsert_internal(self, kind: Any, item: Any) -> Any:
        self.note("upsert")
        self.data[kind.namespace][item["key"]] = item
        return item

    def initialized_internal(self) -> bool:
        return True

    def is_available(self) -> bool:
        self.note("is_available")
        return True

    def note(self, what: str) -> None:
        self.asked.append((what, threading.current_thread().name, time.monotonic()))
        self.then(what)

    def times(self, what: str) -> list[float]:
        return [at for asked, _, at in list(self.asked) if asked == what]

    def threads(self, *names: str) -> set[str]:
        return {thread for asked, thread, _ in list(self.asked) if asked in names}


def daemon(core: Core, caching: CacheConfig, wait: float = DEADLINE) -> LDClient:
    store = CachingStoreWrapper(core, caching)
    return LDClient(Config("sdk-key", feature_store=store, use_ldd=True, send_events=False), wait)


def value(client: LDClient, key: str = "f") -> Any:
    return client.variation(key, USER, "default")


def test_an_evaluation_never_asks_a_store_whose_cache_has_a_time() -> None:
    core = Core("f")
    with daemon(core, CacheConfig(0.2)) as client:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            assert value(client) == "a"
            assert client.all_flags_state(USER).valid
            time.sleep(0.001)
    assert core.threads("f") == set()
    assert core.threads("features", "segments") == {"ldclient-store"}


def test_what_is_kept_for_a_time_is_read_again_before_that_is_over() -> None:
    core = Core("f")
    with daemon(core, CacheConfig(1.5)):
        until(lambda: len(core.times("features")) >= 3, True)
    first, second, third = core.times("features")[:3]
    assert 0.9 < second - first < 1.5
    assert 0.9 < third - second < 1.5


def test_without_a_cache_the_caller_asks_and_for_ever_only_once_a_flag() -> None:
    here = threading.current_thread().name
    for caching, times in ((UNCACHED, 3), (FOREVER, 1)):
        core = Core("f", "g")
        with daemon(core, caching) as client:
            assert [value(client) for _ in range(3)] == ["a"] * 3
            assert len(core.times("f")) == times
            assert core.threads("f") == {here}
            assert core.times("g") == []
            assert [value(client, "none") for _ in range(3)] == ["default"] * 3
            assert len(core.times("none")) == times


def test_a_store_that_is_slow_in_the_background_keeps_nobody_waiting() -> None:
    entered, leave = threading.Event(), threading.Event()
    core = Core("f")
    with daemon(core, CacheConfig(0.1)) as client:
        assert value(client) == "a"

        def block(_what: str) -> None:
            entered.set()
            assert leave.wait(DEADLINE)

        core.then = block
        assert entered.wait(DEADLINE)
        try:
            begin = time.monotonic()
            assert [value(client) for _ in range(100)] == ["a"] * 100
            client.close(0.2)
            assert time.monotonic() - begin < 5
            assert value(client) == "a"
        finally:
            leave.set()


def test_who_waits_for_a_slow_store_holds_up_nobody_else() -> None:
    entered, leave = threading.Event(), threading.Event()
    core = Core("slow", "fast")

    def block(what: str) -> None:
        if what == "slow":
            entered.set()
            assert leave.wait(DEADLINE)

    core.then = block
    answers: list[Any] = []
    with daemon(core, UNCACHED) as client:
        thread = threading.Thread(target=lambda: answers.append(value(client, "slow")))
        thread.start()
        try:
            assert entered.wait(DEADLINE)
            assert value(client, "fast") == "a"
            assert client.is_initialized()
        finally:
            leave.set()
            thread.join(DEADLINE)
    assert answers == ["a"]


def test_nobody_waits_again_for_a_store_that_takes_its_time_to_fail(caplog: pytest.LogCaptureFixture) -> None:
    core = Core("f")
    is_down = threading.Event()

    def fail(what: str) -> None:
        if is_down.is_set():
            time.sleep(0.3 if what == "f" else 0)
            raise TimeoutError(f"a secret about {what}")

    with daemon(core, UNCACHED) as client:
        assert value(client) == "a"
        core.then = fail
        is_down.set()
        before = len(core.times("f"))
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            # The last known flags.
            assert value(client) == "a"
            time.sleep(0.001)
        assert len(core.times("f")) == before + 1
        assert not client.data_store_status_provider.status.available
        core.data["features"]["f"] = flag(version=2, value="b")
        is_down.clear()
        until(lambda: value(client), "b")

        def said() -> list[tuple[bool, bool]]:
            value(client)  # a call delivers the lines
            lines = [record.getMessage() for record in caplog.records if "feature store" in record.getMessage()]
            return [("failed" in line, "again" in line) for line in lines]

        until(said, [(True, True), (False, True)])
    assert "secret" not in caplog.text


def test_a_store_may_ask_its_own_client() -> None:
    core = Core("f", "g")
    heard: list[Any] = []
    with daemon(core, UNCACHED) as client:

        def ask(what: str) -> None:
            if what == "f":
                heard.append(value(client, "g"))

        core.then = ask
        assert value(client) == "a"
        assert heard == ["a"]
        core.then = lambda _what: None


def test_a_store_that_asks_its_client_without_end_fails_and_the_process_lives() -> None:
    program = """
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.interfaces import FeatureStoreCore

FLAG = {"key": "your.feature.key", "version": 1, "on": False, "offVariation": 0, "variations": ["a"]}

class Endless(FeatureStoreCore):
    deep = deepest = 0
    def deeper(self, ask):
        self.deep += 1
        self.deepest = max(self.deep, self.deepest)
        ask()
        self.deep -= 1
    def get_internal(self, kind, key):
        self.deeper(lambda: value(client))
        return FLAG
    def get_all_internal(self, kind):
        self.deeper(lambda: client.all_flags_state(USER))
        return {"your.feature.key": FLAG}
    def init_internal(self, all_data): pass
    def upsert_internal(self, kind, item): return item
    def initialized_internal(self): return True
    def is_available(self): return True

core = Endless()
store = CachingStoreWrapper(core, CacheConfig.disabled())
client = LDClient(config(feature_store=store, use_ldd=True, send_events=False), 5)
print(value(client) in ("a", "default"), client.all_flags_state(USER) is not None, 1 < core.deepest < 20)
client.close()
"""
    with Program(program, "http://127.0.0.1:1") as running:
        ended = running.wait()
    assert (ended.code, ended.output) == (0, "True True True\n"), ended


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("expiration", [0, 0.05, "inf"])
def test_a_forked_child_asks_the_store_on_threads_of_its_own(expiration: object) -> None:
    program = f"""
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.interfaces import FeatureStoreCore

class Core(FeatureStoreCore):
    version = 1
    def item(self):
        return {{"key": "your.feature.key", "version": self.version, "on": False, "offVariation": 0,
            "variations": [self.version]}}
    def get_internal(self, kind, key):
        return self.item() if key == "your.feature.key" else None
    def get_all_internal(self, kind):
        return {{"your.feature.key": self.item()}} if kind.namespace == "features" else {{}}
    def init_internal(self, all_data): pass
    def upsert_internal(self, kind, item): return item
    def initialized_internal(self): return True
    def is_available(self): return True

core = Core()
store = CachingStoreWrapper(core, CacheConfig(float("{expiration}")))
client = LDClient(config(feature_store=store, use_ldd=True, send_events=False), 5)
assert value(client) == 1

def work():
    core.version = 2
    assert value(client) in (1, 2)
    if {expiration!r} == "inf":
        assert value(client) == 1, "for ever, here too"
    else:
        until(lambda: value(client) == 2)
    assert client.data_store_status_provider.status.available
    client.close()

reap(fork(work))
assert value(client) == 1
client.close()
"""
    with Program(program, "http://127.0.0.1:1") as running:
        assert running.succeeds() == ""


def test_what_the_source_of_an_application_delivers_is_written_on_the_thread_of_the_store() -> None:
    class Source:
        def __init__(self, _config: Any, store: Any, ready: threading.Event) -> None:
            self.store, self.ready = store, ready

        def start(self) -> None:
            self.store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
            self.store.upsert(FEATURES, flag(version=2, value="b"))
            self.ready.set()

        def stop(self) -> None:
            pass

        def initialized(self) -> bool:
            return self.ready.is_set()

    core = Core()
    config = Config(
        "sdk-key",
        feature_store=CachingStoreWrapper(core, CacheConfig(60)),
        update_processor_class=Source,
        send_events=False,
    )
    with LDClient(config, DEADLINE) as client:
        assert value(client) == "b"
        until(lambda: core.data["features"].get("f"), flag(version=2, value="b"))
    assert core.threads("init", "upsert") == {"ldclient-store"}
