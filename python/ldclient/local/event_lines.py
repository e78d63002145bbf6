"""Analytics and diagnostic events as lines for a developer's terminal.

Pure: an event in, text out. Receiving and keeping events is left to ``ldclient.local.server``. Every name and value
that came from outside is written as JSON, so that no event can move the cursor or fake another line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["describe", "describe_diagnostic"]

_LONGEST = 200


def describe(event: object) -> list[str]:
    """The lines that say what an event is; at least one, whatever it holds. Never raises."""
    if not isinstance(event, Mapping):
        return [f"not an event: {_json(event)}"]
    kind = event.get("kind")
    if kind == "summary":
        return list(_summary(event)) or ["summary   of nothing"]
    if kind in ("index", "identify"):
        return [f"{kind:<9} {_who(event)}"]
    if kind in ("feature", "debug"):
        parts = [f"{kind:<9} {_json(event.get('key'))} = {_json(event.get('value'))} for {_who(event)}"]
        reason = event.get("reason")
        if isinstance(reason, Mapping):
            parts.append(f"because {_json(reason.get('kind'))}")
        if "prereqOf" in event:
            parts.append(f"as a prerequisite of {_json(event['prereqOf'])}")
        return [", ".join(parts)]
    if kind == "custom":
        parts = [f"custom    {_json(event.get('key'))} by {_who(event)}"]
        if event.get("data") is not None:
            parts.append(f"data {_json(event['data'])}")
        if event.get("metricValue") is not None:
            parts.append(f"metric {_json(event['metricValue'])}")
        return [", ".join(parts)]
    if kind == "migration_op":
        evaluation = event.get("evaluation")
        key = evaluation.get("key") if isinstance(evaluation, Mapping) else None
        return [f"migration {_json(event.get('operation'))} of {_json(key)} for {_who(event)}"]
    return [f"unknown   {_json(event)}"]


def describe_diagnostic(event: object) -> str:
    """One line for a diagnostic event. Never raises."""
    if not isinstance(event, Mapping):
        return f"not a diagnostic event: {_json(event)}"
    parts = [str(event.get("kind")) if event.get("kind") in ("diagnostic", "diagnostic-init") else "diagnostic?"]
    sdk = event.get("sdk")
    if isinstance(sdk, Mapping):
        parts.append(f"from {_json(sdk.get('name'))} {_json(sdk.get('version'))}")
    if "droppedEvents" in event:
        parts.append(f"dropped events {_json(event['droppedEvents'])}")
    return " ".join(parts)


def _summary(event: Mapping[str, Any]) -> Iterator[str]:
    features = event.get("features")
    for key, feature in features.items() if isinstance(features, Mapping) else ():
        counters = feature.get("counters") if isinstance(feature, Mapping) else None
        for counter in counters if isinstance(counters, list) else ():
            if not isinstance(counter, Mapping):
                continue
            if counter.get("unknown"):
                what = "unknown flag"
            elif counter.get("variation") is None:
                what = "no variation"
            else:
                what = f"variation {_json(counter['variation'])}"
            count = counter.get("count")
            times = "1 time" if count == 1 else f"{_json(count)} times"
            yield f"summary   {_json(key)} {what} = {_json(counter.get('value'))}, {times}"


def _who(event: Mapping[str, Any]) -> str:
    keys = event.get("contextKeys")
    if isinstance(keys, Mapping):
        return _pairs(keys)
    context = event.get("context", event.get("user"))
    if isinstance(context, Mapping):
        kind = context.get("kind", "user")
        if kind == "multi":
            parts = {k: v.get("key") for k, v in context.items() if isinstance(v, Mapping)}
            return _pairs(parts)
        return _pairs({kind: context.get("key")})
    if "userKey" in event:
        return _pairs({"user": event["userKey"]})
    return "nobody"


def _pairs(keys: Mapping[Any, Any]) -> str:
    return " + ".join(f"{_bare(kind)} {_json(key)}" for kind, key in keys.items()) or "nobody"


def _bare(kind: object) -> str:
    """A context kind without quotes; kinds that the service would not accept keep them."""
    if isinstance(kind, str) and kind.isascii() and kind.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return kind
    return _json(kind)


def _json(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
