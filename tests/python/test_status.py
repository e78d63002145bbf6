"""The status of the data source and of the data store, asked for and listened to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from heard import Heard, listening_threads, until
from ldclient import Config, LDClient
from ldclient.integrations import TestData
from ldclient.interfaces import (
    DataSourceErrorKind,
    DataSourceState,
    DataSourceStatus,
    DataSourceStatusProvider,
    DataStoreStatus,
    DataStoreStatusProvider,
)
from stand_in import StandIn, constant_flag, silent_port

USER = {"key": "u"}


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    until(listening_threads, 0)


def client_of(service: StandIn, start_wait: float = 5, **options: Any) -> LDClient:
    options = {"send_events": False, "initial_reconnect_delay": 0.01, **options}
    return LDClient(Config("sdk-key", base_uri=service.uri, stream_uri=service.uri, **options), start_wait=start_wait)


def states(heard: list[DataSourceStatus]) -> list[DataSourceState]:
    return [status.state for status in heard]


def test_the_status_is_valid_with_the_first_data_since_then_and_without_an_error(service: StandIn) -> None:
    before = time.time()
    with client_of(service) as client:
        provider = client.data_source_status_provider
        assert isinstance(provider, DataSourceStatusProvider)
        status = provider.status
        assert (status.state, status.error) == (DataSourceState.VALID, None)
        assert before - 0.01 <= status.since <= time.time()


def test_an_interruption_and_its_end_are_told_with_the_error(service: StandIn) -> None:
    with client_of(service) as client:
        heard = Heard()
        client.data_source_status_provider.add_listener(heard)
        service.fault("/all", status=503, times=2)
        service.end_streams()
        heard.wait_until(lambda statuses: any(status.state is DataSourceState.VALID for status in statuses))
        told = heard.values
        assert set(states(told[:-1])) == {DataSourceState.INTERRUPTED}
        answered = next(status for status in told if status.error.kind is DataSourceErrorKind.ERROR_RESPONSE)
        assert answered.error.status_code == 503
        assert "503" in answered.error.message
        assert abs(answered.error.time - time.time()) < 60
        assert told[-1].error.kind is DataSourceErrorKind.ERROR_RESPONSE, "the last error stays"


def test_failures_before_the_first_data_leave_the_state_initializing() -> None:
    with silent_port() as uri:
        config = Config("sdk-key", base_uri=uri, stream_uri=uri, send_events=False, initial_reconnect_delay=0.01)
        with LDClient(config, start_wait=0) as client:
            assert client.data_source_status_provider.status.state is DataSourceState.INITIALIZING
    with StandIn({}) as service:
        service.fault("/all", status=401)
        with client_of(service, start_wait=0) as client:
            heard = Heard()
            client.data_source_status_provider.add_listener(heard)
            until(lambda: client.data_source_status_provider.status.error is not None, True)
            status = client.data_source_status_provider.status
            assert (status.state, status.error and status.error.status_code) == (DataSourceState.INITIALIZING, 401)


def test_the_first_data_is_told_to_who_listens_before_it() -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service:
        service.fault("/all", status=500, times=3)
        with client_of(service, start_wait=0) as client:
            heard = Heard()
            client.data_source_status_provider.add_listener(heard)
            until(client.is_initialized, True)
            assert heard.wait_until(lambda told: bool(told) and told[-1].state is DataSourceState.VALID)


def test_close_is_told_as_off_and_nothing_follows() -> None:
    td = TestData.data_source()
    client = LDClient(Config("sdk-key", update_processor_class=td, send_events=False))
    heard = Heard()
    client.data_source_status_provider.add_listener(heard)
    client.close()
    assert states(heard.wait_for(1)) == [DataSourceState.OFF]
    until(listening_threads, 0)
    assert client.data_source_status_provider.status.state is DataSourceState.OFF
    # Nothing can come any more, so nobody waits for it.
    client.data_source_status_provider.add_listener(heard)
    until(listening_threads, 0)
    assert len(heard.values) == 1


def test_a_status_listener_can_be_removed_and_hears_no_flags(service: StandIn) -> None:
    with client_of(service) as client:
        heard, flags = Heard(), Heard()
        client.data_source_status_provider.add_listener(heard)
        client.flag_tracker.add_listener(flags)
        service.put(constant_flag("your.feature.key", 2))
        flags.wait_for(1)
        client.data_source_status_provider.remove_listener(heard)
        service.end_streams()
        service.wait_for_streams()
        service.put(constant_flag("your.feature.key", 3))
        flags.wait_for(2)
        assert heard.values == []


def test_a_client_that_is_offline_waits_for_ever_as_in_the_reference() -> None:
    with LDClient(Config(offline=True)) as client:
        assert client.data_source_status_provider.status.state is DataSourceState.INITIALIZING


def test_the_store_in_memory_is_available_and_not_monitored() -> None:
    with LDClient(Config(offline=True)) as client:
        provider = client.data_store_status_provider
        assert isinstance(provider, DataStoreStatusProvider)
        assert provider.status == DataStoreStatus(available=True, stale=False)
        assert not provider.is_monitoring_enabled()
        heard = Heard()
        provider.add_listener(heard)
        provider.remove_listener(heard)
        provider.remove_listener(heard)
        assert listening_threads() == 0


def test_what_a_store_tells_is_heard_once_for_each_other_status() -> None:
    with LDClient(Config("sdk-key", update_processor_class=TestData.data_source(), send_events=False)) as client:
        sink = client._notifications().store_sink
        heard = Heard()
        client.data_store_status_provider.add_listener(heard)
        sink.update_status(DataStoreStatus(True, False))
        sink.update_status(DataStoreStatus(False, False))
        sink.update_status(DataStoreStatus(False, False))
        sink.update_status(DataStoreStatus(True, True))
        assert heard.wait_for(2) == [DataStoreStatus(False, False), DataStoreStatus(True, True)]
        assert heard.threads == {"ldclient-listeners"}
        assert client.data_store_status_provider.status.stale
