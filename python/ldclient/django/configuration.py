"""``settings.LDCLIENT``, read and checked: the client, the user loader, and whether to be strict.

What is wrong is reported by the system checks. Where those do not run, evaluations go on with what is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.conf import settings
from django.utils.module_loading import import_string

from .._settings import client_for, config_from
from ..request import contained

if TYPE_CHECKING:
    from ..client import LDClient

__all__ = ["Configuration", "configure", "current", "forget", "loader", "section"]

_OWN = ("USER_LOADER", "STRICT")
_PREFIX = 'LDCLIENT["'


class Configuration:
    """What the settings say."""

    def __init__(self) -> None:
        given = section()
        self.strict = bool(given.get("STRICT", False))
        self.load: Callable[[Any], Any] | None = None
        # The same, to be called where nothing can be awaited.
        self.load_now: Callable[[Any], Any] | None = None
        self.load_is_coroutine = False
        self.ask: Callable[[], LDClient] = client_for(None)
        try:
            self.load = self.load_now = loader(given)
            if iscoroutinefunction(self.load):
                self.load_is_coroutine = True
                self.load_now = async_to_sync(self.load)
        except ValueError as error:
            contained('The user loader in LDCLIENT["USER_LOADER"] cannot be used; run manage.py check', error)
        try:
            self.ask = client_for(config_from(options(given), _PREFIX, _OWN), given.get("START_WAIT"))
        except ValueError as error:
            contained("The settings LDCLIENT cannot be used; run manage.py check", error)


_current: Configuration | None = None


def current() -> Configuration:
    """Returns what the settings say now."""
    global _current
    if _current is None:
        _current = Configuration()
    return _current


def configure() -> None:
    """Reads the settings."""
    current()


def forget(*, setting: str, **_: Any) -> None:
    """Has the settings read again when a test overrides them."""
    global _current
    if setting in ("LDCLIENT", "INSTALLED_APPS"):
        _current = None


def section() -> Mapping[str, Any]:
    """Returns ``settings.LDCLIENT``, an empty one if it is missing or no dictionary."""
    given = getattr(settings, "LDCLIENT", {})
    return given if isinstance(given, Mapping) else {}


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The members of the section that are about the client."""
    return {str(name): value for name, value in given.items() if value is not None}


def config_problem(given: Mapping[str, Any]) -> str | None:
    """Says what is wrong with the section, or None."""
    try:
        config_from(options(given), _PREFIX, _OWN)
    except ValueError as error:
        return str(error).replace(_PREFIX, "LDCLIENT: ")
    return None


def loader(given: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    """Returns the user loader; None where there is none and Django has no users of its own.

    :raises ValueError: it cannot be imported, or called
    """
    named = given.get("USER_LOADER")
    if named is None:
        from django.apps import apps

        from .requests import request_user

        return request_user if apps.is_installed("django.contrib.auth") else None
    if isinstance(named, str):
        try:
            named = import_string(named)
        except ImportError as error:
            raise ValueError(f"LDCLIENT: USER_LOADER cannot be imported: {error}") from None
    if not callable(named):
        raise ValueError("LDCLIENT: USER_LOADER is neither a function nor the dotted name of one")
    found: Callable[[Any], Any] = named
    return found
