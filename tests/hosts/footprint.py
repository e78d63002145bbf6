"""What the package and an idle client cost, and what forked workers go on sharing, for either package by the same code."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promises import Promise, Running, service
from running import Side
from stand_in import StandIn

__all__ = ["PROMISES", "Growth", "Import", "Threads", "import_cost", "threads_of_idle_client", "worker_growth"]

FLAGS = 5_000
EVALUATIONS = 100_000
WORKERS = 16
ROUNDS = 15


@dataclass(frozen=True)
class Import:
    """What ``import ldclient`` adds to a bare interpreter: the median of the rounds."""

    cpu_ms: float
    resident_mib: float
    modules: int


@dataclass(frozen=True)
class Threads:
    """What an idle client without listeners adds."""

    native: int
    python: int


@dataclass(frozen=True)
class Growth:
    """In KiB: what the flags take in the parent, and what a worker has for itself after its evaluations and its own
    stream's delivery, beyond one that only did the work around them."""

    flags: int
    worker: int

    @property
    def share(self) -> float:
        """The growth of a worker as a share of what the flags take."""
        return self.worker / self.flags


IMPORT = """
import json, sys, time
def resident():
    with open("/proc/self/smaps_rollup") as smaps:
        return sum(int(line.split()[1]) for line in smaps if line.startswith("Rss:"))
before, modules, cpu = resident(), len(sys.modules), time.process_time()
import ldclient
cpu = time.process_time() - cpu
print(json.dumps([cpu * 1000, (resident() - before) / 1024, len(sys.modules) - modules]))
"""


def import_cost(side: Side, rounds: int = ROUNDS) -> Import:
    """Imports it so many times, each in an interpreter of its own."""
    found: list[Sequence[float]] = []
    # The first one reads files that are not in memory yet, and does not count.
    for _ in range(rounds + 1):
        ran = subprocess.run(
            [side.python, "-c", IMPORT], check=True, capture_output=True, text=True, timeout=60, env=side.environment()
        )
        found.append(json.loads(ran.stdout))
    cpu, resident, modules = (statistics.median(column) for column in zip(*found[1:], strict=True))
    return Import(cpu, resident, int(modules))


def threads_of_idle_client(side: Side) -> Threads:
    """Starts a client, evaluates, delivers, and counts when nothing is under way."""
    source = """
def threads():
    return len(os.listdir("/proc/self/task")), threading.active_count()
before = threads()
client = LDClient(config(), 5)
client.variation("your.feature.key", USER, None)
client.flush()
time.sleep(1)
now = threads()
tell([now[0] - before[0] - (now[1] - before[1]), now[1] - before[1]])
os._exit(0)
"""
    with service() as stand_in, Running(side, source, stand_in.uri) as program:
        return Threads(*program.told())


WORKER = """
import gc
FEW, FLAGS, EVALUATIONS, WORKERS = sys.argv[2], *map(int, sys.argv[3:])
def kib(name):
    with open("/proc/self/smaps_rollup") as smaps:
        return sum(int(line.split()[1]) for line in smaps if line.startswith(name))
# Everything but the flags is there before: modules, threads, another client.
uris = dict.fromkeys(("base_uri", "stream_uri", "events_uri"), FEW)
first = LDClient(config(**uris), 5)
first.variation("your.feature.key", USER, None)
gc.collect()
before = kib("Rss:")
client = LDClient(config(flush_interval=600), 60)
assert client.is_initialized()
gc.collect()
flags = kib("Rss:") - before
keys = [f"flag-{number}" for number in range(FLAGS)]
tell(flags)
time.sleep(0.5)

def worker(evaluate):
    read, write = os.pipe()
    stop_read, stop_write = os.pipe()
    if os.fork() == 0:
        ask = client.variation if evaluate else lambda key, user, default: default
        for number in range(EVALUATIONS):
            ask(keys[number % FLAGS], USER, False)
        if evaluate and hasattr(client, "stats"):
            # Its own stream delivers all flags once more. launchdarkly-server-sdk opens none in a forked process.
            end = time.time() + 60
            while not client.stats()["updates"]:
                assert time.time() < end, "the stream of a worker delivered nothing"
                time.sleep(0.05)
        # While all others are there: a page counts as its own only if nobody shares it.
        os.write(write, b"%d" % kib("Private_Dirty:"))
        os.read(stop_read, 1)
        os._exit(0)
    return read, stop_write

workers = [worker(number > 0) for number in range(WORKERS + 1)]
found = [int(os.read(read, 100)) for read, _ in workers]
for _, stop in workers:
    os.write(stop, b"x")
tell(found)
os._exit(0)
"""


def flags_of(count: int) -> dict[str, dict[str, Any]]:
    """Flags as they are met: targets, three rules of two clauses, a rollout."""
    found: dict[str, dict[str, Any]] = {}
    for number in range(count):
        clauses = [
            {"attribute": "country", "op": "in", "values": [f"country-{n}" for n in range(10)], "negate": False},
            {"attribute": "email", "op": "endsWith", "values": ["@example.com", "@example.org"], "negate": False},
        ]
        weights = [{"variation": 0, "weight": 40_000}, {"variation": 1, "weight": 60_000}]
        key = f"flag-{number}"
        found[key] = {
            "key": key,
            "version": 1,
            "on": True,
            "salt": f"salt-of-{key}",
            "variations": [True, False],
            "targets": [{"variation": 1, "values": [f"user-{number}-{n}" for n in range(10)]}],
            "rules": [{"id": f"rule-{n}-of-{key}", "variation": n % 2, "clauses": clauses} for n in range(3)],
            "fallthrough": {"rollout": {"variations": weights}},
            "offVariation": 1,
            "prerequisites": [],
        }
    return found


def worker_growth(side: Side, workers: int = WORKERS) -> Growth:
    """Forks workers from a process that has the flags; each evaluates and is delivered them by its own stream, and the
    median counts."""
    with service() as few, StandIn(flags_of(FLAGS)) as many:
        numbers = map(str, (FLAGS, EVALUATIONS, workers))
        with Running(side, WORKER, many.uri, few.uri, *numbers) as program:
            flags = program.told()
            idle, *busy = program.told(180)
    return Growth(flags, int(statistics.median(busy)) - idle)


def _import(side: Side) -> str:
    cost = import_cost(side)
    return f"{cost.cpu_ms:.1f} ms, {cost.resident_mib:.1f} MiB, {cost.modules} modules"


def _threads(side: Side) -> str:
    threads = threads_of_idle_client(side)
    return f"{threads.native} native, {threads.python} of Python's"


def _growth(side: Side) -> str:
    growth = worker_growth(side)
    return f"{growth.worker / 1024:.1f} MiB ({growth.share:.0%} of {growth.flags / 1024:.1f} MiB)"


PROMISES = [
    Promise("Threads of an idle client", _threads),
    Promise("`import ldclient`: processor time and memory beyond a bare interpreter", _import),
    Promise(
        f"A forked worker's own memory after {EVALUATIONS:,} evaluations of {FLAGS:,} flags, which its own stream delivered "
        "once more",
        _growth,
    ),
]
