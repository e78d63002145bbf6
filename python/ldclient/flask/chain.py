"""The handlers that are asked, one after another, whether a feature is active: those that come with the extension.

1. They run in order; the first truthy answer counts and ends the chain.
2. A falsy answer says that the feature is known, and the next handler is asked.
3. ``NoFeatureFlagFound`` says that it is not known; the next handler is asked.
4. ``StopCheckingFeatureFlags`` ends the chain: the feature is off. Every other exception goes to the caller.

Rules and names are those of Flask-FeatureFlags 0.6.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from blinker import Namespace
from flask import current_app, has_app_context

__all__ = [
    "AppConfigFlagHandler",
    "ClientFlagHandler",
    "Handler",
    "NoFeatureFlagFound",
    "NullHandler",
    "StopCheckingFeatureFlags",
    "log",
    "missing_feature",
]

Handler = Callable[[str], Any]

log = logging.getLogger("flask-featureflags")


class NullHandler(logging.NullHandler):
    """A log handler that does nothing."""


log.addHandler(NullHandler())

missing_feature = Namespace().signal(
    "missing-feature", doc="Sent by an extension, with ``feature``, when no handler knows a feature."
)


class StopCheckingFeatureFlags(Exception):
    """Raised by a handler to end the chain: the feature is off, whatever other handlers would say."""


class NoFeatureFlagFound(Exception):
    """Raised by a handler that does not know the feature."""


def AppConfigFlagHandler(feature: str | None = None) -> Any:  # noqa: N802 - the name is fixed
    """Looks a feature up in ``app.config["FEATURE_FLAGS"]``.

    :param feature: its name
    :return: what stands there; False outside an application context
    :raises NoFeatureFlagFound: nothing stands there
    """
    if not has_app_context():
        log.warning("Feature %r was asked for outside an application context; it counts as off.", feature)
        return False
    flags = current_app.config.get("FEATURE_FLAGS", {})
    try:
        return flags[feature]
    except KeyError:
        raise NoFeatureFlagFound from None


def ClientFlagHandler(feature: str) -> Any:  # noqa: N802 - as the one above
    """Evaluates a feature flag for the user of the request.

    :param feature: the flag's key
    :return: its value; False outside an application context, before flags arrived, and where the flag has no value
    :raises NoFeatureFlagFound: there is no such flag, or no client was configured
    """
    from ldclient._settings import is_configured

    from .extension import extension_of, request_flags

    if not has_app_context():
        log.warning("Feature %r was asked for outside an application context; it counts as off.", feature)
        return False
    if not extension_of(current_app).has_client(current_app) and not is_configured():
        raise NoFeatureFlagFound
    flags = request_flags()
    detail = flags.client().variation_detail(feature, flags.user, False)
    if detail.reason.get("errorKind") == "FLAG_NOT_FOUND":
        raise NoFeatureFlagFound
    return detail.value
