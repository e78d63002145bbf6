"""Migrations: which origins each stage reads and writes, in which order, and what is measured and sent of it."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

import ldclient
from ldclient import (
    Config,
    Context,
    ExecutionOrder,
    LDClient,
    Migrator,
    MigratorBuilder,
    Operation,
    OpTracker,
    Origin,
    Result,
    Stage,
)
from ldclient.evaluation import EvaluationDetail
from ldclient.migrations import MigrationConfig, MigrationOpEvent, OperationResult, WriteResult
from ldclient.migrations.tracker import MigrationFlag
from stand_in import StandIn, constant_flag

USER = {"key": "u"}
CONTEXT = Context.create("u")
OLD, NEW = Origin.OLD, Origin.NEW

# Origins, the authoritative one first, as LaunchDarkly documents the stages.
READ = {
    Stage.OFF: [OLD],
    Stage.DUALWRITE: [OLD],
    Stage.SHADOW: [OLD, NEW],
    Stage.LIVE: [NEW, OLD],
    Stage.RAMPDOWN: [NEW],
    Stage.COMPLETE: [NEW],
}
WRITTEN = {
    Stage.OFF: [OLD],
    Stage.DUALWRITE: [OLD, NEW],
    Stage.SHADOW: [OLD, NEW],
    Stage.LIVE: [NEW, OLD],
    Stage.RAMPDOWN: [NEW, OLD],
    Stage.COMPLETE: [NEW],
}


@pytest.fixture
def service() -> Iterator[StandIn]:
    flags = {stage.value: constant_flag(stage.value, stage.value) for stage in Stage}
    with StandIn(flags) as running:
        yield running


@pytest.fixture
def client(service: StandIn) -> Iterator[LDClient]:
    with start(service) as running:
        yield running


def start(service: StandIn, **options: Any) -> LDClient:
    uris = {"base_uri": service.uri, "stream_uri": service.uri, "events_uri": service.uri}
    return LDClient(Config("key", **uris, diagnostic_opt_out=True, **options))


class Origins:
    """Two origins that note the calls they get and answer with their names, or fail."""

    def __init__(self, *failing: Origin, how: Callable[[], Any] = lambda: Result.fail("broken")) -> None:
        self.failing = failing
        self.how = how
        self.calls: list[tuple[Operation, Origin, Any]] = []

    def function(self, operation: Operation, origin: Origin) -> Callable[[Any], Result]:
        def run(payload: Any) -> Any:
            self.calls.append((operation, origin, payload))
            return self.how() if origin in self.failing else Result.success(origin.value)

        return run

    def migrator(
        self, client: LDClient, order: ExecutionOrder = ExecutionOrder.SERIAL, compare: Any = None, **measured: bool
    ) -> Migrator:
        function = self.function
        builder = (
            MigratorBuilder(client)
            .read_execution_order(order)
            .read(function(Operation.READ, OLD), function(Operation.READ, NEW), compare)
            .write(function(Operation.WRITE, OLD), function(Operation.WRITE, NEW))
            .track_latency(measured.get("latency", False))
            .track_errors(measured.get("errors", False))
        )
        migrator = builder.build()
        assert isinstance(migrator, Migrator)
        return migrator

    def called(self, operation: Operation) -> list[Origin]:
        assert all(done is operation for done, _, _ in self.calls)
        return [origin for _, origin, _ in self.calls]


def sent(service: StandIn, client: LDClient) -> dict[str, Any]:
    """The last migration event, without its date."""
    assert client.flush(5).complete
    event = service.events_of("migration_op")[-1]
    assert isinstance(event.pop("creationDate"), int)
    return event


def measured(event: dict[str, Any], key: str) -> dict[str, Any] | None:
    found = [measurement for measurement in event["measurements"] if measurement["key"] == key]
    assert len(found) <= 1
    return found[0] if found else None


# --- origins ---


@pytest.mark.parametrize(("stage", "order"), list(product(Stage, ExecutionOrder)), ids=str)
def test_a_read_asks_the_origins_of_the_stage_and_answers_with_the_authoritative_one(
    client: LDClient, service: StandIn, stage: Stage, order: ExecutionOrder
) -> None:
    for failing in ((), (OLD,), (NEW,), (OLD, NEW)):
        origins = Origins(*failing)
        result = origins.migrator(client, order, errors=True).read(stage.value, USER, Stage.OFF, "payload")
        asked = READ[stage]
        assert isinstance(result, OperationResult)
        assert result.origin is asked[0]
        if asked[0] in failing:
            assert (result.is_success(), result.value, result.error) == (False, None, "broken")
        else:
            assert (result.is_success(), result.value, result.error) == (True, asked[0].value, None)
        called = origins.called(Operation.READ)
        if order is ExecutionOrder.SERIAL:
            assert called == asked
        assert sorted(called, key=str) == sorted(asked, key=str)
        assert {payload for _, _, payload in origins.calls} == {"payload"}
        event = sent(service, client)
        assert event["operation"] == "read"
        assert measured(event, "invoked") == {"key": "invoked", "values": {origin.value: True for origin in asked}}
        errors = {origin.value: True for origin in asked if origin in failing}
        assert measured(event, "error") == ({"key": "error", "values": errors} if errors else None)


@pytest.mark.parametrize("stage", Stage, ids=str)
def test_a_write_goes_to_the_authoritative_origin_first_and_on_only_if_that_worked(
    client: LDClient, service: StandIn, stage: Stage
) -> None:
    for failing in ((), (OLD,), (NEW,), (OLD, NEW)):
        origins = Origins(*failing)
        # The order of reads changes nothing about writes.
        migrator = origins.migrator(client, ExecutionOrder.PARALLEL, errors=True)
        result = migrator.write(stage.value, USER, Stage.OFF, 3)
        authoritative, *others = WRITTEN[stage]
        worked = authoritative not in failing
        expected = [authoritative, *(others if worked else [])]
        assert isinstance(result, WriteResult)
        assert origins.called(Operation.WRITE) == expected
        assert (result.authoritative.origin, result.authoritative.is_success()) == (authoritative, worked)
        if len(expected) == 2:
            assert result.nonauthoritative is not None
            assert result.nonauthoritative.origin is expected[1]
            assert result.nonauthoritative.is_success() is (expected[1] not in failing)
        else:
            assert result.nonauthoritative is None
        event = sent(service, client)
        assert event["operation"] == "write"
        assert measured(event, "invoked") == {"key": "invoked", "values": {origin.value: True for origin in expected}}
        errors = {origin.value: True for origin in expected if origin in failing}
        assert measured(event, "error") == ({"key": "error", "values": errors} if errors else None)
        assert measured(event, "consistent") is None


def test_serial_reads_the_authoritative_origin_first_and_random_draws_it(client: LDClient) -> None:
    def firsts(order: ExecutionOrder) -> set[Origin]:
        origins = Origins()
        migrator = origins.migrator(client, order)
        for _ in range(60):
            migrator.read("live", USER, Stage.OFF)
        return set(origins.called(Operation.READ)[::2])

    assert firsts(ExecutionOrder.SERIAL) == {NEW}
    # One in 2^59 that this fails by chance.
    assert firsts(ExecutionOrder.RANDOM) == {OLD, NEW}


def test_parallel_reads_are_under_way_at_once_and_see_the_callers_context_variables(client: LDClient) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    meeting = threading.Barrier(2)
    seen = []

    def read(_: Any) -> Result:
        meeting.wait(20)
        seen.append((variable.get(), threading.current_thread() is threading.main_thread()))
        return Result.success(1)

    migrator = MigratorBuilder(client).read(read, read).write(read, read).build()
    assert isinstance(migrator, Migrator)
    assert migrator.read("shadow", USER, Stage.OFF).is_success()
    assert sorted(seen) == [("set", False), ("set", True)]


def test_reads_are_serial_where_no_thread_can_be_had(client: LDClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    origins = Origins()
    migrator = origins.migrator(client, ExecutionOrder.PARALLEL)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert migrator.read("live", USER, Stage.OFF).value == "new"
    assert origins.called(Operation.READ) == [NEW, OLD]


@pytest.mark.parametrize("order", ExecutionOrder, ids=str)
@pytest.mark.parametrize("origin", Origin, ids=str)
def test_an_interrupt_in_either_read_reaches_the_caller(
    client: LDClient, order: ExecutionOrder, origin: Origin
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Origins(origin, how=interrupt).migrator(client, order).read("live", USER, Stage.OFF)


@pytest.mark.parametrize("order", ExecutionOrder, ids=str)
@pytest.mark.parametrize("origin", Origin, ids=str)
def test_an_exception_is_a_failure_that_carries_it(
    client: LDClient, service: StandIn, order: ExecutionOrder, origin: Origin
) -> None:
    error = ValueError("no")

    def fail() -> None:
        raise error

    migrator = Origins(origin, how=fail).migrator(client, order, errors=True)
    result = migrator.read("shadow" if origin is OLD else "live", USER, Stage.OFF)
    assert (result.is_success(), result.exception) == (False, error)
    assert measured(sent(service, client), "error") == {"key": "error", "values": {origin.value: True}}


def test_a_function_that_returns_no_result_has_failed(client: LDClient, service: StandIn) -> None:
    migrator = Origins(NEW, how=lambda: 7).migrator(client, errors=True)
    result = migrator.read("complete", USER, Stage.OFF)
    assert result.error == "the new origin's operation returned no Result but a value of type int"
    assert measured(sent(service, client), "error") == {"key": "error", "values": {"new": True}}


# --- the stage ---


@pytest.mark.parametrize("stage", Stage, ids=str)
def test_the_stage_is_the_flags_value(client: LDClient, stage: Stage) -> None:
    found, tracker = client.migration_variation(stage.value, USER, Stage.OFF)
    assert found is stage
    assert isinstance(tracker, OpTracker)


@pytest.mark.parametrize("default", Stage, ids=str)
def test_without_a_stage_it_is_the_default(client: LDClient, service: StandIn, default: Stage) -> None:
    service.put(constant_flag("text", "sideways"))
    service.put(constant_flag("number", 3))
    deadline = time.monotonic() + 10
    while client.variation("number", USER, None) != 3:
        assert time.monotonic() < deadline
    cases = [("unknown", USER, "FLAG_NOT_FOUND"), ("text", USER, "WRONG_TYPE"), ("number", USER, "WRONG_TYPE")]
    for key, user, kind in cases:
        found, tracker = client.migration_variation(key, user, default)
        assert found is default
        event = tracker.operation(Operation.READ).invoked(OLD).build()
        assert isinstance(event, MigrationOpEvent)
        assert event.detail == EvaluationDetail(default.value, None, {"kind": "ERROR", "errorKind": kind})
        assert (event.default_stage, event.flag is None) == (default, key == "unknown")


@pytest.mark.parametrize("user", [None, {}, 42, Context.create("")])
def test_without_a_user_it_is_the_default_and_no_event(client: LDClient, service: StandIn, user: Any) -> None:
    found, tracker = client.migration_variation("live", user, Stage.SHADOW)
    assert found is Stage.SHADOW
    client.track_migration_op(tracker.operation(Operation.READ).invoked(OLD))
    client.flush(5)
    assert service.events_of("migration_op") == []
    assert tracker.build() == "provided context was invalid"


@pytest.mark.parametrize("default", ["live", None, 1])
def test_a_default_that_is_no_stage_counts_as_off(client: LDClient, default: Any) -> None:
    assert client.migration_variation("unknown", USER, default)[0] is Stage.OFF
    assert client.migration_variation("shadow", USER, default)[0] is Stage.SHADOW


def test_the_configs_default_wins_if_it_is_a_stage(service: StandIn) -> None:
    with start(service, defaults={"a": "complete", "b": "sideways"}) as client:
        assert client.migration_variation("a", USER, Stage.OFF)[0] is Stage.COMPLETE
        assert client.migration_variation("b", USER, Stage.LIVE)[0] is Stage.LIVE


def test_an_evaluation_is_counted_once_for_each_operation(client: LDClient, service: StandIn) -> None:
    migrator = Origins().migrator(client)
    migrator.read("live", USER, Stage.OFF)
    migrator.write("live", USER, Stage.OFF)
    assert client.flush(5).complete
    assert service.counted("live") == {0: 2}
    assert [event["kind"] for event in service.events] == ["index", "migration_op", "migration_op", "summary"]


def test_an_offline_client_migrates_by_the_default() -> None:
    with LDClient(Config(offline=True)) as client:
        assert Origins().migrator(client).read("live", USER, Stage.COMPLETE).value == "new"


# --- what is measured and sent ---


def test_the_event_has_the_form_of_the_service(client: LDClient, service: StandIn) -> None:
    Origins().migrator(client, compare=lambda a, b: a == b).read("live", USER, Stage.OFF)
    assert sent(service, client) == {
        "kind": "migration_op",
        "operation": "read",
        "context": {"kind": "user", "key": "u"},
        "evaluation": {
            "key": "live",
            "value": "live",
            "default": "off",
            "version": 1,
            "variation": 0,
            "reason": {"kind": "FALLTHROUGH"},
        },
        "measurements": [
            {"key": "invoked", "values": {"old": True, "new": True}},
            {"key": "consistent", "value": False},
        ],
    }


def test_the_event_of_an_unknown_flag_has_neither_version_nor_variation(client: LDClient, service: StandIn) -> None:
    Origins().migrator(client).write("unknown", USER, Stage.COMPLETE)
    assert sent(service, client)["evaluation"] == {
        "key": "unknown",
        "value": "complete",
        "default": "complete",
        "reason": {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"},
    }


def test_private_attributes_are_hidden_in_the_event(service: StandIn) -> None:
    context = Context.builder("u").set("email", "e@example.com").set("plan", "gold").private("plan").build()
    with start(service, private_attributes=["email"]) as client:
        Origins().migrator(client).read("off", context, Stage.OFF)
        hidden = {"kind": "user", "key": "u", "_meta": {"redactedAttributes": ["email", "plan"]}}
        event = sent(service, client)
    event["context"]["_meta"]["redactedAttributes"].sort()
    assert event["context"] == hidden


def test_anonymous_contexts_are_hidden_whole_in_the_event(client: LDClient, service: StandIn) -> None:
    context = Context.builder("u").anonymous(True).set("plan", "gold").build()
    Origins().migrator(client).read("off", context, Stage.OFF)
    meta = {"redactedAttributes": ["plan"]}
    assert sent(service, client)["context"] == {"kind": "user", "key": "u", "anonymous": True, "_meta": meta}


@pytest.mark.parametrize(("operation", "table"), [("read", READ), ("write", WRITTEN)])
def test_latency_is_measured_of_each_origin_in_milliseconds(
    client: LDClient, service: StandIn, operation: str, table: dict[Stage, list[Origin]], monkeypatch: Any
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("ldclient.migrations.migrator.time.monotonic", lambda: next(clock) / 8)
    for stage, origins in table.items():
        migrator = Origins().migrator(client, latency=True)
        getattr(migrator, operation)(stage.value, USER, Stage.OFF)
        values = {origin.value: 125.0 for origin in origins}
        assert measured(sent(service, client), "latency_ms") == {"key": "latency_ms", "values": values}


def test_latency_and_errors_are_measured_unless_that_is_switched_off(client: LDClient, service: StandIn) -> None:
    origins = Origins(OLD)
    functions = origins.function(Operation.READ, OLD), origins.function(Operation.READ, NEW)
    builder = MigratorBuilder(client).read(*functions).write(*functions)
    for enabled in (True, False):
        if not enabled:
            builder.track_errors(False).track_latency(False)
        migrator = builder.build()
        assert isinstance(migrator, Migrator)
        migrator.read("off", USER, Stage.OFF)
        keys = [measurement["key"] for measurement in sent(service, client)["measurements"]]
        assert keys == (["invoked", "latency_ms", "error"] if enabled else ["invoked"])


@pytest.mark.parametrize("order", ExecutionOrder, ids=str)
@pytest.mark.parametrize("stage", Stage, ids=str)
def test_consistency_is_measured_where_both_reads_worked(
    client: LDClient, service: StandIn, stage: Stage, order: ExecutionOrder
) -> None:
    for failing, equal in product(((), (OLD,), (NEW,)), (True, False)):
        compared = []

        def compare(first: Any, second: Any, equal: bool = equal, compared: list[Any] = compared) -> bool:
            compared.append((first, second))
            return equal

        Origins(*failing).migrator(client, order, compare).read(stage.value, USER, Stage.OFF)
        found = measured(sent(service, client), "consistent")
        if failing or len(READ[stage]) == 1:
            assert (found, compared) == (None, [])
        else:
            assert found == {"key": "consistent", "value": equal}
            assert compared == [tuple(origin.value for origin in READ[stage])]


def test_a_comparison_that_raises_measures_nothing_and_is_logged(
    client: LDClient, service: StandIn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldclient.migrations.tracker._complained", set())

    def compare(_: Any, __: Any) -> bool:
        raise ZeroDivisionError

    for _ in range(3):
        assert Origins().migrator(client, compare=compare).read("live", USER, Stage.OFF).value == "new"
        assert measured(sent(service, client), "consistent") is None
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert lines == [
        "The comparison of a migration (flag live) raised ZeroDivisionError; its consistency is not measured."
    ]


def test_a_comparison_may_use_its_tracker() -> None:
    tracker = a_tracker()
    tracker.consistent(lambda: tracker.invoked(OLD).invoked(NEW) is tracker)
    event = tracker.build()
    assert isinstance(event, MigrationOpEvent)
    assert event.consistent is True


@pytest.mark.parametrize(("drawn", "compares"), [(0.0, True), (0.09, True), (0.1, False), (0.99, False)])
def test_one_in_so_many_operations_is_compared(
    service: StandIn, monkeypatch: pytest.MonkeyPatch, drawn: float, compares: bool
) -> None:
    service.put(constant_flag("rare", "shadow", migration={"checkRatio": 10}))
    monkeypatch.setattr("ldclient.migrations.tracker.random.random", lambda: drawn)
    with start(service) as client:
        Origins().migrator(client, compare=lambda a, b: a == b).read("rare", USER, Stage.OFF)
        found = measured(sent(service, client), "consistent")
    assert found == ({"key": "consistent", "value": False, "samplingRatio": 10} if compares else None)


def test_a_check_ratio_of_0_compares_never(service: StandIn) -> None:
    service.put(constant_flag("never", "shadow", migration={"checkRatio": 0}))
    with start(service) as client:
        Origins().migrator(client, compare=lambda a, b: a == b).read("never", USER, Stage.OFF)
        assert measured(sent(service, client), "consistent") is None


def test_the_flags_sampling_ratio_decides_which_events_are_sent_and_goes_with_them(service: StandIn) -> None:
    service.put(constant_flag("never", "off", samplingRatio=0))
    service.put(constant_flag("always", "off", samplingRatio=1))
    service.put(constant_flag("half", "off", samplingRatio=2))
    with start(service) as client:
        migrator = Origins().migrator(client)
        for key in ("never", "always", *["half"] * 200):
            migrator.read(key, USER, Stage.OFF)
        assert client.flush(5).complete
    events = service.events_of("migration_op")
    ratios = {event["evaluation"]["key"]: event.get("samplingRatio") for event in events}
    assert ratios == {"always": None, "half": 2}
    assert 40 < len(events) < 160


# --- trackers ---


def a_tracker(**given: Any) -> OpTracker:
    detail = EvaluationDetail("live", 0, {"kind": "FALLTHROUGH"})
    arguments = {
        "key": "flag",
        "flag": None,
        "context": CONTEXT,
        "detail": detail,
        "default_stage": Stage.LIVE,
        **given,
    }
    return OpTracker(**arguments).operation(Operation.READ)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: a_tracker().invoked(OLD).latency(NEW, timedelta(1)), "latency for origin 'new'"),
        (lambda: a_tracker().invoked(OLD).error(NEW), "error for origin 'new'"),
        (lambda: a_tracker().invoked(OLD).consistent(lambda: True), "without recording both invocations"),
        (lambda: a_tracker(), "no origins were invoked"),
        (lambda: a_tracker(key="").invoked(OLD), "empty key"),
        (lambda: a_tracker(context=Context.create("")).invoked(OLD), "context was invalid"),
        (
            lambda: OpTracker("k", None, CONTEXT, EvaluationDetail("off", None, None), Stage.OFF).invoked(OLD),
            "operation not provided",
        ),
    ],
)
def test_a_tracker_that_says_too_little_says_why_and_nothing_is_sent(
    client: LDClient,
    service: StandIn,
    make: Callable[[], OpTracker],
    why: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ldclient._migration._told", set())
    built = make().build()
    assert isinstance(built, str)
    assert why in built
    client.track_migration_op(make())
    client.track_migration_op(make())
    client.flush(5)
    assert service.events_of("migration_op") == []
    assert [why in record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [True]


@pytest.mark.parametrize("thing", [None, object(), "tracker"])
def test_what_is_no_tracker_is_refused_without_raising(client: LDClient, service: StandIn, thing: Any) -> None:
    client.track_migration_op(thing)
    client.flush(5)
    assert service.events_of("migration_op") == []


def test_a_tracker_ignores_what_has_a_wrong_type() -> None:
    wrong: Any = "old"
    tracker = a_tracker().invoked(OLD)
    assert tracker.operation(wrong) is tracker
    assert tracker.invoked(wrong) is tracker
    assert tracker.error(wrong) is tracker
    assert tracker.latency(wrong, timedelta(1)) is tracker
    assert tracker.latency(OLD, wrong) is tracker
    event = tracker.build()
    assert isinstance(event, MigrationOpEvent)
    assert (event.operation, event.invoked, event.errors, event.latencies) == (Operation.READ, {OLD}, set(), {})


def test_a_built_event_tells_all_that_was_measured_and_does_not_change_any_more() -> None:
    flag = MigrationFlag(version=3, sampling_ratio=5, check_ratio=1)
    tracker = a_tracker(flag=flag).invoked(OLD).invoked(NEW).error(NEW).latency(OLD, timedelta(milliseconds=5))
    event = tracker.consistent(lambda: False).build()
    tracker.error(OLD).latency(NEW, timedelta(1))
    assert isinstance(event, MigrationOpEvent)
    assert (event.key, event.context, event.flag, event.sampling_ratio) == ("flag", CONTEXT, flag, 5)
    assert (event.default_stage, event.detail.value) == (Stage.LIVE, "live")
    assert (event.invoked, event.errors, event.latencies) == ({OLD, NEW}, {NEW}, {OLD: timedelta(milliseconds=5)})
    assert (event.consistent, event.consistent_ratio) == (False, 1)
    assert abs(event.timestamp - time.time() * 1000) < 60_000


def test_measurements_by_hand_are_sent(client: LDClient, service: StandIn) -> None:
    _, tracker = client.migration_variation("shadow", USER, Stage.OFF)
    tracker.operation(Operation.WRITE).invoked(NEW).latency(NEW, timedelta(microseconds=1500)).error(NEW)
    client.track_migration_op(tracker)
    event = sent(service, client)
    assert event["operation"] == "write"
    assert event["measurements"] == [
        {"key": "invoked", "values": {"new": True}},
        {"key": "latency_ms", "values": {"new": 1.5}},
        {"key": "error", "values": {"new": True}},
    ]


# --- words ---


def test_a_migrator_without_functions_is_not_built(client: LDClient) -> None:
    builder = MigratorBuilder(client)
    assert builder.build() == "read configuration not provided"
    builder.read(lambda _: Result.success(1), lambda _: Result.success(1))
    assert builder.build() == "write configuration not provided"


def test_an_order_that_is_none_changes_nothing(client: LDClient) -> None:
    origins = Origins()
    function = origins.function(Operation.READ, OLD), origins.function(Operation.READ, NEW)
    wrong: Any = "parallel"
    builder = MigratorBuilder(client).read_execution_order(ExecutionOrder.SERIAL).read_execution_order(wrong)
    migrator = builder.read(*function).write(*function).build()
    assert isinstance(migrator, Migrator)
    migrator.read("live", USER, Stage.OFF)
    assert origins.called(Operation.READ) == [NEW, OLD]


def test_the_words_have_the_values_of_the_service() -> None:
    assert [stage.value for stage in Stage] == ["off", "dualwrite", "shadow", "live", "rampdown", "complete"]
    assert [order.value for order in ExecutionOrder] == ["serial", "random", "parallel"]
    assert ([o.value for o in Operation], [o.value for o in Origin]) == (["read", "write"], ["old", "new"])
    assert all(Stage.from_str(stage.value) is stage for stage in Stage)
    assert all(ExecutionOrder.from_str(order.value) is order for order in ExecutionOrder)
    assert Stage.from_str("sideways") is None
    assert ExecutionOrder.from_str("") is None


def test_a_config_holds_what_it_was_given() -> None:
    def one(_: Any) -> Result:
        return Result.success(1)

    config = MigrationConfig(old=one, new=one, comparison=None)
    assert (config.old, config.new, config.comparison) == (one, one, None)


def test_all_that_9_20_exports_at_the_top_is_there() -> None:
    names = (
        "Migrator MigratorBuilder MigratorCompareFn MigratorFn OpTracker ExecutionOrder MigrationConfig Operation "
        "OperationResult Origin Stage"
    )
    for name in names.split():
        assert getattr(ldclient, name) is getattr(ldclient.migrations, name)
        assert name in ldclient.__all__
    with pytest.raises(AttributeError):
        _ = ldclient.NoSuchName
