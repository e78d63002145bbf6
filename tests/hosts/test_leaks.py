"""What many clients, many failures and many contexts leave behind in a process: nothing.

Memory is looked at after a part of the work and again after all of it, with what the C library keeps for later given back:
what a process needs once is no leak.
"""

from __future__ import annotations

import sys

import pytest

from program import Program
from stand_in import StandIn

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.timeout(180),
]

LEFT = """
import ctypes, gc
def descriptors():
    return len(os.listdir("/proc/self/fd"))
def all_threads():
    return len(os.listdir("/proc/self/task"))
def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
def repeat(work, warm, times, most):
    for number in range(times + warm):
        if number == warm:
            until(lambda: native_threads() == [])
            before = resident(), descriptors(), all_threads()
        work(number)
    until(lambda: native_threads() == [] and all_threads() <= before[2])
    assert descriptors() <= before[1], (descriptors(), before)
    grown = resident() - before[0]
    assert grown < most, f"grew by {grown:.2f} MiB"
    print(f"{grown:.2f}")
"""

# What a thousand clients may add, in MiB: one KiB for each would be a leak.
MOST = 0.9


def grown(source: str, *arguments: str) -> float:
    with Program(LEFT + source, *arguments) as program:
        return float(program.succeeds(150))


def test_a_thousand_clients_that_stream_and_deliver_leave_nothing(service: StandIn) -> None:
    source = f"""
def work(number):
    with LDClient(config(), 5) as client:
        assert value(client) is True
        client.track("done", USER)
repeat(work, 200, 1_000, {MOST})
"""
    grown(source, service.uri)
    assert len(service.events_of("custom")) == 1_200
    service.wait_for_streams(0)


def test_a_thousand_clients_offline_leave_nothing(service: StandIn) -> None:
    source = f"""
def work(number):
    with LDClient(config(offline=True), 5) as client:
        assert value(client) == "default"
repeat(work, 200, 1_000, {MOST})
"""
    grown(source, service.uri)
    assert service.requests == []


@pytest.mark.parametrize("kind", ["refuse", "reset", "status", "garbage", "half_chunk", "black_hole"])
def test_clients_whose_service_fails_leave_nothing(service: StandIn, kind: str) -> None:
    for path in ("/all", "/bulk"):
        service.fault(path, kind)  # type: ignore[arg-type]
    source = f"""
import logging
logging.getLogger("ldclient").addHandler(logging.NullHandler())
logging.getLogger("ldclient").propagate = False
def work(number):
    client = LDClient(config(initial_reconnect_delay=0.001), 0)
    client.track("lost", USER)
    client.wait_for_initialization(0.003)
    value(client)
    # A client that is dropped may take as long as a request may: too long where none is ever answered.
    if number % 2 or "{kind}" == "black_hole":
        client.close(0.002)
    else:
        del client
repeat(work, 50, 150, {MOST})
"""
    grown(source, service.uri)


def test_clients_that_listeners_hear_leave_nothing(service: StandIn) -> None:
    source = f"""
def work(number):
    with LDClient(config(), 5) as client:
        client.flag_tracker.add_listener(print)
        client.data_source_status_provider.add_listener(lambda status: None)
        value(client)
repeat(work, 100, 400, {MOST})
"""
    grown(source, service.uri)


def test_shared_clients_that_are_replaced_leave_nothing(service: StandIn) -> None:
    source = f"""
import ldclient
def work(number):
    ldclient.set_config(config(sdk_key=f"sdk-key-{{number}}"))
    value(ldclient.get())
    if number in (49, 249):
        ldclient._reset_client()
        until(lambda: native_threads() == [])
repeat(work, 50, 200, {MOST})
"""
    grown(source, service.uri)


# 100,000 contexts: the first ones fill what is bounded, the others must not add to it. In MiB.
WORKS = {
    "evaluated": 'client.variation("your.feature.key", {"key": key, "email": key * 4}, False)',
    "evaluated as a Context": 'client.variation("your.feature.key", Context.builder(key).set("a", key).build(), False)',
    "named": 'client.identify({"key": key})',
    "tracked": 'client.track("done", {"key": key}, {"of": key})',
    "asked for all flags": "client.all_flags_state({'key': key}).to_json_string()",
    "asked for flags that nobody knows": "client.variation(key, USER, False)",
    "tracked under names of their own": "client.track(key, USER)",
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS.keys())
@pytest.mark.parametrize("delivers", [True, False], ids=["delivering", "the service is silent"])
def test_a_hundred_thousand_contexts_add_nothing(service: StandIn, work: str, delivers: bool) -> None:
    if not delivers:
        service.fault("/bulk", "black_hole")
    source = f"""
from ldclient import Context
import logging
logging.getLogger("ldclient").addHandler(logging.NullHandler())
logging.getLogger("ldclient").propagate = False
client = LDClient(config(flush_interval=0.1), 5)
def some(begin, end):
    for number in range(begin, end):
        key = f"some key {{number:08}}"
        {work}
    if {delivers}:
        client.flush(20)
# Twice as many first: what is on its way is full, what waits behind it too, and the allocator has seen what there is.
some(0, 50_000)
time.sleep(0.5)
some(50_000, 100_000)
before = resident()
some(100_000, 200_000)
grown = resident() - before
assert grown < 4, f"grew by {{grown:.2f}} MiB"
client.close(0.1)
print(f"{{grown:.2f}}")
"""
    grown(source, service.uri)
