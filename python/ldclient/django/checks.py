"""System checks of the settings: ``manage.py check`` says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution

from .._settings import is_configured
from . import configuration

__all__ = ["check_settings"]

_MIDDLEWARE = "ldclient.django.middleware.FlagsMiddleware"


def check_settings(app_configs: Any = None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's signature
    """Returns what is wrong with ``LDCLIENT`` and ``MIDDLEWARE``."""
    found: list[CheckMessage] = []
    raw = getattr(settings, "LDCLIENT", {})
    if not isinstance(raw, Mapping):
        return [
            Error(
                f"LDCLIENT is no dictionary but of type {type(raw).__name__}.",
                hint='LDCLIENT = {"SDK_KEY": "..."}',
                id="ldclient.E001",
            )
        ]
    problem = configuration.config_problem(raw)
    if problem is not None:
        found.append(Error(problem, id="ldclient.E002"))
    try:
        configuration.loader(raw)
    except ValueError as error:
        found.append(Error(str(error), hint="It is called with the request.", id="ldclient.E003"))
    has_source = {"SDK_KEY", "CONFIG", "OFFLINE"} & {name for name, value in raw.items() if value}
    if problem is None and not has_source and not is_configured():
        found.append(
            Caution(
                "Feature flags have no source, so templates show defaults and evaluations in views raise.",
                hint='Set LDCLIENT["SDK_KEY"], or LDCLIENT["OFFLINE"] = True to be served defaults.',
                id="ldclient.W001",
            )
        )
    if _MIDDLEWARE not in getattr(settings, "MIDDLEWARE", ()):
        found.append(
            Caution(
                "The middleware of feature flags is missing, so ldclient.variation() has no user in views.",
                hint=f'Add "{_MIDDLEWARE}" to MIDDLEWARE.',
                id="ldclient.W002",
            )
        )
    if raw.get("USER_LOADER") is None and not apps.is_installed("django.contrib.auth"):
        found.append(
            Caution(
                "Feature flags are evaluated for nobody: there is no user loader, and django.contrib.auth is not used.",
                hint='Set LDCLIENT["USER_LOADER"] to a function of a request that returns a user, or its dotted name.',
                id="ldclient.W003",
            )
        )
    return found
