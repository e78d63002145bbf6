"""Dependencies for FastAPI, which ``ldclient.asgi`` has by name. FastAPI reads annotations: they are no texts here."""

from collections.abc import Callable
from typing import Any

from starlette.requests import HTTPConnection

from .asgi import FLAGS, flags_of
from .request import RequestFlags


async def request_flags(connection: HTTPConnection) -> RequestFlags:
    """A dependency: the flags of the request, which the middleware made.

    :raises RuntimeError: the middleware is missing

    ``async def home(flags: Annotated[RequestFlags, Depends(request_flags)])``
    """
    found = connection.scope.get(FLAGS)
    if not isinstance(found, RequestFlags):
        raise RuntimeError(
            "The request has no flags: call app.add_middleware(FlagsMiddleware, user=...), from ldclient.asgi, "
            "or depend on flags_for(...)."
        )
    return found


def flags_for(user: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a dependency: the flags of the request, for the user that another dependency returns.

    :param user: a dependency that returns a dict, a Context, or None for nobody

    ``async def home(flags: Annotated[RequestFlags, Depends(flags_for(current_user))])``. With the middleware,
    ``ldclient.variation`` is for that user, too, from then on.
    """
    from fastapi import Depends

    async def dependency(connection: HTTPConnection, user: Any = Depends(user)) -> RequestFlags:  # noqa: B008
        flags = connection.scope.get(FLAGS)
        if not isinstance(flags, RequestFlags):
            flags = await flags_of(connection.scope, None, None)
        flags.user = user
        return flags

    return dependency
