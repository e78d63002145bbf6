"""Flags that a test makes itself: what a builder describes, and how changes reach clients."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ldclient import Config, Context, LDClient
from ldclient.integrations import TestData
from ldclient.integrations.test_data import FlagBuilder, FlagRuleBuilder
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

USER = {"key": "u"}


@pytest.fixture
def td() -> TestData:
    return TestData.data_source()


@pytest.fixture
def client(td: TestData) -> Iterator[LDClient]:
    with client_of(td) as client:
        yield client


def client_of(td: TestData, **options: Any) -> LDClient:
    return LDClient(Config("sdk-key", update_processor_class=td, send_events=False, **options))


def answer(client: LDClient, user: Any = USER, key: str = "f") -> tuple[Any, str]:
    detail = client.variation_detail(key, user, None)
    return detail.value, detail.reason["kind"]


def test_both_import_paths_give_the_same_class(td: TestData) -> None:
    from ldclient import integrations
    from ldclient.integrations import test_data

    assert integrations.TestData is test_data.TestData is type(td)
    assert isinstance(td.flag("f"), FlagBuilder)
    assert isinstance(td.flag("f").if_match("name", "x"), FlagRuleBuilder)
    with pytest.raises(AttributeError):
        _ = integrations.Redisson  # type: ignore[attr-defined]


def test_a_client_is_ready_at_once_without_flags_threads_or_connections(td: TestData) -> None:
    before = threading.active_count()
    with client_of(td) as client:
        assert client.is_initialized()
        assert answer(client) == (None, "ERROR")
        assert (client.stats()["threads"], threading.active_count()) == (0, before)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_thread_is_started_and_no_socket_opened(td: TestData) -> None:
    def sockets() -> list[str]:
        found = []
        for name in os.listdir("/proc/self/fd"):
            try:
                found.append(os.readlink(f"/proc/self/fd/{name}"))
            except FileNotFoundError:
                continue
        return sorted(target for target in found if target.startswith("socket:"))

    def natives() -> int:
        names = [Path(f"/proc/self/task/{task}/comm").read_text() for task in os.listdir("/proc/self/task")]
        return sum(name.startswith("ld-") for name in names)

    before = sockets(), natives()
    with client_of(td) as client:
        td.update(td.flag("f"))
        assert answer(client) == (True, "FALLTHROUGH")
        assert (sockets(), natives()) == before


def test_a_new_flag_is_a_boolean_one_that_is_on(td: TestData, client: LDClient) -> None:
    td.update(td.flag("f"))
    assert answer(client) == (True, "FALLTHROUGH")
    td.update(td.flag("f").on(False))
    assert answer(client) == (False, "OFF")


def test_flags_from_before_and_after_the_start_reach_every_client(td: TestData) -> None:
    td.update(td.flag("before"))
    with client_of(td) as one, client_of(td) as two:
        td.update(td.flag("after").variation_for_all(False))
        for client in (one, two):
            assert answer(client, key="before") == (True, "FALLTHROUGH")
            assert answer(client, key="after") == (False, "FALLTHROUGH")
        one.close()
        td.update(td.flag("after").variation_for_all(True))
        assert (answer(one, key="after")[0], answer(two, key="after")[0]) == (False, True)


def test_a_client_that_nobody_holds_is_forgotten(td: TestData) -> None:
    client = client_of(td)
    td.update(td.flag("f"))
    del client
    gc.collect()
    td.update(td.flag("f"))
    assert td._clients == []


@pytest.mark.parametrize(("variation", "value"), [(True, True), (False, False), (0, True), (1, False)])
def test_variations_are_named_by_truth_or_index(
    variation: bool | int, value: bool, td: TestData, client: LDClient
) -> None:
    td.update(td.flag("f").fallthrough_variation(variation))
    assert answer(client) == (value, "FALLTHROUGH")
    td.update(td.flag("f").on(False).off_variation(variation))
    assert answer(client) == (value, "OFF")
    td.update(td.flag("f").variation_for_all(variation))
    assert answer(client) == (value, "FALLTHROUGH")


def test_a_truth_makes_a_flag_of_other_values_a_boolean_one(td: TestData, client: LDClient) -> None:
    td.update(td.flag("f").variations("a", "b").fallthrough_variation(1))
    assert answer(client) == ("b", "FALLTHROUGH")
    td.update(td.flag("f").fallthrough_variation(False))
    assert answer(client) == (False, "FALLTHROUGH")
    # 1 and 0 are no True and False.
    td.update(td.flag("f").variations(1, 0).boolean_flag())
    assert answer(client) == (True, "FALLTHROUGH")


@pytest.mark.parametrize("value", ["text", 3, 2.5, True, None, ["a", {"b": [1]}], {"x": {"y": "é"}}])
def test_any_json_value_can_be_served_to_everybody(value: Any, td: TestData, client: LDClient) -> None:
    td.update(td.flag("f").if_match("name", "x").then_return(True).variation_for_user("u", True).value_for_all(value))
    assert client.variation("f", USER, "default") == value


def test_a_target_wins_over_rules_and_is_of_its_kind(td: TestData, client: LDClient) -> None:
    flag = td.flag("f").variation_for_all(False).variation_for_user("u", True)
    td.update(flag.variation_for_key("org", "acme", True).if_match("key", "u").then_return(False))
    assert answer(client) == (True, "TARGET_MATCH")
    assert answer(client, Context.create("acme", "org")) == (True, "TARGET_MATCH")
    assert answer(client, Context.create("acme")) == (False, "FALLTHROUGH")
    assert answer(client, Context.create("u", "org")) == (False, "FALLTHROUGH")


def test_the_last_word_on_a_context_counts(td: TestData, client: LDClient) -> None:
    flag = td.flag("f").variation_for_user("u", True).variation_for_user("u", False)
    td.update(flag)
    assert answer(client) == (False, "TARGET_MATCH")
    td.update(flag.variation_for_user("u", 7))
    assert answer(client) == (True, "FALLTHROUGH")
    td.update(flag.variation_for_user("u", False).clear_targets())
    assert answer(client) == (True, "FALLTHROUGH")


def test_rules_match_by_all_their_conditions(td: TestData, client: LDClient) -> None:
    flag = td.flag("f").variation_for_all(False)
    td.update(flag.if_match("name", "ann", "bob").and_not_match("country", "gb").then_return(True))
    assert answer(client, {"key": "1", "name": "ann", "country": "ie"}) == (True, "RULE_MATCH")
    assert answer(client, {"key": "1", "name": "ann", "country": "gb"}) == (False, "FALLTHROUGH")
    # A missing attribute matches nothing, not even the opposite.
    assert answer(client, {"key": "1", "name": "ann"}) == (False, "FALLTHROUGH")
    assert answer(client, {"key": "1", "name": "eve", "country": "ie"}) == (False, "FALLTHROUGH")
    td.update(flag.clear_rules())
    assert answer(client, {"key": "1", "name": "ann", "country": "ie"}) == (False, "FALLTHROUGH")


def test_rules_are_of_a_kind_and_numbered(td: TestData, client: LDClient) -> None:
    flag = td.flag("f").variations("a", "b", "c").variation_for_all(0)
    flag = flag.if_not_match("name", "ann").then_return(1)
    flag = flag.if_match_context("org", "name", "Acme").and_match("name", "ann").then_return(2)
    flag = flag.if_not_match_context("org", "tier", 1).and_not_match_context("org", "name", "x").then_return(1)
    td.update(flag.if_match("name", "ann").and_match_context("org", "tier", 1, 2).then_return(2))
    assert client.variation_detail("f", {"key": "1", "name": "eve"}, None).reason == {
        "kind": "RULE_MATCH",
        "ruleIndex": 0,
        "ruleId": "rule0",
    }
    ann = Context.builder("1").set("name", "ann").build()

    def both(**attributes: Any) -> Context:
        org = Context.builder("2").kind("org")
        for name, value in attributes.items():
            org.set(name, value)
        return Context.create_multi(ann, org.build())

    index = [
        client.variation_detail("f", who, None).reason.get("ruleIndex")
        for who in (ann, both(name="Acme"), both(name="Other", tier=2), both(name="x", tier=2), both(tier=1))
    ]
    assert index == [None, 1, 2, 3, 3]


def test_a_builder_changes_nothing_until_update_and_nothing_after_it(td: TestData, client: LDClient) -> None:
    values = ["a"]
    flag = td.flag("f").variations(values, "b").variation_for_all(0)
    assert answer(client)[1] == "ERROR"
    td.update(flag)
    values.append("later")
    flag.variation_for_user("u", 1).if_match("key", "u").then_return(1).fallthrough_variation(1)
    assert answer(client) == (["a"], "FALLTHROUGH")
    # And one from the source again begins as the flag is, and leaves it.
    td.update(td.flag("g").variation_for_user("u", False))
    td.flag("g").variation_for_user("u", True)
    assert answer(client, key="g") == (False, "TARGET_MATCH")
    assert td.flag("g")._targets == {"user": {1: {"u"}}}


def test_each_update_is_a_newer_version(td: TestData, client: LDClient) -> None:
    for version in (1, 2, 3):
        assert td.update(td.flag("f")) is td
        assert client.all_flags_state(USER).to_json_dict()["$flagsState"]["f"]["version"] == version


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan")])
def test_what_no_json_can_hold_is_refused_and_changes_nothing(value: Any, td: TestData, client: LDClient) -> None:
    td.update(td.flag("f"))
    with pytest.raises((TypeError, ValueError)):
        td.update(td.flag("f").value_for_all(value))
    assert answer(client) == (True, "FALLTHROUGH")
    td.update(td.flag("f").variation_for_all(False))
    assert answer(client) == (False, "FALLTHROUGH")


def test_updates_from_many_threads_leave_all_clients_with_the_last_one(td: TestData, client: LDClient) -> None:
    def work(name: int) -> None:
        for number in range(50):
            td.update(td.flag("f").value_for_all([name, number]))

    with client_of(td) as other:
        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answer(client)[0] == answer(other)[0] == td.flag("f")._variations[0]
        assert client.all_flags_state(USER).to_json_dict()["$flagsState"]["f"]["version"] == 200


def test_a_client_that_is_offline_answers_with_defaults_all_the_same(td: TestData) -> None:
    td.update(td.flag("f"))
    with client_of(td, offline=True) as client:
        assert client.variation("f", USER, "default") == "default"


def test_it_can_serve_a_data_source_of_an_applications_own(td: TestData) -> None:
    class Store:
        items: dict[str, Any]

        def init(self, all_data: Any) -> None:
            self.items = dict(all_data[FEATURES])
            assert all_data[SEGMENTS] == {}

        def upsert(self, kind: Any, item: dict[str, Any]) -> None:
            assert kind is FEATURES
            self.items[item["key"]] = item

    td.update(td.flag("f"))
    store, ready = Store(), threading.Event()
    processor = td(Config("sdk-key"), store, ready)  # type: ignore[arg-type]
    assert not processor.initialized()
    processor.start()
    assert (processor.initialized(), ready.is_set(), list(store.items)) == (True, True, ["f"])
    td.update(td.flag("g"))
    processor.stop()
    td.update(td.flag("h"))
    assert list(store.items) == ["f", "g"]


def test_a_config_with_it_can_be_copied_shown_and_compared(td: TestData) -> None:
    config = Config("sdk-key", update_processor_class=td)
    assert config == Config("sdk-key", update_processor_class=td)
    assert config != Config("sdk-key", update_processor_class=TestData.data_source())
    assert "update_processor_class=<TestData>" in repr(config)
