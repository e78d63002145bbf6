"""Event processors and consumers that an application wrote itself: what they are given, and what their failures cost."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from ldclient import Config, Context, LDClient, Stage
from ldclient.events import (
    EventInput,
    EventInputCustom,
    EventInputEvaluation,
    EventInputIdentify,
    Flag,
    MigrationOpEvent,
)
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.hook import EvaluationSeriesContext, Hook, Metadata
from ldclient.interfaces import EventConsumer, EventProcessor
from ldclient.migrations import Operation, Origin
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from stand_in import StandIn

USER = {"key": "u"}


def flag(key: str, **more: Any) -> dict[str, Any]:
    usual = {"version": 7, "on": True, "variations": ["a", "b"], "offVariation": 1, "fallthrough": {"variation": 0}}
    return {"key": key, **usual, "salt": "s", **more}


RULE = {"id": "r0", "clauses": [{"attribute": "key", "op": "in", "values": ["u"]}], "variation": 1, "trackEvents": True}
FLAGS = [
    flag("plain"),
    flag("off", on=False, trackEvents=True),
    flag("rule", rules=[RULE], debugEventsUntilDate=1700000000000, samplingRatio=3, excludeFromSummaries=True),
    flag("tracked-fallthrough", trackEventsFallthrough=True),
    flag("parent", prerequisites=[{"key": "child", "variation": 0}, {"key": "absent", "variation": 0}]),
    flag("child", prerequisites=[{"key": "plain", "variation": 0}]),
    flag("cycle", prerequisites=[{"key": "plain", "variation": 0}, {"key": "cycle", "variation": 0}]),
    flag("nothing", on=False, offVariation=None),
    flag("bad", on=False, offVariation=9),
    flag(
        "stage",
        variations=["off", "live"],
        fallthrough={"variation": 1},
        migration={"checkRatio": 1},
        samplingRatio=2,
    ),
]


class Processor(EventProcessor):
    made: ClassVar[list[Processor]] = []

    def __init__(self, config: Config) -> None:
        self.config = config
        self.calls: list[Any] = []
        Processor.made.append(self)

    def send_event(self, event: EventInput) -> None:
        self.calls.append(event)

    def flush(self) -> None:
        self.calls.append("flush")

    def stop(self) -> None:
        self.calls.append("stop")

    def take(self) -> list[Any]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture(autouse=True)
def _none_made() -> Iterator[None]:
    Processor.made = []
    yield
    Processor.made = []


def config(**options: Any) -> Config:
    store = InMemoryFeatureStore()
    store.init({FEATURES: {one["key"]: one for one in FLAGS}, SEGMENTS: {}})
    return Config("sdk-key", feature_store=store, use_ldd=True, **options)


def started(processor: Any = Processor, **options: Any) -> tuple[LDClient, Any]:
    client = LDClient(config(event_processor_class=processor, **options))
    return client, Processor.made[-1] if Processor.made else None


def told(events: list[Any]) -> list[dict[str, Any]]:
    """What the events say, without what is the same in all of them, which is checked."""
    now = time.time() * 1000
    result = []
    for event in events:
        says = event.to_debugging_dict()
        assert now - 60_000 < says.pop("timestamp") <= now
        assert says.pop("context") == {"kind": "user", "key": "u"}
        result.append(says)
    return result


def evaluation(key: str, variation: int | None, value: str, **more: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "key": key,
        "flag": {"key": key},
        "variation": variation,
        "value": value,
        "reason": None,
        "default_value": "d",
        "prereq_of": None,
        "track_events": False,
        "exclude_from_summaries": False,
        "sampling_ratio": None,
    }
    return {**usual, **more}


def prerequisite(key: str, of: str) -> dict[str, Any]:
    return evaluation(key, 0, "a", default_value=None, prereq_of={"key": of})


RULE_MATCH = {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r0"}
ABSENT: dict[str, Any] = {"flag": None, "sampling_ratio": 1}
MALFORMED = {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}

# Flag; the events of `variation`; the reason that `variation_detail` adds to the last one. As launchdarkly-server-sdk 9.20
# told its processor of the same flags.
EVALUATIONS: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("plain", [evaluation("plain", 0, "a")], {"kind": "FALLTHROUGH"}),
    ("off", [evaluation("off", 1, "b", track_events=True)], {"kind": "OFF"}),
    (
        "rule",
        [
            evaluation(
                "rule", 1, "b", reason=RULE_MATCH, track_events=True, exclude_from_summaries=True, sampling_ratio=3
            )
        ],
        RULE_MATCH,
    ),
    (
        "tracked-fallthrough",
        [evaluation("tracked-fallthrough", 0, "a", reason={"kind": "FALLTHROUGH"}, track_events=True)],
        {"kind": "FALLTHROUGH"},
    ),
    (
        "parent",
        [prerequisite("plain", "child"), prerequisite("child", "parent"), evaluation("parent", 1, "b")],
        {"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "absent"},
    ),
    ("cycle", [prerequisite("plain", "cycle"), evaluation("cycle", None, "d")], MALFORMED),
    ("nothing", [evaluation("nothing", None, "d")], {"kind": "OFF"}),
    ("bad", [evaluation("bad", None, "d")], MALFORMED),
    ("unknown", [evaluation("unknown", None, "d", **ABSENT)], {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}),
    (
        "forced",
        [evaluation("forced", None, "f", default_value="f", **ABSENT)],
        {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"},
    ),
]


@pytest.mark.parametrize(("key", "expected", "reason"), EVALUATIONS, ids=[key for key, _, _ in EVALUATIONS])
@pytest.mark.parametrize("user", [USER, Context.create("u")], ids=["dict", "context"])
def test_an_evaluation_is_told_as_the_reference_tells_it(
    key: str, expected: list[dict[str, Any]], reason: dict[str, Any], user: Any
) -> None:
    client, processor = started(defaults={"forced": "f"})
    with client:
        value = client.variation(key, user, "d")
        events = processor.take()
        assert {type(event) for event in events} == {EventInputEvaluation}
        assert told(events) == expected
        assert value == expected[-1]["value"]

        detail = client.variation_detail(key, user, "d")
        with_reasons = [
            {**one, "reason": {"kind": "FALLTHROUGH"}} if one["prereq_of"] else {**one, "reason": reason}
            for one in expected
        ]
        assert told(processor.take()) == with_reasons
        assert (detail.value, detail.reason) == (value, reason)


def test_other_calls_are_told_as_the_reference_tells_them() -> None:
    client, processor = started()
    with client:
        data = {"a": object()}
        client.identify(USER)
        client.track("bought", USER)
        client.track("bought", Context.create("u"), data, 2.5)
        identify, plain, custom = processor.take()
        assert type(identify) is EventInputIdentify
        assert type(plain) is type(custom) is EventInputCustom
        assert told([identify, plain]) == [
            {"sampling_ratio": None},
            {"sampling_ratio": None, "key": "bought", "data": None, "metric_value": None},
        ]
        assert custom.data is data
        assert custom.metric_value == 2.5

        client.all_flags_state(USER)
        client.secure_mode_hash(USER)
        client.flush()
        assert processor.take() == ["flush"]
        assert client.flush(timeout=1)
        assert processor.take() == ["flush"]
    client.close()
    assert processor.take() == ["stop"]
    assert client.variation("plain", USER, "d") == "a"
    client.track("late", USER)
    client.flush()
    assert processor.take() == []


def test_typed_evaluations_are_told_once_with_what_the_caller_got() -> None:
    client, processor = started()
    with client:
        assert client.bool_variation("plain", USER, True) is True
        assert client.str_variation("plain", USER, "d") == "a"
        assert [(one.value, one.variation, one.default_value) for one in processor.take()] == [
            (True, None, True),
            ("a", 0, "d"),
        ]


def test_a_migration_is_told_as_the_reference_tells_it() -> None:
    client, processor = started()
    with client:
        stage, tracker = client.migration_variation("stage", USER, Stage.OFF)
        assert stage is Stage.LIVE
        assert told(processor.take()) == [evaluation("stage", 1, "live", default_value="off", sampling_ratio=2)]

        tracker.operation(Operation.READ).invoked(Origin.OLD).invoked(Origin.NEW).consistent(lambda: True)
        tracker.latency(Origin.OLD, timedelta(milliseconds=5))
        client.track_migration_op(tracker)
        events = processor.take()
        assert [type(event) for event in events] == [MigrationOpEvent]
        assert isinstance(events[0], EventInput)
        assert (events[0].key, events[0].flag.key, events[0].sampling_ratio) == ("stage", "stage", 2)
        (says,) = told(events)
        assert (says.pop("detail").value, says) == (
            "live",
            {
                "flag": {"key": "stage"},
                "operation": "read",
                "default_stage": "off",
                "invoked": {Origin.OLD, Origin.NEW},
                "consistent": True,
                "consistent_ratio": 1,
                "errors": set(),
                "latencies": {Origin.OLD: timedelta(milliseconds=5)},
            },
        )

        # A value that is no stage is told as the flag has it.
        assert client.migration_variation("plain", USER, Stage.OFF)[0] is Stage.OFF
        assert told(processor.take()) == [evaluation("plain", 0, "a", default_value="off")]
        assert client.migration_variation("unknown", USER, Stage.LIVE)[0] is Stage.LIVE
        assert told(processor.take()) == [evaluation("unknown", None, "live", default_value="live", **ABSENT)]


def test_the_flag_of_an_event_reads_like_the_reference_s() -> None:
    client, processor = started()
    with client:
        client.variation("rule", USER, "d")
        client.variation("rule", USER, "d")
        client.variation("parent", USER, "d")
        client.variation("stage", USER, "d")
        first, second, *_, parent, stage = (event.flag for event in processor.take())
    assert first is second
    assert isinstance(first, Flag)
    assert (first.key, first.version, first["version"], first.get("salt"), first.get("x", 1)) == ("rule", 7, 7, "s", 1)
    assert (first.on, first.variations, first.off_variation, first.deleted) == (True, ["a", "b"], 1, False)
    assert (first.track_events, first.track_events_fallthrough) == (False, False)
    assert (first.debug_events_until_date, first.sampling_ratio, first.exclude_from_summaries) == (
        1700000000000,
        3,
        True,
    )
    assert first.migrations is None
    assert stage.migrations.check_ratio == 1
    assert [(one.key, one.variation) for one in parent.prerequisites] == [("child", 0), ("absent", 0)]
    assert "on" in first
    assert first.to_json_dict()["samplingRatio"] == 3


def test_a_changed_flag_is_told_in_its_new_version() -> None:
    client, processor = started()
    with client:
        client.variation("plain", USER, "d")
        client._config.feature_store.upsert(FEATURES, flag("plain", version=8, trackEvents=True))
        client.variation("plain", USER, "d")
        assert [(event.flag.version, event.track_events) for event in processor.take()] == [(7, False), (8, True)]


@pytest.mark.parametrize("user", [None, 5, {"key": None}, Context.create("")])
def test_nobody_is_told_of(user: Any) -> None:
    client, processor = started()
    with client:
        assert client.variation("plain", user, "d") == "d"
        client.identify(user)
        client.track("bought", user)
        assert processor.take() == []


@pytest.mark.parametrize("options", [{"offline": True}, {"send_events": False}])
def test_a_client_without_events_makes_no_processor(options: Any) -> None:
    client, processor = started(**options)
    with client:
        client.variation("plain", USER, "d")
        client.track("bought", USER)
        client.identify(USER)
        client.flush()
    assert processor is None


def test_the_processor_is_made_with_the_config_before_flags_arrive_and_the_service_hears_nothing(
    service: StandIn, start: Any
) -> None:
    client = start(service, event_processor_class=Processor, diagnostic_opt_out=False)
    (processor,) = Processor.made
    assert processor.config is client._config
    assert client.variation("your.feature.key", USER, False) is True
    client.identify(USER)
    client.close()
    assert [type(call) for call in processor.take()] == [EventInputEvaluation, EventInputIdentify, str]
    assert service.requests_to("/bulk") == service.requests_to("/diagnostic") == []


def test_a_function_may_make_the_processor_and_anything_else_is_refused() -> None:
    client, processor = started(lambda config: Processor(config))
    with client:
        client.variation("plain", USER, "d")
        assert len(processor.take()) == 1
    with pytest.raises(
        TypeError, match="event_processor_class: expected a class or a function that makes one, got int"
    ):
        started(5)


def test_what_the_class_raises_when_it_is_made_reaches_the_caller() -> None:
    def refuse(_: Config) -> None:
        raise LookupError("no such host")

    with pytest.raises(LookupError, match="no such host"):
        started(refuse)


class Failing(Processor):
    def send_event(self, event: EventInput) -> None:
        raise ValueError(f"secret of {event}")

    def flush(self) -> None:
        raise ValueError("secret")

    def stop(self) -> None:
        raise ValueError("secret")


def test_a_processor_that_raises_harms_nothing_and_is_logged_once_for_each_method(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client, _ = started(Failing)
    with client:
        for _ in range(3):
            assert client.variation("parent", USER, "d") == "b"
            assert client.variation_detail("plain", USER, "d").reason == {"kind": "FALLTHROUGH"}
            assert client.migration_variation("stage", USER, Stage.OFF)[0] is Stage.LIVE
            client.identify(USER)
            client.track("bought", USER)
            client.flush()
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [line.partition(" raised an exception in ")[2].partition(":")[0] for line in lines] == [
        "send_event",
        "flush",
        "stop",
    ]
    assert all("The event processor Failing" in line and "ValueError" in line for line in lines)
    assert "secret" not in caplog.text


def test_what_is_no_exception_reaches_the_caller() -> None:
    class Interrupted(Processor):
        def send_event(self, event: EventInput) -> None:
            raise KeyboardInterrupt(event)

    client, _ = started(Interrupted)
    for call in (
        lambda: client.variation("plain", USER, "d"),
        lambda: client.identify(USER),
        lambda: client.track("bought", USER),
    ):
        with pytest.raises(KeyboardInterrupt):
            call()
    client.close()


def test_a_processor_that_evaluates_is_not_told_of_that() -> None:
    class Curious(Processor):
        def send_event(self, event: EventInput) -> None:
            super().send_event(event)
            self.calls.append(client.variation("child", USER, "d"))
            client.track("seen", USER)

    client, processor = started(Curious)
    with client:
        client.variation("plain", USER, "d")
        event, value = processor.take()
        assert (event.key, value) == ("plain", "a")


def test_a_processor_that_holds_up_its_caller_is_called_on_a_thread_of_its_own(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldclient._event_processor._SLOW", 0.01)
    entered, free = threading.Event(), threading.Event()

    class Stuck(Processor):
        def send_event(self, event: EventInput) -> None:
            entered.set()
            assert free.wait(30)
            super().send_event(event)

    client, processor = started(Stuck, events_max_pending=2)
    first = threading.Thread(target=client.variation, args=("plain", USER, "d"))
    first.start()
    assert entered.wait(10)
    deadline = time.monotonic() + 10
    while "holds up evaluations" not in caplog.text:
        # The first call is stuck. Of those that come too early to know it there are few.
        assert time.monotonic() < deadline
        time.sleep(0.02)
        client.variation("off", USER, "d")
    for _ in range(4):
        assert client.variation("off", USER, "d") == "b"
    assert caplog.text.count("does not keep up: events are dropped") == 1
    free.set()
    first.join(10)
    deadline = time.monotonic() + 10
    # The first one, and as many as fit into the queue.
    while len(processor.calls) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    client.close(10)
    calls = processor.take()
    assert sorted({call.key for call in calls[:-1]}) == ["off", "plain"]
    assert calls[-1] == "stop"
    assert caplog.text.count("holds up evaluations") == 1


def test_hooks_run_around_evaluations_whose_events_a_processor_gets() -> None:
    seen: list[Any] = []

    class Listening(Hook):
        @property
        def metadata(self) -> Metadata:
            return Metadata("listening")

        def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict[str, Any]) -> dict[str, Any]:
            seen.append(("before", series_context.key, len(processor.calls)))
            return data

        def after_evaluation(
            self, series_context: EvaluationSeriesContext, data: dict[str, Any], detail: Any
        ) -> dict[str, Any]:
            seen.append((f"after {series_context.method}", detail.value, len(processor.calls)))
            return data

        def after_track(self, series_context: Any) -> None:
            seen.append(("track", series_context.key, len(processor.calls)))

    client, processor = started()
    with client:
        client.add_hook(Listening())
        assert client.variation("plain", USER, "d") == "a"
        client.track("bought", USER)
        assert seen == [("before", "plain", 0), ("after variation", "a", 1), ("track", "bought", 2)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_uses_the_processor_as_it_is() -> None:
    client, processor = started()
    with client:
        client.variation("plain", USER, "d")
        child = os.fork()
        if child == 0:
            try:
                client.variation("off", USER, "d")
                client.flush()
                seen = [getattr(call, "key", call) for call in processor.calls]
                os._exit(0 if seen == ["plain", "off", "flush"] else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(processor.take()) == 1


class Consumer(EventConsumer):
    made: ClassVar[list[Any]] = []

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.calls: list[str] = []
        self.alive = False
        Consumer.made.append(self)

    def start(self) -> None:
        self.alive = True
        self.calls.append("start")

    def stop(self) -> None:
        self.alive = False
        self.calls.append("stop")

    def is_alive(self) -> bool:
        return self.alive

    def flush(self) -> None:
        self.calls.append("flush")


def of_3_0(events: Any, sdk_key: str, config: Config) -> Consumer:
    return Consumer(events, sdk_key, config)


def of_4_0(events: Any, config: Config) -> Consumer:
    return Consumer(events, config)


@pytest.mark.parametrize(("factory", "has_key"), [(of_3_0, True), (of_4_0, False)])
def test_a_consumer_of_earlier_releases_finds_in_its_queue_the_dicts_that_it_knows(factory: Any, has_key: bool) -> None:
    options = config(event_consumer_class=factory)
    client = LDClient(options)
    consumer = Consumer.made.pop()
    events: queue.Queue[dict[str, Any]] = consumer.arguments[0]
    assert consumer.arguments[1:] == (("sdk-key", options) if has_key else (options,))
    with client:
        user = {"key": 12, "custom": {"x": 1}}
        client.variation("plain", user, "d")
        client.variation("child", {"key": "u"}, "d")
        client.variation("unknown", Context.create("u"), "d")
        client.identify({"key": "u"})
        client.track("bought", {"key": "u"}, {"price": 3})
        tracker = client.migration_variation("stage", {"key": "u"}, Stage.OFF)[1]
        client.track_migration_op(tracker.operation(Operation.READ).invoked(Origin.OLD))
        client.flush()
    assert user == {"key": 12, "custom": {"x": 1}}
    found = []
    while not events.empty():
        event = events.get()
        assert abs(event.pop("creationDate") - time.time() * 1000) < 60_000
        found.append(event)
    assert found == [
        {
            "kind": "feature",
            "key": "plain",
            "user": {"key": "12", "custom": {"x": 1}},
            "value": "a",
            "default": "d",
            "version": 7,
        },
        {"kind": "feature", "key": "plain", "user": {"key": "u"}, "value": "a", "version": 7, "prereqOf": "child"},
        {"kind": "feature", "key": "child", "user": {"key": "u"}, "value": "a", "default": "d", "version": 7},
        {
            "kind": "feature",
            "key": "unknown",
            "user": {"kind": "user", "key": "u"},
            "value": "d",
            "default": "d",
            "version": None,
        },
        {"kind": "identify", "key": "u", "user": {"key": "u"}},
        {"kind": "custom", "key": "bought", "user": {"key": "u"}, "data": {"price": 3}},
        {
            "kind": "feature",
            "key": "stage",
            "user": {"kind": "user", "key": "u"},
            "value": "live",
            "default": "off",
            "version": 7,
        },
    ]
    assert consumer.calls == ["start", "flush", "stop"]


def test_a_consumer_that_takes_nothing_costs_events_not_evaluations(caplog: pytest.LogCaptureFixture) -> None:
    with LDClient(config(event_consumer_class=of_4_0, events_max_pending=2)) as client:
        for _ in range(5):
            assert client.variation("plain", USER, "d") == "a"
    assert Consumer.made.pop().arguments[0].qsize() == 2
    assert caplog.text.count("does not keep up: events are dropped") == 1


def test_of_two_classes_the_processor_counts(caplog: pytest.LogCaptureFixture) -> None:
    client, processor = started(event_consumer_class=of_4_0)
    with client:
        client.variation("plain", USER, "d")
        assert len(processor.take()) == 1
    assert Consumer.made == []
    assert "event_consumer_class has no effect" in caplog.text


def test_events_that_say_the_same_are_equal() -> None:
    context = Context.create("u")
    one, same = (EventInputCustom(1, context, "bought", {"a": 1}) for _ in range(2))
    assert one == same
    assert one != EventInputCustom(1, context, "bought", {"a": 2})
    assert EventInputIdentify(1, context) != EventInput(1, context)
    assert repr(one).startswith("EventInputCustom({'timestamp': 1, ")
    assert EventInputEvaluation(1, context, "k", None, None, "v", None, "v").sampling_ratio == 1
