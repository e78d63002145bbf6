"""Events as the service receives them: the JSON of every kind, and what becomes of events when deliveries fail.

Which attributes are kept back is left to ``test_private_attributes``.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from ldclient import Context, LDClient
from stand_in import StandIn, constant_flag

Start = Callable[..., LDClient]

USER = {"key": "u", "custom": {"x": 1}}
SENT_USER = {"kind": "user", "key": "u", "x": 1}
ORG = Context.builder("o").kind("org").name("O").build()
ANONYMOUS = Context.builder("a").anonymous(True).build()
BOTH = Context.create_multi(ORG, ANONYMOUS)
SOON = int(time.time() * 1000) + 3_600_000
EXPERIMENT = {"rollout": {"kind": "experiment", "seed": 1, "variations": [{"variation": 0, "weight": 100_000}]}}

FLAGS = {
    "plain": constant_flag("plain", "v", 3),
    "tracked": constant_flag("tracked", {"a": [1]}, 4, trackEvents=True),
    "debugged": constant_flag("debugged", 5, 5, debugEventsUntilDate=SOON),
    "past": constant_flag("past", 6, 6, debugEventsUntilDate=1000),
    "experiment": constant_flag("experiment", True, 7, fallthrough=EXPERIMENT),
    "parent": constant_flag("parent", 1, 8, trackEvents=True, prerequisites=[{"key": "tracked", "variation": 0}]),
    "failing": constant_flag("failing", 1, 9, prerequisites=[{"key": "plain", "variation": 5}], offVariation=None),
    "unsampled": constant_flag("unsampled", 1, 10, trackEvents=True, samplingRatio=0),
    "uncounted": constant_flag("uncounted", 1, 11, excludeFromSummaries=True),
    "malformed": {"key": "malformed", "version": 12, "on": "yes"},
}


@pytest.fixture
def flags() -> Any:
    with StandIn(FLAGS) as service:
        yield service


def sent(client: LDClient, service: StandIn, kind: str) -> list[dict[str, Any]]:
    """The events of a kind after a flush, without their dates, which are checked here."""
    assert client.flush(timeout=10)
    found = []
    for event in service.events_of(kind):
        assert event.pop("kind") == kind
        dates = [event.pop(name) for name in ("creationDate", "startDate", "endDate") if name in event]
        assert all(abs(date / 1000 - time.time()) < 60 for date in dates)
        assert len(dates) == (2 if kind == "summary" else 1)
        found.append(event)
    return found


def counter(value: Any, count: int = 1, **rest: Any) -> dict[str, Any]:
    return {"value": value, "count": count, **rest}


def balanced(client: LDClient) -> dict[str, Any]:
    """The ledger, which must add up."""
    events: dict[str, Any] = client.stats()["events"]
    assert events["accepted"] == events["sent"] + events["pending"] + sum(events["dropped"].values())
    return events


def test_a_summary_counts_every_evaluation_by_flag_version_and_variation(flags: StandIn, start: Start) -> None:
    client = start(flags)
    for _ in range(3):
        client.variation("plain", USER, "d")
    client.variation("plain", ORG, "ignored later default")
    client.variation("tracked", BOTH, None)
    client.variation("nope", USER, ["d"])
    client.variation("malformed", USER, 5)
    client.variation("failing", USER, "d")
    client.variation("uncounted", USER, 1)
    client.int_variation("plain", USER, 7)
    (summary,) = sent(client, flags, "summary")
    features = summary.pop("features")
    assert summary == {}
    for feature in features.values():
        feature["contextKinds"].sort()
    v3 = {"version": 3}
    assert features.pop("plain") == {
        "default": "d",
        "contextKinds": ["org", "user"],
        # Once as the prerequisite of another flag; once as the default 7 for a value of another type.
        "counters": [counter(7, **v3), counter("v", 5, variation=0, **v3)],
    }
    assert features == {
        "tracked": {
            "default": None, "contextKinds": ["org", "user"],
            "counters": [counter({"a": [1]}, variation=0, version=4)],
        },
        "nope": {"default": ["d"], "contextKinds": ["user"], "counters": [counter(["d"], unknown=True)]},
        "malformed": {"default": 5, "contextKinds": ["user"], "counters": [counter(5, unknown=True)]},
        "failing": {"default": "d", "contextKinds": ["user"], "counters": [counter("d", version=9)]},
    }  # fmt: skip


def test_a_tracked_flag_sends_every_evaluation_with_its_context(flags: StandIn, start: Start) -> None:
    client = start(flags)
    client.variation("tracked", USER, ["d"])
    client.variation_detail("tracked", ORG, None)
    client.bool_variation("tracked", USER, True)
    rest = {"key": "tracked", "version": 4}
    assert sent(client, flags, "feature") == [
        {**rest, "variation": 0, "value": {"a": [1]}, "default": ["d"], "context": SENT_USER},
        {
            **rest, "variation": 0, "value": {"a": [1]}, "default": None, "reason": {"kind": "FALLTHROUGH"},
            "context": {"kind": "org", "key": "o", "name": "O"},
        },
        {**rest, "value": True, "default": True, "context": SENT_USER},
    ]  # fmt: skip


def test_a_debugged_flag_sends_debug_events_until_its_date(flags: StandIn, start: Start) -> None:
    client = start(flags)
    client.variation("debugged", USER, 1)
    client.variation("past", USER, 1)
    assert sent(client, flags, "debug") == [
        {"key": "debugged", "version": 5, "variation": 0, "value": 5, "default": 1, "context": SENT_USER}
    ]
    assert flags.events_of("feature") == []


def test_an_experiment_always_sends_its_reason(flags: StandIn, start: Start) -> None:
    client = start(flags)
    client.variation("experiment", USER, False)
    (event,) = sent(client, flags, "feature")
    assert event["reason"] == {"kind": "FALLTHROUGH", "inExperiment": True}


def test_a_prerequisite_is_evaluated_for_its_parent(flags: StandIn, start: Start) -> None:
    client = start(flags)
    client.variation("parent", USER, "d")
    first, second = sent(client, flags, "feature")
    assert first == {
        "key": "tracked", "version": 4, "variation": 0, "value": {"a": [1]}, "default": None, "prereqOf": "parent",
        "context": SENT_USER,
    }  # fmt: skip
    assert (second["key"], second["default"], "prereqOf" in second) == ("parent", "d", False)


def test_a_sampling_ratio_of_zero_sends_nothing_but_is_counted(flags: StandIn, start: Start) -> None:
    client = start(flags)
    for _ in range(50):
        client.variation("unsampled", USER, 0)
    assert sent(client, flags, "feature") == []
    assert flags.counted("unsampled") == {0: 50}


def test_a_context_is_told_once_by_whatever_comes_first(flags: StandIn, start: Start) -> None:
    client = start(flags)
    for _ in range(2):
        client.variation("plain", USER, 1)
        client.track("t", USER)
        client.identify(ORG)
        client.variation("plain", ORG, 1)
        client.variation("plain", BOTH, 1)
    assert sent(client, flags, "index") == [
        {"context": SENT_USER},
        {"context": {"kind": "multi", "org": {"key": "o", "name": "O"}, "user": {"key": "a", "anonymous": True}}},
    ]
    assert sent(client, flags, "identify") == [{"context": {"kind": "org", "key": "o", "name": "O"}}] * 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((USER,), {}),
        ((USER, None), {}),
        ((USER, {"price": 320}), {"data": {"price": 320}}),
        ((USER, 0), {"data": 0}),
        ((USER, [], 0), {"data": [], "metricValue": 0}),
        ((USER, None, 1.5), {"metricValue": 1.5}),
        ((USER, {}), {"data": {}}),
    ],
)
def test_a_custom_event_carries_its_data(arguments: Any, expected: Any, flags: StandIn, start: Start) -> None:
    client = start(flags)
    client.track("bought", *arguments)
    assert sent(client, flags, "custom") == [{"key": "bought", "context": SENT_USER, **expected}]


def test_anonymous_contexts_are_left_out_where_that_is_asked_for(flags: StandIn, start: Start) -> None:
    client = start(flags, omit_anonymous_contexts=True)
    client.identify(ANONYMOUS)
    client.identify(BOTH)
    client.variation("plain", {"key": "x", "anonymous": True}, 1)
    client.variation("tracked", ANONYMOUS, 1)
    client.track("t", ANONYMOUS)
    assert sent(client, flags, "identify") == [{"context": {"kind": "org", "key": "o", "name": "O"}}]
    assert sent(client, flags, "index") == []
    assert flags.counted("plain") == {0: 1}
    assert [event["key"] for event in sent(client, flags, "custom")] == ["t"]


def test_anonymous_attributes_are_kept_back_from_feature_events(flags: StandIn, start: Start) -> None:
    client = start(flags)
    client.variation("tracked", {"key": "a", "anonymous": True, "custom": {"x": 1}}, None)
    (event,) = sent(client, flags, "feature")
    assert event["context"] == {
        "kind": "user", "key": "a", "anonymous": True, "_meta": {"redactedAttributes": ["x"]},
    }  # fmt: skip


def test_a_request_has_the_headers_of_the_protocol(flags: StandIn, start: Start) -> None:
    client = start(
        flags,
        "sdk-the-key",
        application={"id": "app", "version": "1.2"},
        wrapper_name="w",
        wrapper_version="9",
        enable_event_compression=True,
        diagnostic_opt_out=False,
    )
    client.track("t", USER)
    assert client.flush(timeout=10)
    flags.wait_for_diagnostics()
    (post,), (about,), (stream,) = (flags.requests_to(path) for path in ("/bulk", "/diagnostic", "/all"))
    instance = stream.headers["X-LaunchDarkly-Instance-Id"]
    for request in (post, about, stream):
        assert request.headers["Authorization"] == "sdk-the-key"
        assert re.fullmatch(r"PythonClient/\d+\.\d+\.\d+\S*", request.headers["User-Agent"])
        assert request.headers["X-LaunchDarkly-Tags"] == "application-id/app application-version/1.2"
        assert request.headers["X-LaunchDarkly-Wrapper"] == "w/9"
        assert request.headers["X-LaunchDarkly-Instance-Id"] == instance
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", instance)
    assert post.headers["X-LaunchDarkly-Event-Schema"] == "4"
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["Content-Encoding"] == "gzip"
    assert len(post.raw) < 2 * len(post.body)
    assert post.raw[:2] == b"\x1f\x8b"
    assert "X-LaunchDarkly-Payload-ID" not in about.headers
    other = start(flags)
    other.track("t", USER)
    assert other.flush(timeout=10)
    later = flags.requests_to("/bulk")[-1]
    assert later.headers["X-LaunchDarkly-Instance-Id"] != instance
    assert not {"X-LaunchDarkly-Tags", "X-LaunchDarkly-Wrapper", "Content-Encoding"} & set(later.headers)
    assert later.headers["X-LaunchDarkly-Payload-ID"] != post.headers["X-LaunchDarkly-Payload-ID"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"kind": "reset"}, {"kind": "half_payload"}])
def test_a_failed_post_is_made_once_more_under_the_same_id(fault: Any, flags: StandIn, start: Start) -> None:
    flags.fault("/bulk", times=1, **fault)
    client = start(flags)
    client.track("t", USER)
    result = client.flush(timeout=10)
    assert (result.sent, result.dropped, result.complete) == (2, {}, True)
    first, second = flags.requests_to("/bulk")
    assert first.headers["X-LaunchDarkly-Payload-ID"] == second.headers["X-LaunchDarkly-Payload-ID"]
    assert first.body == second.body
    assert len(flags.events_of("custom")) == 1


@pytest.mark.parametrize(
    ("status", "reason", "posts"), [(401, "rejected", 1), (403, "rejected", 1), (503, "undeliverable", 2)]
)
def test_refused_events_are_dropped_and_counted_and_later_ones_go_on(
    status: int, reason: str, posts: int, flags: StandIn, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    flags.fault("/bulk", status=status)
    client = start(flags)
    with caplog.at_level(logging.DEBUG):
        for number in range(2):
            client.track("lost", USER, number)
            result = client.flush(timeout=10)
            assert (result.sent, result.complete, bool(result)) == (0, True, False)
            assert set(result.dropped) == {reason}
        assert len(flags.requests_to("/bulk")) == 2 * posts
        flags.heal()
        client.track("arrived", USER)
        assert client.flush(timeout=10)
    assert [event["key"] for event in flags.events_of("custom")] == ["arrived"]
    assert balanced(client)["dropped"] == {reason: 3}
    lines = [r.getMessage() for r in caplog.records if "events" in r.getMessage() and r.levelno > logging.DEBUG]
    assert len(lines) == 2
    assert str(status) in lines[0]
    assert "delivered again" in lines[1]


def test_more_events_than_wait_are_dropped_counted_and_warned_of_once(
    flags: StandIn, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(flags, events_max_pending=10)
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            client.track("t", USER, number)
            client.variation("plain", USER, 0)
        result = client.flush(timeout=10)
    assert (result.sent, result.dropped, result.complete) == (11, {}, True)  # ten, and the summary
    assert balanced(client)["dropped"] == {"capacity": 91}
    assert flags.counted("plain") == {0: 100}
    assert [event["data"] for event in flags.events_of("custom")] == list(range(9))
    assert len([record for record in caplog.records if "10 events" in record.getMessage()]) == 1
    client.track("t", USER, "later")
    assert client.flush(timeout=10)
    assert flags.events_of("custom")[-1]["data"] == "later"


def test_flush_tells_the_truth_while_the_service_stalls(flags: StandIn, start: Start) -> None:
    flags.fault("/bulk", "stall", seconds=1.0, times=1)
    client = start(flags)
    client.track("t", USER)
    began = time.monotonic()
    assert client.flush() is None
    result = client.flush(timeout=0.2)
    assert time.monotonic() - began < 0.9
    assert (result.sent, result.pending, result.complete, bool(result)) == (0, 2, False, False)
    assert balanced(client)["pending"] == 2
    assert client.flush(timeout=10).pending == 0
    assert balanced(client)["sent"] == 2


def test_flush_without_a_timeout_asks_and_returns(flags: StandIn, start: Start) -> None:
    client = start(flags)
    client.track("t", USER)
    assert client.flush() is None
    flags.wait_for_event("custom")


@pytest.mark.parametrize("options", [{"offline": True}, {"send_events": False}])
def test_without_events_a_flush_is_complete_at_once(options: Any, flags: StandIn, start: Start) -> None:
    client = start(flags, **options)
    client.track("t", USER)
    client.variation("plain", USER, 1)
    client.identify(USER)
    assert client.flush(timeout=0)
    assert (client.flush(timeout=5).sent, client.stats()["events"]) == (0, {})
    client.close()
    assert flags.requests_to("/bulk") == []


def test_events_after_close_are_counted_as_dropped(flags: StandIn, start: Start) -> None:
    client = start(flags)
    client.track("before", USER)
    client.close()
    client.track("after", USER)
    client.variation("plain", USER, 1)
    assert [event["key"] for event in flags.events_of("custom")] == ["before"]
    ledger = balanced(client)
    assert (ledger["sent"], ledger["pending"]) == (2, 0)
    assert ledger["dropped"].get("closed", 0) >= 1


def test_diagnostics_tell_the_sdk_its_configuration_and_later_what_happened(
    flags: StandIn, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldclient.config._LEAST_DIAGNOSTIC_INTERVAL", 0.5)
    client = start(
        flags, "sdk-abcdef-123456", diagnostic_opt_out=False, diagnostic_recording_interval=0.5, events_max_pending=1
    )
    for number in range(3):
        client.variation("plain", {"key": f"u{number % 2}"}, 1)
    first, second = flags.wait_for_diagnostics(2)[:2]
    assert first["kind"] == "diagnostic-init"
    assert first["id"]["sdkKeySuffix"] == "123456"
    assert first["id"] == second["id"]
    assert first["sdk"]["name"] == "python-server-sdk"
    assert first["configuration"]["eventsCapacity"] == 1
    assert first["configuration"]["streamingDisabled"] is False
    assert first["configuration"]["customStreamURI"] is True
    assert set(first["platform"]) >= {"name", "osArch", "osName", "osVersion", "pythonVersion"}
    assert second["kind"] == "diagnostic"
    assert (second["droppedEvents"], second["deduplicatedUsers"]) == (1, 1)
    assert [attempt["failed"] for attempt in second["streamInits"]] == [False]
    assert "sdk-abcdef" not in json.dumps([first, second])


def test_one_bad_value_loses_no_other_event(flags: StandIn, start: Start) -> None:
    client = start(flags)
    for value in (float("nan"), object(), "\ud800", {"a": {1, 2j}}, b"\xff", 10**5000):
        client.track("t", {"key": "u", "custom": {"bad": value, "good": 1}}, {"bad": value, "good": 1}, value)
        client.variation("tracked", {"key": "u", "custom": {"bad": value, "good": 1}}, value)
        client.variation("nope", USER, value)
    assert client.flush(timeout=10)
    assert [event["data"]["good"] for event in flags.events_of("custom")] == [1] * 6
    assert [event["context"]["good"] for event in flags.events_of("feature")] == [1] * 6
    assert balanced(client)["dropped"] == {}
