"""Flags in any ASGI application (Starlette, FastAPI, Litestar, Quart, …): a middleware, and dependencies for FastAPI.

1. Nothing here waits on the event loop: the client is built, and a persistent store is read, in a thread.
2. Evaluations wait for nothing, so they are ordinary calls, in coroutines too.
3. Connections of other types than ``http`` and ``websocket`` go through untouched.
"""

from __future__ import annotations

import sys

from . import ambient
from .request import RequestFlags, contained, name_of

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    from ._fastapi import flags_for as flags_for
    from ._fastapi import request_flags as request_flags
    from ._ldclient import _User
    from .client import LDClient

    Scope = MutableMapping[str, Any]
    Application = Callable[[Scope, Any, Any], Awaitable[None]]

# `flags_for` and `request_flags` are here too, where FastAPI is installed.
__all__ = ["FLAGS", "FlagsMiddleware"]

FLAGS = "ldclient.flags"
"""Where the middleware puts the connection's flags in the scope."""

_NO_LOADER = (
    "Flags are evaluated for nobody, because the ASGI middleware has no user loader: FlagsMiddleware(app, user=function) "
    "with a function that returns the user of a scope, or flags_for(dependency) in FastAPI."
)


class FlagsMiddleware:
    """Gives every connection of an ASGI application a user and one view of the flags.

    :param app: the application
    :param user: called with the scope for the connection's user (a dict, a Context, or None for nobody). A coroutine
        function is awaited before the application is called; another one is called at the first evaluation, on the loop
    :param client: the client to ask; default the shared one
    :param strict: raise for unknown flags and a failing loader; default False

    Inside a connection ``ldclient.variation(key, default)`` and ``ldclient.track(name)`` are for that user;
    ``scope["ldclient.flags"]`` is a :class:`ldclient.request.RequestFlags`. A WebSocket sees one view as long as it is
    open; ``with ldclient.get().pinned():`` takes a newer one inside it.

    >>> from ldclient import Config, LDClient
    >>> async def application(scope, receive, send): ...
    >>> application = FlagsMiddleware(
    ...     application, user=lambda scope: {"key": scope["client"][0]}, client=LDClient(Config(offline=True))
    ... )
    """

    def __init__(
        self,
        app: Application,
        user: Callable[[Scope], Any] | None = None,
        *,
        client: LDClient | None = None,
        strict: bool = False,
    ) -> None:
        self._app = app
        self._user = user
        self._client = client
        self._strict = strict
        self._is_coroutine = _is_coroutine(user)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answers a connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        flags = await flags_of(scope, self._user, self._client, self._strict, self._is_coroutine)
        try:
            with flags:
                await self._app(scope, receive, send)
        finally:
            flags.end()


async def flags_of(
    scope: Scope,
    user: Callable[[Scope], Any] | None,
    client: LDClient | None,
    strict: bool = False,
    is_coroutine: bool = False,
) -> RequestFlags:
    """Makes the flags of a connection and puts them into its scope."""
    ask = ambient.shared_client if client is None else lambda: client
    load = None if user is None or is_coroutine else _Loader(user, scope)
    flags = RequestFlags(load, ask=ask, strict=strict, advice=_NO_LOADER)
    flags.began_in = ambient._frame.get()
    await prepare(flags, ask, client)
    if user is not None and is_coroutine:
        flags.user = await _load(user, scope, strict)
    scope[FLAGS] = flags
    return flags


def _is_coroutine(user: object) -> bool:
    from inspect import iscoroutinefunction

    return iscoroutinefunction(user) or iscoroutinefunction(getattr(user, "__call__", None))  # noqa: B004


class _Loader:
    """The user loader of one connection."""

    __slots__ = ("func", "scope")

    def __init__(self, func: Callable[[Scope], _User | None], scope: Scope) -> None:
        self.func = func
        self.scope = scope

    def __call__(self) -> _User | None:
        return self.func(self.scope)


async def prepare(flags: RequestFlags, ask: Callable[[], LDClient], client: LDClient | None = None) -> None:
    """Does in a thread what waits: building the client unless it is there, and reading a persistent store."""
    if client is None and ask is ambient.shared_client:
        client = sys.modules["ldclient"]._state.ready
    if client is not None and client._config.feature_store is None:
        return
    import asyncio

    def work() -> None:
        if ask()._config.feature_store is not None:
            flags.client()

    try:
        await asyncio.to_thread(work)
    except Exception as error:
        # The application may ask for no flag at all; if it does, its call raises the same.
        contained("The client was not started", error)


async def _load(user: Callable[[Scope], Any], scope: Scope, strict: bool) -> Any:
    try:
        return await user(scope)
    except Exception as error:
        if strict:
            raise
        contained(
            f"The user loader {name_of(user)} raised, so flags are evaluated for nobody in that request. "
            "Return None from it where there is no user",
            error,
        )
        return None


def __getattr__(name: str) -> Any:
    # They need FastAPI, which this module does without.
    if name in ("flags_for", "request_flags"):
        try:
            from . import _fastapi
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"ldclient.asgi.{name} is for FastAPI, which is not installed: pip install fastapi", name=error.name
            ) from None
        return getattr(_fastapi, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
