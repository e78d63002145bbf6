"""Fixtures for the tests of the doors: flags that a test sets, and no shared client left to the next test."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ldclient
from ldclient import Config, ambient, request
from ldclient.integrations import TestData

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

import django

django.setup()


@pytest.fixture(scope="session")
def django_project() -> Iterator[None]:
    """Django as its own test runner sets it up."""
    from django.test.utils import setup_test_environment, teardown_test_environment

    setup_test_environment(debug=False)
    yield
    teardown_test_environment()


@pytest.fixture(scope="session")
def database(django_project: None) -> Iterator[None]:
    """A database in memory, for the users of the admin."""
    from django.db import connection

    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0)
    yield
    connection.creation.destroy_test_db(name, verbosity=0)


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
