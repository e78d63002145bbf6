"""The OpenFeature provider where the specification leaves it to us: types, reasons, contexts, events and life cycle."""

from __future__ import annotations

import asyncio
import importlib
import json
import queue
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

pytest.importorskip("openfeature", reason="openfeature-sdk is installed for the newest Python only")

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ProviderFatalError, ProviderNotReadyError
from openfeature.provider import ProviderStatus
from openfeature.track import TrackingEventDetails

import ldclient
from ldclient import Config, Context, LDClient, _ldclient, _openfeature_context
from ldclient.hook import Hook, Metadata
from ldclient.integrations import TestData
from ldclient.interfaces import EventProcessor
from ldclient.openfeature import LaunchDarklyProvider
from openfeature_flags import status, wait_until
from stand_in import StandIn, constant_flag

pytestmark = pytest.mark.once

ANN = EvaluationContext("ann")
Event = tuple[str, ProviderEventDetails]


@pytest.fixture(autouse=True)
def _nobody_is_registered() -> Iterator[None]:
    yield
    api.shutdown()
    api.clear_providers()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is told of mistakes from now on."""
    messages: list[str] = []
    monkeypatch.setattr(_openfeature_context, "_told", set())
    monkeypatch.setattr(_openfeature_context.logs.logger(), "warning", lambda form, *args: messages.append(form % args))
    return messages


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[Event]:
    """The events of the provider in their order, which the API's threads for handlers do not keep."""
    events: queue.Queue[Event] = queue.Queue()

    def hear(provider: Any, event: ProviderEvent, details: ProviderEventDetails) -> None:
        assert isinstance(provider, LaunchDarklyProvider)
        events.put((event.name.removeprefix("PROVIDER_"), details))

    monkeypatch.setattr("openfeature.provider._registry.run_handlers_for_provider", hear)
    return events


def next_of(heard: queue.Queue[Event], name: str) -> ProviderEventDetails:
    """The next event, which must be that one."""
    got, details = heard.get(timeout=10)
    assert got == name, details
    return details


def nothing_more(heard: queue.Queue[Event]) -> bool:
    # Whatever is on its way comes within this time; a defect would show as a test that fails now and then.
    time.sleep(0.1)
    return heard.empty()


def serving(*flags: dict[str, Any], **options: Any) -> LaunchDarklyProvider:
    """A registered provider of these flags, without a service."""
    data = TestData.data_source()
    client = LDClient(Config("key", update_processor_class=data, **{"send_events": False, **options}))
    for flag in flags:
        client._apply(json.dumps({"salt": "s", "version": 1, **flag}), "features", flag["key"])
    provider = LaunchDarklyProvider(client)
    api.set_provider_and_wait(provider)
    return provider


def against(service: StandIn, start_wait: float = 10, **options: Any) -> LaunchDarklyProvider:
    uris: dict[str, Any] = dict.fromkeys(("base_uri", "stream_uri", "events_uri"), service.uri)
    usual = {**uris, "send_events": False, "initial_reconnect_delay": 0.05, "diagnostic_opt_out": True}
    return LaunchDarklyProvider(Config("sdk-key", **{**usual, **options}), start_wait)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", 10, 10),
        ("integer", 10.0, 10),
        ("integer", 0.5, None),
        ("integer", True, None),
        ("integer", "1", None),
        ("integer", 2**70, 2**70),
        ("float", 0.5, 0.5),
        ("float", 3, 3.0),
        ("float", True, None),
        ("boolean", 1, None),
        ("boolean", False, False),
        ("string", "", ""),
        ("string", 1, None),
        ("object", [1, {"a": None}], [1, {"a": None}]),
        ("object", {}, {}),
        ("object", "{}", None),
        ("object", None, None),
    ],
)
def test_a_value_is_served_in_the_type_that_was_asked_for_or_is_a_mismatch(
    kind: str, value: Any, expected: Any
) -> None:
    serving(constant_flag("flag", value, 1))
    default = {"integer": 7, "float": 7.5, "boolean": True, "string": "d", "object": {"d": 1}}[kind]
    details = getattr(api.get_client(), f"get_{kind}_details")("flag", default, ANN)
    if expected is None:
        assert (details.value, details.error_code, details.reason) == (default, "TYPE_MISMATCH", "ERROR")
        assert 'flag "flag" does not serve a' in details.error_message
    else:
        assert (details.value, type(details.value), details.error_code) == (expected, type(expected), None)


def test_a_whole_number_is_a_good_default_for_a_float() -> None:
    serving({"key": "off", "on": False, "variations": [0.5]})
    details = api.get_client().get_float_details("off", 1, ANN)
    assert (details.value, type(details.value), details.reason) == (1.0, float, "DISABLED")


HALVES = {"variations": [{"variation": 0, "weight": 50_000}, {"variation": 1, "weight": 50_000}]}
EXPERIMENT = {**HALVES, "kind": "experiment", "seed": 1}
RULE = {"id": "r1", "variation": 1, "clauses": [{"attribute": "key", "op": "in", "values": ["ann"]}]}
BASE: dict[str, Any] = {"key": "flag", "on": True, "variations": ["a", "b"], "fallthrough": {"variation": 0}}


@pytest.mark.parametrize(
    ("flag", "key", "reason", "metadata"),
    [
        ({}, "ann", "STATIC", {"reasonKind": "FALLTHROUGH"}),
        ({"rules": [RULE]}, "ann", "TARGETING_MATCH", {"reasonKind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r1"}),
        ({"rules": [RULE]}, "bob", "DEFAULT", {"reasonKind": "FALLTHROUGH"}),
        ({"targets": [{"variation": 1, "values": ["ann"]}]}, "ann", "TARGETING_MATCH", {"reasonKind": "TARGET_MATCH"}),
        ({"targets": [{"variation": 1, "values": ["ann"]}]}, "bob", "DEFAULT", {"reasonKind": "FALLTHROUGH"}),
        ({"prerequisites": [{"key": "on", "variation": 0}]}, "ann", "DEFAULT", {"reasonKind": "FALLTHROUGH"}),
        ({"fallthrough": {"rollout": HALVES}}, "ann", "SPLIT", {"reasonKind": "FALLTHROUGH"}),
        (
            {"fallthrough": {"rollout": EXPERIMENT}},
            "ann",
            "SPLIT",
            {"reasonKind": "FALLTHROUGH", "inExperiment": True},
        ),
        ({"on": False, "offVariation": 1}, "ann", "DISABLED", {"reasonKind": "OFF"}),
        (
            {"prerequisites": [{"key": "on", "variation": 1}], "offVariation": 1},
            "ann",
            "DISABLED",
            {"reasonKind": "PREREQUISITE_FAILED", "prerequisiteKey": "on"},
        ),
    ],
)
def test_a_reason_is_told_in_the_standard_words_and_what_they_lose_is_in_the_metadata(
    flag: dict[str, Any], key: str, reason: str, metadata: dict[str, Any]
) -> None:
    serving(constant_flag("on", True, 1), {**BASE, **flag})
    details = api.get_client().get_string_details("flag", "default", EvaluationContext(key))
    assert details.reason == reason
    index = ["a", "b"].index(details.value)
    assert details.variant == str(index)
    assert details.flag_metadata == {**metadata, "version": "1", "variationIndex": index}


@pytest.mark.parametrize(
    ("key", "context", "code", "words"),
    [
        ("missing", ANN, "FLAG_NOT_FOUND", 'flag "missing" not found'),
        ("malformed", ANN, "PARSE_ERROR", 'the data of flag "malformed" is malformed'),
        ("flag", EvaluationContext(), "TARGETING_KEY_MISSING", "without a targeting key"),
        ("flag", EvaluationContext("a", {"kind": "no such kind!"}), "INVALID_CONTEXT", "kind"),
        ("flag", EvaluationContext(None, {"kind": "multi"}), "TARGETING_KEY_MISSING", "without a targeting key"),
    ],
)
def test_a_failure_has_its_code_and_a_message_that_names_the_flag(
    key: str, context: EvaluationContext, code: str, words: str
) -> None:
    serving(BASE, {"key": "malformed", "on": True, "variations": ["a"], "fallthrough": {"variation": 5}})
    details = api.get_client().get_string_details(key, "default", context)
    assert (details.value, details.reason, details.error_code) == ("default", "ERROR", code)
    assert words in str(details.error_message)
    assert f'"{key}"' in str(details.error_message)


def test_without_flags_the_code_says_that_the_provider_is_not_ready() -> None:
    with StandIn({}) as service:
        service.fault("/all", "black_hole")
        provider = against(service, 0)
        details = provider.resolve_boolean_details("flag", True, ANN)
        assert (details.value, details.error_code) == (True, "PROVIDER_NOT_READY")
        provider.client.close(0)


def test_the_asynchronous_calls_answer_alike() -> None:
    provider = serving(constant_flag("flag", 3, 1))
    for kind, default in (("boolean", True), ("string", ""), ("integer", 1), ("float", 0.1), ("object", {})):
        plain = getattr(provider, f"resolve_{kind}_details")("flag", default, ANN)
        assert asyncio.run(getattr(provider, f"resolve_{kind}_details_async")("flag", default, ANN)) == plain


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (EvaluationContext("k"), {"kind": "user", "key": "k"}),
        (EvaluationContext(None, {"key": "k"}), {"kind": "user", "key": "k"}),
        (EvaluationContext("", {"targetingKey": "k"}), {"kind": "user", "key": "k"}),
        (EvaluationContext("k", {"kind": "org", "email": "e"}), {"kind": "org", "key": "k", "email": "e"}),
        (
            EvaluationContext("k", {"name": "N", "anonymous": True, "privateAttributes": ["email"], "email": "e"}),
            {
                "kind": "user",
                "key": "k",
                "name": "N",
                "anonymous": True,
                "email": "e",
                "_meta": {"privateAttributes": ["email"]},
            },
        ),
        (
            EvaluationContext("k", {"at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))}),
            {"kind": "user", "key": "k", "at": "2026-01-02T03:04:05+01:00"},
        ),
        (
            EvaluationContext("k", {"deep": {"times": (datetime(2026, 1, 2), 1)}}),
            {"kind": "user", "key": "k", "deep": {"times": ["2026-01-02T00:00:00+00:00", 1]}},
        ),
        (
            EvaluationContext(None, {"kind": "multi", "user": {"key": "u", "name": "N"}, "org": {"targetingKey": "o"}}),
            {"kind": "multi", "user": {"key": "u", "name": "N"}, "org": {"key": "o"}},
        ),
    ],
)
def test_an_evaluation_context_means_the_context_of_the_same_members(
    context: EvaluationContext, expected: dict[str, Any], told: list[str]
) -> None:
    assert _ldclient.context_of(_openfeature_context.user_of(context)).to_dict() == expected
    assert told == []


@pytest.mark.parametrize(
    ("context", "expected", "word"),
    [
        (EvaluationContext("k", {"kind": 5}), {"kind": "user", "key": "k"}, "'kind'"),
        (EvaluationContext("k", {"key": "other"}), {"kind": "user", "key": "k"}, "both a targeting key and"),
        (EvaluationContext("k", {"key": 5}), {"kind": "user", "key": "k"}, "must be a text"),
        (EvaluationContext("k", {"name": 5}), {"kind": "user", "key": "k"}, "'name'"),
        (EvaluationContext("k", {"anonymous": "yes"}), {"kind": "user", "key": "k"}, "'anonymous'"),
        (EvaluationContext("k", {"privateAttributes": "email"}), {"kind": "user", "key": "k"}, "'privateAttributes'"),
        (
            EvaluationContext("k", {"privateAttributes": ["email", 5]}),
            {"kind": "user", "key": "k", "_meta": {"privateAttributes": ["email"]}},
            "'privateAttributes'",
        ),
        (EvaluationContext("k", {"_meta": {}}), {"kind": "user", "key": "k"}, "'_meta'"),
        (
            EvaluationContext(None, {"kind": "multi", "user": {"key": "u"}, "org": 5}),
            {"kind": "user", "key": "u"},
            "dict",
        ),
        (
            EvaluationContext(None, {"kind": "multi", "user": {"key": "u"}, "org": {}}),
            {"kind": "user", "key": "u"},
            "no 'key'",
        ),
    ],
)
def test_a_mistake_in_a_context_costs_itself_and_is_told_once(
    context: EvaluationContext, expected: dict[str, Any], word: str, told: list[str]
) -> None:
    for _ in range(3):
        user = _openfeature_context.user_of(context)
        assert _ldclient.context_of(user).to_dict() == expected
    assert len(told) == 1
    assert word in told[0]


def test_without_a_targeting_key_the_ambient_user_counts_with_the_attributes_added() -> None:
    clause = {"attribute": "plan", "op": "in", "values": ["gold"]}
    rules = [{"id": "gold", "variation": 1, "clauses": [clause]}]
    serving({**BASE, "targets": [{"variation": 1, "values": ["eve"]}]}, {**BASE, "key": "ruled", "rules": rules})
    ask = api.get_client().get_string_value
    assert ask("flag", "default") == "default"
    with ldclient.use({"key": "eve", "custom": {"plan": "iron"}}):
        assert ask("flag", "default") == "b"
        assert ask("flag", "default", ANN) == "a"
        assert ask("ruled", "default") == "a"
        assert ask("ruled", "default", EvaluationContext(None, {"plan": "gold"})) == "b"
        assert ask("ruled", "default", EvaluationContext(None, {"kind": "org", "plan": "gold"})) == "default"
    with ldclient.use(Context.create_multi(Context.create("eve"), Context.create("o", "org"))):
        assert ask("flag", "default", EvaluationContext(None, {"plan": "gold"})) == "b"


def test_tracking_sends_value_and_attributes_for_the_context() -> None:
    with StandIn({}) as service:
        provider = against(service, send_events=True, flush_interval=3600)
        api.set_provider_and_wait(provider)
        client = api.get_client()
        client.track("bought", ANN, TrackingEventDetails(9.5, {"currency": "EUR"}))
        client.track("seen", ANN)
        provider.client.flush(5)
        bought, seen = service.events_of("custom")
    assert (bought["key"], bought["metricValue"], bought["data"]) == ("bought", 9.5, {"currency": "EUR"})
    assert bought.get("contextKeys", {"user": bought.get("context", {}).get("key")}) == {"user": "ann"}
    assert seen["key"] == "seen"
    assert not {"metricValue", "data"} & set(seen)


def test_tracking_for_nobody_is_told_once_and_raises_nothing(told: list[str]) -> None:
    serving()
    for _ in range(2):
        api.get_client().track("bought")
    assert len(told) == 1
    assert "targeting key" in told[0]


def test_the_environment_is_in_the_metadata_once_the_service_told_it() -> None:
    with StandIn({"flag": constant_flag("flag", True)}) as service:
        body = service.latest_all()
        service.fault("/sdk/latest-all", status=200, headers={"X-LD-EnvID": "env-1"}, body=body)
        api.set_provider_and_wait(against(service, stream=False))
        details = api.get_client().get_boolean_details("flag", False, ANN)
    assert details.flag_metadata["flagSetId"] == "env-1"


def test_hooks_of_the_client_run_around_each_evaluation() -> None:
    seen: list[tuple[str, str, Any]] = []

    class Noting(Hook):
        @property
        def metadata(self) -> Metadata:
            return Metadata("noting")

        def after_evaluation(self, series_context: Any, data: Any, detail: Any) -> Any:
            seen.append((series_context.key, series_context.method, detail.value))
            return data

    provider = serving(constant_flag("flag", True, 1))
    without = provider.resolve_boolean_details("flag", False, ANN)
    provider.client.add_hook(Noting())
    assert provider.resolve_boolean_details("flag", False, ANN) == without
    assert without.reason == "STATIC"
    assert seen == [("flag", "bool_variation_detail", True)]


def test_an_event_processor_of_the_applications_own_is_told_of_evaluations() -> None:
    told: list[Any] = []

    class Processor(EventProcessor):
        def __init__(self, config: Config) -> None:
            pass

        def send_event(self, event: Any) -> None:
            told.append(event)

        def flush(self) -> None:
            pass

        def stop(self) -> None:
            pass

    provider = serving(constant_flag("flag", 3, 1), send_events=True, event_processor_class=Processor)
    assert provider.resolve_integer_details("flag", 0, ANN).reason == "STATIC"
    (event,) = told
    assert (event.key, event.value, event.context.key) == ("flag", 3, "ann")


def test_making_a_provider_waits_for_nothing_and_a_late_start_is_an_error_that_ends(heard: queue.Queue[Event]) -> None:
    with StandIn({"flag": constant_flag("flag", True)}) as service:
        service.fault("/all", status=503)
        begin = time.monotonic()
        provider = against(service, 0.3)
        assert time.monotonic() - begin < 5
        with pytest.raises(ProviderNotReadyError):
            api.set_provider_and_wait(provider)
        details = next_of(heard, "ERROR")
        assert details.error_code == "PROVIDER_NOT_READY"
        assert str(details.message).partition("failed: ")[2]
        assert status() == ProviderStatus.ERROR
        service.heal()
        next_of(heard, "READY")
        assert status() == ProviderStatus.READY
        assert api.get_client().get_boolean_value("flag", False, ANN) is True


def test_an_interruption_is_stale_once_and_its_end_is_ready_once(heard: queue.Queue[Event]) -> None:
    with StandIn({"flag": constant_flag("flag", True)}) as service:
        provider = against(service)
        api.set_provider_and_wait(provider)
        next_of(heard, "READY")
        service.fault("/all", status=503)
        service.end_streams()
        assert next_of(heard, "STALE").message
        assert status() == ProviderStatus.STALE
        assert api.get_client().get_boolean_value("flag", False, ANN) is True
        failed = provider.client.stats()["failed_connections"]
        wait_until(lambda: provider.client.stats()["failed_connections"] > failed + 1)
        service.heal()
        got = [heard.get(timeout=10)[0]]
        while got[-1] != "READY":
            got.append(heard.get(timeout=10)[0])
        assert set(got[:-1]) <= {"CONFIGURATION_CHANGED"}
        assert status() == ProviderStatus.READY


def test_flags_that_change_together_are_told_together(heard: queue.Queue[Event]) -> None:
    first = {key: constant_flag(key, 1) for key in ("a", "b", "c")}
    with StandIn(first) as service:
        api.set_provider_and_wait(against(service))
        next_of(heard, "READY")
        service.put(constant_flag("b", 2))
        assert next_of(heard, "CONFIGURATION_CHANGED").flags_changed == ["b"]
        service.put_all({key: constant_flag(key, 3, 50) for key in ("a", "c")} | {"b": first["b"]})
        changed = next_of(heard, "CONFIGURATION_CHANGED").flags_changed or []
        assert {"a", "c"} <= set(changed)
        assert nothing_more(heard)


def test_a_client_that_is_interrupted_when_it_is_registered_is_stale_and_not_ready(heard: queue.Queue[Event]) -> None:
    with StandIn({"flag": constant_flag("flag", True)}) as service:
        running = against(service, 10)
        running.client.wait_for_initialization(10)
        service.go_down()
        wait_until(lambda: running.client.stats()["state"] == "INTERRUPTED")
        api.set_provider_and_wait(LaunchDarklyProvider(running.client))
        next_of(heard, "READY")
        next_of(heard, "STALE")
        assert status() == ProviderStatus.STALE
        running.client.close(0)


def test_closing_the_client_behind_the_provider_is_an_error_but_its_flags_stay(heard: queue.Queue[Event]) -> None:
    with StandIn({"flag": constant_flag("flag", True)}) as service:
        provider = against(service)
        api.set_provider_and_wait(provider)
        next_of(heard, "READY")
        provider.client.close(1)
        details = next_of(heard, "ERROR")
        assert details.error_code == "GENERAL"
        assert status() == ProviderStatus.ERROR
        assert api.get_client().get_boolean_value("flag", False, ANN) is True


def test_a_closed_client_without_flags_is_fatal() -> None:
    with StandIn({}) as service:
        service.fault("/all", "black_hole")
        client = against(service).client
        client.close(0)
        with pytest.raises(ProviderFatalError) as raised:
            api.set_provider_and_wait(LaunchDarklyProvider(client))
        assert str(raised.value)
        assert status() == ProviderStatus.FATAL


def test_shutdown_closes_the_client_that_the_provider_made_and_no_other() -> None:
    own = LaunchDarklyProvider(Config(offline=True))
    api.set_provider_and_wait(own)
    theirs = LDClient(Config(offline=True))
    api.set_provider_and_wait(LaunchDarklyProvider(theirs))
    wait_until(own.client.is_closed)
    api.shutdown()
    assert not theirs.is_closed()
    theirs.close()


def test_a_provider_that_is_registered_again_after_a_shutdown_works_again(heard: queue.Queue[Event]) -> None:
    with StandIn({"flag": constant_flag("flag", True)}) as service:
        provider = against(service)
        for _ in range(2):
            api.set_provider_and_wait(provider)
            next_of(heard, "READY")
            assert api.get_client().get_boolean_value("flag", False, ANN) is True
            api.clear_providers()
            assert provider.client.is_closed()
        assert nothing_more(heard)


@pytest.mark.parametrize("wrong", [None, "sdk-key", LaunchDarklyProvider])
def test_what_is_neither_options_nor_a_client_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a Config or an LDClient"):
        LaunchDarklyProvider(wrong)


@pytest.mark.parametrize("wait", [-1, float("nan"), float("inf")])
def test_a_wait_that_is_no_time_is_refused_before_a_client_is_made(wait: float) -> None:
    with pytest.raises(ValueError, match="start_wait"):
        LaunchDarklyProvider(Config(offline=True), wait)


@pytest.mark.parametrize(
    ("module", "package"), [("openfeature", "openfeature-sdk"), ("opentelemetry", "opentelemetry-api")]
)
def test_without_the_package_the_import_says_what_to_install(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"ldclient.{module}", raising=False)
    with pytest.raises(ModuleNotFoundError, match=rf"{package}.*pip install 'ldclient-rs\[{module}\]'"):
        importlib.import_module(f"ldclient.{module}")
