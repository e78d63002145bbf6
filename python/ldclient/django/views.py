"""Guards of views: the decorator ``flag_required`` and its twin for classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import Http404
from django.shortcuts import redirect

from .requests import load_later, request_flags

__all__ = ["FlagRequiredMixin", "flag_required"]

_View = TypeVar("_View", bound="Callable[..., Any]")


def flag_required(
    key: str, *, redirect_to: Any = None, alternative: Callable[..., Any] | None = None
) -> Callable[[_View], _View]:
    """Decorates a view, which may be a coroutine function, that is there while a flag is true for the request's user.

    :param key: the flag
    :param redirect_to: where visitors are sent while it is not: an address, a view's name, or a model with an address
    :param alternative: a view that answers instead, with the same arguments; wins over the redirection

    Without either the answer is 404. An unknown flag is off, and raises in strict mode.
    """

    def decorate(view: _View) -> _View:
        def otherwise(request: Any, *arguments: Any, **named: Any) -> Any:
            if alternative is not None:
                return alternative(request, *arguments, **named)
            return _turned_away(key, redirect_to)

        if iscoroutinefunction(view):

            @wraps(view)
            async def guarded_later(request: Any, *arguments: Any, **named: Any) -> Any:
                await load_later(request)
                if request_flags(request).shown(key, False):
                    return await view(request, *arguments, **named)
                if alternative is not None and not iscoroutinefunction(alternative):
                    return await sync_to_async(alternative)(request, *arguments, **named)
                answer = otherwise(request, *arguments, **named)
                return answer if alternative is None else await answer

            return guarded_later  # type: ignore[return-value]

        @wraps(view)
        def guarded(request: Any, *arguments: Any, **named: Any) -> Any:
            if request_flags(request).shown(key, False):
                return view(request, *arguments, **named)
            return otherwise(request, *arguments, **named)

        return guarded  # type: ignore[return-value]

    return decorate


class FlagRequiredMixin:
    """A class-based view that is there while a flag is true: put it first among the bases.

    ``class New(FlagRequiredMixin, TemplateView): flag = "new-ui"``
    """

    flag: str = ""
    """The flag's key."""

    flag_redirect_to: Any = None
    """Where visitors are sent while it is off: an address or a view's name. None: the answer is 404."""

    def handle_flag_off(self, request: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ARG002
        """Answers while the flag is off; override it for another answer."""
        return _turned_away(self.flag, self.flag_redirect_to)

    def dispatch(self, request: Any, *arguments: Any, **named: Any) -> Any:
        """Answers a request."""
        if not self.flag:
            raise TypeError(f'{type(self).__name__} names no flag: give the class flag = "its-key"')
        here: Any = super()
        if getattr(self, "view_is_async", False):
            return self._dispatch_later(here.dispatch, request, *arguments, **named)
        if request_flags(request).shown(self.flag, False):
            return here.dispatch(request, *arguments, **named)
        return self.handle_flag_off(request, *arguments, **named)

    async def _dispatch_later(self, dispatch: Any, request: Any, *arguments: Any, **named: Any) -> Any:
        await load_later(request)
        if request_flags(request).shown(self.flag, False):
            return await dispatch(request, *arguments, **named)
        return self.handle_flag_off(request, *arguments, **named)


def _turned_away(key: str, redirect_to: Any) -> Any:
    if redirect_to is not None:
        return redirect(redirect_to)
    raise Http404(f"The feature flag {key!r} is off.")
