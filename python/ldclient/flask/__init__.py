"""Flags in Flask: an extension, and everything that Flask-FeatureFlags 0.6 had, under its names. Needs Flask 3.

>>> from flask import Flask, session
>>> from ldclient.flask import FeatureFlags, is_active_feature
>>> flags = FeatureFlags()
>>> @flags.user_loader
... def user():
...     return {"key": session["user"]} if "user" in session else None
>>> app = Flask("shop")
>>> app.config["LDCLIENT_OFFLINE"] = True  # LDCLIENT_SDK_KEY connects
>>> flags.init_app(app)
>>> @app.route("/new")
... @is_active_feature("new-ui")
... def new():
...     return "the new page"
>>> app.test_client().get("/new").status_code
404

In a request ``ldclient.variation(key, default)`` and ``ldclient.track(name)`` are for the loader's user, and all
evaluations see the flags of one moment. In templates: ``{% if 'new-ui' is active_feature %}``,
``{{ variation('new-ui', 'default') }}``, ``{{ flags_bootstrap() }}``.
"""

from __future__ import annotations

try:
    import flask as _flask  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "flask":
        raise
    raise ModuleNotFoundError(
        "ldclient.flask needs Flask 3, which is not installed: pip install 'ldclient-rs[flask]'", name="flask"
    ) from None

from ..request import RequestFlags, UnknownFlagError
from .chain import (
    AppConfigFlagHandler,
    ClientFlagHandler,
    NoFeatureFlagFound,
    NullHandler,
    StopCheckingFeatureFlags,
    log,
    missing_feature,
)
from .extension import (
    EXTENSION_NAME,
    FEATURE_FLAGS_CONFIG,
    RAISE_ERROR_ON_MISSING_FEATURES,
    FeatureFlag,
    FeatureFlags,
    request_flags,
)
from .views import is_active, is_active_feature

__all__ = [
    "EXTENSION_NAME",
    "FEATURE_FLAGS_CONFIG",
    "RAISE_ERROR_ON_MISSING_FEATURES",
    "AppConfigFlagHandler",
    "ClientFlagHandler",
    "FeatureFlag",
    "FeatureFlags",
    "NoFeatureFlagFound",
    "NullHandler",
    "RequestFlags",
    "StopCheckingFeatureFlags",
    "UnknownFlagError",
    "is_active",
    "is_active_feature",
    "log",
    "missing_feature",
    "request_flags",
]
