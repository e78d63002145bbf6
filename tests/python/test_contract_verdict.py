"""What a run of the contract suite amounts to (``tests/contract/verdict.py``): a run that lost tests is no success."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.once

DECLARED = ["filtering", "tls:custom-ca"]
RECORDED: dict[str, Any] = {"capabilities": DECLARED, "ran": {"events": 2}}


@pytest.fixture(scope="module")
def verdict() -> ModuleType:
    path = Path(__file__).parents[1] / "contract" / "verdict.py"
    spec = importlib.util.spec_from_file_location("contract_verdict", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def report(*cases: str, declared: str = '["filtering", "tls:custom-ca"]') -> str:
    declared = declared.replace('"', "&quot;")
    properties = f'<property name="tests.service.info" value="{{&quot;capabilities&quot;: {declared}}}"/>'
    return f"<testsuites><testsuite><properties>{properties}</properties>{''.join(cases)}</testsuite></testsuites>"


def passed(name: str) -> str:
    return f'<testcase name="{name}"/>'


def skipped(name: str, reason: str) -> str:
    return f'<testcase name="{name}"><skipped message="{reason}"/></testcase>'


TWO = (passed("events/a"), passed("events/b"))


def test_a_run_as_recorded_has_no_fault(verdict: ModuleType) -> None:
    assert verdict.faults(verdict.read(report(*TWO)), RECORDED, DECLARED) == []


def test_a_test_that_one_of_two_reports_left_out_counts_as_the_other_has_it(verdict: ModuleType) -> None:
    left_out, waits = (
        skipped("events/b", verdict.LEFT_OUT),
        skipped("events/b", "use -enable-long-running-tests to run"),
    )
    failed = '<testcase name="events/b"><failure message="no"/></testcase>'
    for one, other, ran, faults in (
        (left_out, TWO[1], 2, []),
        (TWO[1], left_out, 2, []),
        (left_out, failed, 2, ["failed: events/b"]),
        (failed, TWO[1], 2, ["failed: events/b"]),
        (left_out, waits, 1, ["events: 1 tests ran, 2 are recorded"]),
    ):
        run = verdict.read(report(TWO[0], one), report(TWO[0], other))
        assert run.groups["events"].total == 2
        assert run.groups["events"].ran == ran
        assert verdict.faults(run, RECORDED, DECLARED, selected=True) == faults


def test_tests_that_share_a_name_count_each(verdict: ModuleType) -> None:
    once_more = passed("events/b")
    assert verdict.read(report(*TWO, once_more)).groups["events"].ran == 3
    assert verdict.read(report(*TWO, once_more), report(*TWO, once_more)).groups["events"].ran == 3


def test_a_failure_is_a_fault_with_its_name(verdict: ModuleType) -> None:
    run = verdict.read(report(*TWO, '<testcase name="events/c"><failure message="no"/></testcase>'))
    assert verdict.faults(run, RECORDED, DECLARED) == ["failed: events/c"]


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "test service does not have capability &quot;filtering&quot;",
        "test service does not have all of the required capabilities: [tls:custom-ca tls:verify-peer]",
        "persistence tests are off",
    ],
)
def test_a_skip_for_want_of_what_we_promise_is_a_fault(verdict: ModuleType, reason: str) -> None:
    run = verdict.read(report(*TWO, skipped("events/c", reason)))
    (fault,) = verdict.faults(run, RECORDED, DECLARED)
    assert fault.startswith("skipped: events/c")


@pytest.mark.parametrize(
    "reason",
    [
        "use -enable-long-running-tests to run",
        "SDK reports retry-conformance-fdv1-streaming; legacy permanent-stop behavior does not apply",
        "test service does not have capability &quot;filtering-strict&quot;",
    ],
)
def test_a_skip_of_what_is_not_promised_is_none(verdict: ModuleType, reason: str) -> None:
    assert verdict.faults(verdict.read(report(*TWO, skipped("events/c", reason))), RECORDED, DECLARED) == []


def test_a_group_that_shrinks_or_vanishes_is_a_fault(verdict: ModuleType) -> None:
    assert verdict.faults(verdict.read(report(passed("events/a"))), RECORDED, DECLARED) == [
        "events: 1 tests ran, 2 are recorded"
    ]
    assert verdict.faults(verdict.read(report(passed("tags/a"), passed("tags/b"))), RECORDED, DECLARED) == [
        "events: 0 tests ran, 2 are recorded"
    ]


def test_a_capability_that_is_dropped_or_added_in_silence_is_a_fault(verdict: ModuleType) -> None:
    run = verdict.read(report(*TWO, declared='["filtering", "tags"]'))
    assert verdict.faults(run, RECORDED, DECLARED) == [
        "tls:custom-ca is not declared any more",
        "tags is declared and not recorded",
    ]


def test_a_test_that_was_left_out_is_a_fault_in_a_whole_run_only(verdict: ModuleType) -> None:
    run = verdict.read(report(*TWO, skipped("tags", "excluded by filter parameters")))
    assert verdict.faults(run, RECORDED, DECLARED, selected=True) == []
    assert verdict.faults(run, RECORDED, DECLARED) == ["skipped: tags (excluded by filter parameters)"]
