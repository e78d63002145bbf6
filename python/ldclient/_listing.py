"""Flags as people look at them: the table and the explanation that the commands of Flask and Django and the admin show.

Nothing here records an event.
"""

from __future__ import annotations

import json

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ._ldclient import Client

# Whom a table is made for when nobody is named.
SOMEBODY = {"key": "somebody", "anonymous": True}


class Row:
    """One flag for one user."""

    __slots__ = ("is_on", "key", "reason", "value", "variation", "version")

    def __init__(self, key: str, value: Any, state: dict[str, Any]) -> None:
        self.key = key
        self.value = value
        self.variation: int | None = state.get("variation")
        self.version: int | None = state.get("version")
        self.reason: dict[str, Any] = state.get("reason") or {}
        # A flag that is off says so; one with an error does not tell.
        self.is_on = self.reason.get("kind") != "OFF"

    @property
    def state(self) -> str:
        """``on``, ``off`` or ``error``."""
        if self.reason.get("kind") == "ERROR":
            return "error"
        return "on" if self.is_on else "off"

    @property
    def text(self) -> str:
        """The value as JSON."""
        return json.dumps(self.value, ensure_ascii=False)

    @property
    def why(self) -> str:
        """The reason in words."""
        return words(self.reason)


def rows(client: Client, user: object = None) -> list[Row]:
    """All flags by key; none before flags arrived and when offline."""
    state = client.all_flags_state(SOMEBODY if user is None else user, with_reasons=True)  # type: ignore[arg-type]
    data = state.to_json_dict()
    states = data.pop("$flagsState", {})
    data.pop("$valid", None)
    return [Row(key, data[key], states.get(key, {})) for key in sorted(data)]


def why_empty(client: Client) -> str:
    """Says why there are no rows."""
    if client.is_offline():
        return "The client is offline: it has no flags."
    if not client.is_initialized():
        return "No flags have arrived yet. Is the SDK key right, and the service reachable?"
    return "The environment has no flags."


def table(found: list[Row]) -> Iterator[str]:
    """The lines of a table for a terminal."""
    lines = [("FLAG", "STATE", "VALUE", "VERSION", "WHY")]
    lines += [(row.key, row.state, row.text, str(row.version or ""), row.why) for row in found]
    widths = [min(max(len(line[column]) for line in lines), 60) for column in range(5)]
    for line in lines:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()


def explanation(client: Client, key: str, user: object) -> Iterator[str]:
    """The lines that say what a flag serves a user, and why.

    :raises LookupError: there is no such flag; the message names the nearest
    """
    explained = client.explain(key, user)  # type: ignore[arg-type]
    if explained.reason.get("errorKind") in ("FLAG_NOT_FOUND", "CLIENT_NOT_READY"):
        raise LookupError(explained.problem)
    yield from str(explained).splitlines()


def unknown(client: Client, key: str, known: Any) -> str:
    """Says that there is no such flag, or no flag at all."""
    if not known:
        return why_empty(client)
    from difflib import get_close_matches

    near = get_close_matches(key, list(known), n=1)
    return f"There is no feature flag with the key {key!r}." + (f" Did you mean {near[0]!r}?" if near else "")


def words(reason: dict[str, Any]) -> str:
    """A reason in words."""
    kind = reason.get("kind")
    if kind == "RULE_MATCH":
        identity = f" ({reason['ruleId']})" if reason.get("ruleId") else ""
        said = f"rule {reason.get('ruleIndex', 0) + 1} matches{identity}"
    elif kind == "PREREQUISITE_FAILED":
        said = f"its prerequisite {reason.get('prerequisiteKey')} does not serve what it needs"
    elif kind == "ERROR":
        said = f"error {reason.get('errorKind')}"
    else:
        said = _WORDS.get(str(kind), str(kind or ""))
    return said + (", in an experiment" if reason.get("inExperiment") else "")


_WORDS = {
    "OFF": "the flag is off",
    "TARGET_MATCH": "the user is targeted",
    "FALLTHROUGH": "no target and no rule matches",
}


def user_of(text: str) -> dict[str, Any]:
    """Reads a user from a command line or a form: a key, or a user or context as a JSON object.

    :raises ValueError: it is neither
    """
    text = text.strip()
    if not text.startswith("{"):
        if not text:
            raise ValueError("a user is a key, or a JSON object with one")
        return {"key": text}
    try:
        user = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the user is no JSON object: {error}") from None
    from ._ldclient import context_of

    context = context_of(user)
    if not context.valid:
        raise ValueError(f"nobody can be evaluated for that user: {context.error}")
    found: dict[str, Any] = user
    return found
