"""What must hold of any host whose workers have the client: flags arrive, events are delivered once, by who made them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from running import Host
from stand_in import StandIn, constant_flag

KEY = "your.feature.key"

# How long a change of a flag may take to a worker.
ARRIVES = 5.0


def until(answer: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Returns the answer once there is one."""
    end = time.monotonic() + seconds
    while not (found := answer()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)
    return found


def delivered(service: StandIn, key: str = "request") -> list[dict[str, Any]]:
    """The data of the custom events of one name, in the order of their arrival."""
    return [event["data"] for event in service.events_of("custom") if event["key"] == key]


def made(answers: Iterable[dict[str, Any]]) -> Counter[tuple[int, int]]:
    """What events the given answers stand for."""
    return Counter((answer["worker"], answer["number"]) for answer in answers)


def arrived(service: StandIn) -> Counter[tuple[int, int]]:
    """As ``made``, of what the service received."""
    return Counter((data["worker"], data["number"]) for data in delivered(service))


def flips(host: Host, service: StandIn, workers: int, streams: int) -> dict[int, dict[str, Any]]:
    """Each worker has the first value, and the next one soon after it changed; returns their last answers."""
    before = host.ask_workers(workers, True, 15)
    service.wait_for_streams(streams)
    service.put(constant_flag(KEY, "new"))
    after = host.ask_workers(workers, "new", ARRIVES)
    assert after.keys() == before.keys(), "the same workers"
    return after


def lives(host: Host, service: StandIn, workers: int, streams: int) -> None:
    """Each worker answers, receives, delivers, and has the hook and the status; with threads also the listener."""
    last = flips(host, service, workers, streams)
    for answer in last.values():
        # Other threads of the worker may have evaluated meanwhile.
        assert answer["hooked"] >= answer["number"], answer
        assert answer["source"] == "VALID", answer
    until(lambda: arrived(service) == made(host.asked))


def hears(host: Host, service: StandIn, workers: int) -> None:
    """The listener that was added when the application was loaded hears of a change in each worker."""
    service.put(constant_flag(KEY, "newer"))
    host.ask_workers(workers, "newer", ARRIVES)

    def all_heard() -> bool:
        return all(answer["heard"] for answer in host.ask_workers(workers, "newer").values())

    until(all_heard)


def delivered_once(host: Host, service: StandIn, loaders: set[int]) -> None:
    """When the host has ended, every event is there once, and those of the loading by the process that loaded."""
    assert arrived(service) == made(host.asked)
    assert Counter(data["process"] for data in delivered(service, "when loaded")) == Counter(loaders)
    evaluations = sum(made(host.asked).values())
    assert sum(service.counted(KEY).values()) == evaluations


def is_clean(host: Host) -> None:
    """Nothing in the log tells of trouble."""
    log = host.log()
    assert "Traceback" not in log, log
    assert host.log_lines("ERROR") == [], log
