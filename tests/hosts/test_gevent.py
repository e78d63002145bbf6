"""gevent: the client works whenever the standard library is patched, and what waits leaves the hub to others."""

from __future__ import annotations

from collections import Counter

import pytest

from program import Program
from stand_in import StandIn, constant_flag

KEY = "your.feature.key"

# Imported at the very beginning, which patches nothing, so that no wait is shortened by the time that it takes.
GEVENT = "import gevent.monkey\n"
PATCH = "gevent.monkey.patch_all()\n"

# What is before the import of the package, what after it, and what after the client was made.
WHEN = {
    "before the import": (PATCH, "", ""),
    "after the import": ("", PATCH, ""),
    "after the client was made": ("", "", PATCH),
}

# A greenlet that should go on while others wait, and how long it was kept from it.
TICKING = """
import gevent
moments = []
def tick():
    while True:
        moments.append(time.monotonic())
        gevent.sleep(0.01)

def leaves_the_hub(call):
    gevent.sleep(0.05)
    begin = time.monotonic()
    answer = call()
    end = time.monotonic()
    seen = [begin, *(moment for moment in moments if begin < moment < end), end]
    longest = max(later - earlier for earlier, later in zip(seen, seen[1:]))
    assert longest < 0.2, f"the hub stood still for {longest:.2f} s of {end - begin:.2f} s"
    return end - begin, answer
"""


@pytest.mark.parametrize(("first", "second", "third"), WHEN.values(), ids=WHEN)
def test_flags_arrive_listeners_hear_and_events_leave(service: StandIn, first: str, second: str, third: str) -> None:
    script = f"""{second}
client = LDClient(config(), 5)
{third}
{TICKING}
gevent.spawn(tick)
heard = []
client.flag_tracker.add_listener(lambda change: heard.append(change.key))
assert value(client) is True
client.track("patched", USER)
client.flush()
until(lambda: (gevent.sleep(0.002), value(client) == "new")[1])
until(lambda: (gevent.sleep(0.002), heard == ["your.feature.key"])[1])
ticks = len(moments)
gevent.sleep(0.5)
assert len(moments) - ticks > 20, "listening leaves the hub to others"
assert client.flush(5)
client.close(5)
assert native_threads() == []
"""
    with Program(script, service.uri, before=GEVENT + first) as program:
        service.wait_for_event("custom", 15)
        service.put(constant_flag(KEY, "new"))
        program.succeeds()
    assert Counter(event["key"] for event in service.events_of("custom")) == Counter(["patched"])


@pytest.mark.parametrize(("first", "second", "third"), WHEN.values(), ids=WHEN)
def test_waiting_leaves_the_hub_to_others(service: StandIn, first: str, second: str, third: str) -> None:
    service.fault("/all", "stall", seconds=2.0, times=1)
    service.fault("/bulk", "stall", seconds=2.0, times=1)
    script = f"""{second}
client = LDClient(config(), 0)
{third}
{TICKING}
gevent.spawn(tick)
took, initialized = leaves_the_hub(lambda: client.wait_for_initialization(5))
assert initialized
assert took > 0.5, took
client.track("one", USER)
took, result = leaves_the_hub(lambda: client.flush(5))
assert result, result
assert took > 0.5, took
client.track("two", USER)
leaves_the_hub(lambda: client.close(5))
leaves_the_hub(lambda: LDClient(config(), 5).close(5))
"""
    with Program(script, service.uri, before=GEVENT + first) as program:
        program.succeeds()
    assert Counter(event["key"] for event in service.events_of("custom")) == Counter(["one", "two"])


def test_calls_that_end_by_their_deadline_leave_the_hub_to_others(service: StandIn) -> None:
    service.fault("/all", "black_hole")
    service.fault("/bulk", "black_hole")
    script = f"""{TICKING}
gevent.spawn(tick)
took, client = leaves_the_hub(lambda: LDClient(config(), 0.6))
assert 0.5 < took < 1.2, took
took, initialized = leaves_the_hub(lambda: client.wait_for_initialization(0.6))
assert not initialized and 0.5 < took < 1.2, took
client.track("lost", USER)
took, result = leaves_the_hub(lambda: client.flush(0.6))
assert not result and 0.5 < took < 1.2, took
took, _ = leaves_the_hub(lambda: client.close(0.6))
assert took < 1.2, took
"""
    with Program(script, service.uri, before=GEVENT + PATCH) as program:
        # It says that there are no flags.
        assert program.wait().code == 0


def test_a_time_out_of_gevent_interrupts_a_wait(service: StandIn) -> None:
    service.fault("/all", "black_hole")
    script = f"""{TICKING}
client = LDClient(config(), 0)
begin = time.monotonic()
try:
    with gevent.Timeout(0.3):
        client.wait_for_initialization(10)
    raise AssertionError("it was not interrupted")
except gevent.Timeout:
    assert time.monotonic() - begin < 1
client.close(0)
"""
    with Program(script, service.uri, before=GEVENT + PATCH) as program:
        program.succeeds()


@pytest.mark.parametrize(("first", "second", "third"), WHEN.values(), ids=WHEN)
def test_a_forked_child_lives_and_its_waits_leave_the_hub_to_others(
    service: StandIn, first: str, second: str, third: str
) -> None:
    script = f"""{second}
client = LDClient(config(), 5)
{third}
{TICKING}
def child():
    gevent.spawn(tick)
    until(lambda: (gevent.sleep(0.002), value(client) == "new")[1])
    client.track("child", USER)
    leaves_the_hub(lambda: client.postfork())
    leaves_the_hub(lambda: client.close(5))
reap(fork(child))
client.close(5)
"""
    with Program(script, service.uri, before=GEVENT + first) as program:
        service.wait_for_streams(2)
        service.put(constant_flag(KEY, "new"))
        program.succeeds()
    assert [event["key"] for event in service.events_of("custom")] == ["child"]
