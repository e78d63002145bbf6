"""Evaluations on spans, and a client's figures as metrics, as an OpenTelemetry SDK receives them."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is installed for the newest Python only")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ldclient import Config, Context, LDClient, opentelemetry
from ldclient.integrations import TestData
from ldclient.opentelemetry import Hook, HookOptions, instrument
from stand_in import StandIn, constant_flag

pytestmark = pytest.mark.once

ANN = {"key": "ann"}
STANDARD = {
    "feature_flag.key": "flag",
    "feature_flag.provider.name": "LaunchDarkly",
    "feature_flag.context.id": "ann",
}


class Traces:
    """A tracer of an application, and the spans that it finished."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("application")

    def spans(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        return [(event.name, dict(event.attributes)) for span in self.spans() for event in span.events]


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Traces:
    made = Traces()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made.provider)
    return made


def hooked(options: HookOptions | None = None, value: Any = True, **fields: Any) -> LDClient:
    """A client with the hook and one flag."""
    data = TestData.data_source()
    client = LDClient(Config("key", update_processor_class=data, send_events=False, hooks=[Hook(options)]))
    client._apply(json.dumps(constant_flag("flag", value, 1, **fields)), "features", "flag")
    return client


def test_an_evaluation_is_an_event_of_the_current_span(traces: Traces) -> None:
    client = hooked()
    with traces.tracer.start_as_current_span("request"):
        assert client.variation("flag", ANN, False) is True
    result = {"result.reason": "default", "result.variant": "0", "result.variationIndex": 0}
    members = {**STANDARD, **{f"feature_flag.{name}": value for name, value in result.items()}}
    assert traces.events() == [("feature_flag", members)]
    assert [span.name for span in traces.spans()] == ["request"]


def test_the_name_of_the_semantic_conventions_can_be_had(traces: Traces) -> None:
    client = hooked(HookOptions(event_name="feature_flag.evaluation"))
    with traces.tracer.start_as_current_span("request"):
        client.variation("flag", ANN, False)
    assert [name for name, _ in traces.events()] == ["feature_flag.evaluation"]


@pytest.mark.parametrize("options", [HookOptions(include_value=True), HookOptions(include_variant=True)])
@pytest.mark.parametrize(
    ("value", "told"), [(True, True), (3, 3), (0.5, 0.5), ("text", "text"), ({"a": [1]}, '{"a": [1]}'), (None, "null")]
)
def test_the_value_is_told_where_it_is_asked_for(options: HookOptions, value: Any, told: Any, traces: Traces) -> None:
    client = hooked(options, value)
    with traces.tracer.start_as_current_span("request"):
        client.variation("flag", ANN, "default")
    ((_, members),) = traces.events()
    assert (members["feature_flag.result.value"], type(members["feature_flag.result.value"])) == (told, type(told))


RULE = {"id": "r", "variation": 0, "clauses": [{"attribute": "key", "op": "in", "values": ["ann"]}]}
EXPERIMENT = {"kind": "experiment", "seed": 1, "variations": [{"variation": 0, "weight": 100_000}]}


@pytest.mark.parametrize(
    ("fields", "reason", "in_experiment"),
    [
        ({"rules": [RULE]}, "targeting_match", None),
        ({"targets": [{"variation": 0, "values": ["ann"]}]}, "targeting_match", None),
        ({"on": False, "offVariation": 0}, "disabled", None),
        ({"fallthrough": {"rollout": EXPERIMENT}, "salt": "s"}, "split", True),
    ],
)
def test_the_reason_is_told_in_the_standard_words(
    fields: dict[str, Any], reason: str, in_experiment: bool | None, traces: Traces
) -> None:
    client = hooked(None, True, **fields)
    with traces.tracer.start_as_current_span("request"):
        client.variation("flag", ANN, False)
    ((_, members),) = traces.events()
    assert members["feature_flag.result.reason"] == reason
    assert members.get("feature_flag.result.reason.inExperiment") is in_experiment


@pytest.mark.parametrize(
    ("key", "user", "error", "words"),
    [
        ("missing", ANN, "flag_not_found", 'flag "missing" not found'),
        ("flag", Context.create(""), "targeting_key_missing", "without a valid context"),
    ],
)
def test_a_failure_has_its_type_and_no_variant(key: str, user: Any, error: str, words: str, traces: Traces) -> None:
    client = hooked()
    with traces.tracer.start_as_current_span("request"):
        client.variation(key, user, False)
    ((_, members),) = traces.events()
    assert (members["error.type"], members["feature_flag.result.reason"]) == (error, "error")
    assert words in members["feature_flag.error.message"]
    assert "feature_flag.result.variant" not in members


def test_a_context_of_another_kind_is_told_with_its_kind(traces: Traces) -> None:
    client = hooked()
    with traces.tracer.start_as_current_span("request"):
        client.variation("flag", Context.create("acme", "org"), False)
    ((_, members),) = traces.events()
    assert members["feature_flag.context.id"] == "org:acme"


def test_without_a_span_that_records_nothing_is_worked_out(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("attributes were made for nobody")

    monkeypatch.setattr(Hook, "_attributes", never)
    client = hooked()
    assert client.variation("flag", ANN, False) is True
    with trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
        assert client.variation("flag", ANN, False) is True
    assert traces.spans() == []


def test_a_span_around_each_evaluation_where_it_is_asked_for(traces: Traces) -> None:
    client = hooked(HookOptions(add_spans=True))
    with traces.tracer.start_as_current_span("request") as outer:
        client.variation_detail("flag", ANN, False)
        assert trace.get_current_span() is outer
    inner, request = traces.spans()
    assert (inner.name, inner.parent.span_id) == ("variation_detail", request.context.span_id)
    assert dict(inner.attributes) == {"feature_flag.key": "flag", "feature_flag.context.id": "ann"}
    assert [event.name for event in request.events] == ["feature_flag"]


@pytest.mark.parametrize(("environment", "expected"), [("mine", "mine"), (None, "env-1")])
def test_the_environment_is_the_one_of_the_options_else_the_services(
    environment: str | None, expected: str, traces: Traces, start: Callable[..., LDClient]
) -> None:
    metrics = Metrics()
    with StandIn({"flag": constant_flag("flag", True)}) as service:
        body = service.latest_all()
        service.fault("/sdk/latest-all", status=200, headers={"X-LD-EnvID": "env-1"}, body=body)
        client = start(service, stream=False, hooks=[Hook(HookOptions(environment_id=environment))])
        instrument(client, metrics.provider)
        with traces.tracer.start_as_current_span("request"):
            client.variation("flag", ANN, False)
        ((_, members),) = traces.events()
    assert members["feature_flag.set.id"] == expected
    assert metrics.collect()["ldclient.flags"] == [(1, {"feature_flag.set.id": "env-1"})]
    metrics.provider.shutdown()


@pytest.mark.parametrize("wrong", ["", 5])
def test_an_environment_that_is_no_text_is_told_and_not_used(
    wrong: Any, caplog: pytest.LogCaptureFixture, traces: Traces
) -> None:
    client = hooked(HookOptions(environment_id=wrong))
    with traces.tracer.start_as_current_span("request"):
        client.variation("flag", ANN, False)
    ((_, members),) = traces.events()
    assert "feature_flag.set.id" not in members
    assert "environment_id" in caplog.text


class Metrics:
    """An application's metrics, and what was collected of them."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def collect(self) -> dict[str, list[tuple[float, dict[str, Any]]]]:
        data = self.reader.get_metrics_data()
        every = [one for r in data.resource_metrics for s in r.scope_metrics for one in s.metrics] if data else []
        return {one.name: [(point.value, dict(point.attributes)) for point in one.data.data_points] for one in every}


def test_the_figures_of_a_client_are_metrics(start: Callable[..., LDClient]) -> None:
    metrics = Metrics()
    with StandIn({"flag": constant_flag("flag", True)}) as service:
        client = start(service)
        instrument(client, metrics.provider)
        client.track("one", ANN)
        got = metrics.collect()
        assert got["ldclient.events.pending"] == [(2, {})]
        assert got["ldclient.events.accepted"] == [(2, {})]
        assert got["ldclient.events.sent"] == [(0, {})]
        assert "ldclient.events.dropped" not in got or got["ldclient.events.dropped"] == []
        assert got["ldclient.flags"] == [(1, {})]
        assert 0 <= got["ldclient.data.age"][0][0] < 60
        assert 0 <= got["ldclient.data.contact_age"][0][0] < 60
        assert got["ldclient.data_source.reconnects"] == [(0, {})]
        states = {marks["state"]: value for value, marks in got["ldclient.data_source.state"]}
        assert states == {"INITIALIZING": 0, "VALID": 1, "INTERRUPTED": 0, "OFF": 0}
        client.flush(5)
        assert metrics.collect()["ldclient.events.sent"] == [(2, {})]
        client.close()
        client.track("late", ANN)
        ((_, marks),) = metrics.collect()["ldclient.events.dropped"]
        assert marks == {"reason": "closed"}
    metrics.provider.shutdown()


def test_several_clients_are_told_apart_and_each_counts_once() -> None:
    metrics = Metrics()
    clients = [hooked(), hooked()]
    for _ in range(2):
        for name, client in zip("ab", clients, strict=True):
            instrument(client, metrics.provider, {"client": name})
    assert metrics.collect()["ldclient.flags"] == [(1, {"client": "a"}), (1, {"client": "b"})]
    metrics.provider.shutdown()


def test_metrics_keep_no_client_alive() -> None:
    metrics = Metrics()
    client = hooked()
    instrument(client, metrics.provider)
    client.close()
    del client
    gc.collect()
    assert not metrics.collect().get("ldclient.flags")
    metrics.provider.shutdown()


def test_without_a_provider_of_the_applications_own_nothing_is_asked_for() -> None:
    client = LDClient(Config(offline=True))
    instrument(client)
    assert any(one[0]() is client for clients in opentelemetry._instrumented.values() for one in clients)
    client.close()
