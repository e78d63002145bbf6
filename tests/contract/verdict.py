"""What a run of the harness amounts to: totals by group, and every reason why the run does not count. No I/O.

1. A failed test fails the run.
2. A skipped test does too, unless it was skipped because it takes minutes, because a declared capability replaces it,
   for want of capabilities that none of ours is among, or because the run was told to leave it out.
3. So does a capability of the recorded list that was not declared, or one that was declared without being recorded.
4. So does a group in which fewer tests ran than are recorded, and a group that was not run: tests that vanish are no
   success.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Group", "Run", "faults", "read", "table"]

_HARMLESS = re.compile(r"use -enable-long-running-tests to run|SDK reports retry-conformance-.*does not apply")
# The reason of a test that the run was told to leave out.
LEFT_OUT = "excluded by filter parameters"
_WANTED = re.compile(r"does not have (?:capability|all of the required capabilities)")


@dataclass
class Group:
    """The tests under one heading: how many there are, and the names of those that did not simply pass."""

    total: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def ran(self) -> int:
        return self.total - len(self.skipped)


@dataclass
class Run:
    """All groups by name, in the order of the run, and what the service declared."""

    groups: dict[str, Group]
    capabilities: list[str]


def read(*reports: str) -> Run:
    """Reads the harness's reports in JUnit's form. What one report passed over counts as another one has it."""
    # Several tests may share a name; in each report they come in the same order.
    seen: dict[tuple[str, int], tuple[bool, str | None]] = {}
    capabilities: list[str] = []
    for report in reports:
        met: Counter[str] = Counter()
        for suite in ElementTree.fromstring(report).iter("testsuite"):
            for one in suite.iter("property"):
                if one.get("name") == "tests.service.info":
                    capabilities = json.loads(one.get("value") or "{}").get("capabilities") or []
            for case in suite.iter("testcase"):
                name = case.get("name") or ""
                test = name, met[name]
                met[name] += 1
                skipped = case.find("skipped")
                reason = None if skipped is None else skipped.get("message") or ""
                failed = case.find("failure") is not None
                if test in seen:
                    failed_before, passed_over = seen[test]
                    failed = failed or failed_before
                    # A reason of the test's own says more than that a run was told to leave it out.
                    if passed_over is None or reason == LEFT_OUT:
                        reason = passed_over
                seen[test] = failed, reason
    groups: dict[str, Group] = {}
    for (name, _), (failed, passed_over) in seen.items():
        group = groups.setdefault(name.split("/", 1)[0], Group())
        group.total += 1
        if failed:
            group.failed.append(name)
        if passed_over is not None:
            group.skipped[name] = passed_over
    return Run(groups, capabilities)


def faults(run: Run, recorded: Mapping[str, Any], declared: Iterable[str], *, selected: bool = False) -> list[str]:
    """Returns why the run does not count, one sentence each; nothing when it does.

    :param recorded: ``{"capabilities": [...], "ran": {group: number}}``
    :param declared: the capabilities that we promise
    :param selected: whether the run was to leave tests out
    """
    wanted, ours = set(recorded["capabilities"]), set(run.capabilities)
    found = [f"{name} is not declared any more" for name in sorted(wanted - ours)]
    found += [f"{name} is declared and not recorded" for name in sorted(ours - wanted)]
    for name, least in recorded["ran"].items():
        ran = run.groups[name].ran if name in run.groups else 0
        if ran < least:
            found.append(f"{name}: {ran} tests ran, {least} are recorded")
    promised = [re.compile(rf"(?<![\w:-]){re.escape(name)}(?![\w:-])") for name in declared]
    for group in run.groups.values():
        found += [f"failed: {name}" for name in group.failed]
        for name, reason in group.skipped.items():
            wants_another = _WANTED.search(reason) and not any(ours.search(reason) for ours in promised)
            left_out = selected and reason == LEFT_OUT
            if not _HARMLESS.search(reason) and not wants_another and not left_out:
                found.append(f"skipped: {name} ({reason or 'no reason given'})")
    return found


def table(run: Run) -> str:
    """Returns the totals by group, for people."""
    rows = [(name, group.total, len(group.skipped), group.ran, len(group.failed)) for name, group in run.groups.items()]
    rows.append(("all", *(sum(column) for column in zip(*(row[1:] for row in rows), strict=True))))
    width = max(len(str(row[0])) for row in rows)
    lines = [f"{'group':{width}}  {'nodes':>6} {'skipped':>8} {'ran':>6} {'failed':>7}"]
    lines += [f"{row[0]:{width}}  {row[1]:6} {row[2]:8} {row[3]:6} {row[4]:7}" for row in rows]
    return "\n".join(lines)
