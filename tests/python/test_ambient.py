"""The ambient user: whose block a call is in, in threads, tasks and generators, and who stands in for nobody."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ldclient
from ldclient import Config, LDClient, ambient, use
from ldclient.evaluation import EvaluationDetail
from ldclient.hook import EvaluationSeriesContext, Hook, Metadata, TrackSeriesContext
from ldclient.integrations import TestData
from stand_in import StandIn

ANN = {"key": "ann"}
BOB = {"key": "bob"}


@pytest.fixture
def no_anonymous_user_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ambient, "_anonymous", {})


def test_outside_every_block_there_is_no_user() -> None:
    assert ambient.current() is None


def test_a_block_has_its_user_and_gives_the_outer_one_back() -> None:
    with use(ANN) as given:
        assert given is ANN
        assert ambient.current() is ANN
        with use(BOB):
            assert ambient.current() is BOB
        assert ambient.current() is ANN
    assert ambient.current() is None


def test_none_hides_the_outer_user() -> None:
    with use(ANN), use(None):
        assert ambient.current() is None


def test_a_block_that_raises_gives_the_outer_user_back() -> None:
    with pytest.raises(KeyError), use(ANN):
        raise KeyError
    assert ambient.current() is None


def test_one_object_can_be_entered_again_inside_itself() -> None:
    block = use(ANN)
    with block, use(BOB):
        with block:
            assert ambient.current() is ANN
        assert ambient.current() is BOB
    assert ambient.current() is None


def test_threads_do_not_see_each_other() -> None:
    block = use(ANN)
    entered, looked = threading.Event(), threading.Event()
    seen: list[object] = []

    def other() -> None:
        seen.append(ambient.current())
        with block:
            entered.set()
            looked.wait(5)
            seen.append(ambient.current())

    with use(BOB):
        thread = threading.Thread(target=other)
        thread.start()
        assert entered.wait(5)
        assert ambient.current() is BOB
        looked.set()
        thread.join(5)
    assert seen == [None, ANN]


def test_tasks_start_with_their_creators_user_and_do_not_see_each_other() -> None:
    async def ask(user: dict[str, str], turn: asyncio.Event, next_turn: asyncio.Event) -> list[object]:
        seen = [ambient.current()]
        with use(user):
            next_turn.set()
            await asyncio.wait_for(turn.wait(), 5)
            seen.append(ambient.current())
        return [*seen, ambient.current()]

    async def main() -> tuple[list[object], list[object]]:
        first, second = asyncio.Event(), asyncio.Event()
        with use(None):
            return await asyncio.gather(ask(ANN, first, second), ask(BOB, second, first))

    assert list(asyncio.run(main())) == [[None, ANN, None], [None, BOB, None]]


def test_a_block_that_is_left_in_another_context_raises_nothing() -> None:
    def block() -> Iterator[object]:
        with use(ANN):
            yield ambient.current()

    generator = block()
    assert next(generator) is ANN
    thread = threading.Thread(target=lambda: list(generator))
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    ambient._frame.set(None)


@pytest.mark.usefixtures("no_anonymous_user_yet")
def test_a_process_has_one_anonymous_user_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    user = ambient.anonymous_user()
    assert user["anonymous"] is True
    assert len(str(user["key"])) == 32
    assert ambient.anonymous_user() is user
    (record,) = caplog.records
    assert record.name == "ldclient.util"
    assert 'track("event name", user, data)' in record.getMessage()


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the system has no fork")
def test_a_forked_child_has_an_anonymous_user_of_its_own() -> None:
    program = (
        "import os, sys, ldclient.ambient as a\n"
        "key = a.anonymous_user()['key']\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(a.anonymous_user()['key'] == key)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert a.anonymous_user()['key'] == key\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


# One view for a block


@pytest.fixture
def flags() -> TestData:
    """The flags of the shared client, ``new-ui`` on for everybody."""
    source = TestData.data_source()
    source.update(source.flag("new-ui").variation_for_all(True))
    ldclient.set_config(Config("any-key", update_processor_class=source, send_events=False))
    return source


def turn_off(flags: TestData) -> None:
    flags.update(flags.flag("new-ui").variation_for_all(False))
    assert ldclient.get().variation("new-ui", ANN, None) is False


def test_a_pinned_block_sees_the_flags_of_its_first_evaluation(flags: TestData) -> None:
    with use(ANN, pinned=True):
        assert ldclient.variation("new-ui", False) is True
        turn_off(flags)
        assert ldclient.variation("new-ui", False) is True
        assert ldclient.variation_detail("new-ui", False).reason == {"kind": "FALLTHROUGH"}
    with use(ANN, pinned=True):
        assert ldclient.variation("new-ui", True) is False


def test_a_block_that_is_not_pinned_sees_changes(flags: TestData) -> None:
    with use(ANN):
        assert ldclient.variation("new-ui", False) is True
        turn_off(flags)
        assert ldclient.variation("new-ui", True) is False


def test_a_block_inside_a_pinned_one_has_its_own_user_and_the_same_view(flags: TestData) -> None:
    flags.update(flags.flag("new-ui").variation_for_all(False).variation_for_user("bob", True))
    with use(ANN, pinned=True):
        assert ldclient.variation("new-ui", None) is False
        turn_off(flags.update(flags.flag("new-ui").clear_targets()))
        with use(BOB):
            assert ldclient.variation("new-ui", None) is True
        assert ldclient.variation("new-ui", BOB, None) is True


def test_pinned_keeps_the_user_of_the_block_around_it(flags: TestData) -> None:
    with use(ANN), ldclient.pinned() as view:
        assert ambient.current() is ANN
        turn_off(flags)
        assert ldclient.variation("new-ui", None) is True
        assert view.variation("new-ui", BOB, None) is True
    assert ambient.current() is None


def test_a_view_answers_every_question_from_its_moment(flags: TestData) -> None:
    view = ldclient.get().pinned()
    turn_off(flags)
    assert view.bool_variation("new-ui", ANN) is True
    assert view.variation_detail("new-ui", ANN, None).value is True
    assert view.all_flags_state(ANN).get_flag_value("new-ui") is True
    assert view.pinned().variation("new-ui", ANN, None) is True
    assert view.all_flags(ANN) == {"new-ui": True}
    assert "initialized" in repr(view)


def test_closing_or_dropping_a_view_leaves_the_client_open(flags: TestData) -> None:
    client = ldclient.get()
    view = client.pinned()
    view.close()
    del view
    gc.collect()
    turn_off(flags)
    assert not client.is_closed()


def test_a_view_keeps_its_client(flags: TestData) -> None:
    view = LDClient(Config("any-key", update_processor_class=flags, send_events=False)).pinned()
    gc.collect()
    assert not view.is_closed()
    assert view.variation("new-ui", ANN, None) is True
    view.client.close()


def test_evaluations_and_events_of_a_view_reach_the_hooks_of_its_client(flags: TestData) -> None:
    heard: list[str] = []

    class Hearing(Hook):
        metadata = Metadata("hearing")

        def after_evaluation(
            self, context: EvaluationSeriesContext, data: dict[str, Any], detail: EvaluationDetail[Any]
        ) -> dict[str, Any]:
            heard.append(f"{context.key}={detail.value}")
            return data

        def after_track(self, context: TrackSeriesContext) -> None:
            heard.append(context.key)

    with LDClient(Config("any-key", update_processor_class=flags, send_events=False, hooks=[Hearing()])) as client:
        view = client.pinned()
        turn_off(flags)
        view.variation("new-ui", ANN, None)
        view.track("bought", ANN)
    assert heard == ["new-ui=True", "bought"]


def test_events_of_a_view_are_the_clients(service: StandIn, start: Callable[..., LDClient]) -> None:
    client = start(service)
    view = client.pinned()
    view.variation("your.feature.key", ANN, False)
    view.track("bought", ANN)
    assert client.flush(timeout=5).complete
    kinds = {event["kind"] for event in service.events}
    assert {"summary", "custom", "index"} <= kinds


def test_all_threads_of_a_block_have_one_view(flags: TestData) -> None:
    with use(ANN, pinned=True):
        first = ambient.client()
        around = contextvars.copy_context()
        seen: list[object] = []
        thread = threading.Thread(target=lambda: seen.append(around.run(ambient.client)))
        thread.start()
        thread.join(5)
        assert seen == [first]
    turn_off(flags)


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the system has no fork")
def test_a_view_answers_in_a_forked_child_from_the_flags_of_its_moment() -> None:
    program = (
        "import os, ldclient\n"
        "from ldclient import Config, LDClient\n"
        "from ldclient.integrations import TestData\n"
        "td = TestData.data_source()\n"
        "td.update(td.flag('f').variation_for_all(True))\n"
        "client = LDClient(Config('k', update_processor_class=td, send_events=False))\n"
        "view = client.pinned()\n"
        "def work():\n"
        "    td.update(td.flag('f').variation_for_all(False))\n"
        "    return (view.variation('f', {'key': 'a'}, None), client.variation('f', {'key': 'a'}, None))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    right = work() == (True, False)\n"
        "    del view\n"
        "    os._exit(not right)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert view.variation('f', {'key': 'a'}, None) is True\n"
        "client.close()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
