"""The middleware, for sync and async stacks. It loads nothing and waits for nothing before a flag is asked for; only a
coroutine view has its user loaded first, since an evaluation inside it could not wait for a database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from .. import ambient
from ..asgi import prepare
from ..request import RequestFlags
from . import configuration
from .requests import load_later, request_flags

__all__ = ["FlagsMiddleware"]


class FlagsMiddleware:
    """Gives every request a user and one view of the flags: ``MIDDLEWARE += [".../FlagsMiddleware"]``, anywhere."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        self.process_view: Callable[..., Any]
        if self._is_async:
            markcoroutinefunction(self)
            self.process_view = self._process_view_later
        else:
            self.process_view = self._process_view

    def __call__(self, request: Any) -> Any:
        """Answers a request."""
        if self._is_async:
            return self._answer_later(request)
        flags = _begun(request)
        with flags:
            response = self._get_response(request)
        return _kept(response, flags, request)

    async def _answer_later(self, request: Any) -> Any:
        flags = _begun(request)
        await prepare(flags, configuration.current().ask)
        with flags:
            response = await self._get_response(request)
        return _kept(response, flags, request)

    def _process_view(self, request: Any, view: Any, _arguments: Any, _named: Any) -> None:
        if _is_coroutine(view):
            request_flags(request).user  # noqa: B018 - loaded here

    async def _process_view_later(self, request: Any, view: Any, _arguments: Any, _named: Any) -> None:
        if _is_coroutine(view):
            await load_later(request)


# Asked for each request; views are few and stay.
_is_coroutine = lru_cache(maxsize=1024)(iscoroutinefunction)


def _begun(request: Any) -> RequestFlags:
    flags = request_flags(request)
    flags.began_in = ambient._frame.get()
    return flags


def _kept(response: Any, flags: RequestFlags, request: Any) -> Any:
    """A response whose stream is made inside the request's block, and keeps the request for its user."""
    if getattr(response, "streaming", False) and getattr(response, "file_to_stream", None) is None:
        content = response.streaming_content
        wrap: Any = _later if response.is_async else _stream
        response.streaming_content = wrap(content, flags, request)
    return response


def _stream(content: Iterable[bytes], flags: RequestFlags, _request: Any) -> Iterator[bytes]:
    parts = iter(content)
    while True:
        with flags:
            try:
                part = next(parts)
            except StopIteration:
                return
        yield part


async def _later(content: AsyncIterator[bytes], flags: RequestFlags, _request: Any) -> AsyncIterator[bytes]:
    parts = content.__aiter__()
    while True:
        with flags:
            try:
                part = await parts.__anext__()
            except StopAsyncIteration:
                return
        yield part
