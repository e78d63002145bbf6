"""No value of a private attribute leaves the process, however it was made private and whatever event carries it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldclient import Config, Context, LDClient
from stand_in import StandIn, constant_flag

Start = Callable[..., LDClient]

FLAGS = {
    "tracked": constant_flag("tracked", 1, trackEvents=True),
    "debugged": constant_flag("debugged", 1, debugEventsUntilDate=2**45),
}
USER = {
    "key": "u",
    "name": "n",
    "email": "e",
    "custom": {"a": 1, "address": {"street": "s", "city": "c", "deep": {"x": 1, "y": [1, 2]}}, "with/slash": "w"},
}
ALL = {"name", "email", "a", "address", "with/slash"}


@pytest.fixture
def flags() -> Iterator[StandIn]:
    with StandIn(FLAGS) as service:
        yield service


def carried(client: LDClient, service: StandIn, who: Any) -> dict[str, Any]:
    """The context as every kind of event carries it, which must be the same."""
    client.identify(who)
    client.variation("tracked", who, 0)
    client.variation("debugged", who, 0)
    client.track("t", who)
    assert client.flush(timeout=10)
    contexts = [event["context"] for event in service.events if "context" in event]
    assert {event["kind"] for event in service.events} == {"identify", "feature", "debug", "custom", "summary"}
    assert all(context == contexts[0] for context in contexts)
    return contexts[0]


@pytest.mark.parametrize(
    ("options", "own", "hidden", "redacted"),
    [
        ({}, [], set(), None),
        ({"private_attributes": ["email", "a"]}, [], {"email", "a"}, ["a", "email"]),
        ({"private_attributes": ["/email", "key", "kind", "anonymous", "nope", "/a/b", ""]}, [], {"email"}, ["email"]),
        ({"private_attribute_names": ["email"]}, [], {"email"}, ["email"]),
        ({"private_attributes": ["/with~1slash"]}, [], {"with/slash"}, ["with/slash"]),
        ({"private_attributes": ["with/slash"]}, [], {"with/slash"}, ["with/slash"]),
        ({}, ["email"], {"email"}, ["email"]),
        ({"private_attributes": ["a"]}, ["email"], {"email", "a"}, ["a", "email"]),
        ({}, ["/address/street"], set(), None),  # names of a dict user are literal
        ({"all_attributes_private": True}, [], ALL, sorted(ALL)),
        ({"public_attributes": ["email", "a"]}, [], ALL - {"email", "a"}, ["address", "name", "with/slash"]),
        ({"public_attributes": []}, [], ALL, sorted(ALL)),
        ({"public_attributes": ["email"], "private_attributes": ["email"]}, [], ALL, sorted(ALL)),
        ({"public_attributes": sorted(ALL)}, ["a"], {"a"}, ["a"]),
        ({"public_attributes": ["/a"], "all_attributes_private": True}, [], ALL - {"a"}, sorted(ALL - {"a"})),
    ],
)
def test_private_attributes_are_kept_back_and_named(
    options: Any, own: list[str], hidden: set[str], redacted: Any, flags: StandIn, start: Start
) -> None:
    sent = carried(start(flags, **options), flags, {**USER, "privateAttributeNames": own})
    assert set(sent) - {"key", "kind", "_meta"} == ALL - hidden
    assert sorted(sent.get("_meta", {}).get("redactedAttributes", [])) == (redacted or [])


@pytest.mark.parametrize(
    ("options", "own", "address", "redacted"),
    [
        (
            {"private_attributes": ["/address/street"]},
            [],
            {"city": "c", "deep": {"x": 1, "y": [1, 2]}},
            ["/address/street"],
        ),
        (
            {},
            ["/address/deep/x", "/address/city"],
            {"street": "s", "deep": {"y": [1, 2]}},
            ["/address/city", "/address/deep/x"],
        ),
        ({}, ["/address/deep/y/0"], {"street": "s", "city": "c", "deep": {"x": 1, "y": [1, 2]}}, []),
        ({"private_attributes": ["/address"]}, ["/address/city"], None, ["address"]),
        ({"public_attributes": ["/address/deep/x"]}, [], {"deep": {"x": 1}}, None),
        ({"public_attributes": ["/address/deep"]}, ["/address/deep/y"], {"deep": {"x": 1}}, None),
    ],
)
def test_paths_reach_into_attributes(
    options: Any, own: list[str], address: Any, redacted: Any, flags: StandIn, start: Start
) -> None:
    who = Context.builder("u").set("address", USER["custom"]["address"]).private(*own).build()  # type: ignore[index]
    sent = carried(start(flags, **options), flags, who)
    assert sent.get("address") == address
    found = sorted(sent.get("_meta", {}).get("redactedAttributes", []))
    assert found == redacted if redacted is not None else "/address/street" in found


NAMES = ("name", "email", "a", "b/c", "~d", "o")
PATHS = {"name": "name", "email": "email", "a": "a", "b/c": "/b~1c", "~d": "~d", "o": "o"}

private = st.fixed_dictionaries(
    {
        "globally": st.sets(st.sampled_from(NAMES)),
        "own": st.sets(st.sampled_from(NAMES)),
        "everything": st.booleans(),
        "public": st.none() | st.sets(st.sampled_from(NAMES)),
        "inside": st.sets(st.sampled_from(["/o/p", "/o/q/r"])),
        "anonymous": st.booleans(),
        "form": st.sampled_from(["user", "context", "dict", "multi"]),
    }
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=private)
def test_no_private_value_is_in_any_delivered_byte(case: dict[str, Any]) -> None:
    def marked(name: str) -> str:
        return f"<value of {name.replace('/', '.')}>"

    o = {"p": marked("/o/p"), "q": {"r": [marked("/o/q/r")]}, "s": marked("o")}
    values: dict[str, Any] = {name: marked(name) for name in NAMES if name != "o"}
    values["o"] = o
    inside = case["inside"] if case["form"] != "user" else set()
    context = Context.from_dict(
        {
            "kind": "user",
            "key": "u",
            "anonymous": case["anonymous"],
            **values,
            "_meta": {"privateAttributes": [*(PATHS[name] for name in case["own"]), *inside]},
        }
    )
    built_in = {name: values.pop(name) for name in ("name", "email")}
    who = {
        "user": {
            "key": "u",
            "anonymous": case["anonymous"],
            **built_in,
            "custom": values,
            "privateAttributeNames": case["own"],
        },
        "context": context,
        "dict": context.to_dict(),
        "multi": Context.create_multi(context, Context.create("o", "org")),
    }[case["form"]]
    public = case["public"]
    hidden = {
        name
        for name in NAMES
        if name in case["globally"] | case["own"] or (name not in public if public is not None else case["everything"])
    }
    with StandIn(FLAGS) as service:
        config = Config(
            "k",
            **dict.fromkeys(("base_uri", "stream_uri", "events_uri"), service.uri),
            private_attributes=[PATHS[name] for name in case["globally"]],
            all_attributes_private=case["everything"],
            public_attributes=None if public is None else [PATHS[name] for name in public],
        )
        with LDClient(config, 10) as client:
            assert client.is_initialized()
            client.variation("tracked", who, 0)
            client.variation("debugged", who, 0)
            client.variation("nope", who, 0)
            client.track("t", who)
            client.identify(who)
            assert client.flush(timeout=10)
        bodies = [(request.path, request.body.decode()) for request in service.requests]
        identified = service.events_of("identify")[0]["context"]
    for _, body in bodies:
        for name in hidden | inside | ({"/o/p", "/o/q/r"} if "o" in hidden else set()):
            assert marked(name) not in body
    # And the others do arrive.
    part = identified["user"] if case["form"] == "multi" else identified
    assert {name for name in NAMES if name in part} == set(NAMES) - hidden
