"""What views ask: ``is_active``, and the decorator ``is_active_feature``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import abort, current_app, has_app_context, url_for
from flask import redirect as redirection

from .chain import log
from .extension import extension_of

__all__ = ["is_active", "is_active_feature"]

_View = TypeVar("_View", bound="Callable[..., Any]")


def is_active(feature: str) -> bool:
    """Tells whether a feature is active, by the handlers of the current application.

    :param feature: its name; a flag's key
    :return: False outside an application context, with a warning
    :raises AssertionError: the application lacks the extension
    :raises KeyError: nobody knows the feature, ``app.debug`` and ``RAISE_ERROR_ON_MISSING_FEATURES`` are on
    """
    if not has_app_context():
        log.warning("Feature %r was asked for outside an application context; it counts as off.", feature)
        return False
    return extension_of(current_app).check(feature)


def is_active_feature(
    feature: str,
    redirect_to: str | None = None,
    redirect: str | None = None,
    *,
    alternative: Callable[..., Any] | None = None,
) -> Callable[[_View], _View]:
    """Decorates a view, which may be a coroutine function, that is there while a feature is active.

    :param feature: its name; a flag's key
    :param redirect_to: where visitors are sent while it is not: an address
    :param redirect: the same by the name of an endpoint; wins over the address
    :param alternative: a view that answers instead, with the same arguments; wins over both

    Without any of them the answer is 404; redirections are 302.
    """

    def decorate(view: _View) -> _View:
        @wraps(view)
        def guarded(*arguments: Any, **named: Any) -> Any:
            if is_active(feature):
                return current_app.ensure_sync(view)(*arguments, **named)
            log.debug("Feature %r is off.", feature)
            if alternative is not None:
                return current_app.ensure_sync(alternative)(*arguments, **named)
            if redirect is not None:
                return redirection(url_for(redirect))
            if redirect_to is not None:
                return redirection(redirect_to)
            return abort(404)

        return guarded  # type: ignore[return-value]

    return decorate
