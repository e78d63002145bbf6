"""Fixtures that every Python test may use. Deadlines of tests are left to pytest-timeout."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from stand_in import StandIn, constant_flag


@pytest.fixture
def service() -> Iterator[StandIn]:
    """A stand-in of the service that holds one flag: ``your.feature.key``, true for everyone."""
    with StandIn({"your.feature.key": constant_flag("your.feature.key", True)}) as running:
        yield running
        # Before the service goes, so that the client's last events find it.
        _reset_module()


@pytest.fixture(autouse=True)
def _fresh_module() -> Iterator[None]:
    """Leaves no shared client, key or configuration to the next test."""
    yield
    _reset_module()


def _reset_module() -> None:
    ldclient = sys.modules.get("ldclient")
    if ldclient is not None and hasattr(ldclient, "_reset_client"):
        ldclient._reset_client()
        ldclient.sdk_key = None
        ldclient.config = None
