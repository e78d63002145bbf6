"""The typed siblings of ``variation``, values as they are returned, and the state of all flags."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ldclient import Context, LDClient
from stand_in import StandIn, constant_flag

Start = Callable[..., LDClient]

USER = {"key": "u"}
VALUES = {
    "true": True,
    "int": 3,
    "whole": 3.0,
    "fraction": 3.5,
    "large": 2**63 + 5,
    "double": 1e300,
    "text": "x",
    "digits": "3",
    "null": None,
    "list": [1, {"a": [2]}],
    "object": {"a": {"b": 1}},
}

METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "bool_variation": (True, {"true": True}),
    "int_variation": (7, {"int": 3, "whole": 3, "large": 2**63 + 5, "double": int(1e300)}),
    "float_variation": (7.5, {"int": 3.0, "whole": 3.0, "fraction": 3.5, "large": float(2**63 + 5), "double": 1e300}),
    "str_variation": ("d", {"text": "x", "digits": "3"}),
    "json_variation": ({"d": 1}, VALUES),
    "variation": ({"d": 1}, VALUES),
}


@pytest.fixture(scope="module")
def served() -> Iterator[StandIn]:
    with StandIn({name: constant_flag(name, value, 2) for name, value in VALUES.items()}) as service:
        yield service


@pytest.mark.parametrize("flag", VALUES)
@pytest.mark.parametrize("method", METHODS)
def test_a_value_of_another_type_gives_the_default_with_its_reason(
    method: str, flag: str, served: StandIn, start: Start
) -> None:
    default, fitting = METHODS[method]
    client = start(served, send_events=False)
    value = getattr(client, method)(flag, USER, default)
    name = "variation_detail" if method == "variation" else f"{method}_detail"
    detail = getattr(client, name)(flag, USER, default)
    expected = fitting.get(flag, default)
    assert (value, type(value)) == (expected, type(expected)) == (detail.value, type(detail.value))
    if flag in fitting:
        assert (detail.variation_index, detail.reason["kind"]) == (0, "FALLTHROUGH")
    else:
        assert (detail.variation_index, detail.reason) == (None, {"kind": "ERROR", "errorKind": "WRONG_TYPE"})
    client.close()


def test_a_value_of_another_type_is_counted_as_the_default(served: StandIn, start: Start) -> None:
    client = start(served)
    for default in (5, 5):
        client.int_variation("text", {"key": "counted"}, default)
    assert client.flush(timeout=10)
    feature = next(e for e in reversed(served.events) if e["kind"] == "summary")["features"]["text"]
    assert feature["counters"] == [{"count": 2, "value": 5, "version": 2}]
    assert feature["default"] == 5
    client.close()


@pytest.mark.parametrize("default", [None, "x", [], 5, object()])
def test_no_default_is_refused(default: Any, served: StandIn, start: Start) -> None:
    client = start(served, send_events=False)
    for method in METHODS:
        if method != "bool_variation":
            assert getattr(client, method)("nope", USER, default) is default
    assert client.variation("nope", USER) is None
    assert client.bool_variation("nope", USER) is False
    client.close()


@pytest.mark.parametrize("method", METHODS)
def test_all_siblings_take_the_user_under_either_name(method: str, served: StandIn, start: Start) -> None:
    default, fitting = METHODS[method]
    key, expected = next((key, value) for key, value in fitting.items() if value is not None)
    client = start(served, send_events=False)
    for named in ({"user": USER}, {"context": Context.create("u")}):
        for name in (method, f"{method}_detail"):
            answer = getattr(client, name)(key, default=default, **named)
            assert (answer.value if name.endswith("_detail") else answer) == expected
    client.close()


def test_what_a_caller_does_to_a_value_changes_no_flag(served: StandIn, start: Start) -> None:
    client = start(served, send_events=False)
    for ask in (
        lambda: client.variation("list", USER, None),
        lambda: client.json_variation("list", USER, None),
        lambda: client.variation_detail("list", USER, None).value,
        lambda: client.all_flags(USER)["list"],
        lambda: client.all_flags_state(USER).get_flag_value("list"),
        lambda: client.all_flags_state(USER).to_json_dict()["list"],
    ):
        ask()[1]["a"].append("changed")
        assert ask() == [1, {"a": [2]}]
    client.close()


def test_the_defaults_of_the_config_win_over_the_one_of_the_call(served: StandIn, start: Start) -> None:
    client = start(served, send_events=False, defaults={"nope": "config", "text": 4})
    assert client.variation("nope", USER, "call") == "config"
    assert client.variation_detail("nope", USER, "call").value == "config"
    assert client.int_variation("text", USER, 9) == 4
    assert client.variation("text", USER, 9) == "x"
    client.close()


STATE_FLAGS = {
    "visible": constant_flag("visible", "v", 1, clientSideAvailability={"usingEnvironmentId": True}),
    "hidden": constant_flag("hidden", [1], 2),
    "tracked": constant_flag("tracked", 1, 3, trackEvents=True),
    "debugged": constant_flag("debugged", 1, 4, debugEventsUntilDate=2**45),
    "experiment": constant_flag("experiment", 1, 5, trackEventsFallthrough=True),
    "off": constant_flag("off", 1, 6, on=False, offVariation=None),
    "parent": constant_flag("parent", 1, 7, prerequisites=[{"key": "hidden", "variation": 0}]),
    "malformed": {"key": "malformed", "version": 8, "on": "yes"},
}
WHOLE: dict[str, dict[str, Any]] = {
    "visible": {"version": 1, "variation": 0},
    "hidden": {"version": 2, "variation": 0},
    "tracked": {"version": 3, "variation": 0, "trackEvents": True},
    "debugged": {"version": 4, "variation": 0, "debugEventsUntilDate": 2**45},
    "experiment": {
        "version": 5, "variation": 0, "trackEvents": True, "trackReason": True, "reason": {"kind": "FALLTHROUGH"},
    },
    "off": {"version": 6},
    "parent": {"version": 7, "variation": 0, "prerequisites": ["hidden"]},
}  # fmt: skip
FALLTHROUGH = {"reason": {"kind": "FALLTHROUGH"}}
LEAN = {name: {k: v for k, v in rest.items() if k != "version"} for name, rest in WHOLE.items()}
LEAN |= {name: WHOLE[name] for name in ("tracked", "debugged", "experiment")}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, WHOLE),
        ({"client_side_only": True}, {"visible": WHOLE["visible"]}),
        (
            {"with_reasons": True},
            {
                name: {**rest, "reason": {"kind": "OFF" if name == "off" else "FALLTHROUGH"}}
                for name, rest in WHOLE.items()
            },
        ),
        ({"details_only_for_tracked_flags": True}, LEAN),
    ],
)
@pytest.mark.parametrize("who", [USER, Context.create("u")], ids=["dict", "Context"])
def test_the_state_of_all_flags_has_what_front_ends_read(who: Any, options: Any, expected: Any, start: Start) -> None:
    with StandIn(STATE_FLAGS) as service:
        client = start(service)
        state = client.all_flags_state(who, **options)
        values = {"visible": "v", "hidden": [1], "off": None}
        values = {name: values.get(name, 1) for name in expected}
        assert state.valid
        assert state.to_values_map() == values
        assert state.to_json_dict() == {**values, "$flagsState": expected, "$valid": True}
        assert json.loads(state.to_json_string()) == state.to_json_dict()
        assert state.get_flag_value("nope") is state.get_flag_reason("nope") is None
        assert client.flush(timeout=10).sent == 0
        client.close()
