"""The flags of a Django request, with or without the middleware: whom they are for, and how that is found out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

from asgiref.sync import sync_to_async

from ..request import RequestFlags, contained, name_of
from . import configuration

if TYPE_CHECKING:
    from .._ldclient import _User

__all__ = ["load_later", "request_flags", "request_user", "set_user"]

_Request = TypeVar("_Request")

_ATTRIBUTE = "_ldclient_flags"
_NO_LOADER = (
    'Flags are evaluated for nobody, because there is no user loader: set LDCLIENT["USER_LOADER"] to a function of a '
    "request that returns a user, or to its dotted name."
)


def request_flags(request: Any) -> RequestFlags:
    """Returns the flags of a request: its user, and one view of the flags. Works for ``RequestFactory``'s, too.

    :param request: the request; it keeps what is returned
    """
    found: RequestFlags | None = getattr(request, _ATTRIBUTE, None)
    if found is None:
        now = configuration.current()
        load = None if now.load_now is None else _Loader(now.load_now, request)
        found = RequestFlags(load, ask=now.ask, strict=now.strict, advice=_NO_LOADER)
        setattr(request, _ATTRIBUTE, found)
    return found


def set_user(request: _Request, user: _User | None) -> _Request:
    """Says whom the flags of a request are for: after somebody logged in, and in tests.

    :param request: the request
    :param user: a dict, a Context, or None for nobody
    :return: the request: ``set_user(RequestFactory().get("/"), {"key": "ann"})``
    """
    request_flags(request).user = user
    return request


def request_user(request: Any) -> dict[str, Any]:
    """The default user loader: who is logged in by the primary key, everybody else by session, and without by one key.

    What is sent of a session is no way back to it. Nothing else is told of anybody: for more attributes write a loader.
    """
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return {"key": str(user.pk)}
    session = getattr(getattr(request, "session", None), "session_key", None)
    if session:
        from django.utils.crypto import salted_hmac

        return {"key": salted_hmac("ldclient.django", session, algorithm="sha256").hexdigest()[:32], "anonymous": True}
    return {"key": "anonymous", "anonymous": True}


async def load_later(request: Any) -> None:
    """Loads the user for a coroutine, in a thread unless the loader is a coroutine function itself."""
    flags = request_flags(request)
    now = configuration.current()
    load = now.load
    if load is None or "user" in flags._once:
        return
    if not now.load_is_coroutine:
        await sync_to_async(flags._load_user)()
        return
    try:
        flags.user = await load(request)
    except Exception as error:
        if flags.strict:
            raise
        flags.user = None
        contained(
            f"The user loader {name_of(load)} raised, so flags are evaluated for nobody in that request. "
            "Return None from it where there is no user",
            error,
        )


class _Loader:
    """The user loader of one request. It does not keep the request, which keeps it: nothing is left to the collector."""

    __slots__ = ("func", "request")

    def __init__(self, func: Any, request: Any) -> None:
        self.func = func
        self.request = ref(request)

    def __call__(self) -> _User | None:
        request = self.request()
        user: _User | None = None if request is None else self.func(request)
        return user
