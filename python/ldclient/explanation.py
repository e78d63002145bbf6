"""Why a flag serves a user what it serves: what ``client.explain(key, user)`` returns, as data and as text.

The evaluation that is explained is the native one, which writes down its own steps; nothing is decided here. The dicts
have all their members: None is what was not asked, or is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, TypedDict

from ._ldclient import Client, Context, context_of

__all__ = [
    "ExplainedChoice",
    "ExplainedClause",
    "ExplainedFlag",
    "ExplainedPrerequisite",
    "ExplainedRollout",
    "ExplainedRule",
    "ExplainedSegment",
    "ExplainedSegmentRule",
    "ExplainedShare",
    "ExplainedTarget",
    "Explanation",
]

_Missing = Literal["context", "attribute"]


class ExplainedShare(TypedDict):
    """One variation's part of a rollout, or the part of all contexts that belongs to a segment."""

    #: The variation's index; None for a segment.
    variation: int | None
    #: The bucket, from 0 to 1, at which it begins.
    begin: float
    #: The bucket below which it ends.
    end: float
    #: Whether contexts in it are outside the experiment.
    untracked: bool
    #: Whether the context is in it; None when that was not asked.
    chosen: bool | None


class ExplainedRollout(TypedDict):
    """A choice by bucket."""

    #: Whether it is an experiment, which always goes by the key.
    experiment: bool
    #: The kind of context that is bucketed.
    contextKind: str
    #: The attribute that is bucketed.
    bucketBy: str
    #: What the context has there; only text and whole numbers give a bucket other than 0.
    value: Any
    #: What the context lacks. Without that kind of context the first share is served; without the attribute the
    #: bucket is 0.
    missing: _Missing | None
    #: What is hashed before that value: the key and the salt of the flag or segment, or the seed, each with a dot.
    prefix: str
    #: From 0 to 1; None when it was not asked, or the context has no part of that kind.
    bucket: float | None
    #: In their order.
    shares: list[ExplainedShare]


class ExplainedChoice(TypedDict):
    """What a rule or the fallthrough serves: always one variation, or by bucket. Malformed flags may have neither."""

    variation: int | None
    rollout: ExplainedRollout | None


class ExplainedSegmentRule(TypedDict):
    """A rule of a segment."""

    #: Whether all clauses match and the context is in the share.
    matched: bool | None
    #: They are asked up to the first that does not match.
    clauses: list[ExplainedClause]
    #: The share of all contexts that belongs to the segment; None is everyone.
    rollout: ExplainedRollout | None
    #: What makes the flag malformed.
    problem: str | None


class ExplainedSegment(TypedDict):
    """A segment for a context."""

    key: str
    #: None when there is no such segment.
    version: int | None
    #: Whether the context belongs to it.
    member: bool | None
    #: What decided that: a list of its members, the store of big segments, a rule, nothing of these, or that there is
    #: no such segment.
    by: Literal["included", "excluded", "bigSegment", "rule", "nothing", "missing"] | None
    #: The kind of context of the list that decided.
    contextKind: str | None
    #: ``HEALTHY``, ``STALE``, ``STORE_ERROR`` or ``NOT_CONFIGURED`` of a big segment.
    bigSegmentsStatus: str | None
    #: In the order in which they are asked; one match is enough.
    rules: list[ExplainedSegmentRule]
    #: What makes the flag malformed.
    problem: str | None


class ExplainedClause(TypedDict):
    """One condition of a rule."""

    #: The kind of context that is asked.
    contextKind: str
    #: The attribute that is asked; None for segments.
    attribute: str | None
    #: The operator.
    op: str
    #: The operands that the operator can use, 20 of them at most; keys of segments for ``segmentMatch``.
    values: list[Any]
    #: How many of these there are.
    valueCount: int
    #: Whether a match counts as none and the other way round. What is missing never matches.
    negate: bool
    #: What the context has there.
    value: Any
    #: What the context lacks: a part of that kind, or the attribute.
    missing: _Missing | None
    #: Whether it matches, with ``negate`` taken into account.
    matched: bool | None
    #: The segments that were asked, up to the first that has the context. Empty when an earlier rule asked the same.
    segments: list[ExplainedSegment]
    #: Whether segments are left out because so much was told already.
    cut: bool
    #: What makes the flag malformed.
    problem: str | None


class ExplainedRule(TypedDict):
    """A rule of a flag."""

    #: Its identity in the service's interface.
    id: str | None
    #: Whether all clauses match; None when an earlier rule did, or something else decided.
    matched: bool | None
    #: They are asked up to the first that does not match.
    clauses: list[ExplainedClause]
    #: What it serves.
    serves: ExplainedChoice
    #: What makes the flag malformed.
    problem: str | None


class ExplainedTarget(TypedDict):
    """Keys that get a fixed variation."""

    #: The kind of context whose keys these are.
    contextKind: str
    variation: int
    #: How many keys there are.
    count: int
    #: The key of the context; None when it has no part of that kind.
    value: str | None
    #: Whether it is among them.
    matched: bool | None


class ExplainedPrerequisite(TypedDict):
    """A condition on another flag."""

    #: The other flag.
    key: str
    #: The variation that it must serve, being on.
    needs: int
    #: Whether it does.
    met: bool | None
    #: The other flag for the same user.
    flag: ExplainedFlag | None
    #: Whether the other flag is left out because so much was told already.
    cut: bool
    #: What is wrong: there is no such flag, or it leads back to itself, which makes the flag malformed.
    problem: str | None


class ExplainedFlag(TypedDict):
    """A flag for a user: what it asks, in the order in which it asks."""

    key: str
    version: int
    #: Nothing is asked of a flag that is off.
    on: bool
    #: The value; None where that is the caller's default.
    value: Any
    #: The index of the value.
    variation: int | None
    #: As ``variation_detail`` has it; None where the evaluation ended before.
    reason: dict[str, Any] | None
    prerequisites: list[ExplainedPrerequisite]
    targets: list[ExplainedTarget]
    #: The first that matches decides.
    rules: list[ExplainedRule]
    #: What is served when the flag is off or a prerequisite fails; None is the caller's default.
    offVariation: int | None
    #: What those are served whom nothing else matched.
    fallthrough: ExplainedChoice
    #: What makes the flag malformed.
    problem: str | None


class Explanation:
    """What a flag serves a user, and everything that led there. ``print`` it, or read its members.

    >>> from ldclient import Config, LDClient
    >>> with LDClient(Config(offline=True)) as client:
    ...     client.explain("any.flag", {"key": "aa0ceb"}).problem
    'The client is offline: it has no flags.'

    Its text, members and JSON have the values of attributes, also of private ones; its ``repr`` has none.
    """

    __slots__ = ("_data", "_json")

    _data: dict[str, Any]
    _json: str

    def __init__(self, json_text: str) -> None:
        object.__setattr__(self, "_json", json_text)
        object.__setattr__(self, "_data", json.loads(json_text))

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(f"an Explanation cannot be changed: {name}")

    @property
    def key(self) -> str:
        """The key that was asked for."""
        return str(self._data["key"])

    @property
    def version(self) -> int | None:
        """The version of the flag's data; None where there is no flag."""
        return _optional_int(self._data["version"])

    @property
    def value(self) -> Any:
        """The value; None where ``variation`` returns its caller's default."""
        return self._data["value"]

    @property
    def variation_index(self) -> int | None:
        """The position of the value among the flag's variations; None for the caller's default."""
        return _optional_int(self._data["variation"])

    @property
    def reason(self) -> dict[str, Any]:
        """Why, as ``variation_detail`` has it."""
        reason: dict[str, Any] = self._data["reason"]
        return reason

    @property
    def flag(self) -> ExplainedFlag | None:
        """What the flag asked, and with which results; None where nothing was evaluated."""
        flag: ExplainedFlag | None = self._data["flag"]
        return flag

    @property
    def problem(self) -> str | None:
        """Why there is no value, in a sentence; None where a variation, or the default of a flag that is off, is served."""
        problem: str | None = self._data["problem"]
        return problem

    def to_json_dict(self) -> dict[str, Any]:
        """Returns all of it as values that JSON has, new ones with each call.

        Members: ``key``, ``version``, ``value``, ``variation``, ``reason``, ``problem``, ``context`` (the user as a
        context, None where there is none) and ``flag`` (an :class:`ExplainedFlag`).
        """
        data: dict[str, Any] = json.loads(self._json)
        return data

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        return f"<ldclient.explanation.Explanation of {self.key!r}: {self.reason['kind']}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Explanation) and self._data == other._data

    def __hash__(self) -> int:
        return hash(self._json)

    def __reduce__(self) -> tuple[type[Explanation], tuple[str]]:
        return Explanation, (self._json,)

    def _lines(self) -> Iterator[str]:
        from ._explanation_text import lines

        return lines(self)


def explain(client: Client, key: str, user: object) -> Explanation:
    """Makes an explanation; ``client.explain`` calls it."""
    data = json.loads(client._explain(key, user))
    context = context_of(user)
    data["context"] = context.to_dict() if context.valid else None
    data["problem"] = _problem(client, data, context)
    return Explanation(json.dumps(data))


def _problem(client: Client, data: dict[str, Any], context: Context) -> str | None:
    from ._listing import SOMEBODY, unknown, why_empty

    kind = data["reason"].get("errorKind")
    if kind is None:
        return None
    if kind == "CLIENT_NOT_READY":
        return why_empty(client)
    if kind == "FLAG_NOT_FOUND":
        return unknown(client, data["key"], client.all_flags_state(SOMEBODY).to_values_map())
    if kind == "USER_NOT_SPECIFIED":
        return f"There is nobody to evaluate the flag for: {context.error}."
    if kind == "EXCEPTION":
        return "The feature store cannot be read, so nobody can tell whether there is such a flag."
    if data["problem"] is not None:
        return f"The flag's data is malformed: {data['problem']}"
    return "The flag's data is malformed; the steps say where."


def _optional_int(value: Any) -> int | None:
    return None if value is None else int(value)
