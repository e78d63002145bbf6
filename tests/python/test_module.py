"""The module face: assigning key and Config, the shared client's life, the client class, log records, uWSGI.

What concerns waiting and swapping is tested with a stand-in for the client, so that it needs no time and no network.
"""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest

import ldclient
from ldclient import Config, LDClient, _exit, _shared, _uwsgi, ambient, logs
from ldclient.integrations import Files

USER = {"key": "aa0ceb"}
DEADLINE = 10.0

module: Any = ldclient
any_client: Any = LDClient
get: Any = ldclient.get


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives each test a module that nobody has used yet."""
    monkeypatch.setattr(ldclient, "_state", _shared.SharedClient())
    yield module._state
    module._state.reset()


class StandIn:
    """A client that has flags when the test says so."""

    made: ClassVar[list[StandIn]] = []
    have_data = False

    def __init__(self, config: Config, start_wait: float) -> None:
        assert start_wait == 0
        config._refuse_what_is_missing()
        self._config = config
        self.arrived = threading.Event()
        self.closed = threading.Event()
        self.waits: list[float] = []
        if self.have_data or config.offline:
            self.arrived.set()
        self.made.append(self)

    def get_sdk_key(self) -> str:
        return self._config.sdk_key

    def _has_data(self) -> bool:
        return self.arrived.is_set()

    def _wait_for_start(self, seconds: float) -> None:
        self.wait_for_initialization(seconds)

    def wait_for_initialization(self, timeout: float) -> bool:
        self.waits.append(timeout)
        return self.arrived.wait(timeout)

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    monkeypatch.setattr(_shared, "LDClient", StandIn)
    monkeypatch.setattr(StandIn, "made", [])
    monkeypatch.setattr(StandIn, "have_data", True)
    return StandIn.made


def run(program: str) -> str:
    """Runs a program in an interpreter of its own and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


# Assigning the key and the Config


def test_the_documents_example_returns_the_default() -> None:
    module.config = Config(offline=True)
    module.sdk_key = "YOUR_SDK_KEY"
    assert get().variation("any.feature.flag", USER, False) is False
    assert get().get_sdk_key() == "YOUR_SDK_KEY"


def test_key_and_config_may_be_assigned_in_either_order() -> None:
    module.sdk_key = "YOUR_SDK_KEY"
    module.config = Config(offline=True)
    assert get().is_offline()
    assert get().get_sdk_key() == "YOUR_SDK_KEY"


def test_a_key_alone_is_enough(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "YOUR_SDK_KEY"
    get()
    assert [client._config for client in stand_ins] == [Config("YOUR_SDK_KEY")]


def test_offline_needs_no_key(caplog: pytest.LogCaptureFixture) -> None:
    ldclient.set_config(Config(offline=True))
    assert get().is_offline()
    assert "sdk_key" not in caplog.text


@pytest.mark.parametrize("key_first", [True, False])
def test_an_assigned_key_wins_over_the_configs(key_first: bool, stand_ins: list[StandIn]) -> None:
    if key_first:
        module.sdk_key = "assigned"
    module.config = Config("from-config", flush_interval=9)
    if not key_first:
        module.sdk_key = "assigned"
    get()
    assert stand_ins[0]._config == Config("assigned", flush_interval=9)


def test_a_key_that_was_set_wins_over_the_config_before_it(stand_ins: list[StandIn]) -> None:
    ldclient.set_config(Config("from-config", flush_interval=9))
    ldclient.set_sdk_key("set")
    get()
    assert stand_ins[0]._config == Config("set", flush_interval=9)


def test_a_config_that_is_set_later_with_its_own_key_wins_over_a_key_that_was_set(stand_ins: list[StandIn]) -> None:
    ldclient.set_sdk_key("set")
    ldclient.set_config(Config("from-config"))
    get()
    assert stand_ins[0]._config.sdk_key == "from-config"


def test_a_config_without_a_key_keeps_the_key_that_was_set(stand_ins: list[StandIn]) -> None:
    ldclient.set_sdk_key("set")
    ldclient.set_config(Config(flush_interval=9))
    get()
    assert stand_ins[0]._config == Config("set", flush_interval=9)


def test_an_assigned_key_wins_over_a_config_that_is_set_later(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "assigned"
    ldclient.set_config(Config("from-config"))
    get()
    assert stand_ins[0]._config.sdk_key == "assigned"


def test_without_key_and_config_get_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"set_config was not called.*ldclient\.sdk_key"):
        get()


def test_a_key_taken_back_is_no_key() -> None:
    module.sdk_key = "YOUR_SDK_KEY"
    module.sdk_key = None
    assert ldclient.sdk_key is None
    with pytest.raises(RuntimeError):
        get()


def test_a_key_that_cannot_be_one_leaves_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    module.sdk_key = "good"
    module.sdk_key = "b a d"
    assert ldclient.sdk_key == "good"
    assert len(caplog.records) == 1


def test_what_is_no_config_is_refused() -> None:
    with pytest.raises(TypeError, match=r"ldclient\.config: expected a Config, got dict"):
        module.config = {"offline": True}
    with pytest.raises(TypeError, match=r"ldclient\.config: expected a Config, got str"):
        module.set_config("key")
    with pytest.raises(TypeError, match="got None"):
        ldclient.set_config(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sdk_key: expected text, got int"):
        module.sdk_key = 7


@pytest.mark.parametrize("value", ["5", True, -1, float("nan")])
def test_start_wait_is_a_number_of_seconds(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="start_wait: expected"):
        module.start_wait = value
    assert ldclient.start_wait == 5


# Submodules and variables of one name


def test_config_is_the_submodule_until_one_is_assigned() -> None:
    assert module.config is sys.modules["ldclient.config"]
    ldclient.set_config(Config(offline=True))
    assert module.config is sys.modules["ldclient.config"]
    module.config = assigned = Config(offline=True)
    assert module.config is assigned
    ldclient.set_config(Config("later", offline=True))
    assert module.config == Config("later", offline=True)


def test_the_submodules_classes_resolve_whatever_is_assigned() -> None:
    for _ in range(2):
        assert module.config.Config is Config
        assert module.config.HTTPConfig is sys.modules["ldclient.config"].HTTPConfig
        assert module.client.LDClient is LDClient
        assert importlib.import_module("ldclient.config").Config is Config
        module.config = Config(offline=True)
        get()


def test_import_statements_find_the_submodules_after_an_assignment() -> None:
    module.config = Config(offline=True)
    get()
    scope: dict[str, Any] = {}
    exec(
        "import ldclient.config, ldclient.client\n"
        "from ldclient.config import Config, HTTPConfig, BigSegmentsConfig\n"
        "from ldclient.client import LDClient\n"
        "from ldclient import config, client\n"
        "import ldclient.config as c",
        scope,
    )
    assert scope["Config"] is scope["c"].Config is scope["config"].Config is Config
    assert scope["client"].LDClient is scope["LDClient"] is LDClient
    assert module.config == Config(offline=True)


def test_the_import_machinery_assigning_a_submodule_changes_nothing() -> None:
    module.config = assigned = Config(offline=True)
    module.config = sys.modules["ldclient.config"]
    module.client = sys.modules["ldclient.client"]
    assert module.config is assigned


def test_client_is_the_shared_client_in_a_program_that_assigns_variables() -> None:
    module.config = Config(offline=True)
    assert module.client is sys.modules["ldclient.client"]
    shared = get()
    assert module.client is shared


def test_client_stays_the_submodule_in_a_program_that_calls_setters() -> None:
    ldclient.set_config(Config(offline=True))
    get()
    assert module.client is sys.modules["ldclient.client"]


@pytest.mark.usefixtures("stand_ins")
def test_assigning_none_to_client_drops_the_shared_client() -> None:
    module.sdk_key = "key"
    first: Any = get()
    module.client = None
    assert get() is not first
    assert first.closed.wait(DEADLINE)


def test_a_client_that_is_assigned_is_served() -> None:
    module.client = stub = types.SimpleNamespace(close=lambda: None)
    assert get() is stub


def test_every_name_of_the_module_can_be_imported() -> None:
    scope: dict[str, Any] = {}
    exec("from ldclient import *", scope)
    assert set(ldclient.__all__) <= scope.keys()
    assert ldclient.__version__ == ldclient.VERSION
    assert float(0xFFFFFFFFFFFFFFF) == ldclient.__LONG_SCALE__
    assert (str, float, int, bool) == ldclient.__BASE_TYPES__
    assert ldclient.log is logging.getLogger("ldclient.util")
    assert ldclient.NullHandler is logging.NullHandler
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = module.absent


@pytest.mark.parametrize(
    "name", ["client", "config", "context", "evaluation", "integrations", "ambient", "logs", "version"]
)
def test_every_submodule_has_all_of_its_names(name: str) -> None:
    submodule = importlib.import_module(f"ldclient.{name}")
    assert [public for public in submodule.__all__ if not hasattr(submodule, public)] == []


def test_the_import_takes_nothing_expensive_with_it() -> None:
    program = """
        import sys
        before = set(sys.modules)
        import ldclient
        print(*sorted(set(sys.modules) - before))
    """
    expensive = {"asyncio", "typing", "json", "uuid", "urllib", "dataclasses", "logging", "threading", "re", "inspect"}
    assert expensive.isdisjoint(run(program).split())


# The shared client


def test_get_returns_one_client(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    assert get() is get()
    assert len(stand_ins) == 1


def test_the_first_get_waits_for_flags_as_long_as_start_wait(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    module.start_wait = 0.01
    StandIn.have_data = False
    get()
    (waited,) = stand_ins[0].waits
    assert 0 < waited <= 0.01


def test_a_start_wait_of_zero_waits_for_nothing(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    module.start_wait = 0
    StandIn.have_data = False
    get()
    assert stand_ins[0].waits == [0]


def test_callers_that_come_during_the_first_build_get_the_same_client(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    StandIn.have_data = False
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + DEADLINE
    while sum(len(client.waits) for client in stand_ins) < 8 and time.monotonic() < give_up:
        time.sleep(0.001)
    assert got == []
    stand_ins[0].arrived.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert got == [stand_ins[0]] * 8
    assert len(stand_ins) == 1


def test_a_build_that_fails_raises_and_the_next_get_tries_again(
    stand_ins: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    module.sdk_key = "key"

    def fail(**_: object) -> None:
        raise ValueError("ca_certs: no such file")

    with monkeypatch.context() as patch:
        patch.setattr(_shared, "LDClient", fail)
        with pytest.raises(ValueError, match="ca_certs"):
            get()
    assert get() is stand_ins[0]


def test_get_inside_the_build_raises_instead_of_waiting_for_itself(
    stand_ins: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    module.sdk_key = "key"
    errors: list[BaseException] = []

    def build(config: Config, start_wait: float) -> StandIn:
        try:
            get()
        except RuntimeError as error:
            errors.append(error)
        return StandIn(config, start_wait)

    monkeypatch.setattr(_shared, "LDClient", build)
    assert get() is stand_ins[0]
    assert ["while this thread builds the client" in str(error) for error in errors] == [True]


def test_an_equal_key_and_config_change_nothing(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    module.config = Config(flush_interval=9)
    shared = get()
    module.sdk_key = "key"
    ldclient.set_sdk_key("key")
    module.config = Config(flush_interval=9)
    ldclient.set_config(Config("key", flush_interval=9))
    assert get() is shared
    assert len(stand_ins) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda: setattr(module, "sdk_key", "other"),
        lambda: setattr(module, "config", Config("other")),
        lambda: ldclient.set_sdk_key("other"),
        lambda: ldclient.set_config(Config("other")),
    ],
    ids=["sdk_key =", "config =", "set_sdk_key", "set_config"],
)
def test_another_key_or_config_swaps_the_client_and_closes_the_old_one(change: Any, stand_ins: list[StandIn]) -> None:
    ldclient.set_config(Config("key"))
    old: Any = get()
    change()
    new: Any = get()
    assert new is stand_ins[1]
    assert new._config == Config("other")
    assert old.closed.wait(DEADLINE)
    assert not new.closed.is_set()


def test_the_old_client_serves_until_the_new_one_has_data(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    old: Any = get()
    StandIn.have_data = False
    module.start_wait = 0
    module.sdk_key = "other"
    new = stand_ins[1]
    assert new.waits == [0]
    assert get() is old
    assert not old.closed.is_set()
    new.arrived.set()
    assert get() is new
    assert module._state.ready is new
    assert old.closed.wait(DEADLINE)


def test_stats_show_the_client_that_is_on_its_way(tmp_path: Path) -> None:
    flags = tmp_path / "flags.json"
    flags.write_text('{"flagValues": {"a": 1}}', encoding="utf-8")
    module.start_wait = 5
    module.config = Config("key", update_processor_class=Files.new_data_source(paths=[str(flags)]), send_events=False)
    assert get().variation("a", USER, 0) == 1
    assert get().stats()["replacement"] is None
    module.start_wait = 0
    nowhere = Files.new_data_source(paths=[str(tmp_path / "missing.json")])
    module.config = Config("key", update_processor_class=nowhere, send_events=False)
    assert get().variation("a", USER, 0) == 1
    assert get().stats()["replacement"] == "INITIALIZING"


def test_a_change_waits_at_most_start_wait(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    get()
    StandIn.have_data = False
    module.start_wait = 0.01
    module.sdk_key = "other"
    assert stand_ins[1].waits == [0.01]


def test_get_does_not_wait_while_another_thread_changes_the_config(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    old = get()
    StandIn.have_data = False
    module.start_wait = DEADLINE
    changing = threading.Thread(target=lambda: ldclient.set_config(Config(flush_interval=9)))
    changing.start()
    give_up = time.monotonic() + DEADLINE
    while not (len(stand_ins) == 2 and stand_ins[1].waits) and time.monotonic() < give_up:
        assert get() is old
    assert get() is old
    assert changing.is_alive()
    stand_ins[1].arrived.set()
    changing.join(DEADLINE)
    assert get() is stand_ins[1]


def test_going_back_to_the_serving_config_drops_the_client_that_was_on_its_way(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    old = get()
    StandIn.have_data = False
    module.start_wait = 0
    module.sdk_key = "other"
    module.sdk_key = "key"
    assert stand_ins[1].closed.wait(DEADLINE)
    stand_ins[1].arrived.set()
    assert get() is old
    assert module._state.ready is old


def test_a_second_change_replaces_the_client_that_was_on_its_way(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    old = get()
    StandIn.have_data = False
    module.start_wait = 0
    module.sdk_key = "second"
    module.sdk_key = "third"
    assert stand_ins[1].closed.wait(DEADLINE)
    stand_ins[1].arrived.set()
    assert get() is old
    stand_ins[2].arrived.set()
    assert get() is stand_ins[2]
    assert len(stand_ins) == 3


def test_repeating_a_change_that_is_on_its_way_starts_nothing(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    get()
    StandIn.have_data = False
    module.start_wait = 0
    module.sdk_key = "other"
    module.sdk_key = "other"
    assert len(stand_ins) == 2
    assert not stand_ins[1].closed.is_set()


def test_of_two_changes_at_once_the_later_one_counts_even_if_its_client_is_made_first(
    stand_ins: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    module.sdk_key = "key"
    get()

    def build(config: Config, start_wait: float) -> StandIn:
        if config.sdk_key == "earlier":
            module.sdk_key = "later"
        return StandIn(config, start_wait)

    monkeypatch.setattr(_shared, "LDClient", build)
    module.sdk_key = "earlier"
    assert get().get_sdk_key() == "later"
    (overtaken,) = (client for client in stand_ins if client.get_sdk_key() == "earlier")
    assert overtaken.closed.wait(DEADLINE)


def test_a_change_during_the_first_build_is_made_after_it(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    StandIn.have_data = False
    got: list[Any] = []
    building = threading.Thread(target=lambda: got.append(get()))
    building.start()
    give_up = time.monotonic() + DEADLINE
    while not (stand_ins and stand_ins[0].waits) and time.monotonic() < give_up:
        time.sleep(0.001)
    module.sdk_key = "other"
    StandIn.have_data = True
    stand_ins[0].arrived.set()
    building.join(DEADLINE)
    assert got == [stand_ins[0]]
    assert [client._config.sdk_key for client in stand_ins] == ["key", "other"]
    assert get() is stand_ins[1]


def test_a_config_that_is_refused_leaves_the_client_and_the_last_config(stand_ins: list[StandIn]) -> None:
    module.config = good = Config("key")
    shared = get()
    with pytest.raises(ValueError, match="datasystem_config"):
        module.config = Config("key", datasystem_config=object())
    assert module.config is good
    assert get() is shared
    module.sdk_key = "other"
    assert get() is stand_ins[1]


def test_reset_closes_the_client_and_keeps_key_and_config(stand_ins: list[StandIn]) -> None:
    module.sdk_key = "key"
    shared: Any = get()
    ldclient._reset_client()
    assert shared.closed.is_set()
    assert get() is not shared
    assert stand_ins[1]._config.sdk_key == "key"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the system has no fork")
def test_a_child_that_is_forked_during_a_build_or_under_a_lock_waits_for_neither() -> None:
    run("""
        import os, threading, warnings
        warnings.simplefilter("ignore")
        import ldclient
        from ldclient import Config, _shared

        building, end = threading.Event(), threading.Event()
        real = _shared.LDClient

        def slow(**arguments):
            building.set()
            end.wait(20)
            return real(**arguments)

        _shared.LDClient = slow
        ldclient.set_config(Config(offline=True))
        thread = threading.Thread(target=ldclient.get)
        thread.start()
        building.wait(20)
        locked = threading.Event()

        def hold():
            with ldclient._state._lock():
                locked.set()
                end.wait(20)

        holder = threading.Thread(target=hold)
        holder.start()
        locked.wait(20)
        child = os.fork()
        if child == 0:
            import signal
            signal.alarm(10)
            _shared.LDClient = real
            os._exit(0 if ldclient.get().is_offline() else 3)
        status = os.waitpid(child, 0)[1]
        end.set()
        thread.join(20)
        holder.join(20)
        assert status == 0, status
    """)


def test_the_end_of_the_process_has_one_time_limit_and_drains_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, float]] = []
    now = [100.0]

    def flush_all(seconds: float) -> None:
        calls.append(("flush", seconds))
        now[0] += 1.5

    native = types.SimpleNamespace(flush_all=flush_all, close_all=lambda seconds: calls.append(("close", seconds)))
    native.keep_out = lambda seconds: calls.append(("keep out", seconds))
    monkeypatch.setattr(_exit, "_ldclient", native)
    monkeypatch.setattr(_exit, "_end", None)
    monkeypatch.setattr(_exit, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(logs, "drain", lambda: calls.append(("drain", 0)))
    _exit.deliver()
    _exit.close()
    # Later versions let the threads that are left stand still.
    others = [("keep out", 0.2)] if sys.version_info < (3, 14) else []
    assert calls == [("flush", 2.0), ("drain", 0), ("close", 0.5), ("drain", 0), *others]


def test_a_program_that_never_closes_its_client_ends() -> None:
    run("""
        import ldclient
        from ldclient import Config
        ldclient.start_wait = 0
        ldclient.set_config(Config("key", "http://127.0.0.1:1", "http://127.0.0.1:1", stream_uri="http://127.0.0.1:1"))
        ldclient.get().variation("flag", {"key": "x"}, False)
    """)


# variation and track of the module


class Recorder:
    """A client that keeps the arguments of its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def variation(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        return arguments[2]

    def track(self, *arguments: Any) -> None:
        self.calls.append(arguments)

    def close(self) -> None:
        pass


@pytest.fixture
def recorder() -> Recorder:
    client = Recorder()
    module._state.install(client)
    return client


def test_module_calls_are_for_the_ambient_user(recorder: Recorder) -> None:
    with ldclient.use(USER):
        assert ldclient.variation("flag", False) is False
        assert ldclient.variation("flag", default=1) == 1
        assert ldclient.variation("flag") is None
        ldclient.track("bought", {"price": 320}, 2.5)
    assert recorder.calls == [
        ("flag", USER, False),
        ("flag", USER, 1),
        ("flag", USER, None),
        ("bought", USER, {"price": 320}, 2.5),
    ]


def test_a_user_that_is_named_wins_over_the_ambient_one(recorder: Recorder) -> None:
    other = {"key": "other"}
    with ldclient.use(USER):
        assert ldclient.variation("flag", other, True) is True
    assert recorder.calls == [("flag", other, True)]


def test_outside_a_block_variation_has_no_user_and_track_an_anonymous_one(recorder: Recorder) -> None:
    ldclient.variation("flag", False)
    ldclient.track("bought")
    assert recorder.calls == [("flag", None, False), ("bought", ambient.anonymous_user(), None, None)]


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize(("arguments", "named"), [((1, 2, 3), {}), ((1,), {"default": 2}), ((), {"user": 1})])
def test_variation_refuses_other_arguments(arguments: Any, named: Any) -> None:
    with pytest.raises(TypeError, match="variation"):
        ldclient.variation("flag", *arguments, **named)


def test_outside_a_block_variation_returns_the_default() -> None:
    module.config = Config(offline=True)
    assert ldclient.variation("flag", "default") == "default"


# The client class


@pytest.mark.parametrize(
    "make",
    [
        any_client,
        lambda config: any_client(config, 0),
        lambda config: any_client(config=config, start_wait=0),
        lambda config: any_client("key", config),
        lambda config: any_client("key", config, 0),
        lambda config: any_client(sdk_key="key", config=config),
        lambda config: any_client(api_key="key", config=config),
        lambda config: any_client(None, config),
        lambda config: any_client("", config),
    ],
)
def test_a_client_is_made_as_in_every_era(make: Any) -> None:
    with make(Config("key", offline=True)) as client:
        assert (client.get_sdk_key(), client.sdk_key, client.api_key) == ("key", "key", "key")
        assert client.is_offline()


def test_a_key_beside_a_config_without_one_is_its_key() -> None:
    with LDClient("key", Config(offline=True)) as client:
        assert client.get_sdk_key() == "key"


def test_two_different_keys_are_refused_without_showing_them() -> None:
    with pytest.raises(ValueError, match="two different keys") as raised:
        LDClient("sdk-secret", Config("sdk-hidden", offline=True))
    assert "sdk-" not in str(raised.value)


@pytest.mark.parametrize(
    ("positional", "named"),
    [
        ((), {}),
        ((), {"start_wait": 5}),
        (("key", "config"), {}),
        (({"offline": True},), {}),
        ((Config(offline=True), 1, 2), {}),
        ((Config(offline=True),), {"config": Config(offline=True)}),
        ((Config(offline=True),), {"wait": 1}),
        ((Config(offline=True), "5"), {}),
    ],
)
def test_a_client_refuses_other_arguments(positional: Any, named: Any) -> None:
    with pytest.raises(TypeError):
        any_client(*positional, **named)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("datasystem_config", object()),
    ],
)
def test_an_option_that_cannot_be_honoured_yet_is_refused_by_name(name: str, value: Any) -> None:
    config = Config("key", **{name: value})
    with pytest.raises(ValueError, match=rf"cannot honour {name.removesuffix('_class')}(_class)? yet"):
        LDClient(config)


def test_options_that_ask_for_nothing_are_not_refused() -> None:
    empty: Any = {"hooks": [], "plugins": [], "big_segments": None, "use_ldd": False}
    with LDClient(Config("key", offline=True, **empty)) as client:
        assert client.is_offline()


@pytest.mark.parametrize("key", ["", None])
def test_a_missing_key_is_warned_about_once_unless_offline(key: Any, caplog: pytest.LogCaptureFixture) -> None:
    with LDClient(Config(key, offline=True)):
        assert "Missing" not in caplog.text
    flags = Files.new_data_source("absent.json")
    with LDClient(Config(key, update_processor_class=flags, send_events=False), 0):
        warnings = [(record.name, record.levelno, record.getMessage()) for record in caplog.records]
    assert warnings.count(("ldclient.util", logging.WARNING, "Missing or blank sdk_key.")) == 1


@pytest.mark.parametrize("name", ["toggle", "get_flag"])
def test_the_old_names_of_variation_default_to_false_and_are_deprecated(name: str) -> None:
    with LDClient(Config(offline=True)) as client:
        with pytest.warns(DeprecationWarning, match=name) as warned:
            assert getattr(client, name)("flag", USER) is False
        assert warned[0].filename == __file__
        with pytest.warns(DeprecationWarning, match=name):
            assert getattr(client, name)("flag", USER, "other") == "other"


def test_the_methods_of_the_hot_path_are_the_native_ones() -> None:
    native = LDClient.__mro__[1]
    for name in ("variation", "variation_detail", "track", "is_initialized", "is_offline", "flush"):
        assert name not in vars(LDClient)
        assert hasattr(native, name)


def test_a_repr_shows_the_state_and_not_the_key(tmp_path: Path) -> None:
    with LDClient(Config("sdk-secret", offline=True)) as client:
        assert repr(client) == "<ldclient.client.LDClient offline>"
    assert repr(client) == "<ldclient.client.LDClient closed>"
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"flagValues": {"flag": True}}))
    with LDClient(
        Config("sdk-secret", update_processor_class=Files.new_data_source(file), send_events=False)
    ) as client:
        assert repr(client) == "<ldclient.client.LDClient initialized>"
    nowhere = "http://127.0.0.1:1"
    with LDClient(Config("sdk-secret", nowhere, stream_uri=nowhere, send_events=False), 0) as client:
        assert repr(client) == "<ldclient.client.LDClient waiting for flags>"
    assert repr(LDClient.__new__(LDClient)) == "<ldclient.client.LDClient not started>"


def test_a_start_without_flags_says_so(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = "http://127.0.0.1:1"
    with LDClient(Config("key", nowhere, stream_uri=nowhere, send_events=False), 0.01):
        pass
    assert [record.name for record in caplog.records if "has no flags yet" in record.getMessage()] == ["ldclient.util"]


# uWSGI


@pytest.mark.parametrize(
    ("options", "is_fine"),
    [
        ({}, False),
        ({"enable-threads": True}, True),
        ({"enable-threads": b"true"}, True),
        ({b"enable-threads": b"true"}, True),
        ({"enable-threads": b"1"}, True),
        ({"enable-threads": b"false"}, False),
        ({"enable-threads": False}, False),
        ({"enable-threads": None}, False),
        ({"enable-threads": [b"false", b"true"]}, True),
        ({"threads": b"4"}, True),
        ({"threads": 2}, True),
        ({b"threads": b"2"}, True),
        ({"threads": b"1"}, False),
        ({"threads": b"many"}, False),
        ({"threads": []}, False),
    ],
)
def test_uwsgi_without_threads_is_one_error_that_names_the_option(
    options: Any, is_fine: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", types.SimpleNamespace(opt=options))
    with LDClient(Config(offline=True)):
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == (0 if is_fine else 1)
    assert all("enable-threads" in record.getMessage() for record in errors)


@pytest.mark.parametrize("uwsgi", [None, types.SimpleNamespace(), types.SimpleNamespace(opt=None)])
def test_without_uwsgi_there_is_nothing_to_check(uwsgi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if uwsgi is None:
        monkeypatch.delitem(sys.modules, "uwsgi", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    assert _uwsgi.check_threads()


# Log records of native threads


class Queue:
    """Stands for the native queue: a list of batches, each taken by one call."""

    def __init__(self, *batches: list[tuple[float, int, str, str]]) -> None:
        self.batches = list(batches)

    def take_log_records(self) -> list[tuple[float, int, str, str]]:
        return self.batches.pop(0) if self.batches else []


def test_records_keep_their_logger_level_and_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue(
        [(1000.25, logging.WARNING, "ldclient.util", "100 % down")], [(1001.5, logging.ERROR, "ldclient.flag", "gone")]
    )
    monkeypatch.setattr(logs, "_ldclient", queue)
    assert logs.drain() == 2
    assert [(r.created, r.levelno, r.name, r.getMessage()) for r in caplog.records] == [
        (1000.25, logging.WARNING, "ldclient.util", "100 % down"),
        (1001.5, logging.ERROR, "ldclient.flag", "gone"),
    ]
    first, second = caplog.records
    assert int(first.msecs) == 250
    assert second.relativeCreated - first.relativeCreated == pytest.approx(1250, abs=200)


def test_records_below_the_loggers_level_are_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "ldclient.util")
    monkeypatch.setattr(logs, "_ldclient", Queue([(1.0, logging.WARNING, "ldclient.util", "quiet")]))
    logs.drain()
    assert caplog.records == []


def test_a_filter_that_raises_costs_its_record_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        if record.getMessage() == "bad":
            raise OSError("no disk")
        return True

    target = logging.getLogger("ldclient.util")
    target.addFilter(refuse)
    try:
        batch = [(1.0, logging.WARNING, "ldclient.util", text) for text in ("bad", "good")]
        monkeypatch.setattr(logs, "_ldclient", Queue(batch))
        assert logs.drain() == 2
    finally:
        target.removeFilter(refuse)
    assert [record.getMessage() for record in caplog.records] == ["good"]
    assert "no disk" in capsys.readouterr().err


def test_one_daemon_thread_drains_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Event(), threading.Event()
    drains: list[threading.Thread] = []

    class Slow:
        def take_log_records(self) -> list[tuple[float, int, str, str]]:
            drains.append(threading.current_thread())
            entered.set()
            go_on.wait(DEADLINE)
            return []

    monkeypatch.setattr(logs, "_ldclient", Slow())
    monkeypatch.setattr(logs, "_draining", {})
    logs.start_drain()
    assert entered.wait(DEADLINE)
    for _ in range(5):
        logs.start_drain()
    thread = drains[0]
    assert thread.daemon
    assert [one for one in threading.enumerate() if one.name == "ldclient-logs"] == [thread]
    go_on.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert logs._draining == {}


def test_a_record_that_comes_while_the_thread_ends_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    late = (1.0, logging.WARNING, "ldclient.util", "late")
    # The first look ends with nothing; the late record is in the queue when the thread has given its place back.
    monkeypatch.setattr(logs, "_ldclient", Queue([], [late]))
    monkeypatch.setattr(logs, "_draining", {})
    logs._drain_and_end(1)
    assert [record.getMessage() for record in caplog.records] == ["late"]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the system has no fork")
def test_a_child_that_is_forked_while_the_parent_drains_starts_its_own_thread() -> None:
    run("""
        import os, signal, threading, types, warnings
        warnings.simplefilter("ignore")
        from ldclient import logs

        inside, end, mine = threading.Event(), threading.Event(), os.getpid()

        def take():
            inside.set()
            if os.getpid() == mine:
                end.wait(20)
            return []

        logs._ldclient = types.SimpleNamespace(take_log_records=take)
        logs.start_drain()
        inside.wait(20)
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            inside = threading.Event()
            logs.start_drain()
            inside.wait()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        end.set()
        assert status == 0, status
    """)


def test_draining_an_empty_queue_does_not_import_logging() -> None:
    program = """
        import sys
        from ldclient import logs
        assert logs.drain() == 0
        assert "logging" not in sys.modules
    """
    run(program)
