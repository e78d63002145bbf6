"""The context classes: who a flag is evaluated for. They are native; this module gives them their public address."""

from __future__ import annotations

from ._ldclient import Context, ContextBuilder, ContextMultiBuilder

__all__ = ["Context", "ContextBuilder", "ContextMultiBuilder"]
