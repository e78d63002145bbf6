"""Few threads, a small import, and workers that go on sharing the flags: limits for what ``footprint`` measures."""

from __future__ import annotations

import sys

import pytest

import footprint
from running import OURS

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.timeout(180),
]


def test_an_idle_client_has_two_native_threads_and_none_of_pythons() -> None:
    assert footprint.threads_of_idle_client(OURS) == footprint.Threads(native=2, python=0)


def test_the_import_is_small() -> None:
    cost = footprint.import_cost(OURS)
    # Processor time of a busy machine says little; the modules say what was imported, whatever else runs.
    assert cost.cpu_ms < 15
    assert cost.resident_mib < 5
    assert cost.modules < 30


def test_forked_workers_go_on_sharing_the_flags() -> None:
    growth = footprint.worker_growth(OURS)
    # The aim is a tenth. Of what is more, over half are the counters of 5,000 flags, the rest what two threads allocate;
    # a copy of the flags would be 100 %.
    assert growth.share <= 0.20, growth
