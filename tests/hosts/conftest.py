"""Fixtures of the tests on real hosts. Where a host cannot be had, its tests say so by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stand_in import StandIn, constant_flag

pytest.register_assert_rewrite("checks")


@pytest.fixture
def service() -> Iterator[StandIn]:
    """A stand-in of the service that holds one flag: ``your.feature.key``, true for everyone."""
    with StandIn({"your.feature.key": constant_flag("your.feature.key", True)}) as running:
        yield running
