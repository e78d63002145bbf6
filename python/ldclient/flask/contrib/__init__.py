"""Handlers for features that stand elsewhere than in ``FEATURE_FLAGS``: ``inline`` and ``sqlalchemy``."""

__all__: list[str] = []
