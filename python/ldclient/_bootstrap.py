"""What a page gives to the JavaScript SDK: context, flags and secure mode hash, as JSON for a ``<script>`` element."""

from __future__ import annotations

import json

from ._ldclient import context_of

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._ldclient import Client, Context

NOTHING = '{"context":null,"flags":{"$flagsState":{},"$valid":false},"hash":null}'

# Never left out of a context: without them it is another one.
_KEPT = ("kind", "key", "anonymous")

# Characters that end a script element, begin markup, or end a line of JavaScript. In JSON they occur in texts only.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&'\u2028\u2029"}


def bootstrap(client: Client, user: object, client_side_only: bool, with_reasons: bool) -> str:
    """Returns the JSON text; :data:`NOTHING` where there is no user."""
    context = context_of(user) if user is not None else None
    if context is None or not context.valid:
        return NOTHING
    state = client.all_flags_state(context, client_side_only=client_side_only, with_reasons=with_reasons)
    config = getattr(getattr(client, "client", client), "_config", None)
    shown = json.dumps(public_part(context, config), separators=(",", ":"))
    proof = json.dumps(client.secure_mode_hash(context) or None)
    return f'{{"context":{shown},"flags":{state.to_json_string()},"hash":{proof}}}'.translate(_ESCAPES)


def public_part(context: Context, config: Any) -> dict[str, Any]:
    """The context as its own user may see it: without what is private by itself or by the configuration."""
    data = json.loads(context.to_json_string())
    if context.multiple:
        for kind, part in data.items():
            if kind != "kind":
                _redact(part, config)
    else:
        _redact(data, config)
    found: dict[str, Any] = data
    return found


def _redact(part: dict[str, Any], config: Any) -> None:
    own = part.pop("_meta", {}).get("privateAttributes", ())
    public = getattr(config, "public_attributes", None)
    everything = getattr(config, "all_attributes_private", False)
    if everything or public is not None:
        kept = {*_KEPT, *(() if everything else public or ())}
        for name in [name for name in part if name not in kept]:
            del part[name]
    for reference in (*own, *(getattr(config, "private_attributes", None) or ())):
        *path, last = _names(str(reference))
        holder: Any = part
        for name in path:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and not (holder is part and last in _KEPT):
            holder.pop(last, None)


def _names(reference: str) -> list[str]:
    if not reference.startswith("/"):
        return [reference]
    return [name.replace("~1", "/").replace("~0", "~") for name in reference[1:].split("/")]
