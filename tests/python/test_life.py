"""How clients start, wait, change their key and end, whatever the service does. Each test that measures a deadline has a
program of its own, so that nothing else takes its time."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import ldclient
from ldclient import Config, LDClient
from ldclient.integrations import Files, TestData
from program import Program
from stand_in import StandIn, black_hole_port, constant_flag, hanging_resolver, silent_port

FLAG = "your.feature.key"
USER = {"key": "u"}
Start = Callable[..., LDClient]

# What the service may do to a client, by the address that it is given: {the service's own} stands for a good one.
TROUBLES = [
    "none",
    "bulk stalls",
    "bulk drips",
    "all stalls",
    "refused",
    "500",
    "401",
    "garbage",
    "silent",
    "black hole",
]
TROUBLES += ["tls half open", "resolver hangs", "down"]

# Outages are warned of, which would be on the standard error of a program that handles no log.
QUIET = "import logging; logging.getLogger().addHandler(logging.NullHandler())\n"


@contextmanager
def trouble(name: str, service: StandIn, folder: Path) -> Iterator[tuple[str, str]]:
    """Makes the service behave so; gives the address and what a program begins with."""
    with ExitStack() as stack:
        address, before = service.uri, QUIET
        if name == "bulk stalls":
            service.fault("/bulk", "black_hole")
        elif name == "bulk drips":
            service.fault("/bulk", "drip", seconds=0.2)
        elif name == "all stalls":
            service.fault("*", "black_hole")
        elif name == "refused":
            service.fault("*", "refuse")
        elif name.isdigit():
            service.fault("*", status=int(name))
        elif name == "garbage":
            service.fault("*", "garbage")
        elif name == "silent":
            address = stack.enter_context(silent_port())
        elif name == "black hole":
            address = stack.enter_context(black_hole_port())
        elif name == "tls half open":
            address = stack.enter_context(silent_port()).replace("http:", "https:")
        elif name == "resolver hangs":
            try:
                variables = hanging_resolver(folder)
            except LookupError as missing:
                pytest.skip(str(missing))
            # A library is loaded before the others only when a program begins.
            before += f"""
import os, sys
if not os.environ.get("LD_PRELOAD"):
    os.environ.update({variables!r})
    os.execv(sys.executable, sys.orig_argv)
"""
            address = "http://flags.invalid"
        elif name == "down":
            service.go_down()
        yield address, before


CLOSES = """
before = sockets()
wait = 5 if {good} else 0.3
client = LDClient(config(), start_wait=wait)
for number in range(20):
    client.track("bought", USER)
def close(ends):
    begin = time.monotonic()
    client.close(1.0)
    ends.append(time.monotonic() - begin)
def closed(threads):
    ends = []
    closing = [threading.Thread(target=close, args=(ends,)) for _ in range(threads)]
    [thread.start() for thread in closing]
    [thread.join(5) for thread in closing]
    assert len(ends) == threads and max(ends) < 1.1, ends
    until(lambda: native_threads() in ([], ["ldclient-lookup"] if {hangs} else []), 1.0)
    assert sockets() == before, sockets() - before
    assert client.stats()["threads"] == 0
    books = client.stats()["events"]
    if books:
        assert books["pending"] == 0, books
        assert books["accepted"] == books["sent"] + sum(books["dropped"].values()), books
closed({threads})
closed(1)
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", TROUBLES)
def test_close_returns_within_its_deadline_and_leaves_nothing(name: str, service: StandIn, tmp_path: Path) -> None:
    threads = 8 if name in ("none", "bulk stalls", "black hole") else 1
    with trouble(name, service, tmp_path) as (address, before):
        text = CLOSES.format(good=name in ("none", "bulk stalls"), hangs=name == "resolver hangs", threads=threads)
        with Program(text, address, before=before) as program:
            program.succeeds()
        if name == "none":
            assert sum(event["kind"] == "custom" for event in service.events) == 20


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["bulk stalls", "all stalls", "black hole", "resolver hangs"])
def test_close_returns_within_its_deadline_in_a_child_and_at_exit(name: str, service: StandIn, tmp_path: Path) -> None:
    source = """
    client = LDClient(config(), start_wait=0.3)
    client.track("bought", USER)
    def work():
        client.track("bought", USER)
        begin = time.monotonic()
        client.close(0.5)
        assert time.monotonic() - begin < 0.6, time.monotonic() - begin
    reap(fork(work))
    reap(fork(lambda: client.close(0.5)))
    print(time.monotonic())
    """
    with trouble(name, service, tmp_path) as (address, before), Program(source, address, before=before) as program:
        began_to_end = float(program.succeeds())
        # The limit of 2 s for all clients, and the interpreter's own end.
        assert time.monotonic() - began_to_end < 3


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", TROUBLES)
def test_a_start_that_waits_for_nothing_returns_at_once(name: str, service: StandIn, tmp_path: Path) -> None:
    # Certificates as a system has them: reading them all takes far longer than a start may.
    authority = tmp_path / "many.pem"
    if name == "tls half open":
        authorities(authority)
    source = """
    import logging
    LDClient(Config(offline=True)).close()  # what the first client imports is not what is measured
    def measured(call):
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin
    clients = []
    def start():
        # Equal ones would be warned of.
        clients.append(LDClient(config(flush_interval=600 + len(clients)), start_wait=0))
    took = min(measured(start) for _ in range(3))
    def first_call():
        print(measured(lambda: value(clients[0])), flush=True)
    for _ in range(3):
        reap(fork(first_call))
    for client in clients:
        client.close(0.1)
    assert took < 0.05, took
    """
    with trouble(name, service, tmp_path) as (address, before):
        if authority.exists():
            before += f"\nimport os\nos.environ['SSL_CERT_FILE'] = {str(authority)!r}\n"
        with Program(source, address, before=before) as program:
            first_calls = [float(took) for took in program.succeeds().split()]
    assert len(first_calls) == 3
    assert min(first_calls) < 0.05, "the first call in a forked child"


def authorities(path: Path) -> None:
    """Writes two hundred certificates to a file, if there is a command that makes them."""
    import shutil
    import subprocess

    if shutil.which("openssl") is None:
        return
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=ca")
    made = ["openssl", "req", "-x509", *new, "-keyout", os.devnull, "-out", str(path)]
    subprocess.run(made, check=True, capture_output=True, timeout=30)
    path.write_text(path.read_text() * 200)


@pytest.mark.timeout(60)
def test_evaluations_do_not_wait_while_the_client_is_replaced(service: StandIn) -> None:
    source = """
    import gc, ldclient
    sys.setswitchinterval(0.0005)
    ldclient.start_wait = 5
    ldclient.set_config(config())
    assert ldclient.get().variation("your.feature.key", USER, None) is True
    stop, times = threading.Event(), []
    def ask():
        mine = []
        while not stop.is_set():
            begin = time.perf_counter()
            ldclient.get().variation("your.feature.key", USER, None)
            mine.append(time.perf_counter() - begin)
            time.sleep(0.0002)
        times.extend(mine)
    asking = [threading.Thread(target=ask) for _ in range(2)]
    [thread.start() for thread in asking]
    ldclient.start_wait = 2
    silent = {"base_uri": sys.argv[2], "stream_uri": sys.argv[2], "events_uri": sys.argv[2]}
    ldclient.set_config(config(**silent))
    stop.set()
    [thread.join(5) for thread in asking]
    times.sort()
    assert len(times) > 2000, len(times)
    print(times[int(len(times) * 0.999)])
    """
    with silent_port() as silent, Program(source, service.uri, silent, before=QUIET) as program:
        assert float(program.succeeds()) < 0.005


def test_files_that_cannot_be_read_end_the_wait_at_once_unless_they_are_watched(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.json")

    def took(auto_update: bool, start_wait: float) -> float:
        source = Files.new_data_source(paths=[missing], auto_update=auto_update)
        began = time.monotonic()
        with LDClient(Config("k", update_processor_class=source, send_events=False), start_wait) as client:
            assert not client.is_initialized()
            assert client.wait_for_initialization(0 if auto_update else start_wait) is False
            return time.monotonic() - began

    assert took(False, 10) < 2
    assert took(True, 0.3) >= 0.3


# --- waiting ---


def test_a_task_waits_for_flags_without_a_thread_and_the_loop_goes_on(start: Start) -> None:
    async def wait(client: LDClient, service: StandIn) -> tuple[bool, int]:
        ticks = 0
        waiting = asyncio.create_task(client.wait_for_initialization_async(10))
        for _ in range(20):
            await asyncio.sleep(0.005)
            ticks += 1
        assert not waiting.done()
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("asyncio")]
        service.heal()
        return await waiting, ticks

    with StandIn({FLAG: constant_flag(FLAG, True)}) as service:
        service.fault("/all", status=503)
        client = start(service, start_wait=0, initial_reconnect_delay=0.05)
        assert asyncio.run(wait(client, service)) == (True, 20)
        assert asyncio.run(client.wait_for_initialization_async(10)) is True


def test_a_task_stops_waiting_in_time_when_it_is_cancelled_and_when_the_client_closes(start: Start) -> None:
    async def wait() -> None:
        began = time.monotonic()
        assert await client.wait_for_initialization_async(0.05) is False
        assert 0.04 < time.monotonic() - began < 2
        cancelled = asyncio.create_task(client.wait_for_initialization_async(60))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        waiting = asyncio.create_task(client.wait_for_initialization_async(60))
        await asyncio.sleep(0.01)
        client.close(0.5)
        assert await waiting is False

    with StandIn() as service:
        service.fault("*", "black_hole")
        client = start(service, start_wait=0)
        asyncio.run(asyncio.wait_for(wait(), 10))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list descriptors in /proc")
def test_waits_that_were_given_up_leave_no_descriptor(start: Start) -> None:
    async def wait() -> None:
        for _ in range(50):
            assert await client.wait_for_initialization_async(0.001) is False

    with StandIn() as service:
        service.fault("*", "black_hole")
        client = start(service, start_wait=0)
        service.wait_for_requests("/all")
        before = len(os.listdir("/proc/self/fd"))
        asyncio.run(wait())
        assert len(os.listdir("/proc/self/fd")) < before + 10


def test_a_task_of_trio_waits_for_flags(start: Start, service: StandIn) -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")
    service.fault("/all", status=503, times=2)
    client = start(service, start_wait=0, initial_reconnect_delay=0.05)
    assert trio.run(client.wait_for_initialization_async, 10) is True


@pytest.mark.timeout(60)
@pytest.mark.parametrize("call", ["client.wait_for_initialization(30)", "client.flush(30)", "client.close(30)"])
def test_an_interrupt_ends_a_wait_and_loses_nothing(call: str) -> None:
    source = f"""
    client = LDClient(config(), start_wait=0)
    for _ in range(10):
        client.track("bought", USER)
    print("ready", flush=True)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    try:
        {call}
    except KeyboardInterrupt:
        took = time.monotonic() - begin
        assert 0.2 < took < 0.7, took
    else:
        raise AssertionError("not interrupted")
    sys.stdin.read()
    """
    with StandIn({FLAG: constant_flag(FLAG, True)}) as service:
        service.fault("/all", "black_hole")
        service.fault("/bulk", "stall", seconds=1.5, times=1)
        if "close" in call:
            # A stream that can be ended leaves nothing but the post to wait for.
            service.heal("/all")
        with Program(source, service.uri, before=QUIET) as program:
            program.go()
            program.succeeds()
        customs = [event for event in service.events if event["kind"] == "custom"]
        assert len(customs) == 10


@pytest.mark.timeout(60)
@pytest.mark.parametrize("patched", ["before", "after", "never"])
def test_a_hub_of_gevent_goes_on_while_a_greenlet_waits(patched: str) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    patch = "from gevent import monkey; monkey.patch_all()"
    source = f"""
    import gevent
    silent = LDClient(config(), start_wait=0)
    good = LDClient(Config("k", base_uri=sys.argv[2], stream_uri=sys.argv[2], events_uri=sys.argv[2]), start_wait=5)
    {patch if patched == "after" else ""}
    assert value(good) is True
    gaps, last, running = [], [None], [True]
    def beat():
        last[0] = time.perf_counter()
        while running[0]:
            gevent.sleep(0.005)
            now = time.perf_counter()
            gaps.append(now - last[0])
            last[0] = now
    beating = gevent.spawn(beat)
    gevent.sleep(0.02)
    heard = []
    good.flag_tracker.add_listener(lambda change: heard.append(change.key))
    silent.track("bought", USER)
    begin = time.monotonic()
    assert silent.wait_for_initialization(0.5) is False
    assert not silent.flush(0.5)
    silent.close(0.5)
    assert time.monotonic() - begin < 2.5
    good.track("bought", USER)
    assert good.flush(5).sent >= 1
    print("put", flush=True)
    sys.stdin.close()
    end = time.monotonic() + 5
    while not heard and time.monotonic() < end:
        gevent.sleep(0.01)
    assert heard, "no listener was called"
    good.close()
    running[0] = False
    beating.join()
    assert len(gaps) > 150, len(gaps)
    print(max(gaps))
    """
    with silent_port() as silent, StandIn({FLAG: constant_flag(FLAG, True)}) as service:
        before = QUIET + (patch if patched == "before" else "")
        with Program(source, silent, service.uri, before=before) as program:
            service.wait_for_event("custom")
            end = time.monotonic() + 5
            while program.process.poll() is None and time.monotonic() < end:
                service.put(constant_flag(FLAG, True))
                time.sleep(0.05)
            slowest = float(program.succeeds().split()[-1])
        assert slowest < 0.3, slowest


# --- what is told ---


def test_two_open_clients_of_one_configuration_are_warned_of_once(
    start: Start, service: StandIn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldclient.client._told_of_twins", 0)
    same = {"initial_reconnect_delay": 0.7}
    first = start(service, **same)
    start(service, initial_reconnect_delay=0.8)
    start(service, "another-key", **same)
    assert "another open client" not in caplog.text
    first.close()
    start(service, **same)
    assert "another open client" not in caplog.text, "the first one was closed"
    start(service, **same)
    start(service, **same)
    assert caplog.text.count("another open client") == 1


def test_an_outage_is_two_lines_and_one_when_it_is_over_for_all_clients_together(
    start: Start, service: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ldclient.util")
    quick = {"initial_reconnect_delay": 0.05, "flush_interval": 0.05}
    clients = [start(service, key, **quick) for key in ("a", "b", "c")]
    service.wait_for_streams(3)
    for client in clients:
        client.flush(5)
    caplog.clear()
    service.go_down()
    for _ in range(8):
        for client in clients:
            client.track("bought", USER)
            client.variation(FLAG, USER, None)
            client.flush(0.1)
    service.come_back()
    service.wait_for_streams(3)
    for client in clients:
        client.track("bought", USER)
        until(lambda client=client: client.stats()["state"] == "VALID")
        until(lambda client=client: client.flush(5).sent or client.stats()["events"]["pending"] == 0)
    ldclient.logs.drain()
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    begun = [line for line in lines if line[0] in ("WARNING", "ERROR")]
    over = [line for line in lines if line[0] == "INFO"]
    assert 1 <= len(begun) <= 2, lines
    assert len(over) == 1, lines
    assert " after " in over[0][1], over
    assert {record.name for record in caplog.records} == {"ldclient.util"}


def test_a_client_that_is_never_reached_is_heard_also_after_another_one_was(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with StandIn() as good, StandIn() as bad:
        bad.fault("*", status=500)
        start(bad, "a", start_wait=0, initial_reconnect_delay=0.05)
        bad.wait_for_requests("/all", 3)
        start(good, "b")
        assert caplog.text.count("There is no flag data yet") <= 1
        until(lambda: "There is no flag data yet" in drained(caplog))


def drained(caplog: pytest.LogCaptureFixture) -> str:
    ldclient.logs.drain()
    return caplog.text


def until(answer: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := answer()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)
    return found


def test_an_unknown_flag_is_told_once_a_key(start: Start, service: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ldclient.util")
    client = start(service)
    for _ in range(5):
        for key in ("life.unknown.a", "life.unknown.b"):
            client.variation(key, USER, None)
    assert [caplog.text.count(f'"life.unknown.{name}"') for name in "ab"] == [1, 1]


def test_readiness_tells_fresh_from_stale_and_missing(start: Start, service: StandIn) -> None:
    with LDClient(Config(offline=True)) as offline:
        assert offline.readiness() == "fresh"
    client = start(service, initial_reconnect_delay=0.05)
    assert client.readiness() == "fresh"
    assert client.readiness(max_age=60) == "fresh"
    until(lambda: (client.stats()["contact_age_seconds"] or 0) > 0.01)
    assert client.readiness(max_age=0.001) == "stale"
    service.fault("/all", status=503)
    service.end_streams()
    until(lambda: client.readiness() == "stale")
    service.heal()
    until(lambda: client.readiness() == "fresh")
    client.close()
    assert client.readiness() == "stale"
    service.fault("*", "black_hole")
    assert start(service, "k", start_wait=0).readiness() == "missing"


def test_a_sign_of_life_on_a_quiet_stream_keeps_flags_fresh(start: Start) -> None:
    with StandIn({FLAG: constant_flag(FLAG, 1)}, heartbeat=0.02) as service:
        client = start(service)
        until(lambda: (client.stats()["data_age_seconds"] or 0) > 0.3)
        age = client.stats()["contact_age_seconds"]
        assert age is not None
        assert age < 0.25


def test_stats_have_what_their_type_says(start: Start, service: StandIn) -> None:
    from ldclient.stats import EventStats, SourceError, Stats

    client = start(service, initial_reconnect_delay=0.05)
    assert client.stats().keys() == Stats.__annotations__.keys()
    assert client.stats()["events"].keys() == EventStats.__annotations__.keys()
    service.fault("/all", status=503, times=1)
    service.end_streams()
    error = until(lambda: client.stats()["last_error"])
    assert error.keys() == SourceError.__annotations__.keys()


def test_the_books_balance_at_every_moment_whatever_is_recorded_and_answered(start: Start, service: StandIn) -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError("no text")

    odd = [Odd(), float("nan"), b"\xff", {1, 2}, 10**400, "\ud800", {"a": [Odd()]}, lambda: 0]
    for status in (500, 413, 401):
        service.fault("/bulk", status=status, times=2)
    client = start(service, events_max_pending=50, flush_interval=0.02)
    wrong: list[Any] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            books = client.stats()["events"]
            if books["accepted"] != books["sent"] + books["pending"] + sum(books["dropped"].values()):
                wrong.append(books)

    def record() -> None:
        for number in range(300):
            value = odd[number % len(odd)]
            client.track("odd", {"key": f"u{number}", "custom": {"odd": value}}, {"odd": value}, value)  # type: ignore[arg-type]
            client.variation(FLAG, {"key": f"u{number}", "custom": {"odd": value}}, value)

    threads = [threading.Thread(target=work) for work in (look, record, record)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(30)
    service.heal()
    until(lambda: client.flush(5) is not None and client.stats()["events"]["pending"] == 0)
    client.track("good", USER)
    until(lambda: client.flush(5) and client.stats()["events"]["pending"] == 0)
    client.close()
    stop.set()
    threads[0].join(5)
    assert wrong == []
    books = client.stats()["events"]
    assert books["accepted"] == books["sent"] + sum(books["dropped"].values())
    assert {"capacity", "rejected"} & books["dropped"].keys()
    assert "unencodable" not in books["dropped"]
    assert "internal" not in books["dropped"]
    until(lambda: any(event.get("key") == "good" for event in service.events))


# --- another key ---


@pytest.mark.parametrize("forked", [False, True])
def test_a_new_key_is_taken_live_while_the_known_flags_are_served(forked: bool, start: Start, service: StandIn) -> None:
    client = start(service, "old", initial_reconnect_delay=0.05)
    service.accept_only("new")
    service.end_streams()
    until(lambda: (client.stats()["last_error"] or {}).get("status_code") == 401)
    assert client.variation(FLAG, USER, None) is True
    began = time.monotonic()
    client.rotate_sdk_key("new")
    assert time.monotonic() - began < 0.5
    assert client.variation(FLAG, USER, None) is True
    service.wait_for_streams()
    service.put(constant_flag(FLAG, "later"))
    until(lambda: client.variation(FLAG, USER, None) == "later")
    client.track("bought", USER)
    assert client.flush(5)
    assert service.requests_to("/bulk")[-1].headers["Authorization"] == "new"
    assert client.get_sdk_key() == "new"
    assert client.secure_mode_hash(USER) == LDClient(Config("new", offline=True)).secure_mode_hash(USER)
    assert client.stats()["state"] == "VALID"
    if forked:
        child = os.fork()
        if child == 0:
            ends = 1
            try:
                client.track("from the child", USER)
                ends = 0 if client.flush(5) else 2
            finally:
                os._exit(ends)
        assert os.waitpid(child, 0)[1] == 0
        assert service.requests_to("/bulk")[-1].headers["Authorization"] == "new"


def test_a_key_that_works_again_is_taken_at_once_when_it_is_given_again(start: Start, service: StandIn) -> None:
    service.accept_only("another")
    client = start(service, "mine", start_wait=0)
    until(lambda: (client.stats()["last_error"] or {}).get("status_code") == 401)
    service.accept_only()
    client.rotate_sdk_key("mine")
    assert client.wait_for_initialization(5)
    assert client.variation(FLAG, USER, None) is True


def test_a_key_that_is_refused_costs_no_flag(start: Start, service: StandIn) -> None:
    client = start(service, "good", initial_reconnect_delay=0.05)
    service.accept_only("good")
    client.rotate_sdk_key("bad")
    until(lambda: client.readiness() == "stale")
    assert client.variation(FLAG, USER, None) is True
    client.rotate_sdk_key("no key at all\n")
    assert client.get_sdk_key() == "bad"
    client.rotate_sdk_key("good")
    until(lambda: client.readiness() == "fresh")


def test_a_key_of_the_shared_client_stays_when_it_is_rotated(service: StandIn) -> None:
    uris = dict.fromkeys(("base_uri", "stream_uri", "events_uri"), service.uri)
    ldclient.set_config(Config("old", **uris, diagnostic_opt_out=True))
    client = ldclient.get()
    client.rotate_sdk_key("new")
    ldclient.set_sdk_key("new")
    assert ldclient.get() is client
    ldclient.set_sdk_key("newer")
    assert ldclient.get() is not client
    assert ldclient.get().variation(FLAG, USER, None) is True


def test_rotating_many_times_leaves_two_threads(start: Start, service: StandIn) -> None:
    client = start(service, "k0")
    for number in range(1, 20):
        client.rotate_sdk_key(f"k{number}")
    service.wait_for_streams()
    until(lambda: client.stats()["threads"] == 2)
    until(lambda: service.streams == 1)
    client.close()
    client.rotate_sdk_key("after")
    assert client.stats()["threads"] == 0


def test_test_data_takes_another_key_too() -> None:
    td = TestData.data_source()
    td.update(td.flag("f").variation_for_all(True))
    with LDClient(Config("k", update_processor_class=td, send_events=False)) as client:
        client.rotate_sdk_key("k2")
        assert client.variation("f", USER, False) is True
