"""Flags in tests: blocks, decorators, the fixture, what they record, and that they neither clash nor connect."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import socket
import subprocess
import sys
import threading
import unittest
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import ldclient
from ldclient import Config, LDClient
from ldclient.testing import Evaluation, UnknownFlagError, flags

ANN = {"key": "ann"}
BOB = {"key": "bob"}


def seen(key: str, user: Any = ANN) -> Any:
    return ldclient.get().variation(key, user, "default")


def test_a_block_sets_flags_and_takes_them_back() -> None:
    with flags({"exact_key": 3}, new_ui=True, colour="red") as block:
        assert [seen("new-ui"), seen("new_ui"), seen("colour"), seen("exact_key"), seen("exact-key")] == [
            True,
            True,
            "red",
            3,
            "default",
        ]
        with ldclient.use(ANN):
            assert ldclient.variation("colour", None) == "red"
        assert block["colour"] == "red"
        block["colour"] = {"deep": [1, None]}
        assert seen("colour") == {"deep": [1, None]}
    with pytest.raises(RuntimeError, match="set_config"):
        ldclient.get()


def test_what_was_served_before_is_served_again() -> None:
    ldclient.set_config(Config(offline=True))
    before = ldclient.get()
    with flags(new_ui=True):
        assert ldclient.get() is not before
        assert isinstance(ldclient.get(), LDClient)
        # What an application does when it is made inside a test.
        ldclient.set_config(Config("sdk-key", offline=True))
        assert seen("new-ui") is True
    assert not isinstance(ldclient.get(), type(flags))
    assert ldclient.get().is_offline()


def test_a_block_begins_with_the_flags_around_it_and_changes_none_of_them() -> None:
    with flags(new_ui=True, colour="red"):
        with flags(colour="blue"):
            assert [seen("new-ui"), seen("colour")] == [True, "blue"]
        assert seen("colour") == "red"


def test_a_call_inside_a_block_sets_more_and_can_be_undone() -> None:
    with flags(colour="red") as block:
        block(new_ui=True)
        assert seen("new-ui") is True
        with block(colour="blue", other=1):
            assert [seen("colour"), seen("other")] == ["blue", 1]
        assert [seen("colour"), seen("other"), seen("new-ui")] == ["red", "default", True]


def test_a_flag_may_differ_by_user() -> None:
    with flags() as block:
        block.update(block.flag("new-ui").variation_for_all(False).variation_for_user("ann", True))
        assert [seen("new-ui"), seen("new-ui", BOB)] == [True, False]


def test_evaluations_and_events_are_kept_here_and_around() -> None:
    with flags(new_ui=True) as outer:
        with flags(colour="red") as inner:
            seen("colour")
            ldclient.get().track("bought", ANN, {"price": 3}, 1.5)
        seen("new-ui", BOB)
        seen("typo")
    assert inner.evaluated("colour") == ["red"]
    assert inner.evaluated("new-ui") == []
    assert [(one.key, one.context.key, one.value) for one in outer.evaluations] == [
        ("colour", "ann", "red"),
        ("new-ui", "bob", True),
        ("typo", "ann", "default"),
    ]
    last = outer.evaluations[-1]
    assert isinstance(last, Evaluation)
    assert last.default == "default"
    assert last.reason["errorKind"] == "FLAG_NOT_FOUND"
    (event,) = outer.tracked("bought")
    assert (event.context.key, event.data, event.metric_value) == ("ann", {"price": 3}, 1.5)
    assert inner.events == outer.events


@pytest.mark.parametrize(
    "method",
    [
        f"{kind}variation{suffix}"
        for kind in ("", "bool_", "int_", "float_", "str_", "json_")
        for suffix in ("", "_detail")
    ],
)
def test_in_strict_mode_a_flag_that_is_not_set_is_an_error(method: str) -> None:
    with pytest.raises(UnknownFlagError, match="typo"), flags(colour="red", _strict=True) as block:
        getattr(block.client, method)("typo", ANN, None)
    with pytest.raises(UnknownFlagError, match="typo"), flags(colour="red", _strict=True) as block:
        getattr(block.client.pinned(), method)("typo", ANN, None)


def test_in_strict_mode_an_error_that_the_code_caught_is_raised_at_the_end() -> None:
    with pytest.raises(UnknownFlagError, match="typo"), flags(_strict=True), suppress(Exception):
        seen("typo")


def test_decorated_functions_have_the_flags_each_time() -> None:
    @flags(new_ui=True)
    def now(name: str) -> Any:
        return name, seen("new-ui")

    @flags(new_ui=False)
    async def later() -> Any:
        await asyncio.sleep(0)
        return seen("new-ui")

    assert now("x") == now("x") == ("x", True)
    assert asyncio.run(later()) is False
    assert now.__name__ == "now"
    with pytest.raises(TypeError, match="set flags by name"):
        flags(new_ui=True)("new-ui")


def test_decorated_classes_have_the_flags_in_every_test() -> None:
    @flags(new_ui=True)
    class Plain:
        def test_it(self) -> Any:
            return seen("new-ui")

        def other(self) -> Any:
            return ldclient.get()

    assert Plain().test_it() is True
    with pytest.raises(RuntimeError):
        Plain().other()


def test_decorated_test_cases_have_the_flags_in_set_up_and_test() -> None:
    found: list[Any] = []

    @flags(new_ui=True)
    class Case(unittest.TestCase):
        flags: Any

        def setUp(self) -> None:
            found.append(seen("new-ui"))

        def test_it(self) -> None:
            self.flags(colour="red")
            found.extend([seen("new-ui"), seen("colour")])

    @flags(new_ui=True)
    class Later(unittest.IsolatedAsyncioTestCase):
        async def test_it(self) -> None:
            await asyncio.sleep(0)
            found.append(seen("new-ui"))

    for case in (Case, Later):
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
        assert result.wasSuccessful(), [*result.errors, *result.failures]
    assert found == [True, True, "red", True]
    with pytest.raises(RuntimeError):
        ldclient.get()


def test_tasks_do_not_see_each_others_flags() -> None:
    async def ask(value: bool, meet: asyncio.Event, other: asyncio.Event) -> Any:
        with flags(new_ui=value):
            meet.set()
            await asyncio.wait_for(other.wait(), 5)
            return seen("new-ui")

    async def main() -> Any:
        one, two = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(ask(True, one, two), ask(False, two, one))

    assert asyncio.run(main()) == [True, False]


def test_threads_do_not_see_each_others_flags() -> None:
    both = threading.Barrier(2, timeout=10)
    found: dict[bool, Any] = {}

    def ask(value: bool) -> None:
        with flags(new_ui=value):
            both.wait()
            found[value] = seen("new-ui")
            both.wait()

    threads = [threading.Thread(target=ask, args=(value,)) for value in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == {True: True, False: False}


def test_a_thread_that_the_code_under_test_starts_sees_the_flags() -> None:
    found: list[Any] = []
    with flags(new_ui=True):
        thread = threading.Thread(target=lambda: found.append(seen("new-ui")))
        thread.start()
        thread.join(10)
    assert found == [True]


def test_no_connection_is_opened_and_no_thread_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket, "socket", refuse)
    before = set(os.listdir("/proc/self/task")) if sys.platform == "linux" else set()
    with flags(new_ui=True) as block:
        seen("new-ui")
        ldclient.get().track("bought", ANN)
        assert block.client.stats()["threads"] == 0
        if sys.platform == "linux":
            assert set(os.listdir("/proc/self/task")) == before


def test_a_view_inside_a_block_is_one_of_its_flags() -> None:
    with flags(new_ui=True) as block, ldclient.use(ANN, pinned=True):
        assert ldclient.variation("new-ui", None) is True
        block(new_ui=False)
        assert ldclient.variation("new-ui", None) is True
        assert seen("new-ui") is False
    with flags(new_ui=True), ldclient.pinned() as view:
        assert view.variation("new-ui", ANN, None) is True


def test_a_client_that_the_code_kept_asks_the_block_of_the_moment() -> None:
    with flags(new_ui=True):
        kept = ldclient.get()
        with kept as same:
            assert same.variation("new-ui", ANN, None) is True
    with flags(new_ui=False):
        assert kept.variation("new-ui", ANN, None) is False


def test_a_flask_application_with_a_client_of_its_own_is_answered_by_the_block() -> None:
    from flask import Flask

    from ldclient.flask import FeatureFlags, is_active

    ldclient.set_config(Config("one", offline=True))
    app = Flask("shop")
    app.config.update(LDCLIENT_SDK_KEY="another", LDCLIENT_OFFLINE=True)
    extension = FeatureFlags(app)
    extension.user_loader(lambda: ANN)
    app.add_url_rule("/", "home", lambda: f"{ldclient.variation('new-ui', None)} {is_active('new-ui')}")
    with flags(new_ui=True):
        assert app.test_client().get("/").text == "True True"
    assert app.test_client().get("/").text == "None False"
    with flags(_strict=True), app.test_request_context():
        block = ldclient.get()
        assert block.is_initialized()
    with pytest.raises(UnknownFlagError), flags(_strict=True), app.app_context():
        app.jinja_env.from_string("{{ variation('typo') }}").render()


def test_misuse_is_told() -> None:
    block = flags(new_ui=True)
    with pytest.raises(RuntimeError, match="not in force"):
        _ = block.client
    with block, pytest.raises(RuntimeError, match="in force already"):
        block.__enter__()
    with pytest.raises(TypeError, match="expected a dictionary"):
        flags(True)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError)), flags(colour=object()):
        pass
    with pytest.raises(RuntimeError):
        ldclient.get()


# The fixture

SUITE = """
import ldclient, pytest

def seen(key):
    return ldclient.get().variation(key, {"key": "ann"}, "default")

def test_sets(flags):
    flags(new_ui=True)
    assert seen("new-ui") is True
    ldclient.get().track("bought", {"key": "ann"})
    assert flags.evaluated("new-ui") == [True]
    assert [event.name for event in flags.events] == ["bought"]

def test_nothing_is_left_of_the_test_before(flags):
    assert seen("new-ui") == "default"

@pytest.mark.ldclient_strict
def test_strict(flags):
    with pytest.raises(LookupError):
        seen("new-ui")
    flags._unknown.clear()

@pytest.mark.parametrize("value", range(20))
def test_many(flags, value):
    flags(value=value)
    assert seen("value") == value
"""


def run_pytest(folder: Path, *arguments: str) -> str:
    installed = importlib.metadata.entry_points(group="pytest11", name="ldclient")
    plugin = [] if installed else ["-p", "ldclient.testing.pytest_plugin"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_the_fixture_works_alone_and_under_xdist(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    assert "23 passed" in run_pytest(tmp_path, "-p", "no:xdist", "--strict-markers")
    assert "23 passed" in run_pytest(tmp_path, "-n", "2")


def test_the_setting_makes_all_tests_strict(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nldclient_strict = true\n")
    (tmp_path / "test_suite.py").write_text(SUITE)
    told = run_pytest(tmp_path, "-p", "no:xdist")
    assert "1 failed" in told
    assert "there is no feature flag with the key 'new-ui'" in told
