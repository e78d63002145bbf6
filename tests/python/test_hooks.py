"""Hooks: what their stages are given, in which order they run, and that nothing they do harms an evaluation."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ldclient
from ldclient import Config, Context, LDClient
from ldclient.evaluation import EvaluationDetail
from ldclient.hook import EvaluationSeriesContext, Hook, Metadata, TrackSeriesContext
from stand_in import StandIn, constant_flag

USER = {"key": "u", "custom": {"plan": "gold"}}
CONTEXT = Context.builder("u").set("plan", "gold").build()

Stage = tuple[str, str, Any]


class Noting(Hook):
    """Notes its stages in a list that several hooks may share."""

    def __init__(self, name: str = "noting", notes: list[Stage] | None = None) -> None:
        self.name = name
        self.notes: list[Stage] = [] if notes is None else notes

    @property
    def metadata(self) -> Metadata:
        return Metadata(name=self.name)

    def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict[str, Any]) -> dict[str, Any]:
        assert data == {}
        self.notes.append((self.name, "before", series_context))
        return {"from": self.name}

    def after_evaluation(
        self, series_context: EvaluationSeriesContext, data: dict[str, Any], detail: EvaluationDetail[Any]
    ) -> dict[str, Any]:
        self.notes.append((self.name, "after", (series_context, data, detail)))
        return data

    def after_track(self, series_context: TrackSeriesContext) -> None:
        self.notes.append((self.name, "track", series_context))

    @property
    def stages(self) -> list[tuple[str, str]]:
        return [(name, stage) for name, stage, _ in self.notes]

    @property
    def asked(self) -> list[str]:
        return [seen.key for _, stage, seen in self.notes if stage == "before"]


class Doing(Hook):
    """Does something in each stage."""

    def __init__(self, what: Callable[[], Any], name: str = "doing", *, also_after: bool = True) -> None:
        self.what = what
        self.name = name
        self.also_after = also_after
        self.runs = 0

    @property
    def metadata(self) -> Metadata:
        return Metadata(name=self.name)

    def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict[str, Any]) -> dict[str, Any]:
        self.runs += 1
        self.what()
        return super().before_evaluation(series_context, data)

    def after_evaluation(
        self, series_context: EvaluationSeriesContext, data: dict[str, Any], detail: EvaluationDetail[Any]
    ) -> dict[str, Any]:
        self.runs += 1
        if self.also_after:
            self.what()
        return super().after_evaluation(series_context, data, detail)

    def after_track(self, series_context: TrackSeriesContext) -> None:
        super().after_track(series_context)
        self.runs += 1
        self.what()


FLAGS = {
    "bool": constant_flag("bool", True),
    "int": constant_flag("int", 7),
    "float": constant_flag("float", 1.5),
    "text": constant_flag("text", "on"),
    "json": constant_flag("json", {"a": [1]}),
    "tracked": constant_flag("tracked", True, trackEvents=True),
    "stage": constant_flag("stage", "live"),
}


@pytest.fixture
def service() -> Iterator[StandIn]:
    with StandIn(FLAGS) as running:
        yield running


@pytest.fixture
def start(service: StandIn) -> Iterator[Callable[..., LDClient]]:
    clients: list[LDClient] = []

    def start(*hooks: object, **options: Any) -> LDClient:
        uris = {"base_uri": service.uri, "stream_uri": service.uri, "events_uri": service.uri}
        client = LDClient(Config("secret-sdk-key", **{**uris, "diagnostic_opt_out": True, **options}, hooks=hooks))
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.close()


METHODS = [
    ("variation", "bool", False, True),
    ("variation_detail", "bool", False, True),
    ("bool_variation", "bool", False, True),
    ("bool_variation_detail", "bool", False, True),
    ("int_variation", "int", 1, 7),
    ("int_variation_detail", "int", 1, 7),
    ("float_variation", "float", 0.5, 1.5),
    ("float_variation_detail", "float", 0.5, 1.5),
    ("str_variation", "text", "off", "on"),
    ("str_variation_detail", "text", "off", "on"),
    ("json_variation", "json", None, {"a": [1]}),
    ("json_variation_detail", "json", None, {"a": [1]}),
]


@pytest.mark.parametrize(("method", "key", "default", "value"), METHODS)
def test_both_stages_run_around_every_way_to_evaluate(
    start: Callable[..., LDClient], method: str, key: str, default: Any, value: Any
) -> None:
    hook = Noting()
    answer = getattr(start(hook), method)(key, CONTEXT, default)
    assert (answer.value if method.endswith("_detail") else answer) == value
    (_, _, before), (_, _, (after, data, detail)) = hook.notes
    assert hook.stages == [("noting", "before"), ("noting", "after")]
    assert before == after == EvaluationSeriesContext(key, CONTEXT, default, method, None)
    assert data == {"from": "noting"}
    assert detail == EvaluationDetail(value, 0, {"kind": "FALLTHROUGH"})


@pytest.mark.parametrize(("method", "key", "default", "value"), METHODS)
def test_hooks_do_not_change_what_is_answered(
    start: Callable[..., LDClient], method: str, key: str, default: Any, value: Any
) -> None:
    without, hooked = start(), start(Noting())
    for user in (USER, CONTEXT, {"kind": "org", "key": "o"}, {}, {"name": "no key"}):
        for flag in (key, "unknown", "stage"):
            answers = [getattr(client, method)(flag, user, default) for client in (without, hooked)]
            assert answers[0] == answers[1], (flag, user)
            assert type(answers[0]) is type(answers[1])
    assert value is not None


def test_a_migration_has_the_stages_with_the_texts_of_stages(start: Callable[..., LDClient]) -> None:
    hook = Noting()
    stage, _ = start(hook).migration_variation("stage", USER, ldclient.Stage.OFF)
    assert stage is ldclient.Stage.LIVE
    (_, _, before), (_, _, (_, data, detail)) = hook.notes
    assert before == EvaluationSeriesContext("stage", CONTEXT, "off", "migration_variation", None)
    assert data == {"from": "noting"}
    assert detail == EvaluationDetail("live", 0, {"kind": "FALLTHROUGH"})


def test_a_migration_that_is_none_tells_hooks_the_wrong_type(start: Callable[..., LDClient]) -> None:
    hook = Noting()
    stage, _ = start(hook).migration_variation("text", USER, ldclient.Stage.SHADOW)
    assert stage is ldclient.Stage.SHADOW
    detail = hook.notes[1][2][2]
    assert detail == EvaluationDetail("shadow", None, {"kind": "ERROR", "errorKind": "WRONG_TYPE"})


def test_stages_run_in_order_and_those_after_an_evaluation_in_reverse(start: Callable[..., LDClient]) -> None:
    notes: list[Stage] = []
    first, second, third = (Noting(name, notes) for name in "abc")
    client = start(first, second)
    client.add_hook(third)
    client.variation("bool", USER, False)
    assert first.stages == [("a", "before"), ("b", "before"), ("c", "before"), *((n, "after") for n in "cba")]
    # Each got its own data.
    assert [data for _, stage, seen in notes if stage == "after" for data in [seen[1]]] == [
        {"from": "c"},
        {"from": "b"},
        {"from": "a"},
    ]
    notes.clear()
    client.track("event", USER)
    assert first.stages == [("a", "track"), ("b", "track"), ("c", "track")]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (USER, CONTEXT),
        ({"kind": "org", "key": "o"}, Context.create("o", "org")),
        (CONTEXT, CONTEXT),
    ],
)
def test_hooks_are_handed_a_context_whatever_the_caller_gave(
    start: Callable[..., LDClient], user: Any, expected: Context
) -> None:
    hook = Noting()
    start(hook).variation("bool", user, False)
    assert hook.notes[0][2].context == expected


@pytest.mark.parametrize("user", [None, {}, {"name": "no key"}, 42, "u", {"kind": "org"}])
def test_hooks_are_handed_an_invalid_context_where_there_is_nobody(start: Callable[..., LDClient], user: Any) -> None:
    hook = Noting()
    assert start(hook).variation("bool", user, "default") == "default"
    assert not hook.notes[0][2].context.valid
    assert hook.notes[1][2][2].reason == {"kind": "ERROR", "errorKind": "USER_NOT_SPECIFIED"}


def test_an_offline_client_runs_stages_too() -> None:
    hook = Noting()
    with LDClient(Config(offline=True, hooks=[hook])) as client:
        assert client.variation("bool", USER, "default") == "default"
        client.track("event", USER)
    assert hook.stages == [("noting", "before"), ("noting", "after"), ("noting", "track")]


# --- trouble ---


def explode() -> None:
    raise ValueError("secret-sdk-key of somebody@example.com")


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name == "ldclient.util"
    ]


def test_a_stage_that_raises_costs_itself_and_is_logged_once_by_hook_and_stage(
    start: Callable[..., LDClient], caplog: pytest.LogCaptureFixture
) -> None:
    notes: list[Stage] = []
    client = start(Noting("a", notes), Doing(explode, "bad"), Noting("b", notes), Doing(explode, "worse"))
    for _ in range(3):
        notes.clear()
        assert client.variation("bool", USER, False) is True
        assert [(name, stage) for name, stage, _ in notes] == [
            ("a", "before"),
            ("b", "before"),
            ("b", "after"),
            ("a", "after"),
        ]
        client.track("event", USER)
    said = complaints(caplog)
    assert sorted((line.split()[2], line.split()[7].rstrip(":")) for line in said) == [
        (name, stage) for name in ("bad", "worse") for stage in ("after_evaluation", "after_track", "before_evaluation")
    ]
    assert all("ValueError in explode" in line for line in said)
    assert "secret-sdk-key" not in caplog.text
    assert "somebody" not in caplog.text


def test_after_a_stage_before_that_raised_the_stage_after_gets_no_data(start: Callable[..., LDClient]) -> None:
    class Half(Noting):
        def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict[str, Any]) -> dict[str, Any]:
            data["half"] = "done"
            raise RuntimeError(series_context.key)

    hook, other = Half(), Noting()
    start(hook, other).variation("bool", USER, False)
    assert hook.notes[0][2][1] == {}
    assert other.notes[1][2][1] == {"from": "noting"}


def test_a_stage_that_returns_nothing_leaves_no_data(start: Callable[..., LDClient]) -> None:
    class Silent(Noting):
        def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict[str, Any]) -> Any:  # noqa: ARG002
            return None

    hook = Silent()
    start(hook).variation("bool", USER, False)
    assert hook.notes[0][2][1] == {}


def test_a_hook_that_cannot_even_name_itself_is_contained(
    start: Callable[..., LDClient], caplog: pytest.LogCaptureFixture
) -> None:
    class Nameless(Doing):
        @property
        def metadata(self) -> Metadata:
            raise RuntimeError

    assert start(Nameless(explode)).variation("bool", USER, False) is True
    assert "The hook Nameless raised" in complaints(caplog)[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_meant_for_the_program_goes_through(start: Callable[..., LDClient], error: type[BaseException]) -> None:
    def interrupt() -> None:
        raise error

    hook = Doing(interrupt)
    client = start(hook)
    with pytest.raises(error):
        client.variation("bool", USER, False)
    with pytest.raises(error):
        client.track("event", USER)
    # Nothing is left behind that would keep the hook from running.
    hook.what = lambda: None
    runs = hook.runs
    assert client.variation("bool", USER, False) is True
    assert hook.runs == runs + 2


def test_a_hook_that_evaluates_does_not_run_itself_and_others_see_what_it_asks(
    start: Callable[..., LDClient], service: StandIn
) -> None:
    other = Noting()
    hook = Doing(lambda: client.variation("text", USER, ""))
    client = start(hook, other)
    assert client.variation("bool", USER, False) is True
    assert hook.runs == 2
    assert other.asked == ["text", "bool", "text"]
    client.flush(5)
    assert service.counted("text") == {0: 2}


def test_hooks_that_all_evaluate_in_all_stages_come_to_an_end(start: Callable[..., LDClient]) -> None:
    hooks = [Doing(lambda: client.variation("bool", USER, False), str(n)) for n in range(8)]
    client = start(*hooks)
    assert client.variation("bool", USER, False) is True
    # Each runs twice for the caller, and twice for each of the two questions of each of the seven others.
    assert {hook.runs for hook in hooks} == {2 + 2 * 2 * 7}


def test_a_hook_that_tracks_does_not_run_itself(start: Callable[..., LDClient], service: StandIn) -> None:
    hook = Doing(lambda: client.track("again", USER))
    client = start(hook)
    client.track("once", USER)
    assert hook.runs == 1
    client.flush(5)
    assert [event["key"] for event in service.events_of("custom")] == ["once", "again"]


def test_a_hook_that_is_added_in_a_stage_runs_from_the_next_evaluation_on(start: Callable[..., LDClient]) -> None:
    added = Noting()
    hook = Doing(lambda: client.add_hook(added), also_after=False)
    client = start(hook)
    client.variation("bool", USER, False)
    assert added.stages == []
    hook.what = lambda: None
    client.variation("bool", USER, False)
    assert added.stages == [("noting", "before"), ("noting", "after")]


def test_a_hook_that_blocks_holds_up_nobody_else(start: Callable[..., LDClient]) -> None:
    blocked, release = threading.Event(), threading.Event()

    def block() -> None:
        if threading.current_thread() is thread:
            blocked.set()
            assert release.wait(20)

    client = start(Doing(block, also_after=False))
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(client.variation("bool", USER, False)))
    thread.start()
    try:
        assert blocked.wait(20)
        client.add_hook(Noting())
        assert client.variation("bool", USER, False) is True
        client.track("event", USER)
        assert client.flush(5).complete
        assert answers == []
    finally:
        release.set()
        thread.join(20)
    assert answers == [True]


def test_hooks_may_be_added_by_many_threads_while_flags_are_evaluated(start: Callable[..., LDClient]) -> None:
    client = start()
    hooks = [Noting(str(n)) for n in range(40)]
    begin = threading.Barrier(4)

    def add(some: list[Noting]) -> None:
        begin.wait(20)
        for hook in some:
            client.add_hook(hook)
            assert client.variation("bool", USER, False) is True

    threads = [threading.Thread(target=add, args=(hooks[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for hook in hooks:
        hook.notes.clear()
    client.variation("bool", USER, False)
    assert all(hook.stages == [(hook.name, "before"), (hook.name, "after")] for hook in hooks)


@pytest.mark.parametrize("thing", [object(), Noting, None])
def test_what_is_no_hook_is_left_out_with_a_warning(
    start: Callable[..., LDClient], caplog: pytest.LogCaptureFixture, thing: Any
) -> None:
    hook = Noting()
    client = start(thing, hook)
    client.add_hook(thing)
    assert client.variation("bool", USER, False) is True
    assert hook.stages == [("noting", "before"), ("noting", "after")]
    assert len([line for line in complaints(caplog) if "must be an ldclient.hook.Hook" in line]) == 2


def test_a_hook_needs_only_a_name(start: Callable[..., LDClient]) -> None:
    class Idle(Hook):
        @property
        def metadata(self) -> Metadata:
            return super().metadata

    client = start(Idle())
    assert client.variation("bool", USER, False) is True
    client.track("event", USER)


# --- events ---


def test_what_is_sent_is_the_same_with_and_without_hooks(service: StandIn, start: Callable[..., LDClient]) -> None:
    def run(client: LDClient) -> list[dict[str, Any]]:
        before = len(service.events)
        client.variation("tracked", USER, False)
        client.variation_detail("tracked", USER, False)
        client.int_variation("text", USER, 3)
        client.variation("unknown", USER, "default")
        client.track("bought", USER, {"price": 320}, 1.5)
        client.track("left", USER)
        assert client.flush(5).complete
        dates = {"creationDate", "startDate", "endDate"}
        return [{k: v for k, v in event.items() if k not in dates} for event in service.events[before:]]

    plain = run(start())
    assert len(plain) == 6
    assert run(start(Noting())) == plain


def test_the_stage_after_an_event_gets_what_was_given(start: Callable[..., LDClient]) -> None:
    hook = Noting()
    client = start(hook)
    client.track("bought", USER, {"price": 320}, 1.5)
    client.track("left", user=USER)
    with ldclient.use(USER):
        client.track("seen", {"price": 1})
    assert [seen for _, _, seen in hook.notes] == [
        TrackSeriesContext(CONTEXT, "bought", {"price": 320}, 1.5, None),
        TrackSeriesContext(CONTEXT, "left", None, None, None),
        TrackSeriesContext(CONTEXT, "seen", {"price": 1}, None, None),
    ]


def test_no_stage_runs_for_an_event_of_nobody(start: Callable[..., LDClient]) -> None:
    hook = Noting()
    client = start(hook)
    for user in (None, Context.create(""), {"key": None}, 42):
        client.track("event", user, 1)  # type: ignore[arg-type]
    assert hook.notes == []


def test_a_client_that_sends_no_events_runs_the_stage_all_the_same(start: Callable[..., LDClient]) -> None:
    hook = Noting()
    start(hook, send_events=False).track("event", USER)
    assert hook.stages == [("noting", "track")]


# --- the environment, forks, the rest of the program ---


def test_hooks_learn_the_id_of_the_environment(service: StandIn, start: Callable[..., LDClient]) -> None:
    service.fault("/sdk/latest-all", status=200, headers={"X-LD-EnvID": "env-1"}, body=service.latest_all())
    hook = Noting()
    client = start(hook, stream=False)
    assert client.variation("bool", USER, False) is True
    client.track("event", USER)
    assert [seen.environment_id for seen in (hook.notes[0][2], hook.notes[1][2][0], hook.notes[2][2])] == ["env-1"] * 3


FORKING = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from ldclient import Config, LDClient
from ldclient.hook import Hook, Metadata
notes = []
class Noting(Hook):
    metadata = Metadata("noting")
    def before_evaluation(self, series, data):
        notes.append((series.key, series.environment_id))
        if series.key == "text" and os.getpid() == parent:
            fork()
        return data
def fork():
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
parent = os.getpid()
uri = sys.argv[1]
client = LDClient(Config("key", base_uri=uri, events_uri=uri, stream=False, hooks=[Noting()]))
# The child of this one was born in a stage and goes on in it.
assert client.variation("text", {"key": "u"}, "") == "on"
inside = os.getpid() != parent
notes.clear()
if not inside:
    fork()
assert client.variation("bool", {"key": "u"}, False) is True
assert notes == [("bool", "env-1")], notes
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_hooks_go_on_after_a_fork_even_in_a_child_of_a_stage(service: StandIn) -> None:
    service.fault("/sdk/latest-all", status=200, headers={"X-LD-EnvID": "env-1"}, body=service.latest_all(), times=1)
    ran = subprocess.run(
        [sys.executable, "-c", FORKING, service.uri], capture_output=True, text=True, timeout=40, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_program_without_hooks_imports_nothing_for_them() -> None:
    code = """
import ldclient
assert not {"dataclasses", "enum", "concurrent.futures", "datetime", "random"} & (set(sys.modules) - before)
from ldclient import Config, LDClient
with LDClient(Config(offline=True)) as client:
    client.variation("flag", {"key": "u"}, False)
    client.track("event", {"key": "u"})
for name in ("hook", "plugin", "migrations", "_hooks", "_plugins", "_migration"):
    assert "ldclient." + name not in sys.modules, name
"""
    ran = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {PACKAGE!r}); before = set(sys.modules)\n{code}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


PACKAGE = str(Path(ldclient.__file__).parent.parent)


def test_a_client_and_a_hook_that_hold_each_other_are_let_go() -> None:
    client = LDClient(Config(offline=True))
    held = [client]
    hook = Doing(held.copy)
    client.add_hook(hook)
    client.variation("bool", USER, False)
    client.close()
    watched = weakref.ref(client)
    del client, held, hook
    gc.collect()
    assert watched() is None
