"""Listeners to flags: what they hear, on which thread, and what they may do. Which flags a change affects is tested in
Rust; statuses have tests of their own."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from heard import Heard, listening_threads, until
from ldclient import Config, Context, LDClient
from ldclient.integrations import TestData
from ldclient.interfaces import FlagChange, FlagTracker, FlagValueChange
from ldclient.listeners import Listeners
from program import Program
from stand_in import StandIn, constant_flag

USER = {"key": "u"}


@pytest.fixture
def td() -> TestData:
    source = TestData.data_source()
    return source.update(source.flag("a").value_for_all(1)).update(source.flag("b").value_for_all(1))


@pytest.fixture
def client(td: TestData) -> Iterator[LDClient]:
    with LDClient(Config("sdk-key", update_processor_class=td, send_events=False)) as client:
        yield client
    until(listening_threads, 0)


def serve(td: TestData, key: str, value: Any) -> None:
    td.update(td.flag(key).value_for_all(value))


def keys(heard: list[FlagChange]) -> list[str]:
    return [change.key for change in heard]


def test_a_listener_hears_each_change_in_order_on_a_thread_of_its_own(td: TestData, client: LDClient) -> None:
    assert isinstance(client.flag_tracker, FlagTracker)
    heard = Heard()
    client.flag_tracker.add_listener(heard)
    for value, key in enumerate("abaab"):
        serve(td, key, value)
    assert keys(heard.wait_for(5)) == list("abaab")
    assert heard.threads == {"ldclient-listeners"}


def test_without_listeners_there_is_no_thread_and_one_serves_all(td: TestData, client: LDClient) -> None:
    assert (client.flag_tracker, listening_threads()) == (client.flag_tracker, 0)
    one, two = Heard(), Heard()
    with LDClient(Config("other-key", update_processor_class=td, send_events=False)) as other:
        client.flag_tracker.add_listener(one)
        other.flag_tracker.add_listener(two)
        serve(td, "a", 2)
        one.wait_for(1)
        two.wait_for(1)
        assert listening_threads() == 1
        other.flag_tracker.remove_listener(two)
        client.flag_tracker.remove_listener(one)
        until(listening_threads, 0)
        client.flag_tracker.add_listener(one)
        serve(td, "b", 2)
        assert keys(one.wait_for(2)) == ["a", "b"]
        assert len(two.values) == 1


def test_removing_a_listener_that_was_never_added_does_nothing(client: LDClient) -> None:
    client.flag_tracker.remove_listener(print)
    assert listening_threads() == 0


def test_the_changes_of_the_stream_are_told_through_prerequisites_and_segments() -> None:
    clause = {"attribute": "", "op": "segmentMatch", "values": ["s"], "contextKind": "user"}
    flags = {
        "base": constant_flag("base", 1),
        "top": constant_flag("top", 1, prerequisites=[{"key": "base", "variation": 0}]),
        "members": constant_flag("members", 1, rules=[{"variation": 0, "clauses": [clause]}]),
    }
    with StandIn(flags, {"s": {"key": "s", "version": 1}}) as service:
        config = Config("sdk-key", base_uri=service.uri, stream_uri=service.uri, send_events=False)
        with LDClient(config) as client:
            heard = Heard()
            client.flag_tracker.add_listener(heard)
            service.put(constant_flag("base", 2))
            assert sorted(keys(heard.wait_for(2))) == ["base", "top"]
            service.put_segment({"key": "s", "included": ["u"]})
            assert keys(heard.wait_for(3))[2:] == ["members"]
            service.delete("top")
            assert keys(heard.wait_for(4))[3:] == ["top"]


def test_a_value_listener_hears_only_of_other_values_for_its_context(td: TestData, client: LDClient) -> None:
    td.update(td.flag("a").variations("x", "y").variation_for_all(0).variation_for_user("u", 0))
    heard, others = Heard(), Heard()
    client.flag_tracker.add_flag_value_change_listener("a", Context.create("u"), heard)
    client.flag_tracker.add_flag_value_change_listener("a", {"key": "other"}, listener=others)
    # Another value for everybody but `u`, and then one for `u`.
    td.update(td.flag("a").fallthrough_variation(1))
    others.wait_for(1)
    serve(td, "b", "nobody listens to this flag")
    td.update(td.flag("a").variation_for_user("u", 1))
    (change,) = heard.wait_for(1)
    assert isinstance(change, FlagValueChange)
    assert (change.key, change.old_value, change.new_value) == ("a", "x", "y")
    assert len(others.values) == 1


def test_a_value_listener_hears_when_a_flag_comes_and_tells_true_from_1(td: TestData, client: LDClient) -> None:
    heard = Heard()
    client.flag_tracker.add_flag_value_change_listener("new", USER, fn=heard)  # type: ignore[call-arg]
    serve(td, "new", 1)
    heard.wait_for(1)
    serve(td, "new", True)
    heard.wait_for(2)
    assert [(change.old_value, change.new_value) for change in heard.values] == [(None, 1), (1, True)]


def test_a_value_listener_is_removed_by_its_subscription_and_not_by_itself(td: TestData, client: LDClient) -> None:
    heard, witness = Heard(), Heard()
    subscription = client.flag_tracker.add_flag_value_change_listener("a", USER, heard)
    client.flag_tracker.add_listener(witness)
    client.flag_tracker.remove_listener(heard)
    serve(td, "a", 2)
    heard.wait_for(1)
    client.flag_tracker.remove_listener(subscription)
    serve(td, "a", 3)
    witness.wait_for(2)
    assert len(heard.values) == 1


def test_a_value_listener_needs_something_to_call(client: LDClient) -> None:
    with pytest.raises(TypeError, match="expected a listener"):
        client.flag_tracker.add_flag_value_change_listener("a", USER)  # type: ignore[call-arg]


@pytest.mark.parametrize("failure", [ValueError("of the listener"), SystemExit(3)])
def test_a_listener_that_raises_is_logged_and_the_others_go_on(
    failure: BaseException, td: TestData, client: LDClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> None:
        raise failure

    heard = Heard()
    client.flag_tracker.add_listener(fail)
    client.flag_tracker.add_listener(heard)
    serve(td, "a", 2)
    serve(td, "b", 2)
    assert keys(heard.wait_for(2)) == ["a", "b"]
    records = [record for record in caplog.records if "A listener for FlagChange raised" in record.getMessage()]
    assert [record.levelno for record in records] == [logging.ERROR] * 2


def test_a_listener_that_blocks_stops_no_evaluation_and_loses_no_change(td: TestData, client: LDClient) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def block(_: Any) -> None:
        begun.set()
        assert go_on.wait(30)

    heard = Heard(block)
    client.flag_tracker.add_listener(heard)
    serve(td, "a", 2)
    assert begun.wait(10)
    for value in range(500):
        serve(td, "b", value)
        assert client.variation("b", USER, None) == value
    assert len(heard.values) == 1
    go_on.set()
    assert keys(heard.wait_for(501)) == ["a"] + ["b"] * 500


def test_a_listener_may_use_the_client_remove_itself_and_add_another(td: TestData, client: LDClient) -> None:
    later = Heard()
    found: list[Any] = []

    def once(change: FlagChange) -> None:
        found.append(client.variation(change.key, USER, None))
        client.flag_tracker.remove_listener(once)
        client.flag_tracker.add_listener(later)
        serve(td, "b", "from the listener")

    client.flag_tracker.add_listener(once)
    serve(td, "a", 2)
    assert keys(later.wait_for(1)) == ["b"]
    assert found == [2]


def test_a_listener_that_was_removed_by_another_one_is_not_called_any_more(td: TestData, client: LDClient) -> None:
    second, last = Heard(), Heard()
    client.flag_tracker.add_listener(lambda _: client.flag_tracker.remove_listener(second))
    client.flag_tracker.add_listener(second)
    client.flag_tracker.add_listener(last)
    serve(td, "a", 2)
    last.wait_for(1)
    assert second.values == []


def test_a_listener_may_close_the_client(td: TestData, client: LDClient) -> None:
    heard = Heard(lambda _: client.close())
    client.flag_tracker.add_listener(heard)
    serve(td, "a", 2)
    heard.wait_for(1)
    until(client.is_closed, True)
    until(listening_threads, 0)
    assert client.variation("a", USER, None) == 2


def test_adding_and_removing_from_many_threads_loses_nobody(td: TestData, client: LDClient) -> None:
    heard = [Heard() for _ in range(8)]

    def come_and_go(one: Heard) -> None:
        for _ in range(100):
            client.flag_tracker.add_listener(one)
            client.flag_tracker.remove_listener(one)
        client.flag_tracker.add_listener(one)

    threads = [threading.Thread(target=come_and_go, args=(one,)) for one in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    serve(td, "a", 2)
    assert [keys(one.wait_for(1)) for one in heard] == [["a"]] * 8
    assert listening_threads() == 1


def test_listeners_keep_a_client_alive_and_it_can_go_without_them(td: TestData) -> None:
    config = Config("sdk-key", update_processor_class=td, send_events=False)
    client = LDClient(config)
    heard, gone = Heard(), weakref.ref(client)
    client.flag_tracker.add_listener(heard)
    tracker = client.flag_tracker
    del client
    gc.collect()
    serve(td, "a", 2)
    heard.wait_for(1)
    tracker.remove_listener(heard)
    del tracker
    until(listening_threads, 0)
    gc.collect()
    assert gone() is None


def test_a_listener_that_is_added_twice_is_called_twice_as_in_the_reference() -> None:
    heard = Heard()
    listeners = Listeners()
    listeners.add(heard)
    listeners.add(heard)
    listeners.notify(1)
    assert heard.values == [1, 1]
    assert (listeners.remove(heard), listeners.has_listeners()) == (True, True)
    assert (listeners.remove(heard), listeners.remove(heard)) == (True, False)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_listeners_from_before_a_fork_work_in_the_child_and_in_the_parent(service: StandIn) -> None:
    script = """
    heard, values = [], []
    client = LDClient(config(send_events=False), 5)
    client.flag_tracker.add_listener(lambda change: heard.append(change.key))
    client.flag_tracker.add_flag_value_change_listener("your.feature.key", USER, values.append)

    def work():
        assert [t.name for t in threading.enumerate()] == ["MainThread"]
        client.variation("your.feature.key", USER, None)
        until(lambda: heard and values)
        assert (values[0].old_value, values[0].new_value) == (True, "new")
        client.close()
        until(lambda: "ldclient-listeners" not in [t.name for t in threading.enumerate()])

    child = fork(work)
    reap(child)
    until(lambda: heard and values)
    client.close()
    """
    with Program(script, service.uri) as program:
        service.wait_for_streams(2)
        service.put(constant_flag("your.feature.key", "new"))
        program.succeeds()


def test_a_program_ends_at_once_with_its_client_open_and_a_listener_blocked(service: StandIn) -> None:
    script = """
    client = LDClient(config(), 5)
    begun = threading.Event()
    def block(change):
        begun.set()
        threading.Event().wait()
    client.flag_tracker.add_listener(block)
    print("listens", flush=True)
    assert begun.wait(10)
    """
    with Program(script, service.uri) as program:
        service.wait_for_streams(1)
        end = threading.Event()
        putting = threading.Thread(target=_put_until, args=(service, end))
        putting.start()
        try:
            program.succeeds()
        finally:
            end.set()
            putting.join()


def _put_until(service: StandIn, end: threading.Event) -> None:
    value = 0
    while not end.wait(0.05):
        value += 1
        service.put(constant_flag("your.feature.key", value))
