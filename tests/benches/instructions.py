"""How many instructions a call takes, counted by valgrind and held against the record. `make bench-instructions` runs it.

1. Each case runs twice in a process of its own, a few and many times; the difference is what the calls took, without
   start and end. Instructions do not depend on how busy a machine is: two runs differ by less than one in a hundred.
2. The engine's cases count the whole program, which has no Python. Those with Python count only what happens inside this
   package's own library, so that another patch release of Python changes nothing.
3. The record is `instructions.json`. A case that needs more than 5 % more fails. `--record` writes what was counted:
   a figure goes up only in a commit that says why.
4. Another compiler makes other code: where its version is not the recorded one, figures are shown and nothing fails.
5. valgrind knows no SHA instructions, so `rollout` shows the hash in software, which is slower than on most machines.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import workload

HERE = Path(__file__).resolve().parent
RECORD = HERE / "instructions.json"
ALLOWED = 1.05
FEW, MANY = 500, 2_500
PYTHON_CASES = [case for case in workload.CASES if case not in ("mixed", "all_flags_json")]
# case -> few, many
ENGINE_CASES = {
    "bool-simple": (1_000, 11_000),
    "rules": (1_000, 11_000),
    "rollout": (1_000, 11_000),
    "prereq": (1_000, 11_000),
    "load": (5, 25),
    "patch": (50, 250),
}
LIBRARY = re.compile(r"_ldclient\.|libldclient")


class Failure(Exception):
    """It could not be counted; says why."""


def counted(command: list[str], library: re.Pattern[str] | None) -> int:
    """The instructions of a command; only those inside a library, if one is named."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "counted")
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--compress-strings=no"]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        run = subprocess.run([*valgrind, *command], capture_output=True, text=True, env=environment, timeout=600)
        if run.returncode != 0 or not out.exists():
            raise Failure(f"{' '.join(command)} ended with status {run.returncode}:\n{run.stderr[-2000:]}")
        return total(out, library)


def total(out: Path, library: re.Pattern[str] | None) -> int:
    """Adds up what functions took themselves, in the objects whose name matches."""
    instructions, inside, call_follows = 0, library is None, False
    with out.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("ob="):
                inside = library is None or library.search(line) is not None
            elif line.startswith("calls="):
                call_follows = True  # the next line is what the called function took
            elif line[0] in "+-*0123456789":
                if inside and not call_follows:
                    instructions += int(line.split()[1])
                call_follows = False
    return instructions


def count(engine: Path, python: str, data: str, chosen: list[str]) -> dict[str, int]:
    found = {}
    for name in chosen:
        side, _, case = name.partition(" ")
        if side == "engine":
            few, many = ENGINE_CASES[case]
            command, library = [str(engine), case], None
        else:
            few, many = FEW, MANY
            command, library = [python, str(HERE / "counted.py"), case], LIBRARY
        before, after = (counted([*command, str(times), data], library) for times in (few, many))
        found[name] = round((after - before) / (many - few))
        print(f"{name:<24}{found[name]:>12,}", flush=True)
    return found


def built_engine() -> Path:
    """Builds engine.rs as a release is built, and says where it is."""
    command = ["cargo", "bench", "--locked", "--bench", "engine", "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in built.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "engine" and message.get("executable"):
            return Path(message["executable"])
    raise Failure("cargo built no program of engine.rs")


def compiler() -> str:
    said = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout
    return " ".join(said.split()[:2])


def judge(found: dict[str, int], record: dict[str, int]) -> list[str]:
    """What grew by more than is allowed, in words."""
    lines = []
    for name, now in found.items():
        before = record.get(name)
        if before is None:
            lines.append(f"{name} is not in the record")
        elif now > before * ALLOWED:
            lines.append(f"{name} takes {now:,} instructions, {now / before - 1:+.1%} against {before:,}")
        elif now * ALLOWED < before:
            print(f"{name} takes {now:,} instructions rather than {before:,}: worth recording")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [f"engine {case}" for case in ENGINE_CASES] + [f"python {case}" for case in PYTHON_CASES]
    parser.add_argument("--engine", type=Path, help="the program made of engine.rs (default: it is built)")
    parser.add_argument("--python", default=sys.executable, help="the Python that has this package (default: this one)")
    parser.add_argument("--only", action="append", choices=everything, help="only this one; may be repeated")
    parser.add_argument("--record", action="store_true", help="write the record instead of comparing with it")
    options = parser.parse_args()

    try:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder, "data.json")
            data.write_text(json.dumps(workload.data()), encoding="utf-8")
            found = count(options.engine or built_engine(), options.python, str(data), options.only or everything)
    except (Failure, OSError, subprocess.SubprocessError) as failure:
        print(f"bench-instructions: {failure}", file=sys.stderr)
        return 1
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"compiler": "", "instructions": {}}
    if options.record:
        kept = {**record["instructions"], **found}
        kept = {name: kept[name] for name in everything if name in kept}
        text = json.dumps({"compiler": compiler(), "instructions": kept}, indent=2)
        RECORD.write_text(text + "\n", encoding="utf-8")
        return 0
    grown = judge(found, record["instructions"])
    if record["compiler"] != compiler():
        print(f"Not judged: the record was made with {record['compiler']}, this is {compiler()}.")
        return 0
    for line in grown:
        print(f"bench-instructions: {line}", file=sys.stderr)
    if grown:
        print("A record is raised with `--record`, in a commit that says why.", file=sys.stderr)
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
