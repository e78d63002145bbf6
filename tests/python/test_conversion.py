"""The written table of ``ldclient.conversion``, end to end: as clauses see a value, and as events carry it."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import ipaddress
import logging
import pathlib
import threading
import types
import uuid
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from ldclient import Context, LDClient
from stand_in import StandIn, constant_flag

Start = Callable[..., LDClient]


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    TWO = 2


class Word(str, enum.Enum):
    YES = "yes"


class Shouting(int):
    def __str__(self) -> str:
        return "SHOUT"

    __repr__ = __str__


class Text(str):
    def __str__(self) -> str:
        return "something else"


class Scalar:
    """What numpy's scalars have."""

    dtype = "float32"

    def __init__(self, value: Any) -> None:
        self.value = value

    def tolist(self) -> Any:
        return self.value


class Refusing:
    def __init__(self, error: type[BaseException] = RuntimeError) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error("the secret value")

    __repr__ = __str__
    __iter__ = __str__  # type: ignore[assignment]


class RefusingMapping(UserDict):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        raise TypeError("the secret value")


UTC = dt.timezone.utc

SENT = [
    ("text", "x", "x"),
    ("bool", True, True),
    ("int", 7, 7),
    ("big int", 2**63 + 1, 2**63 + 1),
    ("negative big int", -(2**64), -(2**64)),
    ("float", 1.5, 1.5),
    ("int subclass", Shouting(5), 5),
    ("big int subclass", Shouting(2**64 - 1), 2**64 - 1),
    ("str subclass", Text("x"), "x"),
    ("enum", Colour.RED, "red"),
    ("int enum", Number.TWO, 2),
    ("text enum", Word.YES, "yes"),
    ("aware datetime", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
    (
        "datetime elsewhere",
        dt.datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
        "2026-01-02T03:04:05.000600-05:00",
    ),
    ("naive datetime", dt.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05+00:00"),
    ("date", dt.date(2026, 1, 2), "2026-01-02"),
    ("time", dt.time(3, 4), "03:04:00"),
    ("timedelta", dt.timedelta(minutes=1, milliseconds=500), 60.5),
    ("decimal", Decimal("1.10"), "1.10"),
    ("fraction", Fraction(1, 3), "1/3"),
    ("uuid", uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ("path", pathlib.PurePosixPath("/a/b"), "/a/b"),
    ("ip", ipaddress.ip_address("::1"), "::1"),
    ("bytes", b"abc", "abc"),
    ("bytearray", bytearray("ü".encode()), "ü"),
    ("numpy-like", Scalar(2.5), 2.5),
]
NESTED = [
    # Flag data has such numbers as doubles, so that no clause equals them; events carry them exactly.
    ("huge ints", [10**40 + 1, -(10**40), Shouting(10**30)], [10**40 + 1, -(10**40), 10**30]),
    ("tuple", (1, "a"), [1, "a"]),
    ("set", {1}, [1]),
    ("frozenset", frozenset(["a"]), ["a"]),
    ("deque", deque([1, 2]), [1, 2]),
    ("range", range(3), [0, 1, 2]),
    ("numpy-like array", Scalar([[1, 2], [3]]), [[1, 2], [3]]),
    ("list subclass", type("Own", (list,), {})([1]), [1]),
    ("ordered dict", OrderedDict(b=1, a=Colour.RED), {"b": 1, "a": "red"}),
    ("mapping", types.MappingProxyType({"a": (1,)}), {"a": [1]}),
    (
        "names that are no text",
        {1: "a", 1.5: "b", False: "c", None: "d"},
        {"1": "a", "1.5": "b", "false": "c", "null": "d"},
    ),
    (
        "names from the table",
        {Colour.RED: 1, Number.TWO: 2, uuid.UUID(int=0): 3},
        {"red": 1, "2": 2, str(uuid.UUID(int=0)): 3},
    ),
    ("None inside", [None, {"a": None}], [None, {"a": None}]),
    ("deep", {"a": [{"b": [Decimal(1)]}]}, {"a": [{"b": ["1"]}]}),
]

looped: list[Any] = [1]
looped.append(looped)
looped_dict: dict[str, Any] = {}
looped_dict["self"] = looped_dict

UNSENT = [
    ("nan", float("nan"), "finite"),
    ("infinity", float("inf"), "finite"),
    ("nested infinity", {"a": [float("-inf")]}, "finite"),
    ("object", object(), "type object"),
    ("raising str", Refusing(), "type Refusing"),
    ("raising TypeError", RefusingMapping(a=1), "reading it raised TypeError"),
    ("raising tolist", types.SimpleNamespace(dtype=1, tolist=Refusing().__str__), "reading it raised RuntimeError"),
    ("function", len, "builtin_function_or_method"),
    ("class", int, "type type"),
    ("complex", 1j, "type complex"),
    ("bytes", b"\xff\xfe", "UTF-8"),
    ("self-referencing list", looped, "nested"),
    ("self-referencing dict", looped_dict, "nested"),
    ("too large an int", 10**5000, "too large"),
    ("name that cannot be one", {(1, 2): 3}, "name"),
    ("nan array", Scalar(float("nan")), "finite"),
]  # fmt: skip


def named(name: str) -> str:
    return "attr " + name


def flag_on(attribute: str, value: Any) -> dict[str, Any]:
    clause = {"attribute": attribute, "op": "in", "values": [value]}
    rule = {"id": "r", "clauses": [clause], "variation": 0}
    return constant_flag("f", None, variations=[True, False], rules=[rule], fallthrough={"variation": 1})


@pytest.mark.parametrize(("name", "value", "sent"), SENT, ids=[row[0] for row in SENT])
def test_clauses_see_what_events_carry(name: str, value: Any, sent: Any, start: Start) -> None:
    user = {"key": "u", "custom": {named(name): value}}
    context = Context.builder("c").set(named(name), value).build()
    with StandIn({"f": flag_on(named(name), sent)}) as service:
        client = start(service)
        assert client.variation("f", user, None) is True
        assert client.variation("f", {"key": "l", "custom": {named(name): ["no", value]}}, None) is True
        assert client.variation("f", context, None) is True
        client.track("t", user, {"data": value, "list": [value]})
        client.identify(context)
        assert client.flush(timeout=10)
        assert service.events_of("index")[0]["context"] == {"kind": "user", "key": "u", named(name): sent}
        assert service.events_of("custom")[0]["data"] == {"data": sent, "list": [sent]}
        assert service.events_of("identify")[0]["context"][named(name)] == sent
        client.close()


def test_nested_values_are_carried_by_events_as_json_has_them(service: StandIn, start: Start) -> None:
    attributes = {named(name): value for name, value, _ in NESTED}
    expected = {named(name): sent for name, _, sent in NESTED}
    before = copy.copy(attributes)
    client = start(service)
    client.identify({"key": "u", "custom": attributes})
    client.identify(Context.from_dict({"kind": "org", "key": "c", **attributes}))
    client.track("t", {"key": "u"}, attributes)
    client.track("t", {"key": "u"}, list(attributes.values()))
    assert client.flush(timeout=10)
    user, org = (event["context"] for event in service.events_of("identify"))
    assert {name: user[name] for name in expected} == expected == {name: org[name] for name in expected}
    whole, listed = (event["data"] for event in service.events_of("custom"))
    assert (whole, listed) == (expected, list(expected.values()))
    assert list(user["attr ordered dict"]) == ["b", "a"]
    assert attributes == before


@pytest.mark.parametrize(("name", "value", "why"), UNSENT, ids=[row[0] for row in UNSENT])
@pytest.mark.parametrize("where", ["user", "builder", "from_dict", "data", "clause", "default"])
def test_a_value_that_cannot_be_sent_costs_itself_and_one_warning(
    where: str, name: str, value: Any, why: str, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    attribute = f"{where} {name}" if where != "default" else "default"
    user = {"key": "u", "custom": {attribute: value, "good": 1}}
    with StandIn({"f": flag_on(attribute, "x")}) as service, caplog.at_level(logging.DEBUG):
        client = start(service)
        for _ in range(2):
            if where == "user":
                client.identify(user)
            elif where == "builder":
                client.identify(Context.builder("u").set(attribute, value).set("good", 1).build())
            elif where == "from_dict":
                client.identify(Context.from_dict({"kind": "user", "key": "u", attribute: value, "good": 1}))
            elif where == "data":
                client.track("t", {"key": "u"}, {attribute: value, "good": 1})
            elif where == "clause":
                assert client.variation("f", user, None) is False
            else:
                assert client.variation("nope", {"key": "u"}, value) is value
        client.track("after", {"key": "u"}, 5)
        assert client.flush(timeout=10)
        client.close()
    carried = [event["context"] for event in service.events_of("identify")]
    carried += [event["data"] for event in service.events_of("custom") if event["key"] == "t"]
    assert len(carried) == (0 if where in ("clause", "default") else 2)
    assert all(members["good"] == 1 and attribute not in members for members in carried)
    assert [event["data"] for event in service.events_of("custom") if event["key"] == "after"] == [5]
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "left out" in r.getMessage()]
    if where != "default":  # the name of this one is always the same, and it is told once a process
        assert len(warnings) == 1
        assert f'"{attribute}"' in warnings[0]
        assert why in warnings[0]
    assert "secret" not in caplog.text


def test_values_that_change_while_they_are_read_harm_nothing(service: StandIn, start: Start) -> None:
    attributes: dict[Any, Any] = {}

    class Growing:
        dtype = "x"

        def tolist(self) -> int:
            attributes[object()] = 1
            items.add(len(items))
            return 1

        def __hash__(self) -> int:
            return id(self)

    items: set[Any] = {Growing() for _ in range(5)}
    attributes.update(a=Growing(), b=items, c=Growing(), d={"x": Growing()})
    client = start(service)
    client.identify({"key": "u", "custom": attributes})
    client.identify(Context.from_dict({"kind": "user", "key": "u", "inner": attributes}))
    client.track("t", {"key": "u"}, attributes)
    assert client.flush(timeout=10)
    assert service.events_of("identify")[0]["context"]["a"] == 1


def test_values_may_be_changed_by_other_threads_all_the_time(service: StandIn, start: Start) -> None:
    client = start(service)
    custom: dict[str, Any] = {"list": [], "set": set(), "d": {}}
    end = threading.Event()

    def change() -> None:
        count = 0
        while not end.is_set():
            count += 1
            custom[f"k{count % 50}"] = Decimal(count)
            custom.pop(f"k{(count + 25) % 50}", None)
            custom["list"].append(Decimal(1))
            custom["set"].add(count % 100)
            custom["set"].discard((count + 50) % 100)
            del custom["list"][50:]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for number in range(300):
            client.identify({"key": f"u{number}", "custom": custom})
    finally:
        end.set()
        thread.join()
    assert client.flush(timeout=10)
    assert len(service.events_of("identify")) == 300


def test_numpy_values_are_sent_as_the_numbers_they_stand_for(service: StandIn, start: Start) -> None:
    numpy = pytest.importorskip("numpy")
    values = {
        "i": numpy.int64(5),
        "f": numpy.float64(1.5),
        "g": numpy.float32(0.5),
        "b": numpy.bool_(True),
        "s": numpy.str_("x"),
        "a": numpy.array([[1, 2], [3, 4]]),
        "z": numpy.array(7),
    }
    client = start(service)
    client.track("t", {"key": numpy.int64(9)}, values)
    assert client.flush(timeout=10)
    event = service.events_of("custom")[0]
    assert event["data"] == {"i": 5, "f": 1.5, "g": 0.5, "b": True, "s": "x", "a": [[1, 2], [3, 4]], "z": 7}
    assert event["context"]["key"] == "9"


@pytest.mark.parametrize(
    ("metric", "sent"),
    [
        (3, 3),
        (2.5, 2.5),
        (Decimal("1.5"), None),
        (10**30, 10**30),
        (True, None),
        ("5", None),
        (float("nan"), None),
        (Scalar(2.0), 2.0),
    ],
)
def test_a_metric_value_is_a_finite_number(metric: Any, sent: Any, service: StandIn, start: Start) -> None:
    client = start(service)
    client.track("t", {"key": "u"}, None, metric)
    assert client.flush(timeout=10)
    assert service.events_of("custom")[0].get("metricValue") == sent
    assert "data" not in service.events_of("custom")[0]
