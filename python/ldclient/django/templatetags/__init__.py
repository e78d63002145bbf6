"""Template tags: ``{% load flags %}``."""

__all__: list[str] = []
