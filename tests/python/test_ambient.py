"""The ambient user: whose block a call is in, in threads, tasks and generators, and who stands in for nobody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ldclient import ambient, use

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
