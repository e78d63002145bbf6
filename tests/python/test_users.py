"""Users as dicts, as every release before 8.0 took them: read by clauses, sent by events, and never changed."""

from __future__ import annotations

import copy
import enum
import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from ldclient import Context, LDClient
from stand_in import StandIn, constant_flag

Start = Callable[..., LDClient]

BUILT_INS = {
    "name": "N",
    "firstName": "F",
    "lastName": "L",
    "email": "e@x",
    "country": "c",
    "avatar": "a",
    "ip": "1.2.3.4",
}


class Name(str, enum.Enum):
    U = "u"


class User(dict):  # type: ignore[type-arg]
    """A class of the application's own, which shows something else than it holds."""

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


class NoText:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def rules(**attributes: Any) -> dict[str, Any]:
    """A flag that serves "1", "2", ... for the first attribute that has its value, else "none"."""
    made = [
        {"id": name, "variation": index, "clauses": [{"attribute": name, "op": "in", "values": [value]}]}
        for index, (name, value) in enumerate(attributes.items())
    ]
    variations = [*attributes, "none"]
    return constant_flag("f", None, variations=variations, rules=made, fallthrough={"variation": len(attributes)})


def identified(client: LDClient, service: StandIn, user: Any) -> dict[str, Any]:
    """The context that an identify event carries for a user."""
    before = len(service.events_of("identify"))
    client.identify(user)
    assert client.flush(timeout=10)
    found: dict[str, Any] = service.events_of("identify")[before]["context"]
    return found


@pytest.mark.parametrize("name", [*BUILT_INS, "key", "anonymous"])
def test_a_built_in_attribute_is_found_beside_custom_and_cannot_be_replaced_there(name: str, start: Start) -> None:
    value = {"key": "u", "anonymous": True, **BUILT_INS}[name]
    with StandIn({"f": rules(**{name: value})}) as service:
        client = start(service)
        assert client.variation("f", {"key": "u", name: value}, None) == name
        fake = {"key": "other", "custom": {name: value, "good": 1}}
        assert client.variation("f", fake, None) == "none"
        assert identified(client, service, fake) == {"kind": "user", "key": "other", "good": 1}
        client.close()


def test_every_attribute_is_carried_by_events_and_nothing_in_the_dict_is_changed(
    service: StandIn, start: Start
) -> None:
    user: dict[Any, Any] = {
        "key": 5,
        **BUILT_INS,
        "anonymous": True,
        "custom": {"groups": ("a", "b"), "n": None, "d": {"x": uuid.UUID(int=1)}, 7: "seven"},
        "privateAttributeNames": ["country", "/slash", "nowhere"],
        "secondary": "s",
        "topLevel": 1,
        None: 2,
    }
    before = copy.deepcopy(user)
    sent = identified(start(service), service, user)
    shown = {name: value for name, value in BUILT_INS.items() if name != "country"}
    assert sent == {
        "kind": "user",
        "key": "5",
        **shown,
        "anonymous": True,
        "groups": ["a", "b"],
        "d": {"x": str(uuid.UUID(int=1))},
        "7": "seven",
        "_meta": {"redactedAttributes": ["country"]},
    }
    assert user == before


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (5, "5"),
        (5.5, "5.5"),
        (True, "True"),
        (uuid.UUID(int=7), str(uuid.UUID(int=7))),
        (Name.U, "u"),
        ("", ""),
        (b"x", "b'x'"),
        ("ü\U0001f600", "ü\U0001f600"),
    ],
)
def test_a_key_of_another_type_is_its_text(key: Any, text: str, start: Start) -> None:
    with StandIn({"f": rules(key=text)}) as service:
        client = start(service)
        detail = client.variation_detail("f", {"key": key}, None)
        assert (detail.value, detail.reason["kind"]) == ("key", "RULE_MATCH")
        client.track("t", {"key": key})
        assert identified(client, service, {"key": key})["key"] == text
        assert service.events_of("custom")[0]["context"]["key"] == text
        assert len(service.events_of("index")) == 1
        client.close()


@pytest.mark.parametrize(
    "user",
    [
        None,
        {},
        {"name": "x"},
        {"key": None},
        {"key": NoText()},
        {"kind": "user"},
        {"kind": "user", "key": 3},
        {"kind": None, "key": "u"},
        "u",
        5,
        [("key", "u")],
        object(),
        NoText(),
        Context.create(""),
        Context.create,
    ],
    ids=lambda user: type(user).__name__,
)
def test_who_is_nobody_gets_the_default_with_its_reason(
    user: Any, service: StandIn, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(service)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert client.variation("your.feature.key", user, "default") == "default"
            detail = client.variation_detail("your.feature.key", user, "default")
            assert detail.reason == {"kind": "ERROR", "errorKind": "USER_NOT_SPECIFIED"}
            assert (detail.value, detail.variation_index) == ("default", None)
            client.identify(user)
            client.track("t", user, 1)
            assert client.all_flags(user) is None
            assert not client.all_flags_state(user).valid
            assert client.secure_mode_hash(user) == ""
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) <= 5
    assert client.flush(timeout=10)
    assert {event["kind"] for event in service.events} <= {"summary"}
    assert client.variation("your.feature.key", {"key": "somebody"}, "default") is True


def test_a_dict_with_a_kind_is_a_context(start: Start) -> None:
    with StandIn({"f": rules(topLevel=1)}) as service:
        client = start(service)
        user = {
            "kind": "user",
            "key": "u",
            "topLevel": 1,
            "custom": {"x": 1},
            "_meta": {"privateAttributes": ["/custom/x"]},
        }
        before = copy.deepcopy(user)
        assert client.variation("f", user, None) == "topLevel"
        sent = identified(client, service, user)
        assert sent == {
            "kind": "user", "key": "u", "topLevel": 1, "custom": {}, "_meta": {"redactedAttributes": ["/custom/x"]},
        }  # fmt: skip
        assert user == before
        client.close()


def test_a_subclass_of_dict_is_a_user(start: Start) -> None:
    with StandIn({"f": rules(x=1)}) as service:
        client = start(service)
        user = User(key="u", custom=User(x=1))
        assert client.variation("f", user, None) == "x"
        assert identified(client, service, user) == {"kind": "user", "key": "u", "x": 1}
        client.close()


@pytest.mark.parametrize(
    ("names", "hidden"),
    [
        (["email"], {"email"}),
        (("email", "x"), {"email", "x"}),
        ({"email"}, {"email"}),
        ({"email": True}, {"email", "name", "x", "7"}),
        (["/email", "key", "kind", "anonymous", "", "nope"], set()),
        ([7], {"7"}),
        ([b"x", Name.U], {"x"}),
        ("email", {"email"}),
        ([None, "email"], {"email", "name", "x", "7"}),
        ([object()], {"email", "name", "x", "7"}),
        (5, {"email", "name", "x", "7"}),
        (object(), {"email", "name", "x", "7"}),
        ([], set()),
        (None, set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_names_that_cannot_be_read_hide_too_much_rather_than_too_little(
    names: Any, hidden: set[str], service: StandIn, start: Start
) -> None:
    custom = {"x": "secret x", 7: "secret 7"}
    user = {
        "key": "u",
        "email": "secret email",
        "name": "secret name",
        "custom": custom,
        "privateAttributeNames": names,
    }
    sent = identified(start(service), service, user)
    assert set(sent) - {"kind", "_meta"} == {"key", "email", "name", "x", "7"} - hidden
    assert set(sent.get("_meta", {}).get("redactedAttributes", [])) == hidden


def test_what_is_ignored_is_told_once_with_what_to_do(
    service: StandIn, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(service)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            client.identify({"key": "u", "only here": "the secret value", "custom": {"email": "the secret value"}})
    told = [record.getMessage() for record in caplog.records]
    assert len(told) <= 2
    assert any('"only here"' in line and '"custom"' in line for line in told)
    assert "secret" not in caplog.text


@pytest.mark.parametrize("custom", [None, [], "x", 5, object()])
def test_a_custom_that_is_no_dict_costs_only_itself(custom: Any, service: StandIn, start: Start) -> None:
    client = start(service)
    assert client.variation("your.feature.key", {"key": "u", "custom": custom}, None) is True
    assert identified(client, service, {"key": "u", "email": "e", "custom": custom}) == {
        "kind": "user", "key": "u", "email": "e",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "default"),
    [(None, 1), (5, 1), (b"your.feature.key", 1), (["your.feature.key"], 1), (object(), 1), ("", 1), ("a\ud800", 1)],
)
def test_a_key_that_no_flag_has_gives_the_default(key: Any, default: Any, service: StandIn, start: Start) -> None:
    client = start(service, defaults={"other": 2})
    assert client.variation(key, {"key": "u"}, default) == default
    assert client.variation_detail(key, {"key": "u"}, default).reason["errorKind"] == "FLAG_NOT_FOUND"


def test_user_and_context_are_names_of_one_argument(service: StandIn, start: Start) -> None:
    client, user = start(service), {"key": "u"}
    flag = "your.feature.key"
    for name in ("user", "context"):
        assert client.variation(flag, default=0, **{name: user}) is True
        assert client.variation_detail(flag, default=0, **{name: user}).value is True
        assert client.all_flags(**{name: user}) == {flag: True}
        assert client.all_flags_state(**{name: user}).valid
        assert len(client.secure_mode_hash(**{name: user})) == 64
        client.identify(**{name: user})
        client.track("t", **{name: user})
    assert client.flush(timeout=10)
    assert len(service.events_of("identify")) == len(service.events_of("custom")) == 2


def test_an_event_name_of_another_type_is_its_text_or_costs_the_event(service: StandIn, start: Start) -> None:
    client = start(service)
    for name in (5, NoText(), None, "a\ud800"):
        client.track(name, {"key": "u"})  # type: ignore[arg-type]
    assert client.flush(timeout=10)
    assert [event["key"] for event in service.events_of("custom")][:2] == ["5", "None"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": True},
        {"key": 12},
        {"key": "a", "custom": 3},
        {"key": "a", "anonymous": 3},
        {"key": "a", "privateAttributeNames": "email"},
        *({"key": "a", name: 3} for name in ("name", "firstName", "lastName", "email", "country", "avatar", "ip")),
    ],
)
def test_a_strict_conversion_refuses_what_the_services_own_libraries_refuse(wrong: dict[str, object]) -> None:
    assert not Context.from_user(wrong, strict=True).valid


def test_a_strict_conversion_takes_none_for_an_absent_attribute() -> None:
    user = {"key": "a", "name": None, "custom": None, "anonymous": None, "privateAttributeNames": None}
    assert Context.from_user(user, strict=True).to_dict() == {"kind": "user", "key": "a"}


@pytest.mark.parametrize(
    "more",
    [
        {"country": "de"},
        {"country": Name.U},
        {"country": uuid.UUID(int=1)},
        {"country": None},
        {"country": ["fr", "de"]},
        {"country": object()},
        {"name": "N", "country": "de"},
        {"name": None, "country": "de"},
        {"name": uuid.UUID(int=1), "country": "de"},
        {"name": 5, "country": "de"},
        {"anonymous": True, "country": "de"},
        {"anonymous": None, "country": "de"},
        {"anonymous": "yes", "country": "de"},
        {"_meta": {"privateAttributes": ["country"]}, "country": "de"},
        {"_meta": None, "country": "de"},
        {"_meta": 3, "country": "de"},
        {"": 1, "country": "de"},
        {"key": "", "country": "de"},
        {"key": 3, "country": "de"},
        {"key": None, "country": "de"},
        {"key": Name.U, "country": "de"},
        {"kind": "org", "country": "de"},
        {"kind": "ö", "country": "de"},
        {"kind": Name.U, "country": "de"},
        {"kind": None, "country": "de"},
        {1: "one"},
        {True: "one"},
        {"custom": {"country": "de"}},
    ],
)
def test_a_context_dict_is_answered_and_told_like_the_context_made_of_it(more: dict[Any, Any], start: Start) -> None:
    context_dict = {"kind": "user", "key": "u", **more}
    flag = rules(country="de", name="N", anonymous=True, **{"1": "one"})
    uuids = {"id": "uuid", "variation": 0, "clauses": [{"attribute": "country", "op": "matches", "values": ["^0{8}"]}]}
    flag["rules"].append(uuids)

    def answers(told_as: Any) -> tuple[Any, Any, list[Any]]:
        with StandIn({"f": flag}) as service:
            client = start(service)
            detail = client.variation_detail("f", told_as, "default")
            assert client.flush(timeout=10)
            return detail.value, detail.reason, [event["context"] for event in service.events_of("index")]

    made = Context.from_dict(context_dict)  # type: ignore[arg-type]
    assert answers(User(context_dict)) == answers(context_dict) == answers(made)
