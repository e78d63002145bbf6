"""What a program's end delivers, and how long a client takes to close, measured for either package by the same code."""

from __future__ import annotations

import time
from collections.abc import Callable

from promises import Promise, Running, of, service
from running import Side

__all__ = ["PROMISES", "close_after_stall", "delivered_at_exit", "seconds_to_end"]

PROGRAMS = 10

# How long a close may take before it counts as never.
LONGEST = 20.0


def delivered_at_exit(side: Side, end: str) -> int:
    """How many of ten programs that record one event and end so have delivered it when they have ended."""
    with service() as stand_in:
        for number in range(PROGRAMS):
            source = f"client = LDClient(config(flush_interval=600), 5)\nclient.track('done', USER, {number})\n{end}"
            with Running(side, source, stand_in.uri) as program:
                program.process.wait(LONGEST)
        return len({event["data"] for event in stand_in.events_of("custom")})


def close_after_stall(side: Side) -> float | None:
    """Seconds that ``close`` takes while the service takes events and never answers; None if it takes too long."""
    source = """
client = LDClient(config(flush_interval=600), 5)
client.track("done", USER)
client.flush()
time.sleep(0.3)
begin = time.monotonic()
client.close()
tell(time.monotonic() - begin)
os._exit(0)
"""
    return _seconds(side, source)


def seconds_to_end(side: Side) -> float | None:
    """The same for the end of a program that just ends: from its last line to the end of its process."""
    source = """
client = LDClient(config(flush_interval=600), 5)
client.track("done", USER)
client.flush()
time.sleep(0.3)
tell(time.time())
"""
    with service() as stand_in:
        stand_in.fault("/bulk", "black_hole")
        with Running(side, source, stand_in.uri) as program:
            began = program.told()
            end = began + LONGEST
            while program.process.poll() is None:
                if time.time() > end:
                    return None
                time.sleep(0.005)
            return float(time.time() - began)


def _seconds(side: Side, source: str) -> float | None:
    with service() as stand_in:
        stand_in.fault("/bulk", "black_hole")
        with Running(side, source, stand_in.uri) as program:
            end = time.monotonic() + LONGEST
            # It tells when it has ended, or never.
            while program.process.poll() is None:
                if time.monotonic() > end:
                    return None
                time.sleep(0.01)
            told = program.told()
            return None if told is None else float(told)


def _delivered(end: str) -> Callable[[Side], str]:
    return lambda side: of(delivered_at_exit(side, end), PROGRAMS)


def _took(measure: Callable[[Side], float | None]) -> Callable[[Side], str]:
    def text(side: Side) -> str:
        took = measure(side)
        return f"**not within {LONGEST:g} s**" if took is None else f"{took:.2f} s"

    return text


PROMISES = [
    Promise("Programs that flush and end: events delivered", _delivered("client.flush()")),
    Promise("Programs that just end: events delivered", _delivered("")),
    Promise("`close()` while the service takes events and never answers", _took(close_after_stall)),
    Promise("The end of a program while the service takes events and never answers", _took(seconds_to_end)),
]
