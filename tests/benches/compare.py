"""How much processor time a call takes, against launchdarkly-server-sdk 9.20 on the same work. `make bench` runs it.

1. Each package runs in a process of its own, takes its flags from one loopback service in another, and has events on
   (but for `all_flags_json`). A round of a case is the same number of calls in one after the other, in turns who goes
   first. `user_dict` is measured against ldclient-py 6.9.1, the last that took users as they were. `ready` and `import`
   are done by a fresh process each time.
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

import chart
import workload

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "latest.md"
README = HERE.parents[1] / "README.md"
CACHE = HERE.parents[1] / ".cache"
# Exact versions, and only what they need for a loopback service.
V6 = ("ldclient-py==6.9.1", "certifi", "expiringdict>=1.1.4", "pyRFC3339>=1.0", "semver>=2.10.2,<3", "urllib3>=1.22,<3")
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
    beside: str
    must: float
    aim: float
    ours: list[Turn] = field(default_factory=list)
    reference: list[Turn] = field(default_factory=list)

    def ratios(self) -> list[float]:
        return [ours.cpu / reference.cpu for ours, reference in zip(self.ours, self.reference, strict=True)]

    def ratio(self) -> float:
        return statistics.median(self.ratios())

    def verdict(self) -> str:
        ratio = self.ratio()
        return "aim" if ratio <= self.aim else "reached" if ratio <= self.must else "NOT reached"

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
            f"{self.must} / {self.aim}",
            self.verdict(),
        ]
        return f"| {' | '.join(cells)} |"


@dataclass
class Fresh:
    """What a fresh process of each package did; times in milliseconds, memory in MiB."""

    name: str
    ours: list[tuple[float, float, float]] = field(default_factory=list)
    reference: list[tuple[float, float, float]] = field(default_factory=list)

    def middle(self, turns: list[tuple[float, float, float]]) -> tuple[float, ...]:
        return tuple(statistics.median(column) for column in zip(*turns, strict=True))

    def ratios(self) -> list[float]:
        return [ours[0] / reference[0] for ours, reference in zip(self.ours, self.reference, strict=True)]

    def row(self) -> str:
        ours, reference, ratios = self.middle(self.ours), self.middle(self.reference), self.ratios()
        must, aim, memory_must, memory_aim = workload.FRESH[self.name]
        ratio = statistics.median(ratios)
        time = "aim" if ratio <= aim else "reached" if ratio <= must else "NOT reached"
        memory = "aim" if ours[2] <= memory_aim else "reached" if ours[2] <= memory_must else "NOT reached"
        cells = [
            f"`{self.name}`",
            f"{reference[0]:,.1f} / {reference[1]:,.1f} / {reference[2]:,.1f}",
            f"{ours[0]:,.1f} / {ours[1]:,.1f} / {ours[2]:,.1f}",
            f"{ratio:.3f} ({min(ratios):.3f}..{max(ratios):.3f})",
            f"{must} / {aim}: {time}",
            f"{memory_must} / {memory_aim}: {memory}",
        ]
        return f"| {' | '.join(cells)} |"


def environment(name: str, packages: tuple[str, ...], base: str) -> str:
    """The Python of an environment that has just these packages; made when it is not there."""
    home = CACHE / name
    python, made_of = home / "bin" / "python", home / ".made-of"
    want = "\n".join(packages)
    if not (python.exists() and made_of.exists() and made_of.read_text(encoding="utf-8") == want):
        print(f"Making {home}", file=sys.stderr)
        subprocess.run([base, "-m", "venv", "--clear", str(home)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run([str(python), *install], check=True)
        made_of.write_text(want, encoding="utf-8")
    return str(python)


def measure_fresh(case: Fresh, pythons: dict[str, str], address: str, rounds: int) -> None:
    order = [("reference", case.reference), ("ours", case.ours)]
    for number in range(rounds + 1):
        for name, turns in order if number % 2 else reversed(order):
            arguments = [str(HERE / "fresh.py"), case.name, *([] if case.name == "import" else [address])]
            with Process(f"{case.name} of {name}", pythons[name], *arguments) as process:
                cost = process.read()
            if number:  # the first one finds files that were not read before
                turns.append((cost["cpu_ns"] / 1e6, cost["wall_ns"] / 1e6, cost["kib"] / 1024))


def turn(worker: Process, address: str, name: str, calls: int) -> Turn:
    kind = workload.CASES[name]
    evaluations, custom = round(calls * kind.evaluations), calls * kind.custom
    wall = worker.ask({"case": name, "calls": calls})["wall_ns"]
    query = f"key={worker.name}&evaluations={evaluations}&custom={custom}&seconds={DELIVERY}"
    with DIRECT.open(f"{address}/counts?{query}", timeout=DELIVERY + 10) as answer:
        counts = json.load(answer)
    cpu = worker.ask({})["cpu_ns"]
    for what, expected in (("evaluations", evaluations), ("custom", custom)):
        if counts.get(what, 0) != expected:
            raise Failure(f"{name}: {worker.name} delivered {counts.get(what, 0):,} {what}, not {expected:,}: {counts}")
    return Turn(cpu / calls, wall / calls, counts)


def measure(case: Case, ours: Process, reference: Process, address: str, rounds: int) -> None:
    for worker in (reference, ours):
        # Warms up: what is made once a context or a flag is made here, and its events are delivered.
        turn(worker, address, case.name, min(case.calls, max(1000, case.calls // 10)))
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


def report(cases: list[Case], fresh: list[Fresh], versions: dict[str, Any], rounds: int) -> str:
    ours = versions["ours"]
    beside_v6 = f", for `user_dict` ldclient-py {versions['v6']['version']}" if "v6" in versions else ""
    return "\n".join(
        [
            "# Processor time against launchdarkly-server-sdk",
            "",
            f"{datetime.now(timezone.utc):%Y-%m-%d}, {processor()}, {os.cpu_count()} cores, {platform.system()}. "
            f"ldclient-rs {ours['version']} on Python {ours['python']}, "
            f"launchdarkly-server-sdk {versions['reference']['version']} on Python {versions['reference']['python']}"
            f"{beside_v6}.",
            "",
            f"Command: `make bench`, which runs `tests/benches/compare.py --rounds {rounds}`. "
            "Events on and delivered, the same number of evaluations and events counted by the sink for both; options "
            "are those of a release.",
            "Nanoseconds a call: what the caller waits / processor time of the whole process until everything is "
            f"delivered, medians of {rounds} rounds. Ratio: processor time, median of the ratios within a round "
            "(min..max).",
            "",
            "![The ratios](latest.svg)",
            "",
            "| case | calls | reference | ldclient-rs | ratio | times less | must / aim | |",
            "|---|---:|---:|---:|---:|---:|---:|---|",
            *(case.row() for case in cases),
            "",
            "`ready`: a client with 5,000 flags and 200 segments (9.6 MB) from its making to the last flag, by one poll. "
            "`import`: of the package with the client's classes. Each in a fresh process.",
            "",
            "| case | reference: CPU ms / wall ms / kept MiB | ldclient-rs | ratio of CPU | must / aim | memory: must / aim |",
            "|---|---:|---:|---:|---|---|",
            *(one.row() for one in fresh),
            "",
        ]
    )


def time_text(ns: float) -> str:
    return f"{ns / 1e6:,.1f} ms" if ns >= 1e6 else f"{ns:,.0f} ns"


def summary(cases: list[Case], fresh: list[Fresh]) -> str:
    """The table of the README."""
    rows = ["| | launchdarkly-server-sdk | ldclient-rs | times less |", "| --- | ---: | ---: | ---: |"]
    for case in cases:
        times = (statistics.median(turn.cpu for turn in turns) for turns in (case.reference, case.ours))
        cells = [workload.ABOUT[case.name], *map(time_text, times), f"{1 / case.ratio():,.1f}"]
        rows.append(f"| {' | '.join(cells)} |")
    for one in fresh:
        times = (one.middle(turns)[0] * 1e6 for turns in (one.reference, one.ours))
        cells = [workload.ABOUT[one.name], *map(time_text, times), f"{1 / statistics.median(one.ratios()):,.1f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([f"Run of {datetime.now(timezone.utc):%Y-%m-%d}:", "", *rows])


def write_readme(table: str) -> None:
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition("<!-- bench: begin -->\n")
    _, end, after = rest.partition("<!-- bench: end -->")
    if not end:
        raise Failure(f"{README} has no place for the table")
    README.write_text(f"{before}{begin}{table}\n{end}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*workload.CASES, *workload.FRESH]
    parser.add_argument("--ours", default=sys.executable, help="the Python that has this package (default: this one)")
    parser.add_argument("--reference", required=True, help="the Python that tests/reference_env printed")
    parser.add_argument("--rounds", type=int, default=9, help="at least 5 (default: %(default)s)")
    parser.add_argument("--case", action="append", choices=everything, help="only this case; may be repeated")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the table goes (default: %(default)s)")
    parser.add_argument("--control", action="store_true", help="the reference against itself: how far is 1.0 from 1.0?")
    parser.add_argument("--require-target", action="store_true", help="fail when a ratio that must be reached is not")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("a median of fewer than 5 rounds says little")

    chosen = options.case or everything
    kinds = {name: kind for name, kind in workload.CASES.items() if name in chosen}
    if options.control:
        kinds = {name: kind for name, kind in kinds.items() if kind.beside == "reference"}
    cases = [Case(name, kind.calls, kind.beside, kind.must, kind.aim) for name, kind in kinds.items()]
    fresh = [Fresh(name) for name in workload.FRESH if name in chosen]
    ours = options.reference if options.control else options.ours
    worker = str(HERE / "worker.py")
    with ExitStack() as stack:
        service = stack.enter_context(Process("service", sys.executable, str(HERE / "service.py")))
        address = f"http://127.0.0.1:{service.read()}"

        def start(name: str, python: str, users: str) -> Process:
            return stack.enter_context(Process(name, python, worker, name, address, users))

        try:
            workers = {
                "reference": start("reference", options.reference, "contexts"),
                "ours": start("ours", ours, "contexts" if options.control else "dicts"),
            }
            if any(case.beside == "v6" for case in cases):
                workers["v6"] = start("v6", environment("ldclient-py-6.9.1", V6, sys.executable), "old")
            versions = {name: worker.read() for name, worker in workers.items()}
            for case in cases:
                measure(case, workers["ours"], workers[case.beside], address, options.rounds)
                print(case.row(), flush=True)
            for one in fresh:
                measure_fresh(one, {"reference": options.reference, "ours": ours}, address, options.rounds)
                print(one.row(), flush=True)
        except Failure as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 1
    text = report(cases, fresh, versions, options.rounds)
    # A control, or a run of some cases only, must not replace the table of all.
    if options.output != RESULTS or not (options.case or options.control):
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")
        bars = [chart.Bar(case.name, case.ratio(), case.must) for case in cases]
        bars += [chart.Bar(one.name, statistics.median(one.ratios()), workload.FRESH[one.name][0]) for one in fresh]
        options.output.with_suffix(".svg").write_text(chart.drawn(bars), encoding="utf-8")
        if options.output == RESULTS:
            write_readme(summary(cases, fresh))
    print(f"\n{text}")
    return 1 if options.require_target and "NOT reached" in text else 0


if __name__ == "__main__":
    sys.exit(main())
