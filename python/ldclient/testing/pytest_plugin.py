"""The pytest plugin: the fixture ``flags``. Loaded by pytest wherever this package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .overrides import flags as Flags  # noqa: N812

__all__ = ["flags", "pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the setting ``ldclient_strict``."""
    parser.addini(
        "ldclient_strict", "Whether a flag that a test did not set is an error in tests with `flags`.", "bool", False
    )


def pytest_configure(config: pytest.Config) -> None:
    """Adds the marker ``ldclient_strict``."""
    config.addinivalue_line(
        "markers", "ldclient_strict(strict=True): whether a flag that this test did not set is an error"
    )


@pytest.fixture
def flags(request: pytest.FixtureRequest) -> Iterator[Flags]:
    """Flags for one test: ``flags(new_ui=True)`` sets some; ``flags.evaluations`` and ``flags.events`` tell what happened.

    No connection is opened and no thread started. See :class:`ldclient.testing.flags`.
    """
    from .overrides import flags as block

    strict = bool(request.config.getini("ldclient_strict"))
    marker = request.node.get_closest_marker("ldclient_strict")
    if marker is not None:
        strict = bool(marker.args[0] if marker.args else marker.kwargs.get("strict", True))
    with block(_strict=strict) as entered:
        yield entered
