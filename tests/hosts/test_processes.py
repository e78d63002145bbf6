"""Processes that Python programs start: pools of multiprocessing, of concurrent.futures and of billiard, and forks.

That a plain fork, a fork of a fork, a fork without Python's hooks and multiprocessing's own processes live is tested
with the package itself (tests/python/test_fork.py).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from program import Program
from stand_in import StandIn, constant_flag

KEY = "your.feature.key"

# A module, because processes that share no memory with their parent import what they are to do.
WORK = """
import os
import sys
import time
import ldclient

def connect(uri):
    ldclient.set_config(ldclient.Config(
        "sdk-key", base_uri=uri, stream_uri=uri, events_uri=uri, flush_interval=600, diagnostic_opt_out=True))
    return ldclient.get()

def work(uri, number):
    client = connect(uri)
    client.track("work", {"key": "aa0ceb"}, {"number": number, "process": os.getpid()})
    return client.variation("your.feature.key", {"key": "aa0ceb"}, "default")
"""

STARTED_BY = {
    "billiard's fork": "billiard.get_context('fork')",
    "billiard's spawn": "billiard.get_context('spawn')",
    "multiprocessing's fork": "multiprocessing.get_context('fork')",
    "multiprocessing's spawn": "multiprocessing.get_context('spawn')",
    "multiprocessing's forkserver": "multiprocessing.get_context('forkserver')",
}


def delivered(service: StandIn) -> Counter[int]:
    return Counter(event["data"]["number"] for event in service.events_of("custom") if event["key"] == "work")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "work.py").write_text(WORK)
    return str(tmp_path)


IMPORTS = """
sys.path.insert(0, sys.argv[2])
os.environ["PYTHONPATH"] = sys.argv[2]
import billiard, multiprocessing
import work as module
"""


@pytest.mark.parametrize("loaded_first", [True, False], ids=["client made before", "client made in the child"])
@pytest.mark.parametrize("context", STARTED_BY.values(), ids=STARTED_BY)
def test_a_process_that_just_ends_delivers(service: StandIn, folder: str, context: str, loaded_first: bool) -> None:
    script = f"""{IMPORTS}
if {loaded_first}:
    module.work(URI, 100)
context = {context}
children = [context.Process(target=module.work, args=(URI, number)) for number in range(3)]
for child in children:
    child.start()
for child in children:
    child.join(15)
assert [child.exitcode for child in children] == [0, 0, 0]
"""
    with Program(script, service.uri, folder) as program:
        program.succeeds()
    assert delivered(service) == Counter([0, 1, 2, *([100] if loaded_first else [])])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_that_is_closed_delivers_what_its_workers_recorded(service: StandIn, folder: str, method: str) -> None:
    script = f"""{IMPORTS}
module.connect(URI)
with multiprocessing.get_context({method!r}).Pool(2) as pool:
    assert pool.starmap(module.work, [(URI, number) for number in range(10)], 1) == [True] * 10
    pool.close()
    pool.join()
"""
    with Program(script, service.uri, folder) as program:
        program.succeeds()
    assert delivered(service) == Counter(range(10))


def test_an_executor_of_processes_delivers_what_its_workers_recorded(service: StandIn, folder: str) -> None:
    script = f"""{IMPORTS}
from concurrent.futures import ProcessPoolExecutor
module.connect(URI)
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    assert list(pool.map(module.work, [URI] * 10, range(10))) == [True] * 10
"""
    with Program(script, service.uri, folder) as program:
        program.succeeds()
    assert delivered(service) == Counter(range(10))


FORKS = {
    "os.fork": "fork(child)",
    "os.forkpty": "pty(child)",
    "fork without Python's hooks": "c_fork(ctypes.PyDLL(None).fork, child)",
    "_Fork, which runs no handlers at all": "c_fork(getattr(ctypes.PyDLL(None), '_Fork'), child)",
}

# Everything that an application may have registered before a fork.
REGISTERED = """
import ctypes
from collections import Counter
from ldclient.hook import Hook, Metadata
client = LDClient(config(), 5)
heard, states, values, hooked = Counter(), Counter(), [], Counter()

class Counting(Hook):
    metadata = Metadata("counting")
    def before_evaluation(self, series_context, data):
        hooked[os.getpid()] += 1
        return data

client.add_hook(Counting())
client.flag_tracker.add_listener(lambda change: heard.update([(os.getpid(), change.key)]))
client.flag_tracker.add_flag_value_change_listener(
    "your.feature.key", USER, lambda change: values.append((os.getpid(), change.new_value)))
source = client.data_source_status_provider
source.add_listener(lambda status: states.update([(os.getpid(), status.state.name)]))
store = client.data_store_status_provider

def pty(work):
    pid, terminal = os.forkpty()
    return fork(work) if not pid else pid

def c_fork(call, work):
    os.fork = call
    return fork(work)

def child():
    pid = os.getpid()
    value(client)
    assert hooked[pid] >= 1, hooked
    until(lambda: source.status.state.name == "VALID")
    assert store.status.available
    print("ready", file=sys.stderr, flush=True)
    until(lambda: value(client) == "new")
    until(lambda: heard[pid, "your.feature.key"] == 1)
    until(lambda: values == [(pid, "new")])
    until(lambda: states[pid, "VALID"] == 1)
    client.close(5)
    assert native_threads() == []
"""


@pytest.mark.parametrize("forks", [name for name in FORKS if name != "os.forkpty"])
def test_listeners_hooks_and_status_providers_from_before_the_fork_work_in_the_child(
    service: StandIn, forks: str
) -> None:
    if forks.startswith("_Fork"):
        ctypes = pytest.importorskip("ctypes")
        if not hasattr(ctypes.CDLL(None), "_Fork"):
            pytest.skip("this C library has no _Fork")
    script = f"""{REGISTERED}
reap({FORKS[forks]})
"""
    with Program(script, service.uri) as program:
        service.wait_for_streams(2)
        service.put(constant_flag(KEY, "new"))
        ended = program.wait()
    assert (ended.code, ended.errors) == (0, "ready\n"), ended


def test_postfork_waits_for_what_is_new_and_does_nothing_elsewhere(service: StandIn) -> None:
    script = """
    client = LDClient(config(), 5)
    go = os.pipe()
    def child():
        os.read(go[0], 1)
        client.postfork()
        assert value(client) == "new", "what is new since the fork is there when the call returns"
        begin = time.monotonic()
        client.postfork(start_wait=5)
        assert time.monotonic() - begin < 0.2, "there is nothing to wait for any more"
        client.track("child", USER)
        client.close(5)
        client.postfork()
    child = fork(child)
    client.track("forked", USER)
    client.flush(5)
    sys.stdin.readline()
    begin = time.monotonic()
    client.postfork()
    LDClient(Config(offline=True)).postfork()
    assert time.monotonic() - begin < 0.2
    os.write(go[1], b"x")
    reap(child)
    client.track("parent", USER)
    client.close(5)
    """
    with Program(script, service.uri) as program:
        service.wait_for_event("custom")
        service.put(constant_flag(KEY, "new"))
        program.go()
        program.succeeds()
    assert Counter(event["key"] for event in service.events_of("custom")) == Counter(["forked", "child", "parent"])


def test_postfork_returns_in_time_while_the_service_is_silent(service: StandIn) -> None:
    script = """
    client = LDClient(config(), 5)
    sys.stdin.readline()
    def child():
        begin = time.monotonic()
        client.postfork(start_wait=0.3)
        assert 0.25 < time.monotonic() - begin < 1
        assert value(client) is True
    reap(fork(child))
    client.close(1)
    """
    with Program(script, service.uri) as program:
        service.wait_for_streams(1)
        service.fault("/all", "black_hole")
        program.go()
        program.succeeds()
