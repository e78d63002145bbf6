"""Fixtures for the tests of the doors: flags that a test sets, and no shared client left to the next test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import ldclient
from ldclient import Config, ambient, request
from ldclient.integrations import TestData


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Leaves no shared client, key, configuration or entered block to the next test."""
    request._said.clear()
    yield
    ldclient._reset_client()
    ldclient.sdk_key = None
    ldclient.config = None
    assert ambient._frame.get() is None
    ambient.finders.clear()


@pytest.fixture
def source() -> TestData:
    """The flags of the shared client: ``new-ui``, on for ann and off for everybody else, and ``colour``, "red"."""
    source = TestData.data_source()
    source.update(source.flag("new-ui").variation_for_all(False).variation_for_user("ann", True))
    source.update(source.flag("colour").value_for_all("red"))
    ldclient.set_config(Config("any-key", update_processor_class=source, send_events=False))
    return source
