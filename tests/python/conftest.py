"""Fixtures that every Python test may use. Deadlines of tests are left to pytest-timeout."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stand_in import StandIn, constant_flag

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever runs the tests in the background has interrupts ignored, which the programs under test would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """Starts clients against a stand-in, ``start(service, **options)``, and closes them before the stand-in goes."""
    from ldclient import Config, LDClient

    started: list[LDClient] = []

    def client(service: StandIn, sdk_key: str = "sdk-key", *, start_wait: float = 10, **options: Any) -> LDClient:
        uris = dict.fromkeys(("base_uri", "stream_uri", "events_uri"), service.uri)
        usual: dict[str, Any] = {**uris, "flush_interval": 3600, "diagnostic_opt_out": True}
        started.append(LDClient(Config(sdk_key, **{**usual, **options}), start_wait))
        return started[-1]

    yield client
    for one in started:
        one.close(0.5)


def _reset_module() -> None:
    ldclient = sys.modules.get("ldclient")
    if ldclient is not None and hasattr(ldclient, "_reset_client"):
        ldclient._reset_client()
        ldclient.sdk_key = None
        ldclient.config = None
