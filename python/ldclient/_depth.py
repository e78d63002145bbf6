"""How deep a store written in Python is in calls that it caused itself. Counted by the native client, in a module of its
own because both kinds of store need it."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["depth"]

# Of this thread or green thread.
depth: ContextVar[int] = ContextVar("depth of calls of stores", default=0)
