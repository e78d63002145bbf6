"""Flags in any WSGI application: a middleware, and a read-only application that tells how the client is doing."""

from __future__ import annotations

import json

from . import ambient
from .request import RequestFlags

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from ._ldclient import _User
    from .client import LDClient

    Environ = dict[str, Any]
    Application = Callable[[Environ, Any], Iterable[bytes]]

__all__ = ["FLAGS", "FlagsMiddleware", "StatusApp"]

FLAGS = "ldclient.flags"
"""Where the middleware puts the request's flags in the environment."""

_NO_LOADER = (
    "Flags are evaluated for nobody, because the WSGI middleware has no user loader: "
    "FlagsMiddleware(app, user=function) with a function that returns the user of an environ."
)


class FlagsMiddleware:
    """Gives every request of a WSGI application a user and one view of the flags.

    :param app: the application
    :param user: called with the environ for the request's user (a dict, a Context, or None for nobody), at the first
        evaluation and at most once
    :param client: the client to ask; default the shared one
    :param strict: raise for unknown flags and a failing loader; default False

    Inside a request, also while its body is iterated, ``ldclient.variation(key, default)`` and ``ldclient.track(name)``
    are for that user; ``environ["ldclient.flags"]`` is a :class:`ldclient.request.RequestFlags`.

    >>> import ldclient
    >>> from ldclient import Config, LDClient
    >>> def application(environ, start_response):
    ...     start_response("200 OK", [("Content-Type", "text/plain")])
    ...     return [b"new" if ldclient.variation("new-ui", False) else b"old"]
    >>> client = LDClient(Config(offline=True))
    >>> application = FlagsMiddleware(application, user=lambda environ: {"key": environ["REMOTE_ADDR"]}, client=client)
    >>> application({"REMOTE_ADDR": "192.0.2.1"}, lambda status, headers: None)
    [b'old']
    """

    def __init__(
        self,
        app: Application,
        user: Callable[[Environ], _User | None] | None = None,
        *,
        client: LDClient | None = None,
        strict: bool = False,
    ) -> None:
        self._app = app
        self._user = user
        self._ask = ambient.shared_client if client is None else lambda: client
        self._strict = strict

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answers a request."""
        user = self._user
        flags = RequestFlags(
            None if user is None else _Loader(user, environ), ask=self._ask, strict=self._strict, advice=_NO_LOADER
        )
        flags.began_in = ambient._frame.get()
        environ[FLAGS] = flags
        with flags:
            body = self._app(environ, start_response)
        # What is complete needs no flags any more, and servers send their own wrappers of files faster.
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(body, (list, tuple)) or (isinstance(wrapper, type) and isinstance(body, wrapper)):
            flags.end()
            return body
        return _Body(body, flags)


class _Loader:
    """The user loader of one request."""

    __slots__ = ("environ", "func")

    def __init__(self, func: Callable[[Environ], _User | None], environ: Environ) -> None:
        self.func = func
        self.environ = environ

    def __call__(self) -> _User | None:
        return self.func(self.environ)


class _Body:
    """The body of an answer, whose parts are made inside the request's block."""

    def __init__(self, body: Iterable[bytes], flags: RequestFlags) -> None:
        self._body = body
        self._flags = flags
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._flags:
            if self._parts is None:
                self._parts = iter(self._body)
            return next(self._parts)

    def close(self) -> None:
        """Closes the body that the application returned."""
        close = getattr(self._body, "close", None)
        try:
            if close is not None:
                with self._flags:
                    close()
        finally:
            self._flags.end()


class StatusApp:
    """A WSGI application that tells how the client is doing. It changes nothing and records no event.

    :param client: the client; default the shared one

    ======================= ==========================================================================================
    ``/``                   ``stats()`` as JSON
    ``/live``               200 while the process answers
    ``/ready``              200 when there are flags to answer from, else 503
    ``/v0``                 all flags and whether they are active
    ``/v0/<flag>``          ``{"active": true, "known": true}``, or 404 with both false, for any method, as Flagon has it
    ======================= ==========================================================================================

    A flag is active when its value is true in Python's sense, for the user whose key ``?key=…`` names, else for an
    anonymous one. Mount it where only those can reach it who may know the flags.

    >>> from ldclient import Config, LDClient
    >>> status = StatusApp(LDClient(Config(offline=True)))
    >>> status({"PATH_INFO": "/live", "REQUEST_METHOD": "GET"}, lambda status, headers: print(status))
    200 OK
    [b'{"status": "live"}']
    """

    def __init__(self, client: LDClient | None = None) -> None:
        self._ask = ambient.shared_client if client is None else lambda: client

    def __call__(self, environ: Environ, start_response: Any) -> list[bytes]:
        """Answers a request."""
        status, answer = self._answer(environ)
        body = json.dumps(answer).encode()
        method = environ.get("REQUEST_METHOD", "GET")
        headers = [
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-cache, no-store, must-revalidate"),
            ("Content-Length", str(len(body))),
        ]
        if status.startswith("405"):
            headers.append(("Allow", "GET, HEAD"))
        start_response(status, headers)
        return [] if method == "HEAD" else [body]

    def _answer(self, environ: Environ) -> tuple[str, Any]:
        # WSGI has paths as Latin-1 texts of their bytes.
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace").rstrip("/")
        if path.startswith("/v0/") or path == "/v0":
            return self._flags(path.removeprefix("/v0").removeprefix("/"), environ)
        if path not in ("", "/live", "/ready"):
            return "404 Not Found", {"error": "there are /, /live, /ready, /v0 and /v0/<flag>"}
        if environ.get("REQUEST_METHOD", "GET") not in ("GET", "HEAD"):
            return "405 Method Not Allowed", {"error": "this application only tells"}
        if path == "/live":
            return "200 OK", {"status": "live"}
        try:
            client = self._ask()
        except RuntimeError as error:
            return "503 Service Unavailable", {"status": "not configured", "error": str(error)}
        if path == "":
            return "200 OK", client.stats()
        if client.is_initialized() and not client.is_closed():
            return "200 OK", {"status": "ready"}
        return "503 Service Unavailable", {"status": "waiting for flags"}

    def _flags(self, flag: str, environ: Environ) -> tuple[str, Any]:
        from urllib.parse import parse_qs

        from ._listing import rows

        key = parse_qs(environ.get("QUERY_STRING", "")).get("key")
        try:
            found = {row.key: bool(row.value) for row in rows(self._ask(), {"key": key[0]} if key else None)}
        except RuntimeError as error:
            return "503 Service Unavailable", {"status": "not configured", "error": str(error)}
        if not flag:
            return "200 OK", {name: {"active": active, "known": True} for name, active in found.items()}
        if flag not in found:
            return "404 Not Found", {"active": False, "known": False}
        return "200 OK", {"active": found[flag], "known": True}
