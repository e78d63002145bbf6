"""Whom an OpenFeature evaluation context means: a context of this package as a dict, which the native client reads.

1. The key is the targeting key, else the attribute ``targetingKey``, else ``key``. Without any the ambient user counts
   (``ldclient.use``), with the other attributes added to it.
2. ``kind`` is the context's kind; "multi" makes every other attribute a context of the kind that it is named after.
3. ``name``, ``anonymous`` and ``privateAttributes`` mean what they mean in a context; everything else is an attribute,
   whose value may be whatever an attribute of a context may be (``conversion``).
4. A mistake costs what it concerns. Each kind of mistake is told once a process, not once a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import _ldclient, ambient, logs

if TYPE_CHECKING:
    from openfeature.evaluation_context import EvaluationContext

    from ._ldclient import _User

__all__ = ["tell", "user_of"]

# Attributes that are no attributes.
_SPECIAL = frozenset(("key", "targetingKey", "kind", "name", "anonymous", "privateAttributes", "_meta"))

_told: set[str] = set()


def user_of(evaluation_context: EvaluationContext | None) -> _User | None:
    """Returns whom it means; None for nobody. Never raises."""
    if evaluation_context is None:
        return ambient.current()
    key, attributes = evaluation_context.targeting_key, evaluation_context.attributes or {}
    if key and type(key) is str and _SPECIAL.isdisjoint(attributes):
        return {"kind": "user", "key": key, **attributes}
    kind = attributes.get("kind", "user")
    if kind == "multi":
        return _multi(attributes)
    if not isinstance(kind, str):
        tell("The attribute 'kind' of an evaluation context must be a text; 'user' is used instead.")
        kind = "user"
    found = _key(key, attributes)
    return _ambient(attributes) if found is None else _single(kind, found, attributes)


def tell(message: str) -> None:
    """Logs a warning the first time."""
    if message not in _told:
        _told.add(message)
        logs.logger().warning("%s", message)


def _key(targeting_key: Any, attributes: Mapping[str, Any]) -> str | None:
    found = None
    for value in (targeting_key, attributes.get("targetingKey"), attributes.get("key")):
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            tell(
                "The targeting key, or the attribute 'key', of an evaluation context must be a text; others are ignored."
            )
        elif found is None:
            found = value
        elif found != value:
            tell("An evaluation context has both a targeting key and another 'key'; the targeting key is used.")
    return found


def _single(kind: str, key: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    context: dict[str, Any] = {"kind": kind, "key": key}
    for name, value in attributes.items():
        if name in _SPECIAL:
            _set_special(context, name, value)
        else:
            context[name] = value
    return context


def _set_special(context: dict[str, Any], name: str, value: Any) -> None:
    if name == "name":
        if isinstance(value, str):
            context["name"] = value
        elif value is not None:
            tell("The attribute 'name' of an evaluation context must be a text; it is left out.")
    elif name == "anonymous":
        if isinstance(value, bool):
            context["anonymous"] = value
        elif value is not None:
            tell("The attribute 'anonymous' of an evaluation context must be True or False; it is left out.")
    elif name == "privateAttributes":
        if isinstance(value, (list, tuple)):
            private = [one for one in value if isinstance(one, str)]
            if len(private) < len(value):
                tell("'privateAttributes' of an evaluation context must be a list of texts; others are left out.")
            context["_meta"] = {"privateAttributes": private}
        elif value is not None:
            tell("'privateAttributes' of an evaluation context must be a list of texts; it is left out.")
    elif name == "_meta":
        tell("An evaluation context cannot have an attribute '_meta'; for private ones there is 'privateAttributes'.")


def _multi(attributes: Mapping[str, Any]) -> _User | None:
    contexts: dict[str, Any] = {"kind": "multi"}
    for kind, part in attributes.items():
        if kind in ("kind", "key", "targetingKey"):
            continue
        if not isinstance(part, Mapping):
            tell("In an evaluation context of kind 'multi' every attribute must be a dict; others are left out.")
            continue
        key = _key(None, part)
        if key is None:
            tell("A context within an evaluation context of kind 'multi' has no 'key'; it is left out.")
            continue
        contexts[kind] = _single(kind, key, part)
    return contexts if len(contexts) > 1 else None


def _ambient(attributes: Mapping[str, Any]) -> _User | None:
    """The ambient user with these attributes; None if there is none, or only one of another kind."""
    user = ambient.current()
    if user is None:
        return None
    if not attributes:
        return user
    context = _ldclient.context_of(user)
    if not context.valid or context.multiple:
        return None if "kind" in attributes else user
    if attributes.get("kind", context.kind) != context.kind:
        return None
    return {**context.to_dict(), **_single(context.kind, context.key, attributes)}
