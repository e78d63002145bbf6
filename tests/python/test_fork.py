"""A client that was made before a fork, in the children and in the parent. Hosts that fork have tests of their own."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from program import Program
from stand_in import StandIn, constant_flag

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and calls the C library's fork")

KEY = "your.feature.key"

# What each child does: the work of a process that was forked with a client in it. `generation` is how deep it is.
CHILD = """
def live(client, name):
    begin = time.monotonic()
    assert value(client) in (True, "new"), "the inherited value, or already a newer one"
    assert time.monotonic() - begin < 0.5, "at once"
    client.track(f"{name} begins", USER)
    until(lambda: value(client) == "new")
    client.track(f"{name} saw it", USER)
    begin = time.monotonic()
    client.close(5)
    assert time.monotonic() - begin < 5
    assert native_threads() == []
    assert value(client) == "new", "a closed client goes on answering"

client = LDClient(config(), 5)
assert value(client) is True
client.track("before the fork", USER)
"""

# The children first: what the parent recorded before them must not come from them.
PARENT = """
until(lambda: value(client) == "new")
client.track("parent", USER)
client.close(5)
assert native_threads() == []
"""


def flip(service: StandIn, streams: int) -> None:
    """Changes the flag when all processes receive."""
    service.wait_for_streams(streams)
    service.put(constant_flag(KEY, "new"))


def tracked(service: StandIn) -> Counter[str]:
    return Counter(event["key"] for event in service.events_of("custom"))


def test_a_child_answers_receives_and_delivers_for_itself(service: StandIn) -> None:
    script = CHILD + "child = fork(lambda: live(client, 'child'))\nreap(child)\n" + PARENT
    with Program(script, service.uri) as program:
        flip(service, 2)
        program.succeeds()
    assert tracked(service) == Counter(["before the fork", "child begins", "child saw it", "parent"])
    service.wait_for_streams(0)


def test_every_evaluation_is_counted_once_on_both_sides(service: StandIn) -> None:
    script = """
    client = LDClient(config(), 5)
    for _ in range(3):
        value(client)
    def work():
        for _ in range(50):
            value(client)
        assert client.flush(5)
    reap(fork(work))
    for _ in range(4):
        value(client)
    client.close(5)
    """
    with Program(script, service.uri) as program:
        program.succeeds()
    assert service.counted(KEY) == {0: 57}


def test_a_child_answers_from_what_it_inherited_while_the_service_is_silent(service: StandIn) -> None:
    script = f"""{CHILD}
until(lambda: not sys.stdin.readline())
def work():
    begin = time.monotonic()
    assert [value(client) for _ in range(100)] == [True] * 100
    assert client.is_initialized()
    assert client.wait_for_initialization(5)
    assert time.monotonic() - begin < 0.5
    client.close(1)
    assert time.monotonic() - begin < 2
    until(lambda: native_threads() == [], 1)
reap(fork(work))
client.close(1)
"""
    with Program(script, service.uri) as program:
        service.wait_for_streams(1)
        service.fault("/all", "black_hole")
        service.fault("/bulk", "black_hole")
        program.go()
        program.succeeds()


def test_a_fork_of_a_fork_lives_too(service: StandIn) -> None:
    script = f"""{CHILD}
def middle():
    client.track("middle", USER)
    grandchild = fork(lambda: live(client, "grandchild"))
    live(client, "child")
    reap(grandchild)
child = fork(middle)
reap(child)
{PARENT}"""
    with Program(script, service.uri) as program:
        flip(service, 3)
        program.succeeds()
    assert tracked(service) == Counter(
        [
            "before the fork",
            "middle",
            *("child begins", "child saw it"),
            *("grandchild begins", "grandchild saw it"),
            "parent",
        ]
    )


def test_a_fork_that_runs_no_python_hook_is_noticed(service: StandIn) -> None:
    # As uWSGI forks. Python's own fork would run what os.register_at_fork registered.
    script = f"""{CHILD}
import ctypes
os.fork = ctypes.PyDLL(None).fork
child = fork(lambda: live(client, "child"))
assert child > 0
reap(child)
{PARENT}"""
    with Program(script, service.uri) as program:
        flip(service, 2)
        program.succeeds()
    assert tracked(service) == Counter(["before the fork", "child begins", "child saw it", "parent"])


def test_processes_of_multiprocessing_live(service: StandIn) -> None:
    script = f"""{CHILD}
import multiprocessing
context = multiprocessing.get_context("fork")
children = [context.Process(target=live, args=(client, f"child {{n}}")) for n in range(2)]
for child in children:
    child.start()
for child in children:
    child.join(15)
assert [child.exitcode for child in children] == [0, 0]
{PARENT}"""
    with Program(script, service.uri) as program:
        flip(service, 3)
        program.succeeds()
    assert set(tracked(service).values()) == {1}
    assert len(tracked(service)) == 6


WORKER = """
import ldclient
def work(uri, name):
    ldclient.config = ldclient.Config("sdk-key", base_uri=uri, stream_uri=uri, events_uri=uri, flush_interval=600)
    ldclient.get().track(name, {"key": "aa0ceb"})
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_that_just_ends_delivers(service: StandIn, method: str, tmp_path: Path) -> None:
    # A module, because spawned processes import what they are to do.
    (tmp_path / "worker.py").write_text(WORKER)
    script = """
    import multiprocessing
    folder, method = sys.argv[2:]
    sys.path.insert(0, folder)
    import worker
    if method == "fork":
        worker.work(URI, "parent")
    context = multiprocessing.get_context(method)
    children = [context.Process(target=worker.work, args=(URI, f"child {n}")) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(15)
    assert [child.exitcode for child in children] == [0, 0]
    """
    with Program(script, service.uri, str(tmp_path), method) as program:
        program.succeeds()
    expected = ["child 0", "child 1"] + (["parent"] if method == "fork" else [])
    assert tracked(service) == Counter(expected)


def test_a_child_that_just_ends_delivers_what_is_its_own(service: StandIn) -> None:
    script = f"""{CHILD}
def work():
    client.track("child", USER)
reap(fork(work, ends=sys.exit))
client.close(5)
"""
    with Program(script, service.uri) as program:
        program.succeeds()
    assert tracked(service) == Counter(["before the fork", "child"])


def test_a_child_that_asks_nothing_connects_to_nothing(service: StandIn) -> None:
    script = f"""{CHILD}
begin = time.monotonic()
reap(fork(lambda: None, ends=sys.exit))
assert time.monotonic() - begin < 1.5, "it waited for something"
client.close(5)
"""
    with Program(script, service.uri) as program:
        program.succeeds()
    assert len(service.requests_to("/all")) == 1
    assert len(service.requests_to("/bulk")) == 1
    assert tracked(service) == Counter(["before the fork"])


def test_a_child_may_close_or_drop_what_it_inherited_and_harms_nobody(service: StandIn) -> None:
    script = f"""{CHILD}
def close():
    begin = time.monotonic()
    client.close(3)
    assert time.monotonic() - begin < 1
    assert native_threads() == []
    assert value(client) is True
def drop():
    global client
    del client
    import gc
    gc.collect()
    assert native_threads() == []
reap(fork(close))
reap(fork(drop))
assert client.flush(5)
{PARENT}"""
    with Program(script, service.uri) as program:
        service.wait_for_event("custom")
        flip(service, 1)
        program.succeeds()
    assert len(service.requests_to("/all")) == 1
    assert tracked(service) == Counter(["before the fork", "parent"])


def test_a_client_that_was_closed_before_the_fork_stays_closed(service: StandIn) -> None:
    script = f"""{CHILD}
client.close(5)
def work():
    assert value(client) is True
    client.track("lost", USER)
    assert client.is_closed()
    client.close(5)
    assert native_threads() == []
reap(fork(work, ends=sys.exit))
"""
    with Program(script, service.uri) as program:
        program.succeeds()
    assert tracked(service) == Counter(["before the fork"])


def test_subprocesses_disturb_nothing(service: StandIn) -> None:
    script = f"""{CHILD}
import subprocess
before = client.stats()
for _ in range(5):
    subprocess.run(["true"], check=True)
    subprocess.run(["true"], check=True, preexec_fn=lambda: None)
    os.system("true")
    os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
inherited = "import os; print(*[os.readlink(f'/proc/self/fd/{{n}}') for n in os.listdir('/proc/self/fd') if n > '2'" \\
    " and os.path.exists(f'/proc/self/fd/{{n}}')])"
listed = subprocess.run([sys.executable, "-c", inherited], capture_output=True, text=True, close_fds=False)
assert "socket" not in listed.stdout, listed
assert client.stats()["generation"] == before["generation"]
assert client.stats()["updates"] == before["updates"]
client.close(5)
"""
    with Program(script, service.uri) as program:
        program.succeeds()
    assert len(service.requests_to("/all")) == 1
    assert tracked(service) == Counter(["before the fork"])


def test_a_storm_of_forks_harms_neither_the_parent_nor_a_child(service: StandIn) -> None:
    script = """
    client = LDClient(config(flush_interval=0.05), 5)
    stop = threading.Event()
    def evaluate():
        while not stop.is_set():
            client.variation_detail("your.feature.key", USER, "default")
            client.track("busy", USER)
            time.sleep(0.0005)
    threads = [threading.Thread(target=evaluate) for _ in range(2)]
    for thread in threads:
        thread.start()
    def work():
        for _ in range(20):
            assert value(client) in (True, False)
        client.track("child", USER)
        client.close(5)
        assert native_threads() == []
    for _ in range(100):
        reap(fork(work), 20)
    stop.set()
    for thread in threads:
        thread.join(10)
    client.close(5)
    print("through")
    """
    with Program(script, service.uri) as program:
        on = False
        while program.process.poll() is None:
            # The stream delivers all the time, so forks happen at every stage of it.
            service.put(constant_flag(KEY, on))
            on = not on
            try:
                program.process.wait(0.002)
            except Exception:
                continue
        assert program.succeeds(60) == "through\n"
    assert tracked(service)["child"] == 100
