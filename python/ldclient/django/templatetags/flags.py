"""Template tags: ``{% load flags %}``. None of them breaks a page, except in strict mode."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe

from ... import ambient
from ...request import RequestFlags, say_once
from .. import configuration
from ..requests import request_flags

__all__ = ["FlagNode", "flag", "flags_bootstrap", "register", "variation"]

register = template.Library()


@register.tag("flag")
def flag(parser: Any, token: Any) -> FlagNode:
    """``{% flag "key" %}…{% else %}…{% endflag %}``: the first part while the flag's value is true.

    A second word, ``{% flag "key" True %}``, is the default.
    """
    name, *words = token.split_contents()
    if not 1 <= len(words) <= 2:
        raise template.TemplateSyntaxError(
            f'{{% {name} %}} takes a flag\'s key and perhaps a default: {{% {name} "key" %}}'
        )
    key, *default = [parser.compile_filter(word) for word in words]
    on = parser.parse(("else", "endflag"))
    off = template.NodeList()
    if parser.next_token().contents == "else":
        off = parser.parse(("endflag",))
        parser.delete_first_token()
    return FlagNode(key, default[0] if default else None, on, off)


class FlagNode(template.Node):
    """What ``{% flag %}`` becomes."""

    child_nodelists = ("on", "off")

    def __init__(self, key: Any, default: Any, on: Any, off: Any) -> None:
        self.key = key
        self.default = default
        self.on = on
        self.off = off

    def render(self, context: Any) -> Any:
        """Returns the part that is shown."""
        default = False if self.default is None else self.default.resolve(context)
        is_on = variation(context, self.key.resolve(context), default)
        return (self.on if is_on else self.off).render(context)


@register.simple_tag(takes_context=True)
def variation(context: Any, key: str, default: Any = None) -> Any:
    """``{% variation "key" "default" %}``, or with ``as name``: the flag's value."""
    flags = _flags(context)
    return default if flags is None else flags.shown(key, default)


@register.simple_tag(takes_context=True)
def flags_bootstrap(context: Any, client_side_only: bool = True, with_reasons: bool = False) -> SafeString:
    """``<script>const start = {% flags_bootstrap %}</script>``: context, flags and hash for the JavaScript SDK."""
    from ..._bootstrap import NOTHING

    flags = _flags(context)
    if flags is None:
        return mark_safe(NOTHING)
    # Escaped already, for a script element and for quotes.
    return mark_safe(flags.bootstrap(client_side_only=client_side_only, with_reasons=with_reasons))


def _flags(context: Any) -> RequestFlags | None:
    scope = ambient.innermost()
    if isinstance(scope, RequestFlags):
        return scope
    if scope is not None:
        inner = scope
        return RequestFlags(lambda: inner.user, ask=inner.client, strict=configuration.current().strict)  # type: ignore[arg-type]
    request = context.get("request")
    if request is not None:
        return request_flags(request)
    say_once(
        "A template asked for a flag outside a request, so its default is shown: render it with the request, or inside "
        "`with ldclient.use(user):`."
    )
    if configuration.current().strict:
        raise LookupError("a template asked for a flag, and there is no request and no ambient user")
    return None
