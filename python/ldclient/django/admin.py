"""The page of flags in the admin: their state, and what one of them serves a user and why. It changes nothing."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.template.response import TemplateResponse
from django.urls import path

from .._listing import SOMEBODY, explanation, rows, user_of, why_empty
from . import configuration
from .models import Flag

__all__ = ["FlagAdmin"]


@admin.register(Flag)
class FlagAdmin(admin.ModelAdmin):
    """Shows flags to staff with the permission ``ldclient.view_flag``."""

    def has_add_permission(self, request: Any) -> bool:  # noqa: ARG002
        """Nobody adds flags here."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody changes flags here."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody deletes flags here."""
        return False

    def get_urls(self) -> list[Any]:
        """The one page; there are no objects to open."""
        options = self.model._meta
        name = f"{options.app_label}_{options.model_name}_changelist"
        return [path("", self.admin_site.admin_view(self.changelist_view), name=name)]

    def changelist_view(self, request: Any, extra_context: Any = None) -> Any:
        """Answers the page.

        Members of the query: ``q`` a part of a key, ``user`` whom flags are shown for, ``flag`` the one to explain.
        """
        if not self.has_view_permission(request):
            from django.core.exceptions import PermissionDenied

            raise PermissionDenied
        wanted = {name: request.GET.get(name, "").strip() for name in ("q", "user", "flag")}
        context = {
            **self.admin_site.each_context(request),
            "title": "Feature flags",
            "opts": self.model._meta,
            "wanted": wanted,
            "somebody": json.dumps(SOMEBODY),
            **_shown(wanted),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "ldclient/flags.html", context)


def _shown(wanted: dict[str, str]) -> dict[str, Any]:
    problems: list[str] = []
    user = None
    try:
        client = configuration.current().ask()
    except (RuntimeError, ValueError) as error:
        return {"problems": [f"There is no client: {error}"], "flags": []}
    if wanted["user"]:
        try:
            user = user_of(wanted["user"])
        except ValueError as error:
            problems.append(f"{str(error)[:1].upper()}{str(error)[1:]}.")
    found = rows(client, user)
    if not found:
        problems.append(why_empty(client))
    explained: list[tuple[str, str]] = []
    if wanted["flag"] and found and user is None and not problems:
        problems.append("Name a user to see why the flag serves what it serves.")
    elif wanted["flag"] and found and user is not None:
        try:
            explained = [_cells(line) for line in explanation(client, wanted["flag"], user)]
        except LookupError as error:
            problems.append(str(error))
    stats = client.stats()
    return {
        "flags": [row for row in found if wanted["q"].lower() in row.key.lower()],
        "total": len(found),
        "explained": explained,
        "problems": problems,
        "stats": stats,
    }


def _cells(line: str) -> tuple[str, str]:
    """Cuts a line of an explanation into its name and its text, whose indentation a browser must not fold."""
    name, text = line[:11].strip(), line[11:]
    if not name:
        inner = text.lstrip(" ")
        text = "\N{NO-BREAK SPACE}" * (len(text) - len(inner)) + inner
    return name, text
