"""How much processor time a call takes, against launchdarkly-server-sdk 9.20 on the same work. `make bench` runs it.

1. Both packages run in a process of their own, take their flags from one loopback service in a third, and have events
   on. A round of a case is the same number of calls in one after the other, in turns who goes first.
2. What is measured is the processor time of the whole process, background threads included, from the first call until
   the sink has every event. The result of a case is the median of the ratios within a round.
3. The sink's counts decide whether a round means anything: it must have the number of evaluations and custom events
   that were asked for, and the same for both packages. Otherwise the command fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import workload

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "latest.md"
TARGET_CASE, TARGET_RATIO = "bool_simple", 0.02  # a variation with events on, fifty times faster
DELIVERY = 30.0  # seconds that the sink may wait for what was flushed

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failure(Exception):
    """The measurement means nothing; says why."""


class Process:
    """A subprocess that is talked to by lines and ends with the block."""

    def __init__(self, name: str, python: str, *arguments: str) -> None:
        self.name = name
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [python, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def read(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"{self.name} ended without an answer, with status {self._process.wait(10)}")
        return json.loads(line)

    def ask(self, request: object) -> Any:
        assert self._process.stdin
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self.read()


@dataclass
class Turn:
    """One package, one round of one case; times in nanoseconds a call."""

    cpu: float
    wall: float
    counts: dict[str, int]


@dataclass
class Case:
    name: str
    calls: int
    ours: list[Turn] = field(default_factory=list)
    reference: list[Turn] = field(default_factory=list)

    def ratios(self) -> list[float]:
        return [ours.cpu / reference.cpu for ours, reference in zip(self.ours, self.reference, strict=True)]

    def row(self) -> str:
        ratios = self.ratios()
        middle = statistics.median(ratios)

        def ns(turns: list[Turn], kind: str) -> str:
            return f"{statistics.median(getattr(turn, kind) for turn in turns):,.0f}"

        cells = [
            f"`{self.name}`",
            f"{self.calls:,}",
            f"{ns(self.reference, 'wall')} / {ns(self.reference, 'cpu')}",
            f"{ns(self.ours, 'wall')} / {ns(self.ours, 'cpu')}",
            f"{middle:.4f} ({min(ratios):.4f}..{max(ratios):.4f})",
            f"{1 / middle:,.1f}",
        ]
        return f"| {' | '.join(cells)} |"


def turn(worker: Process, address: str, name: str, calls: int) -> Turn:
    _, evaluations, custom = workload.CASES[name]
    wall = worker.ask({"case": name, "calls": calls})["wall_ns"]
    query = f"key={worker.name}&evaluations={calls * evaluations}&custom={calls * custom}&seconds={DELIVERY}"
    with DIRECT.open(f"{address}/counts?{query}", timeout=DELIVERY + 10) as answer:
        counts = json.load(answer)
    cpu = worker.ask({})["cpu_ns"]
    for what, each in (("evaluations", evaluations), ("custom", custom)):
        if counts.get(what, 0) != calls * each:
            raise Failure(
                f"{name}: {worker.name} delivered {counts.get(what, 0):,} {what}, not {calls * each:,}: {counts}"
            )
    return Turn(cpu / calls, wall / calls, counts)


def measure(case: Case, ours: Process, reference: Process, address: str, rounds: int) -> None:
    for worker in (reference, ours):
        # Warms up: what is made once a context or a flag is made here, and its events are delivered.
        turn(worker, address, case.name, max(1000, case.calls // 10))
    for number in range(rounds):
        order = [(reference, case.reference), (ours, case.ours)]
        for worker, turns in order if number % 2 else reversed(order):
            turns.append(turn(worker, address, case.name, case.calls))
        if case.ours[-1].counts != case.reference[-1].counts:
            raise Failure(
                f"{case.name}: the two delivered different events:\n"
                f"  ours      {case.ours[-1].counts}\n  reference {case.reference[-1].counts}"
            )


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def report(cases: list[Case], versions: dict[str, Any], rounds: int) -> str:
    target = next((case for case in cases if case.name == TARGET_CASE), None)
    lines = [
        "# Processor time against launchdarkly-server-sdk",
        "",
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {processor()}, {os.cpu_count()} cores, {platform.system()}. "
        f"ldclient-rs {versions['ours']['version']} on Python {versions['ours']['python']}, "
        f"launchdarkly-server-sdk {versions['reference']['version']} on Python {versions['reference']['python']}.",
        "",
        f"Command: `make bench`, which runs `tests/benches/compare.py --rounds {rounds}`. "
        "Events on and delivered, the same number of evaluations and events counted by the sink for both.",
        "Nanoseconds a call: what the caller waits / processor time of the whole process until everything is "
        f"delivered, medians of {rounds} rounds. "
        "Ratio: processor time, median of the ratios within a round (min..max).",
        "",
        "| case | calls | launchdarkly-server-sdk | ldclient-rs | ratio | times less |",
        "|---|---:|---:|---:|---:|---:|",
        *(case.row() for case in cases),
        "",
    ]
    if target:
        middle = statistics.median(target.ratios())
        verdict = "reached" if middle <= TARGET_RATIO else "NOT reached"
        lines += [f"Target for `{TARGET_CASE}`, a ratio of {TARGET_RATIO} or less: {verdict} ({middle:.4f}).", ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", default=sys.executable, help="the Python that has this package (default: this one)")
    parser.add_argument("--reference", required=True, help="the Python that tests/reference_env printed")
    parser.add_argument("--rounds", type=int, default=7, help="at least 5 (default: %(default)s)")
    parser.add_argument("--case", action="append", choices=workload.CASES, help="only this case; may be repeated")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the table goes (default: %(default)s)")
    parser.add_argument("--control", action="store_true", help="the reference against itself: how far is 1.0 from 1.0?")
    parser.add_argument("--require-target", action="store_true", help="fail when the target is not reached")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("a median of fewer than 5 rounds says little")

    cases = [Case(name, workload.CASES[name][0]) for name in options.case or workload.CASES]
    with ExitStack() as stack:
        service = stack.enter_context(Process("service", sys.executable, str(HERE / "service.py")))
        address = f"http://127.0.0.1:{service.read()}"
        worker = str(HERE / "worker.py")
        reference = stack.enter_context(
            Process("reference", options.reference, worker, "reference", address, "contexts")
        )
        python, users = (options.reference, "contexts") if options.control else (options.ours, "dicts")
        ours = stack.enter_context(Process("ours", python, worker, "ours", address, users))
        try:
            versions = {"reference": reference.read(), "ours": ours.read()}
            for case in cases:
                measure(case, ours, reference, address, options.rounds)
                print(case.row(), flush=True)
        except Failure as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 1
    text = report(cases, versions, options.rounds)
    # A control, or a run of some cases only, must not replace the table of all.
    if options.output != RESULTS or not (options.case or options.control):
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")
    print(f"\n{text}")
    return 1 if options.require_target and "NOT reached" in text else 0


if __name__ == "__main__":
    sys.exit(main())
