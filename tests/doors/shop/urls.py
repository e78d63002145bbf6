"""Its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.contrib import admin
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.urls import path
from django.views import View

import ldclient
from ldclient.django import FlagRequiredMixin, flag_required

# What a test does between two reads of one request.
meanwhile: list[Any] = []


def two_reads() -> str:
    first = ldclient.variation("colour", None)
    for change in meanwhile:
        change()
    return f"{ldclient.variation('new-ui', None)} {first} {ldclient.variation('colour', None)}"


def home(request: Any) -> HttpResponse:
    return HttpResponse(two_reads())


async def later(request: Any) -> HttpResponse:
    return HttpResponse(two_reads())


def stream(request: Any) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        yield str(ldclient.variation("colour", None))
        for change in meanwhile:
            change()
        yield str(ldclient.variation("colour", None))

    return StreamingHttpResponse(parts())


async def stream_later(request: Any) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        yield str(ldclient.variation("colour", None))
        for change in meanwhile:
            change()
        yield str(ldclient.variation("colour", None))

    return StreamingHttpResponse(parts())


def file(request: Any) -> FileResponse:
    return FileResponse(open(__file__, "rb"))  # Django closes it


def page(request: Any) -> HttpResponse:
    return HttpResponse(engines["django"].from_string(request.GET["template"]).render({}, request))


@flag_required("new-ui")
def new(request: Any) -> HttpResponse:
    return HttpResponse("new")


@flag_required("new-ui", redirect_to="home")
def or_home(request: Any) -> HttpResponse:
    return HttpResponse("new")


@flag_required("new-ui", alternative=lambda request, name: HttpResponse(f"old {name}"))
def item(request: Any, name: str) -> HttpResponse:
    return HttpResponse(f"new {name}")


@flag_required("new-ui")
async def new_later(request: Any) -> HttpResponse:
    return HttpResponse(f"new {ldclient.variation('new-ui', None)}")


@flag_required("new-ui", alternative=home)
async def new_later_or_home(request: Any) -> HttpResponse:
    return HttpResponse("new")


class New(FlagRequiredMixin, View):
    flag = "new-ui"

    def get(self, request: Any) -> HttpResponse:
        return HttpResponse("new")


class NewLater(FlagRequiredMixin, View):
    flag = "new-ui"
    flag_redirect_to = "/"

    async def get(self, request: Any) -> HttpResponse:
        return HttpResponse("new")


class Nameless(FlagRequiredMixin, View):
    pass


urlpatterns = [
    path("", home, name="home"),
    path("later", later),
    path("stream", stream),
    path("stream-later", stream_later),
    path("file", file),
    path("page", page),
    path("new", new),
    path("or-home", or_home),
    path("item/<name>", item),
    path("new-later", new_later),
    path("new-later-or-home", new_later_or_home),
    path("class", New.as_view()),
    path("class-later", NewLater.as_view()),
    path("nameless", Nameless.as_view()),
    path("admin/", admin.site.urls),
]
