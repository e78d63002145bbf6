"""Reads a framework's settings (``SDK_KEY``, ``URI``, ``OFFLINE``, …) as a Config, and finds the client that has it."""

from __future__ import annotations

import sys

from . import ambient
from ._eras import NAMES, OWN_NAMES
from .config import Config

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from .client import LDClient

# What stands for several options, or for all of them.
_URIS = ("base_uri", "stream_uri", "events_uri")
_OWN = ("CONFIG", "URI", "START_WAIT")


def config_from(settings: Mapping[str, Any], prefix: str, others: Iterable[str] = ()) -> Config | None:
    """Returns the Config that settings ask for, or None if none of them does.

    :param settings: by name without the prefix, in upper case: any option of ``Config``; ``URI`` for all three
        addresses; or ``CONFIG``, which is one already
    :param prefix: what stands before each name where the user wrote it, for messages
    :param others: names that are the framework's own
    :raises ValueError: a setting is unknown, or its value is wrong; the message says which
    """
    given = {name: value for name, value in settings.items() if name not in (*others, "START_WAIT")}
    config = given.pop("CONFIG", None)
    if config is not None:
        if not isinstance(config, Config):
            raise ValueError(f"{prefix}CONFIG: expected an ldclient.Config, got {type(config).__name__}")
        if given:
            raise ValueError(f"{prefix}CONFIG is given, so {prefix}{min(given)} belongs into it")
        return config
    options: dict[str, Any] = {}
    uri = given.pop("URI", None)
    if uri is not None:
        options.update(dict.fromkeys(_URIS, uri))
    known = {name.upper(): name for name in (*NAMES, *OWN_NAMES)}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"there is no setting {prefix}{name}{_suggestion(name, prefix, [*known, *_OWN, *others])}")
        options[known[name]] = value
    if not options:
        return None
    try:
        return Config(**options)
    except (TypeError, ValueError) as error:
        name, separator, rest = str(error).partition(":")
        where = f"{prefix}{name.upper()}{separator}{rest}" if name.upper() in known else str(error)
        raise ValueError(where) from None


def client_for(config: Config | None, start_wait: Any = None) -> Callable[[], LDClient]:
    """Returns what gives the client of that Config, built when it is first asked for.

    It is the shared client, which is given the Config unless it has another one; then it is one of its own.
    """
    package: Any = sys.modules["ldclient"]
    if start_wait is not None:
        package.start_wait = start_wait
    if config is None:
        return ambient.shared_client
    state = package._state
    if state.config is None and state.sdk_key in (None, config.sdk_key):
        package.set_config(config)
        return ambient.shared_client
    if state.config == config:
        return ambient.shared_client
    from ._shared import SharedClient

    own = SharedClient()
    own.start_wait = package.start_wait
    own.set_config(config, variable=False)

    def client() -> LDClient:
        ready = own.ready
        return own.settle() if ready is None or own.substitute is not None else ready

    return client


def _suggestion(name: str, prefix: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def is_configured() -> bool:
    """Tells whether ``ldclient.get()`` has a client, or what to make one of."""
    state: Any = sys.modules["ldclient"]._state
    return (
        state.substitute is not None or state.ready is not None or state.config is not None or state.sdk_key is not None
    )
