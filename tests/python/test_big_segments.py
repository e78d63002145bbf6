"""Big segments: what a store is asked and when, what its answers are worth, and what happens when it misbehaves.

What an evaluation makes of an answer is in ``tests/cases/big_segments.json``. Redis is a real server where one is
installed; DynamoDB is a stand-in for ``boto3``.
"""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ldclient import Config, Context, LDClient
from ldclient.config import BigSegmentsConfig
from ldclient.integrations import DynamoDB, Files, Redis
from ldclient.integrations._big_segments import RedisBigSegmentStore
from ldclient.interfaces import (
    BigSegmentStore,
    BigSegmentStoreMetadata,
    BigSegmentStoreStatus,
    BigSegmentStoreStatusProvider,
)

USER = {"key": "u"}
DEADLINE = 10.0
NEVER = 1_000_000.0

AVAILABLE = BigSegmentStoreStatus(True, False)
STALE = BigSegmentStoreStatus(True, True)
UNAVAILABLE = BigSegmentStoreStatus(False, False)


def hash_of(key: str) -> str:
    return base64.b64encode(hashlib.sha256(key.encode()).digest()).decode()


def now() -> int:
    return int(time.time() * 1000)


class Store(BigSegmentStore):
    """Says what the test wants, and counts."""

    def __init__(self, **members: dict[str, bool]) -> None:
        self.members: dict[str, Any] = {hash_of(key): said for key, said in members.items()}
        self.up_to_date: Any = now() + 3_600_000
        self.asked: list[str] = []
        self.looks = 0
        self.stops = 0
        self.failure: BaseException | None = None
        self.state_failure: BaseException | None = None

    def get_metadata(self) -> Any:
        self.looks += 1
        if self.state_failure:
            raise self.state_failure
        return BigSegmentStoreMetadata(self.up_to_date)

    def get_membership(self, context_hash: str) -> Any:
        self.asked.append(context_hash)
        if self.failure:
            raise self.failure
        return self.members.get(context_hash)

    def stop(self) -> None:
        self.stops += 1


def flag(key: str, *segments: str) -> dict[str, Any]:
    rules = [
        {"id": s, "variation": 1, "clauses": [{"attribute": "", "op": "segmentMatch", "values": [s]}]} for s in segments
    ]
    return {
        "key": key,
        "version": 1,
        "on": True,
        "variations": [False, True],
        "fallthrough": {"variation": 0},
        "rules": rules,
    }


DATA: dict[str, Any] = {
    "flags": {"flag": flag("flag", "s"), "either": flag("either", "s", "t"), "plain": flag("plain")},
    "segments": {key: {"key": key, "version": 1, "unbounded": True, "generation": 2} for key in "st"},
}
IN, OUT = {"s.g2": True}, {"s.g2": False}


@pytest.fixture
def open_client(tmp_path: Path) -> Iterator[Callable[..., LDClient]]:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(DATA), encoding="utf-8")
    clients: list[LDClient] = []

    def open_client(store: Any, status_poll_interval: float = NEVER, **options: Any) -> LDClient:
        config = Config(
            "key",
            update_processor_class=Files.new_data_source(path),
            send_events=False,
            big_segments=BigSegmentsConfig(store, status_poll_interval=status_poll_interval, **options),
        )
        clients.append(LDClient(config, DEADLINE))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


Open = Callable[..., LDClient]


def status_of(client: LDClient, key: str = "flag", user: Any = USER) -> Any:
    return client.variation_detail(key, user, None).reason.get("bigSegmentsStatus")


def eventually(question: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not question():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def threads() -> int:
    return sum(thread.name == "ldclient-big-segments" for thread in threading.enumerate())


# What is asked, and what is remembered


def test_only_the_hash_of_the_key_is_told_to_the_store(open_client: Open) -> None:
    store = Store(u=IN)
    assert open_client(store).variation("flag", {"key": "u", "email": "u@example.com"}, False) is True
    assert store.asked == [hash_of("u")]


def test_a_context_is_asked_about_once_however_often_it_is_evaluated(open_client: Open) -> None:
    store = Store(u=IN)
    client = open_client(store)
    assert [client.variation("flag", USER, None) for _ in range(50)] == [True] * 50
    assert client.variation("either", Context.create("u"), None) is True
    assert len(store.asked) == 1


def test_that_nothing_is_known_of_a_context_is_remembered_too(open_client: Open) -> None:
    store = Store()
    client = open_client(store)
    assert [client.variation("flag", USER, None) for _ in range(5)] == [False] * 5
    assert len(store.asked) == 1


def test_without_a_cache_an_evaluation_still_asks_only_once_about_a_key(open_client: Open) -> None:
    for options in ({"context_cache_size": 0}, {"context_cache_time": 0}):
        store = Store(u={"t.g2": True})
        client = open_client(store, **options)
        for asked in (1, 2):
            assert client.variation("either", USER, None) is True
            assert len(store.asked) == asked


def test_the_context_that_was_asked_about_first_is_forgotten_first(open_client: Open) -> None:
    store = Store(a=IN, b=IN)
    client = open_client(store, context_cache_size=2)
    for key in "abbaca":
        client.variation("flag", {"key": key}, None)
    assert store.asked == [hash_of(key) for key in "abca"]


def test_what_is_remembered_expires(open_client: Open) -> None:
    store = Store(u=IN)
    client = open_client(store, context_cache_time=0.01)
    assert client.variation("flag", USER, None) is True
    store.members[hash_of("u")] = OUT
    eventually(lambda: client.variation("flag", USER, None) is False)


def test_all_flags_ask_about_a_key_once_even_when_the_store_fails(open_client: Open) -> None:
    store = Store()
    store.failure = OSError("down")
    state = open_client(store).all_flags_state(USER, with_reasons=True)
    assert state.to_values_map() == {"flag": False, "either": False, "plain": False}
    assert state.get_flag_reason("either") == {"kind": "FALLTHROUGH", "bigSegmentsStatus": "STORE_ERROR"}
    assert len(store.asked) == 1


# What the answers are worth


def test_the_status_tells_how_old_the_data_is(open_client: Open) -> None:
    for up_to_date, status in (
        (now() + 1_000, "HEALTHY"),
        (now() - 50_000, "HEALTHY"),
        (now() - 61_000, "STALE"),
        (0, "STALE"),
        (None, "STALE"),
    ):
        store = Store(u=IN)
        store.up_to_date = up_to_date
        client = open_client(store, stale_after=60)
        assert (client.variation("flag", USER, None), status_of(client)) == (True, status), up_to_date


def test_a_store_without_metadata_is_stale(open_client: Open) -> None:
    class Bare(Store):
        def get_metadata(self) -> Any:
            return None

    assert status_of(open_client(Bare())) == "STALE"


def test_a_membership_is_used_even_when_the_state_of_the_store_is_unknown(open_client: Open) -> None:
    store = Store(u=IN)
    store.state_failure = OSError("down")
    client = open_client(store)
    assert (client.variation("flag", USER, None), status_of(client)) == (True, "STORE_ERROR")


def test_without_a_store_nothing_is_configured(open_client: Open) -> None:
    client = open_client(None)
    assert status_of(client) == "NOT_CONFIGURED"
    assert status_of(client, "plain") is None
    assert client.big_segment_store_status_provider.status == UNAVAILABLE
    assert threads() == 0


def test_an_offline_client_does_not_ask() -> None:
    store = Store(u=IN)
    with LDClient(Config("key", offline=True, big_segments=BigSegmentsConfig(store))) as client:
        assert client.variation("flag", USER, "default") == "default"
        assert client.big_segment_store_status_provider.status == UNAVAILABLE
    assert (store.asked, store.looks) == ([], 0)


# A store that misbehaves


@pytest.mark.parametrize("failure", [OSError("down"), SystemExit(3), GeneratorExit()], ids=lambda f: type(f).__name__)
def test_what_the_store_raises_is_a_reason_and_harms_nothing_else(open_client: Open, failure: BaseException) -> None:
    store = Store(u=IN)
    client = open_client(store)
    store.failure = failure
    assert client.variation_detail("flag", USER, None).reason == {
        "kind": "FALLTHROUGH",
        "bigSegmentsStatus": "STORE_ERROR",
    }
    assert client.variation_detail("plain", USER, None).reason == {"kind": "FALLTHROUGH"}
    store.failure = None
    assert (client.variation("flag", USER, None), status_of(client)) == (True, "HEALTHY")


def test_a_store_that_fails_is_logged_when_that_begins_and_when_it_is_over(
    open_client: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ldclient.util")
    store = Store()
    client = open_client(store)
    for failure in (OSError("it is down"), None, ValueError("again")):
        store.failure = failure
        for number in range(5):
            client.variation("flag", {"key": f"{failure}{number}"}, None)
    client.close()
    told = [(r.levelname, r.getMessage()) for r in caplog.records if "Big Segment" in r.getMessage()]
    assert [level for level, _ in told] == ["ERROR", "INFO", "ERROR"]
    assert "OSError: it is down" in told[0][1]


@pytest.mark.parametrize("answer", [[("s.g2", True)], 5, "s.g2"], ids=repr)
def test_a_membership_that_is_no_dict_is_a_failure_unless_it_makes_one(open_client: Open, answer: Any) -> None:
    store = Store()
    store.members[hash_of("u")] = answer
    expected = (True, "HEALTHY") if isinstance(answer, list) else (False, "STORE_ERROR")
    client = open_client(store)
    assert (client.variation("flag", USER, None), status_of(client)) == expected


def test_what_is_no_member_of_a_membership_is_passed_over(open_client: Open) -> None:
    store = Store()
    store.members[hash_of("u")] = {7: True, b"s.g2": True, "s.g2": None, "t.g2": 1}
    client = open_client(store)
    assert client.variation("flag", USER, None) is False
    assert client.variation_detail("either", USER, None).reason["ruleId"] == "t"


@pytest.mark.parametrize("time_of_update", ["yesterday", [], 2**70, object()], ids=["text", "list", "huge", "object"])
def test_a_time_that_is_none_makes_the_store_unavailable(open_client: Open, time_of_update: Any) -> None:
    store = Store()
    store.up_to_date = time_of_update
    assert open_client(store).big_segment_store_status_provider.status == UNAVAILABLE


def test_an_interrupt_while_the_store_is_asked_comes_once_the_evaluation_is_done(open_client: Open) -> None:
    store = Store()
    client = open_client(store)
    store.failure = KeyboardInterrupt()
    # Where the tests were started in the background the signal is ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it comes at any of the lines
            client.variation("flag", USER, "default")
            for _ in range(10_000):
                pass
    finally:
        signal.signal(signal.SIGINT, handler)
    store.failure = None
    assert client.variation("flag", USER, "default") is False


def test_a_slow_store_holds_up_nobody_else(open_client: Open) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Store):
        def get_membership(self, context_hash: str) -> Any:
            if context_hash == hash_of("slow"):
                entered.set()
                assert leave.wait(DEADLINE)
            return IN

    client = open_client(Slow())
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(client.variation("flag", {"key": "slow"}, None)))
    thread.start()
    try:
        assert entered.wait(DEADLINE)
        assert client.variation("flag", {"key": "fast"}, None) is True
        assert client.variation("plain", {"key": "slow"}, None) is False
        assert client.big_segment_store_status_provider.status == AVAILABLE
    finally:
        leave.set()
        thread.join(DEADLINE)
    assert answers == [True]


def test_a_store_may_ask_its_own_client(open_client: Open) -> None:
    class Curious(Store):
        client: LDClient | None = None
        heard: ClassVar[list[Any]] = []

        def get_membership(self, context_hash: str) -> Any:
            if self.client and context_hash == hash_of("u"):
                self.heard.append(self.client.variation("plain", USER, None))
                self.heard.append(self.client.variation("flag", {"key": "someone else"}, None))
            return IN

    store = Curious()
    store.client = open_client(store)
    assert store.client.variation("flag", USER, None) is True
    assert store.heard == [False, True]
    store.client = None
    store.heard.clear()


def test_a_store_that_asks_its_client_without_end_fails_and_the_process_lives() -> None:
    done = run(
        """
        class Endless(Store):
            def get_metadata(self):
                client.variation("flag", {"key": "u"}, None)
                return super().get_metadata()

            def get_membership(self, context_hash):
                client.variation("flag", {"key": "u"}, None)
                return {"s.g2": True}

        client = None
        store = Endless()
        client = LDClient(config(store), 0)
        client.wait_for_initialization(10)
        print(client.variation("plain", {"key": "u"}, None))
        client.variation("flag", {"key": "u"}, None)
        print(client.variation("plain", {"key": "u"}, None))
        """
    )
    assert done == "False\nFalse\n"


# The state of the store


def test_the_state_is_polled_from_the_start_without_an_evaluation(open_client: Open) -> None:
    store = Store()
    open_client(store, status_poll_interval=0.01)
    eventually(lambda: store.looks >= 4)


def test_of_all_who_want_the_first_state_only_one_asks(open_client: Open) -> None:
    class Slow(Store):
        def get_metadata(self) -> Any:
            time.sleep(0.05)
            return super().get_metadata()

    store = Slow()
    client = open_client(store)
    provider = client.big_segment_store_status_provider
    seen: list[Any] = []
    asking = [threading.Thread(target=lambda: seen.append((status_of(client), provider.status))) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(DEADLINE)
    assert seen == [("HEALTHY", AVAILABLE)] * 8
    assert store.looks == 1


def test_listeners_hear_each_change_and_one_that_raises_keeps_none_from_it(open_client: Open) -> None:
    store = Store()
    client = open_client(store, status_poll_interval=0.005)
    provider = client.big_segment_store_status_provider
    assert isinstance(provider, BigSegmentStoreStatusProvider)
    assert provider is client.big_segment_store_status_provider
    heard: list[BigSegmentStoreStatus] = []
    removed: list[BigSegmentStoreStatus] = []

    def raises(_status: BigSegmentStoreStatus) -> None:
        raise ValueError("a listener's own affair")

    for listener in (raises, removed.append, heard.append):
        provider.add_listener(listener)
    provider.remove_listener(removed.append)
    provider.remove_listener(print)
    assert provider.status == AVAILABLE
    seen = store.looks
    eventually(lambda: store.looks > seen + 1)
    assert heard == []
    store.up_to_date = None
    eventually(lambda: heard == [STALE])
    store.state_failure = OSError("down")
    eventually(lambda: heard == [STALE, UNAVAILABLE])
    assert status_of(client) == "STORE_ERROR"
    store.state_failure, store.up_to_date = None, now() + 3_600_000
    eventually(lambda: heard == [STALE, UNAVAILABLE, AVAILABLE])
    assert status_of(client) == "HEALTHY"
    assert removed == []


def test_evaluations_do_not_ask_for_the_state_again(open_client: Open) -> None:
    store = Store()
    client = open_client(store)
    for number in range(20):
        assert status_of(client, user={"key": str(number)}) == "HEALTHY"
    assert store.looks == 1


# The end


def test_closing_ends_the_thread_and_stops_the_store_once(open_client: Open) -> None:
    store = Store(u=IN)
    client = open_client(store)
    assert client.variation("flag", USER, None) is True
    assert threads() == 1
    client.close()
    client.close()
    eventually(lambda: threads() == 0)
    assert store.stops == 1
    asked, looks = len(store.asked), store.looks
    assert client.variation("flag", USER, None) is True, "what it remembers it still knows"
    assert status_of(client, user={"key": "another"}) == "STORE_ERROR"
    assert (len(store.asked), store.looks) == (asked, looks)


def test_a_store_that_cannot_be_stopped_is_no_reason_not_to_close(open_client: Open) -> None:
    class Stubborn(Store):
        def stop(self) -> None:
            raise OSError("no")

    client = open_client(Stubborn())
    client.close()
    assert client.is_closed()


def test_the_thread_ends_with_a_client_that_nobody_holds(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(DATA), encoding="utf-8")
    source = Files.new_data_source(path)
    big_segments = BigSegmentsConfig(Store(), status_poll_interval=NEVER)
    client = LDClient(Config("key", update_processor_class=source, send_events=False, big_segments=big_segments), 0)
    assert client.big_segment_store_status_provider.status == AVAILABLE
    assert threads() == 1
    del client
    gc.collect()
    eventually(lambda: threads() == 0)


PRELUDE = f"""
import base64, hashlib, json, os, sys, tempfile, threading, time
from ldclient import Config, LDClient
from ldclient.config import BigSegmentsConfig
from ldclient.integrations import Files
from ldclient.interfaces import BigSegmentStore, BigSegmentStoreMetadata

path = os.path.join(tempfile.mkdtemp(), "flags.json")
open(path, "w").write({json.dumps(DATA)!r})

class Store(BigSegmentStore):
    looks = 0
    asked = 0
    def get_metadata(self):
        self.looks += 1
        return BigSegmentStoreMetadata(int(time.time() * 1000) + 3_600_000)
    def get_membership(self, context_hash):
        self.asked += 1
        return {{"s.g2": True}}
    def stop(self):
        pass

def config(store, **options):
    big_segments = BigSegmentsConfig(store, **options)
    source = Files.new_data_source(path)
    return Config("key", update_processor_class=source, send_events=False, big_segments=big_segments)
"""


def run(program: str) -> str:
    """Runs a program in an interpreter of its own and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@needs_fork
def test_a_forked_child_polls_and_asks_anew() -> None:
    told = run(
        """
        store = Store()
        client = LDClient(config(store, status_poll_interval=0.01), 10)
        assert client.variation("flag", {"key": "u"}, None) is True
        pid = os.fork()
        if not pid:
            store.looks = store.asked = 0
            assert not [t for t in threading.enumerate() if t.name == "ldclient-big-segments"]
            detail = client.variation_detail("flag", {"key": "u"}, None)
            end = time.monotonic() + 10
            while store.looks < 3 and time.monotonic() < end:
                time.sleep(0.005)
            print(detail.value, detail.reason["bigSegmentsStatus"], store.asked, store.looks >= 3, flush=True)
            client.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        print(client.variation("flag", {"key": "u"}, None), store.asked)
        """
    )
    assert told == "True HEALTHY 1 True\nTrue 1\n"


@needs_fork
def test_a_store_may_fork_in_the_middle_of_an_evaluation() -> None:
    told = run(
        """
        class Forking(Store):
            def get_membership(self, context_hash):
                self.child = os.fork()
                return {"s.g2": True}

        store = Forking()
        client = LDClient(config(store), 10)
        detail = client.variation_detail("either", {"key": "u"}, None)
        line = f"{detail.value} {detail.reason['bigSegmentsStatus']} {client.variation('plain', {'key': 'u'}, None)}"
        if not store.child:
            print("child", line, flush=True)
            client.close()
            os._exit(0)
        assert os.waitpid(store.child, 0)[1] == 0
        print("parent", line)
        """
    )
    assert told == "child True HEALTHY False\nparent True HEALTHY False\n"


# Redis and DynamoDB


class Server:
    """A Redis server on a free port of loopback, which keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "a secret"]
        self.process = subprocess.Popen(
            [program, *options], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self.answers)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(DEADLINE)
            self.process = None

    def answers(self) -> bool:
        try:
            return self.command("PING") == b"+PONG"
        except OSError:
            return False

    def command(self, *words: str) -> bytes:
        """Sends one command as a relay would, by the protocol itself; returns the first line of the answer."""
        connection = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
        with connection, connection.makefile("rwb") as f:
            answer = b""
            for command in (("AUTH", "a secret"), words):
                f.write(b"*%d\r\n" % len(command))
                for word in command:
                    f.write(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()))
                f.flush()
                answer = f.readline().rstrip()
            return answer

    @property
    def url(self) -> str:
        return f"redis://:a%20secret@127.0.0.1:{self.port}/0"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


def test_redis_is_read_under_the_keys_of_the_relay(redis: Server, open_client: Open) -> None:
    store = Redis.new_big_segment_store(redis.url, prefix="env")
    assert store.get_metadata().last_up_to_date is None
    time_of_update = now() + 3_600_000
    redis.command("SET", "env:big_segments_synchronized_on", str(time_of_update))
    redis.command("SADD", f"env:big_segment_include:{hash_of('u')}", "s.g2", "t.g2")
    redis.command("SADD", f"env:big_segment_exclude:{hash_of('u')}", "s.g2", "x.g1")
    assert store.get_metadata().last_up_to_date == time_of_update
    assert store.get_membership(hash_of("u")) == {"s.g2": True, "t.g2": True, "x.g1": False}
    assert store.get_membership(hash_of("nobody")) is None
    client = open_client(store)
    assert (client.variation("flag", USER, None), status_of(client)) == (True, "HEALTHY")
    assert client.variation("flag", {"key": "nobody"}, None) is False


def test_redis_may_go_away_and_come_back(redis: Server, open_client: Open, caplog: pytest.LogCaptureFixture) -> None:
    client = open_client(Redis.new_big_segment_store(redis.url), status_poll_interval=0.02, context_cache_time=0)
    assert status_of(client) == "STALE"
    redis.stop()
    eventually(lambda: client.big_segment_store_status_provider.status == UNAVAILABLE)
    assert status_of(client) == "STORE_ERROR"
    redis.start()
    redis.command("SET", "launchdarkly:big_segments_synchronized_on", str(now() + 3_600_000))
    redis.command("SADD", f"launchdarkly:big_segment_include:{hash_of('u')}", "s.g2")
    eventually(lambda: client.big_segment_store_status_provider.status == AVAILABLE)
    assert (client.variation("flag", USER, None), status_of(client)) == (True, "HEALTHY")
    client.close()
    assert "secret" not in caplog.text


def test_redis_that_holds_something_else_is_a_store_that_fails(redis: Server, open_client: Open) -> None:
    store = Redis.new_big_segment_store(redis.url)
    redis.command("SET", "launchdarkly:big_segments_synchronized_on", "yesterday")
    redis.command("SET", f"launchdarkly:big_segment_include:{hash_of('u')}", "no set")
    for ask in (store.get_metadata, lambda: store.get_membership(hash_of("u"))):
        with pytest.raises(ConnectionError):
            ask()
    assert status_of(open_client(store)) == "STORE_ERROR"


def test_a_native_store_that_a_user_changed_is_asked_by_its_methods(open_client: Open) -> None:
    class Changed(RedisBigSegmentStore):
        def get_metadata(self) -> BigSegmentStoreMetadata:
            return BigSegmentStoreMetadata(now() + 3_600_000)

        def get_membership(self, context_hash: str) -> dict[str, bool] | None:
            return IN if context_hash == hash_of("u") else None

    client = open_client(Changed("redis://127.0.0.1:1", None, {}))
    assert (client.variation("flag", USER, None), status_of(client)) == (True, "HEALTHY")


def test_options_of_redis_that_cannot_be_honoured_are_refused_by_name() -> None:
    Redis.new_big_segment_store(redis_opts={"decode_responses": True, "socket_timeout": 1, "db": 2, "password": "x"})
    with pytest.raises(ValueError, match="ssl_ca_certs"):
        Redis.new_big_segment_store(redis_opts={"ssl_ca_certs": "ca.pem"})
    with pytest.raises(ValueError, match="Redis") as raised:
        Redis.new_big_segment_store("http://:secret@host")
    assert "secret" not in str(raised.value)


class Table:
    """Stands in for ``boto3.client``: one table, by partition and sort key."""

    items: ClassVar[dict[tuple[str, str, str], dict[str, Any]]] = {}

    def __init__(self, service: str, **options: Any) -> None:
        assert (service, options) == ("dynamodb", {"region_name": "here"})

    def get_item(self, *, TableName: str, Key: dict[str, dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        item = self.items.get((TableName, Key["namespace"]["S"], Key["key"]["S"]))
        return {} if item is None else {"Item": item}


@pytest.mark.parametrize(("prefix", "before"), [(None, ""), ("env", "env:")])
def test_dynamodb_is_read_as_the_relay_writes_it(monkeypatch: pytest.MonkeyPatch, prefix: Any, before: str) -> None:
    boto3 = types.ModuleType("boto3")
    boto3.client = Table  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "boto3", boto3)
    monkeypatch.setattr(Table, "items", {})
    store = DynamoDB.new_big_segment_store("table", prefix, {"region_name": "here"})
    assert store.get_metadata().last_up_to_date is None
    assert store.get_membership(hash_of("u")) is None
    metadata = before + "big_segments_metadata"
    Table.items["table", metadata, metadata] = {"synchronizedOn": {"N": "123"}}
    Table.items["table", before + "big_segments_user", hash_of("u")] = {
        "included": {"SS": ["s.g2"]},
        "excluded": {"SS": ["s.g2", "t.g2"]},
    }
    assert store.get_metadata().last_up_to_date == 123
    assert store.get_membership(hash_of("u")) == {"s.g2": True, "t.g2": False}


@pytest.mark.parametrize("make", [DynamoDB.new_big_segment_store, DynamoDB.new_feature_store])
def test_dynamodb_without_boto3_says_what_to_install(monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any]) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(NotImplementedError, match=r"pip install 'ldclient-rs\[dynamodb\]'"):
        make("table")
