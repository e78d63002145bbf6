"""Config: what every argument of every era means, what a value must look like, what the native client is told."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import pytest

from ldclient._eras import ALIASES, NAMES, ORDERS
from ldclient.config import BigSegmentsConfig, Config, HTTPConfig
from ldclient.integrations import Files

APP = "https://app.launchdarkly.com"
EVENTS = "https://events.launchdarkly.com"
STREAM = "https://stream.launchdarkly.com"
URIS = ("https://app.example", "https://events.example", "https://stream.example")


class Processor:
    """Stands for a class that a user gives."""


class Store:
    """Stands for a store that a user gives."""


ERAS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("the document's own call", ("", 1, 2), {"base_uri": APP, "connect_timeout": 1, "read_timeout": 2, "sdk_key": ""}),
    ("0.15", (URIS[0], 3, 4), {"base_uri": URIS[0], "connect_timeout": 3, "read_timeout": 4, "sdk_key": ""}),
    (
        "0.17",
        (URIS[0], 3, 4, 50, 600),
        {"base_uri": URIS[0], "events_upload_max_batch_size": 50, "events_max_pending": 600},
    ),
    (
        "0.18 with its classes",
        (URIS[0], 3, 4, 50, 600, URIS[2], False, False, Processor, Store),
        {
            "events_max_pending": 600,
            "stream_base_uri": URIS[2],
            "stream": False,
            "verify_ssl": False,
            "update_processor_class": Processor,
            "feature_store": Store,
        },
    ),
    (
        "0.19 in full",
        (URIS[0], 3, 4, 50, 600, URIS[2], True, False, {"f": 1}, False, Processor, Store, Store, Processor),
        {
            "read_timeout": 4,
            "stream_base_uri": URIS[2],
            "defaults": {"f": 1},
            "send_events": False,
            "update_processor_class": Processor,
            "feature_store": Store,
            "feature_requester_class": Store,
            "event_consumer_class": Processor,
        },
    ),
    (
        "0.20 in full",
        (URIS[0], URIS[1], 3, 4, 50, 600, URIS[2], True, True, {"f": 1}, False, Processor, Store, None, Processor),
        {
            "base_uri": URIS[0],
            "events_base_uri": URIS[1],
            "connect_timeout": 3,
            "read_timeout": 4,
            "events_max_pending": 600,
            "defaults": {"f": 1},
            "send_events": False,
            "update_processor_class": Processor,
            "feature_store": Store,
            "event_consumer_class": Processor,
            "poll_interval": 30,
        },
    ),
    ("2.0 with only a base URI", (URIS[0],), {"base_uri": URIS[0], "sdk_key": ""}),
    ("2.0 with two URIs", (URIS[0], URIS[1]), {"base_uri": URIS[0], "events_base_uri": URIS[1], "sdk_key": ""}),
    (
        "2.0 with blank URIs",
        ("", "", 1, 2),
        {"base_uri": APP, "events_base_uri": EVENTS, "connect_timeout": 1, "read_timeout": 2},
    ),
    (
        "2.0 to 3.0 in full",
        (
            *(URIS[0], URIS[1], 3, 4, 50, 600, URIS[2], False, False, {"f": 1}, False, Processor, 45, True, Store),
            *(Processor, Processor, True),
        ),
        {
            "base_uri": URIS[0],
            "events_upload_max_batch_size": 50,
            "events_max_pending": 600,
            "stream": False,
            "verify_ssl": False,
            "send_events": False,
            "update_processor_class": Processor,
            "poll_interval": 45,
            "use_ldd": True,
            "feature_store": Store,
            "feature_requester_class": Processor,
            "event_consumer_class": Processor,
            "offline": True,
        },
    ),
    (
        "4.0 in full",
        (
            *("key", URIS[0], URIS[1], 3, 4, 50, 600, URIS[2], False, False, {"f": 1}, False, None, 45, True, Store),
            *(None, Processor, False),
        ),
        {
            "sdk_key": "key",
            "connect_timeout": 3,
            "events_upload_max_batch_size": 50,
            "events_max_pending": 600,
            "flush_interval": 5,
            "stream_base_uri": URIS[2],
            "send_events": False,
            "update_processor_class": None,
            "poll_interval": 45,
            "use_ldd": True,
            "feature_store": Store,
            "event_consumer_class": Processor,
            "offline": False,
        },
    ),
    (
        "4.1 to 5.0 in full",
        (
            *("key", URIS[0], URIS[1], 3, 4, 100, 10000, URIS[2], True, False, None, None, False, Processor, 45, True),
            *(Store, None, Processor, ("email", "/x"), True, False),
        ),
        {
            "events_upload_max_batch_size": 100,
            "events_max_pending": 10000,
            "flush_interval": 5,
            "verify_ssl": False,
            "send_events": False,
            "update_processor_class": Processor,
            "poll_interval": 45,
            "use_ldd": True,
            "feature_store": Store,
            "event_consumer_class": Processor,
            "private_attributes": ["/~1x", "email"],
            "all_attributes_private": True,
        },
    ),
    (
        "6.0 up to the flush interval",
        ("key", URIS[0], URIS[1], 3, 4, 10000, 7),
        {"events_max_pending": 10000, "flush_interval": 7, "connect_timeout": 3, "events_upload_max_batch_size": 100},
    ),
    (
        "6.0 to 6.12 in full",
        (
            *("key", URIS[0], URIS[1], 3, 4, 900, 7, URIS[2], True, False, None, None, False, Processor, 45, True),
            *(Store, Processor, Store, ("email",), True, False, 20, 21, True, "http://proxy.example", True, 99),
            *("wrapper", "1.0"),
        ),
        {
            "events_max_pending": 900,
            "flush_interval": 7,
            "verify_ssl": False,
            "send_events": False,
            "update_processor_class": Processor,
            "poll_interval": 45,
            "feature_store": Store,
            "feature_requester_class": Processor,
            "event_processor_class": Store,
            "private_attributes": ["email"],
            "context_keys_capacity": 20,
            "context_keys_flush_interval": 21,
            "inline_users_in_events": True,
            "http_proxy": "http://proxy.example",
            "diagnostic_opt_out": True,
            "diagnostic_recording_interval": 99,
            "wrapper_name": "wrapper",
            "wrapper_version": "1.0",
        },
    ),
    (
        "6.13 with its reconnect delay",
        ("key", URIS[0], URIS[1], 3, 4, 900, 7, URIS[2], True, 2, False, {"f": 1}, False),
        {
            "flush_interval": 7,
            "stream": True,
            "initial_reconnect_delay": 2,
            "verify_ssl": False,
            "defaults": {"f": 1},
            "send_events": False,
        },
    ),
    (
        "7.0 in full",
        (
            *("key", URIS[0], URIS[1], 900, 7, URIS[2], True, 2, {"f": 1}, None, False, Processor, 45, True, Store),
            *(None, Processor, {"email"}, True, False, 20, 21, True, True, 99, "wrapper", "1.0", HTTPConfig(3, 4)),
        ),
        {
            "events_max_pending": 900,
            "flush_interval": 7,
            "initial_reconnect_delay": 2,
            "send_events": False,
            "update_processor_class": Processor,
            "poll_interval": 45,
            "feature_store": Store,
            "event_processor_class": Processor,
            "private_attributes": ["email"],
            "all_attributes_private": True,
            "offline": False,
            "context_keys_capacity": 20,
            "inline_users_in_events": True,
            "diagnostic_opt_out": True,
            "wrapper_version": "1.0",
            "connect_timeout": 3,
        },
    ),
    (
        "8.0 in full",
        (
            *("key", URIS[0], URIS[1], 900, 7, URIS[2], True, 2, {}, None, Processor, 45, True, Store, None, None),
            *({"/address/street"}, {"email"}, True, False, 20, 21, None, None, True, 99, "wrapper", "1.0"),
        ),
        {
            "send_events": True,
            "update_processor_class": Processor,
            "poll_interval": 45,
            "private_attributes": ["/address/street", "email"],
            "all_attributes_private": True,
            "context_keys_capacity": 20,
            "context_keys_flush_interval": 21,
            "diagnostic_recording_interval": 99,
            "wrapper_name": "wrapper",
        },
    ),
    ("9.20 with only a key", ("key",), {"sdk_key": "key", "base_uri": APP}),
    (
        "9.20 in full",
        (
            *("key", URIS[0], URIS[1], 900, 7, URIS[2], False, 2, {"f": 1}, False, Processor, 45, True, Store, Store),
            *(Processor, {"email"}, True, True, 20, 21, True, 99, "wrapper", "1.0", HTTPConfig(3, 4)),
            *(
                BigSegmentsConfig(Store),
                {"id": "app", "version": "2"},
                [Processor],
                [Store],
                True,
                True,
                "filter",
                Store,
            ),
        ),
        {
            "sdk_key": "key",
            "stream": False,
            "feature_requester_class": Store,
            "event_processor_class": Processor,
            "private_attributes": ["email"],
            "offline": True,
            "http": HTTPConfig(3, 4),
            "big_segments": BigSegmentsConfig(Store),
            "application": {"id": "app", "version": "2"},
            "hooks": [Processor],
            "plugins": [Store],
            "enable_event_compression": True,
            "omit_anonymous_contexts": True,
            "payload_filter_key": "filter",
            "datasystem_config": Store,
        },
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), [row[1:] for row in ERAS], ids=[row[0] for row in ERAS])
def test_positional_arguments_mean_what_they_meant_in_their_era(
    arguments: tuple[Any, ...], expected: dict[str, Any]
) -> None:
    config = Config(*arguments)
    assert {name: getattr(config, name) for name in expected} == expected


def test_every_order_names_only_options_that_are_known() -> None:
    known = set(Config()._options()) | {name[1:] for name in vars(Config())}
    for release, order in ORDERS.items():
        names = [ALIASES.get(name, name) for name in order.split()]
        assert len(order.split()) == len(set(order.split())), release
        outside = {"connect_timeout", "read_timeout", "verify_ssl", "http_proxy", "events_enabled"}
        assert set(names) <= known | outside | {"private_attribute_names"}, release


@pytest.mark.parametrize("count", [4, 5])
def test_four_or_five_arguments_are_read_as_9_20_with_one_warning(count: int, caplog: pytest.LogCaptureFixture) -> None:
    config = Config(*("key", URIS[0], URIS[1], 20, 30)[:count])
    assert config.events_max_pending == 20
    assert config.flush_interval == (30 if count == 5 else 5)
    assert config.connect_timeout == 10
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("ldclient.util", logging.WARNING)
    assert "events_max_pending" in record.getMessage()
    assert "key" not in record.getMessage().replace("sdk_key", "")


def test_six_arguments_of_a_queue_that_is_smaller_than_its_batch_are_not_an_empty_queue() -> None:
    config = Config("key", URIS[0], URIS[1], 10, 15, 10000, 5)
    assert (config.events_max_pending, config.flush_interval) == (10000, 5)


@pytest.mark.parametrize(
    ("alias", "value", "name", "expected"),
    [
        ("api_key", "key", "sdk_key", "key"),
        ("capacity", 70, "events_max_pending", 70),
        ("upload_limit", 70, "events_upload_max_batch_size", 70),
        ("events_upload_max_batch_size", 70, "events_upload_max_batch_size", 70),
        ("verify", False, "verify_ssl", False),
        ("verify_ssl", False, "verify_ssl", False),
        ("events", False, "send_events", False),
        ("events_enabled", False, "send_events", False),
        ("consumer_class", Processor, "event_consumer_class", Processor),
        ("event_consumer_class", Processor, "event_consumer_class", Processor),
        ("stream_processor_class", Processor, "update_processor_class", Processor),
        ("feature_store_class", Store, "feature_store", Store),
        ("connect_timeout", 3, "connect_timeout", 3),
        ("read_timeout", 3, "read_timeout", 3),
        ("http_proxy", "http://proxy.example", "http_proxy", "http://proxy.example"),
        ("user_keys_capacity", 7, "context_keys_capacity", 7),
        ("user_keys_flush_interval", 7, "context_keys_flush_interval", 7),
        ("private_attribute_names", ("email",), "private_attributes", ["email"]),
        ("inline_users_in_events", True, "inline_users_in_events", True),
    ],
)
def test_an_earlier_name_sets_the_option_it_became(alias: str, value: Any, name: str, expected: Any) -> None:
    assert getattr(Config(**{alias: value}), name) == expected


def test_every_option_has_the_default_of_9_20() -> None:
    config = Config("key")
    assert {name: getattr(config, name) for name in NAMES if name not in ("http", "big_segments")} == {
        "sdk_key": "key",
        "base_uri": APP,
        "events_uri": EVENTS + "/bulk",
        "events_max_pending": 10000,
        "flush_interval": 5,
        "stream_uri": STREAM + "/flags",
        "stream": True,
        "initial_reconnect_delay": 1,
        "defaults": {},
        "send_events": True,
        "update_processor_class": None,
        "poll_interval": 30,
        "use_ldd": False,
        "feature_store": None,
        "feature_requester_class": None,
        "event_processor_class": None,
        "private_attributes": [],
        "all_attributes_private": False,
        "offline": False,
        "context_keys_capacity": 1000,
        "context_keys_flush_interval": 300,
        "diagnostic_opt_out": False,
        "diagnostic_recording_interval": 900,
        "wrapper_name": None,
        "wrapper_version": None,
        "application": {"id": "", "version": ""},
        "hooks": [],
        "plugins": [],
        "enable_event_compression": False,
        "omit_anonymous_contexts": False,
        "payload_filter_key": None,
        "datasystem_config": None,
    }
    assert (config.http.connect_timeout, config.http.read_timeout) == (10, 15)
    assert config.big_segments == BigSegmentsConfig()
    assert config.public_attributes is None


def test_every_property_is_read_only() -> None:
    config = Config("key")
    for name in [*NAMES, "public_attributes", "connect_timeout", "user_keys_capacity", "events_base_uri"]:
        with pytest.raises(AttributeError):
            setattr(config, name, None)


def test_the_derived_addresses_are_those_of_the_reference() -> None:
    config = Config("key", *URIS[:2], stream_uri=URIS[2] + "/")
    assert config.get_latest_flags_uri == URIS[0] + "/sdk/latest-flags"
    assert config.get_latest_features_uri == config.get_latest_flags_uri
    assert (config.events_base_uri, config.events_uri) == (URIS[1], URIS[1] + "/bulk")
    assert (config.stream_base_uri, config.stream_uri) == (URIS[2], URIS[2] + "/flags")


@pytest.mark.parametrize("given", ["https://relay.example/", "https://relay.example//", "https://relay.example\\"])
def test_slashes_at_the_end_of_an_address_do_not_count(given: str) -> None:
    assert Config(base_uri=given).base_uri == "https://relay.example"


@pytest.mark.parametrize(
    ("base_uri", "asked", "expected"),
    [
        (APP, 1, 30),
        (APP, 30, 30),
        (APP, 31.5, 31.5),
        ("", 5, 30),
        ("https://sdk.launchdarkly.com:443/base", 2, 30),
        ("https://SDK.LaunchDarkly.com", 2, 30),
        ("https://app.launchdarkly.us", 2, 30),
        ("https://user:x@app.launchdarkly.com", 2, 30),
        ("http://localhost:8030", 1, 1),
        ("http://localhost:8030", 0.2, 1),
        ("http://localhost:8030", -1, 1),
        ("http://[::1]:8030", 2, 2),
        ("https://notlaunchdarkly.com", 2, 2),
        ("https://launchdarkly.com.example", 2, 2),
        ("https://example/launchdarkly.com", 2, 2),
        ("https://app.launchdarkly.com@example", 2, 2),
    ],
)
def test_a_poll_interval_is_at_least_30_seconds_at_the_service_and_1_elsewhere(
    base_uri: str, asked: float, expected: float
) -> None:
    assert Config(base_uri=base_uri, poll_interval=asked).poll_interval == expected


def test_a_diagnostic_interval_is_at_least_a_minute() -> None:
    assert Config(diagnostic_recording_interval=1).diagnostic_recording_interval == 60


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),
        ({"send_events": False}, False),
        ({"events_enabled": False}, False),
        ({"events_enabled": False, "send_events": True}, True),
        ({"events_enabled": True, "send_events": False}, False),
        ({"offline": True}, False),
        ({"offline": True, "send_events": True}, False),
    ],
)
def test_send_events_beats_events_enabled_and_offline_beats_both(given: dict[str, bool], expected: bool) -> None:
    assert Config(**given).send_events is expected


@pytest.mark.parametrize("key", ["with\nbreak", "with space", "key\x00", "schlüssel", "a" * 8193, "key\r\nX-Header: 1"])
def test_a_key_that_cannot_be_one_is_discarded_with_one_warning(key: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Config(key).sdk_key == ""
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("ldclient.util", logging.WARNING)
    assert key[:4] not in record.getMessage()


@pytest.mark.parametrize("key", ["YOUR_SDK_KEY", "sdk-00000000-0000-4000-8000-000000000000", "a.b", "a" * 8192])
def test_a_key_that_can_be_one_is_kept(key: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Config(key).sdk_key == key
    assert caplog.records == []


WRONG_TYPES: list[tuple[str, Any]] = [
    ("sdk_key", 7),
    ("sdk_key", b"key"),
    ("base_uri", 7),
    ("stream_uri", object()),
    ("stream", "false"),
    ("offline", "no"),
    ("offline", 2),
    ("send_events", "yes"),
    ("use_ldd", []),
    ("events_max_pending", "10"),
    ("events_max_pending", True),
    ("flush_interval", "5"),
    ("poll_interval", [30]),
    ("connect_timeout", "1"),
    ("private_attributes", "email"),
    ("private_attributes", [1]),
    ("private_attribute_names", {"email": 1}),
    ("public_attributes", "email"),
    ("defaults", ["flag"]),
    ("application", "app"),
    ("http", {"connect_timeout": 1}),
    ("big_segments", Store()),
    ("wrapper_name", 1),
    ("payload_filter_key", 1),
    ("hooks", "hook"),
]


@pytest.mark.parametrize(("name", "value"), WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_refused_naming_the_option_and_the_type(name: str, value: Any) -> None:
    with pytest.raises(TypeError) as raised:
        Config(**{name: value})
    assert str(raised.value).startswith(f"{name}: expected ")


WRONG_RANGES: list[tuple[str, Any]] = [
    ("events_max_pending", 0),
    ("events_max_pending", 1.5),
    ("flush_interval", 0),
    ("flush_interval", float("nan")),
    ("flush_interval", float("inf")),
    ("initial_reconnect_delay", -1),
    ("context_keys_capacity", -1),
    ("context_keys_flush_interval", 0),
    ("connect_timeout", 0),
    ("read_timeout", -2),
    ("poll_interval", float("inf")),
    ("poll_interval", 10**400),
    ("base_uri", "localhost:8030"),
    ("base_uri", "ftp://example"),
    ("base_uri", "https://"),
    ("events_uri", "https://exam ple"),
    ("events_uri", "https://example\r\nHost: x"),
]


@pytest.mark.parametrize(("name", "value"), WRONG_RANGES)
def test_a_value_out_of_range_is_refused_naming_the_option(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected "):
        Config(**{name: value})


def test_a_key_in_the_place_of_an_address_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="base_uri") as raised:
        Config("sdk-secret", 1, 2)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("value", [5, 5.5])
def test_a_number_stays_the_number_that_was_given(value: float) -> None:
    given = Config(flush_interval=value).flush_interval
    assert (given, type(given)) == (value, type(value))


def test_none_means_that_an_option_was_not_given() -> None:
    names = [name for name in NAMES if name != "stream"]
    assert Config(**dict.fromkeys(names)) == Config()
    assert HTTPConfig(None, None) == HTTPConfig()


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(TypeError, match="'flush_intervall'; did you mean 'flush_interval'"):
        Config(flush_intervall=1)


@pytest.mark.parametrize(
    ("positional", "named"),
    [
        (("key",), {"sdk_key": "other"}),
        (("key",), {"api_key": "key"}),
        (("", 1, 2), {"read_timeout": 3}),
        ((), {"capacity": 1, "events_max_pending": 1}),
    ],
)
def test_an_option_that_is_given_twice_is_refused(positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="more than one value"):
        Config(*positional, **named)


def test_more_arguments_than_any_era_had_are_refused() -> None:
    with pytest.raises(TypeError, match="at most 34 positional arguments"):
        Config("key", *URIS[:2], 1, 1, URIS[2], *[None] * 5, 45, *[None] * 40)


def test_the_http_group_wins_over_the_older_places_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    config = Config("key", http=HTTPConfig(3, 4), connect_timeout=9, verify_ssl=False)
    assert config.http == HTTPConfig(3, 4)
    assert "connect_timeout, verify_ssl" in caplog.text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": "app", "version": "1.0"}, {"id": "app", "version": "1.0"}),
        ({"id": "app"}, {"id": "app", "version": ""}),
        ({"id": 7, "other": "x"}, {"id": "", "version": ""}),
        (None, {"id": "", "version": ""}),
    ],
)
def test_the_application_is_its_id_and_version(value: Any, expected: dict[str, str]) -> None:
    assert Config(application=value).application == expected


@pytest.mark.parametrize("value", ["with space", "a" * 65, "a\nb"])
def test_an_application_id_that_the_service_refuses_is_discarded_with_a_warning(
    value: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert Config(application={"id": value}).application["id"] == ""
    assert "application[id] was discarded" in caplog.text


def test_a_name_of_a_private_attribute_before_8_0_is_no_path() -> None:
    assert Config(private_attribute_names=["/a/~b", "c/d"]).private_attributes == ["/~1a~1~0b", "c/d"]
    assert Config(private_attributes=["/a/b"]).private_attributes == ["/a/b"]


def test_a_configured_default_wins_over_the_default_of_the_call() -> None:
    config = Config(defaults={"flag": None})
    assert config.get_default("flag", 1) is None
    assert config.get_default("other", 1) == 1


def test_what_a_property_returns_cannot_change_the_config() -> None:
    config = Config(defaults={"a": 1}, hooks=[1], private_attributes={"x"}, application={"id": "i"})
    config.defaults["b"] = 2
    config.hooks.append(2)
    config.private_attributes.append("y")
    config.application["id"] = "j"
    assert config == Config(defaults={"a": 1}, hooks=[1], private_attributes={"x"}, application={"id": "i"})


def test_a_dictionary_changed_later_does_not_change_the_config() -> None:
    defaults = {"a": 1}
    config = Config(defaults=defaults)
    defaults["b"] = 2
    assert config.defaults == {"a": 1}


def test_a_copy_with_a_new_key_differs_in_the_key_alone() -> None:
    config = Config("one", flush_interval=9, payload_filter_key="filter", application={"id": "app"})
    with pytest.warns(DeprecationWarning, match="copy_with_new_sdk_key"):
        other = config.copy_with_new_sdk_key("two")
    assert other == Config("two", flush_interval=9, payload_filter_key="filter", application={"id": "app"})
    assert config.sdk_key == "one"


def test_a_copy_does_not_take_a_key_that_cannot_be_one() -> None:
    with pytest.warns(DeprecationWarning, match="copy_with_new_sdk_key"):
        assert Config("one").copy_with_new_sdk_key("t w o").sdk_key == "one"


def test_wrapper_information_makes_another_config() -> None:
    config = Config("key", wrapper_name="a", wrapper_version="1")
    other = config.with_wrapper_information("b")
    assert (other.wrapper_name, other.wrapper_version) == ("b", None)
    assert (config.wrapper_name, config.wrapper_version) == ("a", "1")


def test_the_default_config_is_the_one_without_arguments() -> None:
    assert Config.default() == Config()


DIFFERENT: dict[str, Any] = {
    "sdk_key": "other",
    "base_uri": URIS[0],
    "events_uri": URIS[1],
    "stream_uri": URIS[2],
    "events_max_pending": 1,
    "flush_interval": 1,
    "stream": False,
    "initial_reconnect_delay": 2,
    "defaults": {"f": 1},
    "send_events": False,
    "update_processor_class": Files.new_data_source("flags.json"),
    "poll_interval": 60,
    "use_ldd": True,
    "feature_store": Store,
    "feature_requester_class": Store,
    "event_processor_class": Store,
    "private_attributes": {"x"},
    "public_attributes": {"x"},
    "all_attributes_private": True,
    "offline": True,
    "context_keys_capacity": 1,
    "context_keys_flush_interval": 1,
    "diagnostic_opt_out": True,
    "diagnostic_recording_interval": 61,
    "wrapper_name": "x",
    "wrapper_version": "x",
    "http": HTTPConfig(ca_certs="x"),
    "big_segments": BigSegmentsConfig(stale_after=1),
    "application": {"id": "x"},
    "hooks": [1],
    "plugins": [1],
    "enable_event_compression": True,
    "omit_anonymous_contexts": True,
    "payload_filter_key": "x",
    "datasystem_config": Store,
}


def test_every_option_counts_when_two_configs_are_compared() -> None:
    assert set(NAMES) <= DIFFERENT.keys()
    assert Config("key") == Config("key")
    assert hash(Config("key")) == hash(Config("key"))
    assert Config("key") != "key"
    for name, value in DIFFERENT.items():
        assert Config(**{"sdk_key": "key", name: value}) != Config("key"), name


def test_a_copied_or_pickled_config_is_equal() -> None:
    config = Config(**{**DIFFERENT, "hooks": None, "plugins": None})
    assert copy.copy(config) == config
    assert copy.deepcopy(config) == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_repr_shows_what_was_set_and_hides_the_key_and_passwords() -> None:
    config = Config(
        "sdk-secret",
        base_uri="https://user:secret@relay.example/base",
        http=HTTPConfig(http_proxy="http://user:secret@proxy.example:1"),
        feature_store=Store(),
        defaults={"flag": "secret"},
        flush_interval=9,
    )
    shown = repr(config)
    assert "secret" not in shown
    assert "flush_interval=9" in shown
    assert "https://***@relay.example/base" in shown
    assert "http://***@proxy.example:1" in shown
    assert "feature_store=<Store>" in shown
    assert repr(Config()) == "Config()"


def test_the_classes_of_the_module_resolve_on_a_config_too() -> None:
    config: Any = Config()
    assert (config.Config, config.HTTPConfig, config.BigSegmentsConfig) == (Config, HTTPConfig, BigSegmentsConfig)


OPTION_NAMES = (
    "store data_store_type own_source "
    "sdk_key base_uri stream_uri events_uri stream offline use_ldd send_events initial_reconnect_delay poll_interval "
    "files events_max_pending flush_interval context_keys_capacity context_keys_flush_interval private_attributes "
    "public_attributes all_attributes_private omit_anonymous_contexts enable_event_compression diagnostic_opt_out "
    "diagnostic_recording_interval wrapper_name wrapper_version application_id application_version payload_filter_key "
    "connect_timeout read_timeout http_proxy ca_certs cert_file disable_ssl_verification defaults instance_id "
    "big_segments"
)


def test_the_native_client_is_told_every_option_of_its_contract_and_no_other() -> None:
    assert set(Config("key")._options()) == set(OPTION_NAMES.split())


def test_the_native_client_is_told_plain_values_in_seconds() -> None:
    options = Config(
        "key",
        *URIS[:2],
        stream_uri=URIS[2],
        private_attributes={"b", "a"},
        public_attributes=["c"],
        application={"id": "app"},
        http=HTTPConfig(1, 2, "http://proxy.example", "ca.pem", "own.pem", True),
        defaults={"f": [1]},
        update_processor_class=Files.new_data_source(["a.json", "b.json"], auto_update=True, poll_interval=2),
    )._options()
    del options["instance_id"]
    assert options == {
        "store": None,
        "big_segments": None,
        "data_store_type": "memory",
        "own_source": False,
        "sdk_key": "key",
        "base_uri": URIS[0],
        "stream_uri": URIS[2],
        "events_uri": URIS[1],
        "stream": True,
        "offline": False,
        "use_ldd": False,
        "send_events": True,
        "initial_reconnect_delay": 1.0,
        "poll_interval": 30.0,
        "files": {"paths": ["a.json", "b.json"], "auto_update": True, "poll_interval": 2},
        "events_max_pending": 10000,
        "flush_interval": 5.0,
        "context_keys_capacity": 1000,
        "context_keys_flush_interval": 300.0,
        "private_attributes": ["a", "b"],
        "public_attributes": ["c"],
        "all_attributes_private": False,
        "omit_anonymous_contexts": False,
        "enable_event_compression": False,
        "diagnostic_opt_out": False,
        "diagnostic_recording_interval": 900.0,
        "wrapper_name": None,
        "wrapper_version": None,
        "application_id": "app",
        "application_version": None,
        "payload_filter_key": None,
        "connect_timeout": 1.0,
        "read_timeout": 2.0,
        "http_proxy": "http://proxy.example",
        "ca_certs": "ca.pem",
        "cert_file": "own.pem",
        "disable_ssl_verification": True,
        "defaults": {"f": [1]},
    }
    assert Config("key")._options()["files"] is None
    assert Config("key")._options()["defaults"] is None


def test_each_client_gets_an_instance_id_of_its_own() -> None:
    import uuid

    first, second = (str(Config("key")._options()["instance_id"]) for _ in range(2))
    assert first != second
    assert uuid.UUID(first).version == 4
    assert str(uuid.UUID(first)) == first


@pytest.mark.parametrize("paths", ["a.json", ["a.json"], ("a.json",)])
def test_a_file_source_takes_one_path_or_several(paths: Any) -> None:
    assert Files.new_data_source(paths).options()["paths"] == ["a.json"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([],), ValueError),
        ((7,), TypeError),
        (([7],), TypeError),
        (("a", "yes"), TypeError),
        (("a", True, 0), ValueError),
    ],
)
def test_a_file_source_refuses_what_it_cannot_watch(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        Files.new_data_source(*arguments)


@pytest.mark.parametrize("key", ["encoding necessary +! %& ( )", "-a", ".a", "_a", "é", "a/b", ""])
def test_a_filter_that_the_service_cannot_know_is_not_asked_for(key: str) -> None:
    assert Config("sdk-key", payload_filter_key=key).payload_filter_key is None


@pytest.mark.parametrize("key", ["a", "A1._-z", "7"])
def test_a_filter_with_the_characters_of_a_key_is_kept(key: str) -> None:
    assert Config("sdk-key", payload_filter_key=key).payload_filter_key == key
