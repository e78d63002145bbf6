"""Data sources of an application's own: what they may tell of their state, and how they go on in a forked process."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from heard import Heard
from ldclient import Config, LDClient
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.interfaces import DataSourceErrorInfo, DataSourceErrorKind, DataSourceState, DataSourceUpdateSink
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from program import Program

USER = {"key": "u"}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def flag(version: int = 1, value: object = "a") -> dict[str, Any]:
    return {"key": "f", "version": version, "on": False, "offVariation": 0, "variations": [value]}


class Source:
    """Does what the test tells it to."""

    made: Source

    def __init__(self, config: Config, store: Any, ready: threading.Event) -> None:
        type(self).made = self
        self.config, self.store, self.ready = config, store, ready
        assert config.data_source_update_sink is not None
        self.sink: DataSourceUpdateSink = config.data_source_update_sink

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def initialized(self) -> bool:
        return self.ready.is_set()


def client_of(**options: Any) -> LDClient:
    return LDClient(Config("sdk-key", update_processor_class=Source, send_events=False, **options), 0)


def told(client: LDClient) -> tuple[DataSourceState, DataSourceErrorKind | None]:
    status = client.data_source_status_provider.status
    return status.state, status.error and status.error.kind


def test_a_source_is_given_the_options_of_its_client_and_a_sink_of_its_own() -> None:
    config = Config("sdk-key", update_processor_class=Source, send_events=False)
    with LDClient(config, 0), LDClient(config, 0):
        given = Source.made.config
        assert given == config
        assert config == given
        assert repr(given) == repr(config)
        assert config.data_source_update_sink is None
        assert isinstance(given.data_source_update_sink, DataSourceUpdateSink)


def test_a_source_that_tells_no_state_is_valid_once_it_is_ready() -> None:
    with client_of() as client:
        assert told(client) == (DataSourceState.INITIALIZING, None)
        Source.made.store.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
        assert told(client) == (DataSourceState.INITIALIZING, None)
        Source.made.ready.set()
        assert told(client) == (DataSourceState.VALID, None)
        assert client.stats()["state"] == "VALID"


def test_listeners_hear_the_states_that_a_source_tells() -> None:
    with client_of() as client:
        heard = Heard()
        client.data_source_status_provider.add_listener(heard)
        sink = Source.made.sink
        sink.update_status(
            DataSourceState.INTERRUPTED, DataSourceErrorInfo(DataSourceErrorKind.ERROR_RESPONSE, 503, 7.5, "not now")
        )
        sink.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
        sink.update_status(DataSourceState.VALID, None)
        sink.update_status(DataSourceState.VALID, None)
        sink.update_status(
            DataSourceState.INTERRUPTED, DataSourceErrorInfo(DataSourceErrorKind.NETWORK_ERROR, 10**9, 8.0, None)
        )
        first, second, third = heard.wait_for(3)
        assert (first.state, first.error.kind) == (DataSourceState.INITIALIZING, DataSourceErrorKind.ERROR_RESPONSE)
        assert (first.error.status_code, first.error.time, first.error.message) == (503, 7.5, "not now")
        assert second.state is DataSourceState.VALID
        assert (third.state, third.error.kind) == (DataSourceState.INTERRUPTED, DataSourceErrorKind.NETWORK_ERROR)
        assert told(client) == (DataSourceState.INTERRUPTED, DataSourceErrorKind.NETWORK_ERROR)
        assert len(heard.values) == 3


@pytest.mark.parametrize("store", [None, InMemoryFeatureStore()], ids=["memory", "given"])
def test_the_sink_takes_data_as_the_store_does(store: Any) -> None:
    with client_of(feature_store=store) as client:
        sink = Source.made.sink
        sink.init({FEATURES: {"f": flag()}, SEGMENTS: {}})
        Source.made.ready.set()
        assert client.variation("f", USER, "default") == "a"
        sink.upsert(FEATURES, flag(2, "b"))
        assert client.variation("f", USER, "default") == "b"
        sink.delete(FEATURES, "f", 3)
        assert client.variation("f", USER, "default") == "default"


def test_data_that_cannot_be_taken_is_the_fault_of_the_store_and_raises() -> None:
    with client_of() as client:
        sink = Source.made.sink
        sink.update_status(DataSourceState.VALID, None)
        bad: Any = {FEATURES: 5}
        with pytest.raises(AttributeError):
            sink.init(bad)
        assert told(client) == (DataSourceState.INTERRUPTED, DataSourceErrorKind.STORE_ERROR)


def test_a_source_may_go_on_telling_when_its_client_is_closed_or_gone() -> None:
    client = client_of()
    sink = Source.made.sink
    client.close()
    sink.update_status(DataSourceState.VALID, None)
    assert told(client)[0] is DataSourceState.OFF
    del client
    sink.update_status(DataSourceState.VALID, None)


# Sources of the programs below count, in a thread, how often they were asked.
SOURCE = """
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

def flag(version):
    return {"key": "your.feature.key", "version": version, "on": False, "offVariation": 0, "variations": [version]}

class Source:
    made = []
    version = 0

    def __init__(self, config, store, ready):
        self.store, self.ready, self.process, self.stopped = store, ready, os.getpid(), threading.Event()
        self.calls = []
        Source.made.append(self)

    def start(self):
        self.called("start")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped.wait(0.005):
            Source.version += 1
            self.store.init({FEATURES: {"your.feature.key": flag(Source.version)}, SEGMENTS: {}})
            self.ready.set()

    def stop(self):
        self.called("stop")
        self.stopped.set()

    def initialized(self):
        return True

    def called(self, what):
        assert self.process == os.getpid(), what
        self.calls.append(what)

def own(**options):
    return LDClient(config(update_processor_class=Source, send_events=False, **options), 5)
"""


def runs(program: str) -> None:
    # Nothing is asked of the service.
    with Program(program, "http://127.0.0.1:1") as running:
        assert running.succeeds() == ""


@needs_fork
@pytest.mark.parametrize("store", ["None", "ldclient.feature_store.InMemoryFeatureStore()"])
def test_a_forked_child_begins_its_source_again_and_the_parents_goes_on(store: str) -> None:
    program = f"""
import ldclient.feature_store
{SOURCE}
client = own(feature_store={store})
until(lambda: value(client) > 3)

def work():
    inherited = value(client)
    assert inherited > 3, "what was known is there at once"
    until(lambda: value(client) > inherited + 3)
    assert len(Source.made) == 2, Source.made
    assert client.data_source_status_provider.status.state.name == "VALID"
    client.close()
    assert [source.calls for source in Source.made] == [["start"], ["start", "stop"]]
    threads = [thread.name for thread in threading.enumerate()]
    assert "ldclient-source" not in threads, threads

reap(fork(work))
now = value(client)
until(lambda: value(client) > now + 3)
client.close()
assert [source.calls for source in Source.made] == [["start", "stop"]]
"""
    runs(program)


@needs_fork
def test_a_child_that_only_closes_the_client_never_calls_the_source_that_it_inherited() -> None:
    program = f"""
{SOURCE}
client = own()

def work():
    client.close()
    assert [source.calls for source in Source.made] == [["start"]]

reap(fork(work))
client.close()
"""
    runs(program)


@needs_fork
def test_a_store_that_was_being_written_to_at_the_fork_takes_data_in_the_child() -> None:
    program = f"""
from ldclient.feature_store import InMemoryFeatureStore
{SOURCE}
store = InMemoryFeatureStore()
client = own(feature_store=store)
held, leave = threading.Event(), threading.Event()

def hold():
    with store._lock:
        held.set()
        leave.wait(20)

threading.Thread(target=hold, daemon=True).start()
assert held.wait(5)

def work():
    before = value(client)
    until(lambda: value(client) > before)
    client.close()

child = fork(work)
reap(child)
leave.set()
client.close()
"""
    runs(program)


@needs_fork
def test_a_source_that_cannot_begin_again_is_logged_and_the_known_flags_stay() -> None:
    program = f"""
import logging
{SOURCE}

class Once(Source):
    def start(self):
        if len(Source.made) > 1:
            raise RuntimeError("only once")
        super().start()

client = LDClient(config(update_processor_class=Once, send_events=False), 5)

def work():
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("ldclient.util").addHandler(handler)
    known = value(client)
    until(lambda: said)
    assert "could not be started in a forked process" in said[0], said
    assert value(client) == known > 0
    client.close()

reap(fork(work))
client.close()
"""
    runs(program)


@needs_fork
def test_a_requester_is_asked_in_the_child_too() -> None:
    program = f"""
{SOURCE}
asked = []

class Requester:
    def __init__(self, config):
        pass

    def get_all_data(self):
        asked.append(os.getpid())
        return {{FEATURES: {{"your.feature.key": flag(len(asked))}}, SEGMENTS: {{}}}}

client = LDClient(config(stream=False, feature_requester_class=Requester, poll_interval=1, send_events=False), 5)
assert value(client) == 1

def work():
    value(client)
    until(lambda: os.getpid() in asked)
    client.close()

reap(fork(work))
client.close()
"""
    runs(program)
