"""Features that are one setting each, ``FEATURE_FLAGS_<name>``: for configuration by environment variables."""

from __future__ import annotations

from typing import Any

from flask import current_app, has_app_context

from ..chain import NoFeatureFlagFound, log

__all__ = ["InlineFeatureFlag"]


class InlineFeatureFlag:
    """A handler: ``flags.add_handler(InlineFeatureFlag())``. Takes the name as it is written, without folding case."""

    def __call__(self, feature: str) -> Any:
        """Returns ``app.config["FEATURE_FLAGS_" + feature]``; False outside an application context.

        :raises NoFeatureFlagFound: there is no such setting
        """
        if not has_app_context():
            log.warning("Feature %r was asked for outside an application context; it counts as off.", feature)
            return False
        try:
            return current_app.config[f"FEATURE_FLAGS_{feature}"]
        except KeyError:
            raise NoFeatureFlagFound from None
