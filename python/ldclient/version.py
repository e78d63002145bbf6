"""The version of this package, as the native module was built with it."""

from __future__ import annotations

from ._ldclient import VERSION

__all__ = ["VERSION"]
