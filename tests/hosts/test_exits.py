"""The end of a program, a thousand times at random moments under load: with its own exit code, in time, and silent.

1. A program that ends by itself delivers what it recorded. ``os._exit`` and a signal's default action end it at once:
   they promise what a completed ``flush`` had told. The package installs no signal handler.
2. Native threads never touch the interpreter, so its end finds none of them inside. Daemon threads of the application
   may be anywhere: in an evaluation, in a hook, in a wait.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import ldclient
from program import CERTIFICATES, Program
from stand_in import StandIn, constant_flag

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="ends programs by signals, and counts their threads in /proc"),
    pytest.mark.timeout(300),
]

ROOT = Path(__file__).resolve().parents[2]
KEY = "your.feature.key"
EXITS = 1_000
EXITS_OF_OTHERS = 100
TOGETHER = 3

# 2 s for the client, and what the interpreter and a busy machine take.
LIMIT = 2.0 + 5.0

# What the daemon threads of a program are in when it ends. Each of them is called without pause.
WORK = {
    "evaluations": "value(client); client.variation_detail(KEY, USER, 0); client.track('busy', USER)",
    "states of all flags": "client.all_flags_state(USER).to_json_string()",
    "flushes": "client.track('busy', USER); client.flush(1)",
    "waits": "LDClient(config(stream_uri=NOWHERE), 0).wait_for_initialization(1)",
    "hooks": "value(hooked); hooked.track('busy', USER)",
    "listeners": "client.flag_tracker.add_listener(print_nothing); time.sleep(0.001)",
    "closes": "LDClient(config(), 0).close(1)",
    "attributes": "value(client, {'key': 'a', 'custom': Odd()}); client.track('busy', {'key': Odd(), 'custom': Odd()})",
    "log lines": "warn(LDClient(config(sdk_key='wrong key', stream_uri=NOWHERE, events_uri=NOWHERE), 0))",
}

# How a program ends, and with which code, where `code` is the one that it is given.
ENDS = {
    "falls off": ("", 0),
    "sys.exit": ("sys.exit(code)", None),
    "an exception": ("raise SystemError('on purpose')", 1),
    "a closed client": ("client.close(); sys.exit(code)", None),
    "a dropped client": ("del client; sys.exit(code)", None),
    "os._exit": ("os._exit(code)", None),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)", -signal.SIGTERM),
}

EXIT = """
import os, signal, sys, threading, time
from ldclient import Config, LDClient
from ldclient.hook import Hook, Metadata
URI, code, seconds, work, end = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], sys.argv[5]
KEY, USER, NOWHERE = "your.feature.key", {"key": "aa0ceb"}, "http://127.0.0.1:1"
def config(**options):
    given = {"sdk_key": "sdk-key", "base_uri": URI, "stream_uri": URI, "events_uri": URI, "flush_interval": 0.02}
    return Config(**{**given, **options})
def value(client, user=USER):
    return client.variation(KEY, user, "default")
def print_nothing(change):
    time.sleep(0.001)
def warn(client):
    client.variation(f"no such flag {time.monotonic()}", USER, 0)
class Odd(dict):
    def __getitem__(self, name): return time.monotonic()
    def get(self, name, default=None): return time.monotonic()
    def __str__(self): return str(time.monotonic())
class Waits(Hook):
    @property
    def metadata(self): return Metadata(name="waits")
    def before_evaluation(self, context, data):
        time.sleep(0.0005)
        return data
    def after_evaluation(self, context, data, detail):
        return {**data, "after": [None] * 50}
sys.stderr.flush()
import logging
logging.getLogger("ldclient").addHandler(logging.NullHandler())
logging.getLogger("ldclient").propagate = False
client = LDClient(config(), 5)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and signal.getsignal(signal.SIGINT) is not signal.SIG_DFL
hooked = LDClient(config(hooks=[Waits()]), 0) if "hooked" in work else None
compiled = compile(work, "work", "exec")
def busy():
    given = globals()
    while True:
        try:
            exec(compiled, given)
        except NameError:
            return  # the main thread dropped the client
for _ in range(2):
    threading.Thread(target=busy, daemon=True).start()
time.sleep(seconds)
print(time.time(), flush=True)
exec(end)
"""


@dataclass(frozen=True)
class Case:
    """One program: what its threads do, how and when it ends."""

    work: str
    end: str
    code: int
    seconds: float

    def run(self, python: str, uri: str, environment: dict[str, str]) -> str:
        """Runs it; returns what is wrong, or ''."""
        text, expected = ENDS[self.end]
        code = self.code if expected is None else expected
        arguments = (uri, str(self.code), str(self.seconds), WORK[self.work], text)
        try:
            ran = subprocess.run(
                [python, "-c", EXIT, *arguments],
                capture_output=True,
                text=True,
                env=environment,
                timeout=40,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return f"{self}: did not end; it wrote {late.stderr!r}"
        # From the moment at which it begins to end: how long it takes to start is the machine's affair.
        took = time.time() - float(ran.stdout or "nan")
        wrong = []
        if ran.returncode != code:
            wrong.append(f"ended by {ran.returncode}, not {code}")
        if not took <= LIMIT:
            wrong.append(f"took {took:.1f} s")
        silent = "SystemError: on purpose" if self.end == "an exception" else ""
        if (ran.stderr.splitlines() or [""])[-1] != silent or ran.stderr.count("Traceback") > (silent != ""):
            wrong.append(f"wrote {ran.stderr[-2000:]!r}")
        return f"{self}: {'; '.join(wrong)}" if wrong else ""


def cases(count: int, seed: int) -> list[Case]:
    """So many programs; the same seed gives the same."""
    chosen = random.Random(seed)
    return [
        Case(
            chosen.choice(list(WORK)), chosen.choice(list(ENDS)), chosen.randrange(2, 100), chosen.random() ** 2 * 0.05
        )
        for _ in range(count)
    ]


def run_all(python: str, service: StandIn, count: int, paths: str = "") -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name not in CERTIFICATES}
    if paths:
        environment["PYTHONPATH"] = paths
    with ThreadPoolExecutor(TOGETHER) as pool:
        told = pool.map(lambda case: case.run(python, service.uri, environment), cases(count, seed=count))
        return [wrong for wrong in told if wrong]


def test_a_thousand_programs_end_at_random_moments_under_load(service: StandIn) -> None:
    wrong = run_all(sys.executable, service, EXITS)
    assert not wrong, f"{len(wrong)} of {EXITS}:\n" + "\n".join(wrong[:20])


def others() -> list[tuple[str, str]]:
    """The other interpreters of this machine, as the Makefile finds them: version and path."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = subprocess.run([ROOT / ".ci" / "interpreters"], capture_output=True, text=True, check=False).stdout
    pairs = (line.split(" ", 1) for line in found.splitlines())
    return [(version, path) for version, path in pairs if version != own]


@pytest.fixture
def package(tmp_path: Path) -> str:
    """A folder with nothing but the package in it: one wheel is for every interpreter."""
    installed = Path(ldclient.__file__).parent
    (tmp_path / "ldclient").symlink_to(installed)
    return str(tmp_path)


@pytest.mark.parametrize(("version", "python"), others(), ids=lambda value: value if value[0].isdigit() else "")
def test_a_hundred_programs_of_each_other_interpreter_end_so_too(
    service: StandIn, package: str, version: str, python: str
) -> None:
    wrong = run_all(python, service, EXITS_OF_OTHERS, package)
    assert not wrong, f"{len(wrong)} of {EXITS_OF_OTHERS} on {version}:\n" + "\n".join(wrong[:20])


# What arrives


def tracked(service: StandIn) -> Counter[str]:
    return Counter(event["key"] for event in service.events_of("custom"))


@pytest.mark.parametrize("end", ["client.flush()", "", "raise SystemExit(0)", "del client"])
def test_ten_of_ten_programs_that_end_by_themselves_deliver_in_time(service: StandIn, end: str) -> None:
    for number in range(10):
        source = f"client = LDClient(config(), 5)\nclient.track('done {number}', USER)\n{end}"
        begin = time.monotonic()
        with Program(source, service.uri) as program:
            program.succeeds()
        assert time.monotonic() - begin < LIMIT
    assert tracked(service) == Counter(f"done {number}" for number in range(10))


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)"])
def test_what_a_completed_flush_told_had_arrived_before_a_hard_end(service: StandIn, end: str) -> None:
    source = f"""
client = LDClient(config(), 5)
client.track("flushed", USER)
result = client.flush(timeout=10)
print(result.sent, result.complete, flush=True)
client.track("promised by nobody", USER)
{end}
"""
    with Program(source, service.uri) as program:
        ended = program.wait()
    assert ended.code == (3 if "_exit" in end else -signal.SIGTERM)
    sent, complete = ended.output.split()
    assert complete == "True"
    assert len(service.events) >= int(sent) >= 1
    assert tracked(service)["flushed"] == 1


def test_a_flush_that_could_not_deliver_says_so_before_a_hard_end(service: StandIn) -> None:
    service.fault("/bulk", "black_hole")
    source = """
client = LDClient(config(), 5)
client.track("lost", USER)
result = client.flush(timeout=0.2)
print(result.sent, result.complete, flush=True)
os._exit(3)
"""
    with Program(source, service.uri) as program:
        ended = program.wait()
    assert (ended.code, ended.output) == (3, "0 False\n")
    assert tracked(service) == Counter()


def test_no_signal_handler_is_ever_installed(service: StandIn) -> None:
    # As the kernel has it: Python knows only of its own.
    source = """
def caught():
    with open("/proc/self/status") as status:
        # The C library's own two, of which it takes one when the first thread starts, are not meant.
        lines = [line.split() for line in status if line.startswith(("SigCgt", "SigIgn", "SigBlk"))]
    return {name: int(mask, 16) & ~(3 << 31) for name, mask in lines}
before = caught()
client = LDClient(config(), 5)
client.flag_tracker.add_listener(print)
value(client)
client.flush(5)
assert caught() == before, (caught(), before)
reap(fork(lambda: (value(client), client.close(5))))
client.close()
assert caught() == before, (caught(), before)
"""
    # The prelude imports the package, which must not have any before.
    with Program(source, service.uri, before="import faulthandler") as program:
        program.succeeds()


@pytest.fixture
def service() -> Iterator[StandIn]:
    """A stand-in that sends heartbeats, so that streams are never still."""
    with StandIn({KEY: constant_flag(KEY, True)}, heartbeat=0.002) as running:
        yield running
