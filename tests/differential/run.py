"""Compares this package with launchdarkly-server-sdk 9.20 on random worlds. `make differential` runs it.

1. generator.py makes worlds from a seed; worker.py runs each in two processes, one for each package. Every answer and
   every event must be the same, as text.
2. A difference fails the run. It is printed with the seed and the number of its world, made as small as it can be made
   while the two still differ, and `--world` runs that world again. Once understood it becomes a named case in
   `tests/cases`.
3. The run prints how often each operator, reason, kind of error and kind of event was hit, and fails when one was hit
   fewer times than `--least`: what is never reached is not compared.
"""

from __future__ import annotations

import argparse
import json
import platform
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import generator

HERE = Path(__file__).resolve().parent
WORKER = str(HERE / "worker.py")
RESULTS = HERE / "results.md"
WRITTEN = 100  # worlds for tests/rust/differential.rs, whose other engine compiles patterns anew each time
AHEAD = 3  # worlds that wait in the pipes
DEADLINE = 60.0  # seconds for one world
SHOWN = 3  # differences that are made small and printed
PATIENCE = 15.0  # seconds to make one small

REQUIRED = [
    *(f"operator {op}: {result}" for op in generator.OPERATORS for result in ("true", "false") if op != "other"),
    "operator other: false",
    *(
        f"reason {kind}"
        for kind in ("OFF", "FALLTHROUGH", "TARGET_MATCH", "RULE_MATCH", "PREREQUISITE_FAILED", "ERROR")
    ),
    *(f"reason {kind}, in an experiment" for kind in ("FALLTHROUGH", "RULE_MATCH")),
    *(
        f"error kind {kind}"
        for kind in (
            "CLIENT_NOT_READY",
            "EXCEPTION",
            "FLAG_NOT_FOUND",
            "MALFORMED_FLAG",
            "USER_NOT_SPECIFIED",
            "WRONG_TYPE",
        )
    ),
    *(f"big segments {status}" for status in ("HEALTHY", "STALE", "NOT_CONFIGURED", "STORE_ERROR")),
    *(f"event {kind}" for kind in ("index", "identify", "custom", "feature", "debug", "migration_op", "summary")),
]

# Without one of these an item is another one, or none.
FIXED = ("key", "kind", "version", "attribute", "op", "values", "clauses", "status", "members")

World = dict[str, Any]


class Failure(Exception):
    """The comparison could not be made; says why."""


class Process:
    """A worker. Worlds go in and results come out in the same order; it ends with the block."""

    def __init__(self, name: str, python: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, WORKER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._complaints: list[str] = []
        # Both pipes are always read, so that neither side ever waits for the other to write.
        for follow in (self._follow, self._listen):
            threading.Thread(target=follow, daemon=True).start()

    def _follow(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _listen(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._complaints = [*self._complaints[-30:], line]

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def write(self, line: str) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # Reading tells what happened.

    def read(self) -> str:
        try:
            line = self._lines.get(timeout=DEADLINE)
        except queue.Empty:
            raise Failure(f"{self.name}: no answer within {DEADLINE:.0f} s") from None
        if not line:
            raise Failure(f"{self.name} ended without an answer:\n{''.join(self._complaints)}")
        return line


class Pair:
    def __init__(self, ours: Process, reference: Process) -> None:
        self._processes = (ours, reference)

    def send(self, world: World) -> None:
        line = json.dumps(world) + "\n"
        for process in self._processes:
            process.write(line)

    def differences(self, world: World) -> list[Difference]:
        """Reads the results of a world that was sent."""
        ours, reference = (process.read() for process in self._processes)
        if ours == reference:
            return []
        return list(compare(world, json.loads(ours), json.loads(reference)))

    def run(self, world: World) -> list[Difference]:
        self.send(world)
        return self.differences(world)

    def counts(self) -> Counter[str]:
        """What both have counted; the last question. What is seen from outside is counted by ours."""
        for process in self._processes:
            process.write("\n")
        ours, reference = (json.loads(process.read()) for process in self._processes)
        operators = {name: count for name, count in reference.items() if name.startswith("operator ")}
        return Counter({**ours, **operators})


class Difference:
    def __init__(self, world: World, what: str, ours: str, reference: str, calls: list[int]) -> None:
        self.world = world
        self.what = what
        self.ours = ours
        self.reference = reference
        self.calls = calls

    def report(self) -> str:
        lines = [
            f"World {self.world['name']}, {self.what}:",
            f"  ours      {self.ours}",
            f"  reference {self.reference}",
        ]
        for name in ("source", "config", "bigSegments"):
            if self.world[name] not in (None, {}, "file"):
                lines.append(f"  {name} {json.dumps(self.world[name], ensure_ascii=False)}")
        for name in ("flags", "segments"):
            for key, item in self.world[name].items():
                lines.append(f"  {name[:-1]} {key}: {json.dumps(item, ensure_ascii=False)}")
        for number, context in enumerate(self.world["contexts"]):
            if any(call[1] == number for call in self.world["calls"]):
                lines.append(f"  context {number}: {json.dumps(context, ensure_ascii=False)}")
        lines.append(f"  calls {json.dumps(self.world['calls'], ensure_ascii=False)}")
        seed, number = self.world["name"].split("/")
        lines.append(f"  To see it again: {Path(__file__).name} --seed {seed} --world {number}")
        return "\n".join(lines)


def compare(world: World, ours: Any, reference: Any) -> Iterator[Difference]:
    """The first difference of each call, and the first of the events."""
    answers = zip(world["calls"], ours["answers"], reference["answers"], strict=True)
    for number, (call, mine, theirs) in enumerate(answers):
        if mine != theirs:
            yield Difference(world, f"answer to {call[0]}", mine, theirs, [number])
    if ours["events"] != reference["events"]:
        both = [*zip(ours["events"], reference["events"], strict=False)]
        first = next((n for n, (mine, theirs) in enumerate(both) if mine != theirs), len(both))
        mine, theirs = ([*side["events"][first : first + 1], "none"][0] for side in (ours, reference))
        yield Difference(world, f"event {first}", mine, theirs, list(range(len(world["calls"]))))


# ---------------------------------------------------------------------------------------------------- making it small


def smallest(difference: Difference, pair: Pair) -> Difference:
    """Takes away from the world whatever can be missing while the two still differ about the same thing."""
    about = difference.what.split()[0]
    end = time.monotonic() + PATIENCE

    def still(world: World) -> Difference | None:
        return next((d for d in pair.run(world) if d.what.split()[0] == about), None)

    world = {**difference.world, "calls": [difference.world["calls"][number] for number in difference.calls]}
    best = still(world)
    if best is None:
        # It takes the other calls too, or chance: what this one was about must do.
        asked = {call[2] for call in world["calls"] if call[0] in generator.EVALUATIONS}
        flags = {key: item for key, item in world["flags"].items() if key in asked}
        difference.world = {**world, "flags": flags, "segments": {}}
        return difference
    smaller = True
    while smaller:
        smaller = False
        for part in ("calls", "flags", "segments", "bigSegments", "config", "contexts"):
            for candidate in reductions(best.world[part], part):
                if time.monotonic() > end:
                    return best
                found = still({**best.world, part: candidate})
                if found is not None:
                    best, smaller = found, True
                    break
            # What could be taken away once can be again: the same part from its beginning.
            if smaller:
                break
    return best


def reductions(value: Any, part: str = "") -> Iterator[Any]:
    """Versions of a value with something missing, the largest cuts first. Of the parts of a world, calls are only left
    out whole, and no context is, since calls name them by their number."""
    if isinstance(value, list):
        for size in dict.fromkeys((len(value), len(value) // 2, len(value) // 4, 1)) if part != "contexts" else ():
            for start in range(0, len(value), size or 1):
                if size:
                    yield value[:start] + value[start + size :]
        for number, item in enumerate(value) if part != "calls" else ():
            for smaller in reductions(item):
                yield [*value[:number], smaller, *value[number + 1 :]]
    elif isinstance(value, dict):
        for name in value:
            if name not in FIXED:
                yield {other: item for other, item in value.items() if other != name}
        for name, item in value.items():
            for smaller in reductions(item):
                yield {**value, name: smaller}


# ---------------------------------------------------------------------------------------------------- the run


class Notebook:
    """A file for the first worlds, if there is a path."""

    def __init__(self, path: Path | None) -> None:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8") if path else None
        self._left = WRITTEN

    def __call__(self, world: World) -> None:
        if self._file and self._left > 0:
            self._left -= 1
            print(json.dumps(world), file=self._file)

    def __enter__(self) -> Notebook:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def run(pair: Pair, seed: int, evaluations: int, note: Callable[[World], None]) -> tuple[int, list[Difference]]:
    """Runs as many worlds as it takes. Returns how many, and every difference."""
    waiting: list[World] = []
    differences: list[Difference] = []
    number = made = 0
    began = said = time.monotonic()
    while waiting or made < evaluations:
        while made < evaluations and len(waiting) < AHEAD:
            world = generator.world(seed, number)
            note(world)
            pair.send(world)
            waiting.append(world)
            number += 1
            made += sum(call[0] in generator.EVALUATIONS for call in world["calls"])
        differences += pair.differences(waiting.pop(0))
        if time.monotonic() - said > 20:
            said = time.monotonic()
            print(f"{made:,} evaluations in {said - began:.0f} s, {len(differences)} differences", flush=True)
    return number, differences


def table(counts: Counter[str], least: int) -> tuple[str, list[str]]:
    """All counts, one line a subject, and those that are too low."""
    low = [name for name in REQUIRED if counts[name] < least]
    groups: dict[str, list[str]] = {}
    for name in sorted({*REQUIRED, *counts}):
        for subject in ("operator", "reason", "error kind", "big segments", "event"):
            if name.startswith(f"{subject} "):
                groups.setdefault(subject, []).append(f"{name[len(subject) + 1 :]} {counts[name]:,}")
    return "\n".join(f"- {subject}: {'; '.join(items)}" for subject, items in groups.items()), low


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", default=sys.executable, help="the Python that has this package (default: this one)")
    parser.add_argument("--reference", required=True, help="the Python that tests/reference_env printed")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--evaluations", type=int, default=120_000, help="default: %(default)s")
    parser.add_argument("--least", type=int, default=1_000, help="hits of each thing counted (default: %(default)s)")
    parser.add_argument("--world", type=int, help="run this world of the seed and no other")
    parser.add_argument("--worlds", type=Path, help=f"also write the first {WRITTEN} worlds here, one JSON line each")
    parser.add_argument("--record", action="store_true", help=f"write the result to {RESULTS.name} too")
    options = parser.parse_args()

    with ExitStack() as stack:
        pair = Pair(
            stack.enter_context(Process("ours", options.ours)),
            stack.enter_context(Process("reference", options.reference)),
        )
        note = stack.enter_context(Notebook(options.worlds))
        began = time.monotonic()
        try:
            if options.world is not None:
                number, differences = 1, pair.run(generator.world(options.seed, options.world))
            else:
                number, differences = run(pair, options.seed, options.evaluations, note)
            took = time.monotonic() - began
            shown = [smallest(difference, pair).report() for difference in differences[:SHOWN]]
            counts = pair.counts() if not shown else Counter()
        except Failure as failure:
            print(f"differential: {failure}", file=sys.stderr)
            return 1

    if shown:
        worlds_of = len({difference.world["name"] for difference in differences})
        print("\n\n".join(shown))
        print(
            f"\ndifferential: {len(differences)} differences in {worlds_of} of {number} worlds of seed {options.seed}"
        )
        return 1
    result, low = table(counts, options.least)
    evaluations = counts["evaluations"]
    print(result)
    print(
        f"differential: 0 differences in {evaluations:,} evaluations with {counts['events']:,} events "
        f"({number:,} worlds of seed {options.seed}, {took:.0f} s)"
    )
    if low and options.world is None:
        print(f"differential: hit fewer than {options.least:,} times: {', '.join(low)}", file=sys.stderr)
        return 1
    if options.record:
        RESULTS.write_text(record(options.seed, number, counts, took, result), encoding="utf-8")
    return 0


def record(seed: int, worlds: int, counts: Counter[str], took: float, result: str) -> str:
    return (
        "# The last long run against launchdarkly-server-sdk 9.20\n\n"
        f"{datetime.now(timezone.utc):%Y-%m-%d}, Python {platform.python_version()}, {platform.system()}. "
        "Command: `make differential-long`.\n\n"
        f"0 differences in {counts['evaluations']:,} evaluations, {counts['events']:,} events and "
        f"{counts['flag states']:,} calls of `all_flags_state`: {worlds:,} worlds of seed {seed}, in {took:.0f} s. "
        f"How often each thing was hit:\n\n{result}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
