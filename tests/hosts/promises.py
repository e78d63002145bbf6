"""Measures what is promised, for this package and for launchdarkly-server-sdk 9.20, by the same code.

``make promises`` runs it and prints the table of the README. Each row is a ``Promise``; those about the end of a
process and about what a client costs come from the modules named in ``MORE``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import celery_worker
import running
from checks import KEY, arrived, made
from running import OURS, Host, Side
from stand_in import StandIn, constant_flag, hanging_resolver

__all__ = ["Promise", "Running", "main"]

# Modules of this folder with rows of their own, as a list ``PROMISES``.
MORE = ("exits", "footprint")

# Seconds that a flag may take, and that events may take after they were recorded, before it counts as never.
PATIENCE = 5.0


@dataclass(frozen=True)
class Promise:
    """A row of the table: what is promised, and what says for a package whether it is kept."""

    text: str
    measure: Callable[[Side], str]


# Before every program: what both packages have.
PRELUDE = """
import json, os, sys, threading, time
import ldclient
from ldclient import Config, Context, LDClient
URI = sys.argv[1]
USER = Context.create("aa0ceb")

def config(**options):
    given = {"base_uri": URI, "stream_uri": URI, "events_uri": URI, "diagnostic_opt_out": True, "flush_interval": 0.2}
    return Config("sdk-key", **{**given, **options})

def tell(value):
    print(json.dumps(value), flush=True)

def tell_when_new(client):
    # Whoever reads this knows when the flag was changed.
    client.track("child", USER)
    client.variation("your.feature.key", USER, None)
    tell("ready")
    end = time.time() + 15
    while client.variation("your.feature.key", USER, None) != "new":
        if time.time() > end:
            tell(None)
            return
        time.sleep(0.005)
    tell(time.time())
"""


class Running:
    """A program of one package that tells JSON, line by line; a context manager that ends it."""

    def __init__(
        self, side: Side, source: str, *arguments: str, before: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [side.python, "-c", before + PRELUDE + source, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=side.environment(**(environment or {})),
            start_new_session=True,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        running.end_session(self.process)

    def told(self, patience: float = 30.0) -> Any:
        """What it tells next; None when it ends, or says nothing for so long."""
        assert self.process.stdout is not None
        lines: list[str] = []
        stdout = self.process.stdout
        reader = threading.Thread(target=lambda: lines.append(stdout.readline()), daemon=True)
        reader.start()
        reader.join(patience)
        return json.loads(lines[0]) if lines and lines[0] else None


def service() -> StandIn:
    """A stand-in with the one flag."""
    return StandIn({KEY: constant_flag(KEY, True)})


def waits(answer: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether the answer becomes true in time."""
    end = time.monotonic() + seconds
    while not answer():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def seconds(taken: float | None) -> str:
    return f"**no** ({PATIENCE:g} s waited)" if taken is None else f"yes, {taken:.2f} s"


def of(delivered: int, recorded: int) -> str:
    if not recorded:
        return "**it did not serve**"
    text = f"{delivered} of {recorded}"
    return text if delivered == recorded else f"**{text}**"


# --- forks ---


def after_a_fork(fork: str) -> Callable[[Side], str]:
    source = f"""
import ctypes
client = LDClient(config(), 5)
client.variation("your.feature.key", USER, None)
child = {fork}
if child == 0:
    tell_when_new(client)
    time.sleep(1)
    os._exit(0)
time.sleep(20)
"""

    def measure(side: Side) -> str:
        with service() as stand_in, Running(side, source, stand_in.uri) as program:
            assert program.told() == "ready"
            waits(lambda: stand_in.streams == 2, 2)
            changed = time.time()
            stand_in.put(constant_flag(KEY, "new"))
            seen = program.told(PATIENCE)
            arrives = None if seen is None else seen - changed
            events = lambda: sum(event["key"] == "child" for event in stand_in.events_of("custom"))  # noqa: E731
            waits(lambda: events() == 1, 2)
            return f"flag: {seconds(arrives)}; event: {'yes' if events() == 1 else '**no**'}"

    return measure


def children_that_end(side: Side) -> str:
    source = """
import multiprocessing
def work(number):
    client.track("work", USER, number)
client = LDClient(config(flush_interval=600), 5)
context = multiprocessing.get_context("fork")
children = [context.Process(target=work, args=(number,)) for number in range(10)]
for child in children:
    child.start()
for child in children:
    child.join(10)
os._exit(0)
"""
    with service() as stand_in, Running(side, source, stand_in.uri) as program:
        program.told()
        return of(len(stand_in.events_of("custom")), 10)


# --- hosts ---

# What a row then says is that nothing arrived.
FAULTS_OF_HOSTS = suppress(AssertionError, OSError, subprocess.TimeoutExpired)

Start = Callable[[Path, str, Side], AbstractContextManager[Host]]

HOSTS: dict[str, Start] = {
    "uWSGI, `--master --enable-threads`": lambda folder, uri, side: running.uwsgi(
        folder, uri, "--enable-threads", "--die-on-term", side=side
    ),
    "`gunicorn --preload`": lambda folder, uri, side: running.gunicorn(folder, uri, "--preload", side=side),
    "a Celery worker with processes": lambda folder, uri, side: celery_worker.worker(folder, uri, side=side),
}


def in_a_host(start: Start) -> Callable[[Side], str]:
    def measure(side: Side) -> str:
        with tempfile.TemporaryDirectory() as folder, service() as stand_in:
            arrives, recorded, delivered = None, 0, 0
            with FAULTS_OF_HOSTS, start(Path(folder), stand_in.uri, side) as host:
                host.ask_workers(2, True)
                waits(lambda: stand_in.streams == 3, 2)
                changed = time.monotonic()
                stand_in.put(constant_flag(KEY, "new"))
                try:
                    host.ask_workers(2, "new", PATIENCE)
                    arrives = time.monotonic() - changed
                except AssertionError:
                    arrives = None
                recorded = sum(made(host.asked).values())
                waits(lambda: sum(arrived(stand_in).values()) >= recorded, 2)
                delivered = sum(arrived(stand_in).values())
            return f"flag: {seconds(arrives)}; events: {of(delivered, recorded)}"

    return measure


def ended_by_sigterm(start: Callable[[Path, str, Side], AbstractContextManager[Host]]) -> Callable[[Side], str]:
    def measure(side: Side) -> str:
        with tempfile.TemporaryDirectory() as folder, service() as stand_in:
            recorded = 0
            with FAULTS_OF_HOSTS, start(Path(folder), stand_in.uri, side) as host:
                host.ask_workers(2, True)
                recorded = sum(made(host.asked).values())
                # A host that ends in the middle of a request answers for itself.
                time.sleep(0.5)
                host.end(signal.SIGTERM)
            return of(sum(arrived(stand_in).values()), recorded)

    return measure


# --- waiting ---


def told_seconds(side: Side, source: str, uri: str, environment: Mapping[str, str] | None = None) -> str:
    with Running(side, source, uri, environment=environment) as program:
        told = program.told(PATIENCE * 2)
    return f"**not within {PATIENCE * 2:g} s**" if told is None else f"{told:.2f} s"


def start_without_waiting(side: Side) -> str:
    source = """
begin = time.monotonic()
LDClient(config(), 0)
tell(time.monotonic() - begin)
os._exit(0)
"""
    with service() as stand_in:
        stand_in.fault("/all", "black_hole")
        return told_seconds(side, source, stand_in.uri)


def close_while_names_are_looked_up(side: Side) -> str:
    source = """
client = LDClient(config(), 0)
client.track("event", USER)
client.flush()
time.sleep(0.3)
begin = time.monotonic()
client.close()
tell(time.monotonic() - begin)
os._exit(0)
"""
    with tempfile.TemporaryDirectory() as folder:
        return told_seconds(side, source, "http://service.invalid", hanging_resolver(Path(folder)))


# --- values, and interpreters ---


def a_datetime(side: Side) -> str:
    source = """
import datetime
client = LDClient(config(flush_interval=600), 5)
for number in range(10):
    client.track("event", USER, {"number": datetime.datetime.now() if number == 5 else number})
client.flush()
time.sleep(1)
client.close()
"""
    with service() as stand_in, Running(side, source, stand_in.uri) as program:
        program.told()
        return of(len(stand_in.events_of("custom")), 10)


def a_second_interpreter(side: Side) -> str:
    source = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
made = interpreters.create("legacy") if sys.version_info >= (3, 13) else interpreters.create()
run = getattr(interpreters, "exec", None) or interpreters.run_string
run(made, '''
try:
    import ldclient
    print(1, flush=True)
except ImportError as error:
    print(2 if "WSGIApplicationGroup" in str(error) else 3, flush=True)
''')
"""
    with Running(side, source, "http://127.0.0.1:9") as program:
        return {1: "yes", 2: "**no**: the error says what to set"}.get(program.told(), "**no**")


def gevent_standstill(side: Side) -> str:
    source = """
import gevent
moments = [time.monotonic()]
def tick():
    while True:
        moments.append(time.monotonic())
        gevent.sleep(0.01)
gevent.spawn(tick)
gevent.sleep(0.1)
client = LDClient(config(), 5)
client.flag_tracker.add_listener(lambda change: None)
client.track("event", USER)
client.flush()
raised = ""
try:
    client.close()
except Exception as error:
    raised = type(error).__name__
gevent.sleep(0.02)
tell([max(later - earlier for earlier, later in zip(moments, moments[1:])), raised])
os._exit(0)
"""
    with service() as stand_in:
        stand_in.fault("/all", "stall", seconds=1.0, times=1)
        stand_in.fault("/bulk", "stall", seconds=1.0, times=1)
        before = "from gevent import monkey; monkey.patch_all()\n"
        with Running(side, source, stand_in.uri, before=before) as program:
            told = program.told()
    if told is None:
        return "**it never ended**"
    standstill, raised = told
    return f"{standstill:.2f} s" + (f", **and `close()` raises `{raised}`**" if raised else "")


PROMISES = [
    Promise(
        "After `os.fork`: a changed flag arrives in the child, and the child's event at the service",
        after_a_fork("os.fork()"),
    ),
    Promise("After a fork that runs no Python hooks (as uWSGI's)", after_a_fork("ctypes.PyDLL(None).fork()")),
    *(Promise(f"In each worker of {name}", in_a_host(start)) for name, start in HOSTS.items()),
    Promise("Children of `multiprocessing` that just end: events delivered", children_that_end),
    Promise(
        "SIGTERM under `gunicorn --preload`: events delivered",
        ended_by_sigterm(lambda f, u, s: running.gunicorn(f, u, "--preload", side=s, flush_interval=600)),
    ),
    Promise(
        "SIGTERM under uWSGI with `die-on-term`: events delivered",
        ended_by_sigterm(
            lambda f, u, s: running.uwsgi(f, u, "--enable-threads", "--die-on-term", side=s, flush_interval=600)
        ),
    ),
    Promise("`LDClient(config, start_wait=0)` while the service is silent", start_without_waiting),
    Promise("`close()` while the look-up of the service's name hangs", close_while_names_are_looked_up),
    Promise("A `datetime` in one of ten events: events delivered", a_datetime),
    Promise(
        "gevent, patched, a service that is silent for 1 s at start and at the end: longest standstill of the hub",
        gevent_standstill,
    ),
    Promise(
        "Imported in a second interpreter of a process (mod_wsgi, uWSGI with several applications)",
        a_second_interpreter,
    ),
]


def all_promises() -> list[Promise]:
    found = list(PROMISES)
    for name in MORE:
        if (running.HERE / f"{name}.py").exists():
            found += importlib.import_module(name).PROMISES
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose text contains this")
    parser.add_argument("--ours-only", action="store_true", help="leave launchdarkly-server-sdk out")
    options = parser.parse_args()
    sides = [OURS] if options.ours_only else [OURS, running.reference()]
    today = datetime.now(timezone.utc).date().isoformat()
    print(f"Measured by `make promises` on {today}: Python {platform.python_version()}, {platform.system()} "
          f"{platform.release().split('-')[0]}.\n")  # fmt: skip
    print(f"| | {' | '.join(side.name for side in sides)} |")
    print(f"| --- {'| --- ' * len(sides)}|")
    for promise in all_promises():
        if options.only in promise.text:
            print(f"| {promise.text} | {' | '.join(promise.measure(side) for side in sides)} |", flush=True)


if __name__ == "__main__":
    main()
