"""``Context`` and its builders from Python's side: what ``launchdarkly-server-sdk`` 9.20 does with the same calls.

Where the two differ on purpose, the test says so. What evaluation does with a context is left to ``tests/cases``.
"""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from ldclient import Context
from ldclient.context import ContextBuilder, ContextMultiBuilder

NO_KEY = "context key must not be None or empty"
NO_KIND = "context kind must not be empty"
BAD_KIND = "context kind contains disallowed characters"
IS_MULTI = 'context of kind "multi" must be created with create_multi or multi_builder'
IS_KIND = '"kind" is not a valid context kind'
NO_PARTS = "multi-context must contain at least one kind"
SAME_KIND = "multi-kind context cannot have same kind more than once"

FULL = {
    "key": "a",
    "kind": "org",
    "name": "n",
    "anonymous": True,
    "z": 1,
    "b": [1, {"c": None}],
    "f": 1.5,
    "_meta": {"privateAttributes": ["z", "/b/c"]},
}


def anonymous(key: str, kind: str) -> Context:
    return Context.builder(key).kind(kind).anonymous(True).build()


def two() -> Context:
    return Context.create_multi(Context.create("z:%", "zeta"), anonymous("a", "alpha"))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Context.create(""), NO_KEY),
        (lambda: Context.create(None), NO_KEY),  # type: ignore[arg-type]  # 9.20 makes a context without key
        (lambda: Context.create("a", ""), NO_KIND),
        (lambda: Context.create("a", "kind"), IS_KIND),
        (lambda: Context.create("a", "multi"), IS_MULTI),
        (lambda: Context.create("a", "ö"), BAD_KIND),
        (lambda: Context.create("a", "a b"), BAD_KIND),
        (lambda: Context.create_multi(), NO_PARTS),
        (lambda: Context.create_multi(Context.create("a"), Context.create("b")), SAME_KIND),
        (lambda: Context.create_multi(Context.create("a"), Context.create("", "org")), NO_KEY),
        (lambda: Context.create_multi(Context.create("a", ""), Context.create("", "o")), f"{NO_KIND}, {NO_KEY}"),
        (lambda: Context.builder_from_context(two()).build(), IS_MULTI),
        (lambda: Context.builder_from_context(Context.create("")).build(), NO_KIND),
        (lambda: Context("user", "k", error="boo"), "boo"),
        (lambda: Context.from_dict(None), "Cannot use None as a context"),  # type: ignore[arg-type]
        (lambda: Context.from_dict([]), "a context must be a dict"),  # type: ignore[arg-type]  # 9.20 raises
    ],
)
def test_an_invalid_context_says_why(make: Any, error: str) -> None:
    context = make()
    assert (context.valid, context.error) == (False, error)
    assert (context.kind, context.key, context.fully_qualified_key) == ("", "", "")
    assert (context.to_dict(), context.to_json_string()) == ({}, "{}")
    assert repr(context) == f"[invalid context: {error}]"
    assert context.without_anonymous_contexts() == context
    assert pickle.loads(pickle.dumps(context)) == context
    assert context.get_individual_context(0) is None


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({}, 'invalid data type for "kind"'),
        ({"key": "a"}, 'invalid data type for "kind"'),
        ({"kind": None, "key": "a"}, 'invalid data type for "kind"'),
        ({"kind": 3, "key": "a"}, 'invalid data type for "kind"'),
        ({"kind": "", "key": "a"}, NO_KIND),
        ({"kind": "ö", "key": "a"}, BAD_KIND),
        ({"kind": "kind", "key": "a"}, IS_KIND),
        ({"kind": "user"}, NO_KEY),
        ({"kind": "user", "key": ""}, NO_KEY),
        ({"kind": "user", "key": None}, 'invalid data type for "key"'),
        ({"kind": "user", "key": 3}, 'invalid data type for "key"'),
        ({"kind": "user", "key": "a", "name": 3}, 'invalid data type for "name"'),
        ({"kind": "user", "key": "a", "anonymous": None}, 'invalid data type for "anonymous"'),
        ({"kind": "user", "key": "a", "anonymous": 1}, 'invalid data type for "anonymous"'),
        ({"kind": "user", "key": "a", "_meta": 3}, 'invalid data type for "_meta"'),
        ({"kind": "user", "key": "a", "_meta": {"privateAttributes": 3}}, 'invalid data type for "privateAttributes"'),
        ({"kind": "multi"}, NO_PARTS),
        ({"kind": "multi", "org": 3}, 'invalid data type for "org"'),
        ({"kind": "multi", "org": {}, "user": {"key": "a"}}, NO_KEY),
        ({"kind": "multi", "ö": {"key": "a"}}, BAD_KIND),
    ],
)
def test_a_dict_that_is_no_context_says_why(members: dict[str, Any], error: str) -> None:
    assert Context.from_dict(members).error == error


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Context.create("a:b%"), "a:b%"),
        (lambda: Context.create("a:b%", "org"), "org:a%3Ab%25"),
        (lambda: two(), "alpha:a:zeta:z%3A%25"),
        (lambda: Context.create_multi(Context.create("a", "org")), "org:a"),
    ],
)
def test_the_fully_qualified_key_names_kinds_and_keys(make: Any, key: str) -> None:
    assert make().fully_qualified_key == key


@pytest.mark.parametrize(
    ("members", "json_text"),
    [
        ({"kind": "user", "key": "a"}, '{"key":"a","kind":"user"}'),
        ({"kind": "user", "key": "a", "anonymous": False, "name": None, "x": None}, '{"key":"a","kind":"user"}'),
        ({"kind": "user", "key": "a", "_meta": {"privateAttributes": []}}, '{"key":"a","kind":"user"}'),
        (FULL, json.dumps(FULL, separators=(",", ":"))),
        (
            {"kind": "multi", "user": {"key": "u"}, "org": {"key": "o", "name": "O"}},
            '{"kind":"multi","org":{"key":"o","name":"O"},"user":{"key":"u"}}',
        ),
        ({"kind": "multi", "org": {"key": "o"}}, '{"key":"o","kind":"org"}'),
        ({"kind": "o", "key": "a", "n": [1.0, -0.0, 10**30]}, '{"key":"a","kind":"o","n":[1.0,-0.0,1%s]}' % ("0" * 30)),
    ],
)
def test_a_dict_and_its_json_round_trip_with_the_members_in_order(members: dict[str, Any], json_text: str) -> None:
    context = Context.from_dict(members)
    assert context.to_json_string() == json_text == repr(context)
    assert context.to_dict() == json.loads(json_text)
    assert list(context.to_dict()) == list(json.loads(json_text))
    for same in (Context.from_dict(context.to_dict()), pickle.loads(pickle.dumps(context)), copy.deepcopy(context)):
        assert same == context
        assert hash(same) == hash(context)
        assert same.to_json_string() == json_text
    assert copy.copy(context) is context  # it cannot change


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (Context.create("a"), Context.create("a"), True),
        (Context.create("a"), Context.create("b"), False),
        (Context.create("a"), Context.create("a", "org"), False),
        (two(), Context.create_multi(anonymous("a", "alpha"), Context.create("z:%", "zeta")), True),
        (
            Context.builder("a").set("x", 1).set("y", 2).build(),
            Context.builder("a").set("y", 2).set("x", 1).build(),
            True,
        ),
        (Context.builder("a").set("x", 1).build(), Context.builder("a").set("x", 2).build(), False),
        (Context.builder("a").private("x", "y").build(), Context.builder("a").private("y", "x").build(), True),
        (Context.builder("a").private("x").build(), Context.create("a"), False),
        (Context.builder("a").name("").build(), Context.create("a"), False),
        (Context.create(""), Context.create(""), True),
        (Context.create(""), Context.create("a", "kind"), False),
        (Context.create("a"), "a", False),
        (Context.create("a"), None, False),
    ],
)
def test_equality_and_hash_follow_the_content(one: Context, other: object, equal: bool) -> None:
    assert (one == other, one != other) == (equal, not equal)
    assert not equal or hash(one) == hash(other)  # 9.20 has no hash


def test_what_the_caller_changes_later_changes_no_context() -> None:
    inner = [1, {"a": 1}]
    given = {"key": "a", "kind": "org", "d": {"q": inner}, "_meta": {"privateAttributes": ["x"]}}
    contexts = [Context.from_dict(given), Context.builder("a").kind("org").set("d", given["d"]).private("x").build()]
    inner.append(2)
    given["d"]["z"] = 1  # type: ignore[index]
    given["_meta"]["privateAttributes"].append("y")  # type: ignore[index]
    expected = '{"key":"a","kind":"org","d":{"q":[1,{"a":1}]},"_meta":{"privateAttributes":["x"]}}'
    for context in contexts:
        context.get("d")["q"].append(3)
        context.to_dict()["d"]["no"] = 1
        assert context.to_json_string() == expected


@pytest.mark.parametrize("name", ["key", "kind", "name", "anonymous", "valid", "error", "private_attributes", "other"])
def test_a_context_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Context.create("a"), name, "x")


def test_a_builder_can_be_used_again_without_changing_what_it_built() -> None:
    builder = Context.builder("k").set("a", 1).private("a")
    first = builder.build()
    second = builder.set("a", 2).set("b", [3]).private("b").key("z").kind("org").build()
    builder.set("a", 9).name("late")
    assert first.to_json_string() == '{"key":"k","kind":"user","a":1,"_meta":{"privateAttributes":["a"]}}'
    assert second.to_dict() == {
        "key": "z", "kind": "org", "a": 2, "b": [3], "_meta": {"privateAttributes": ["a", "b"]},
    }  # fmt: skip


def test_a_multi_builder_can_be_used_again_and_takes_contexts_of_several_kinds() -> None:
    builder = ContextMultiBuilder().add(Context.create("a"))
    lone = builder.build()
    pair = builder.add(Context.create("b", "org")).build()
    four = builder.add(two()).build()
    assert (lone.multiple, lone.kind) == (False, "user")
    assert pair.fully_qualified_key == "org:b:user:a"
    assert (four.individual_context_count, four.kind, four.key) == (4, "multi", "")


def test_a_builder_starts_from_a_context() -> None:
    assert Context.builder_from_context(Context.from_dict(FULL)).build() == Context.from_dict(FULL)
    assert ContextBuilder("b", Context.from_dict(FULL)).build().to_dict() == {**FULL, "key": "b"}


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("key", "x", True),
        ("key", 3, False),
        ("key", None, False),
        ("kind", "org", True),
        ("kind", None, False),
        ("name", "x", True),
        ("name", None, True),
        ("name", 3, False),
        ("anonymous", True, True),
        ("anonymous", 1, False),
        ("anonymous", None, False),
        ("", 1, False),
        ("_meta", {}, False),
        ("x", None, True),
        ("x", [1], True),
        ("x", object(), False),  # 9.20 takes what cannot be sent, and loses the event
        (3, 1, False),
        (None, 1, False),
    ],
)
def test_try_set_tells_whether_the_attribute_can_have_the_value(name: Any, value: Any, taken: bool) -> None:
    builder = Context.builder("k")
    before = builder.build()
    assert builder.try_set(name, value) is taken
    assert taken or builder.build() == before


def test_setting_none_removes_an_attribute() -> None:
    context = Context.builder("k").set("x", 1).name("n").set("x", None).set("name", None).build()
    assert context == Context.create("k")


def test_keys_kinds_and_names_of_other_types_are_read_as_text() -> None:
    built = Context.builder(3).kind("org").name(4).anonymous(1).build()  # type: ignore[arg-type]
    assert built.to_dict() == {"key": "3", "kind": "org", "name": "4", "anonymous": True}
    assert Context.from_dict({"kind": "user", "key": "a", 3: 4}).to_json_string() == '{"key":"a","kind":"user","3":4}'


@pytest.mark.parametrize(
    ("which", "key"),
    [
        ("zeta", "z:%"),
        ("alpha", "a"),
        (0, "a"),
        (1, "z:%"),
        (2, None),
        (-1, None),
        ("user", None),
        ("", None),
        (None, None),
    ],
)
def test_individual_contexts_are_found_by_kind_and_position(which: Any, key: str | None) -> None:
    found = two().get_individual_context(which)
    assert (found and found.key) == key


def test_a_context_of_one_kind_is_its_own_individual() -> None:
    context = Context.create("a")
    assert context.individual_context_count == 1
    assert context.get_individual_context("user") == context == context.get_individual_context(0)
    assert context.get_individual_context("org") is None


def test_anonymous_parts_can_be_left_out() -> None:
    assert two().without_anonymous_contexts() == Context.create("z:%", "zeta")
    assert Context.create("a").without_anonymous_contexts() == Context.create("a")
    assert anonymous("a", "user").without_anonymous_contexts().error == NO_PARTS


@pytest.mark.parametrize(
    ("name", "value"),
    [("key", "a"), ("kind", "org"), ("name", "n"), ("anonymous", True), ("z", 1), ("b", [1, {"c": None}])]
    + [(name, None) for name in ("nope", "_meta", "", "/b/0", 3, None)],
)
def test_attributes_are_read_by_name_only(name: Any, value: Any) -> None:
    context = Context.from_dict(FULL)
    assert context.get(name) == value == context[name]
    assert (name in context) is (value is not None)


def test_attributes_of_several_kinds_are_none_but_the_kind() -> None:
    assert [two().get(name) for name in ("kind", "key", "anonymous", "name", "z")] == ["multi", "", False, None, None]


def test_a_context_is_not_iterable() -> None:
    # By `__getitem__` alone it would be, without an end.
    with pytest.raises(TypeError, match="not iterable"):
        list(Context.create("a"))  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        len(Context.create("a"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call", [Context.create_multi, lambda x: Context.multi_builder().add(x), Context.builder_from_context]
)
@pytest.mark.parametrize("value", [None, "a", {"kind": "user", "key": "a"}])
def test_what_is_no_context_cannot_be_joined_or_built_from(call: Any, value: Any) -> None:
    with pytest.raises(TypeError):
        call(value)


def test_text_that_is_no_unicode_harms_nothing() -> None:
    context = Context.builder("a\ud800").set("x\ud800", "y\udfff").name("\ud83d").build()
    assert context.valid
    assert set(json.loads(context.to_json_string().encode())) >= {"key", "kind", "name"}
