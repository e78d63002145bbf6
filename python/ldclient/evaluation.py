"""What evaluations return. The classes are native; this module gives them their public address."""

from __future__ import annotations

from ._ldclient import EvaluationDetail, FeatureFlagsState

__all__ = ["BigSegmentsStatus", "EvaluationDetail", "FeatureFlagsState"]


class BigSegmentsStatus:
    """The values that ``bigSegmentsStatus`` can have in an evaluation reason."""

    HEALTHY = "HEALTHY"
    """The segment was queried and its data is up to date."""

    STALE = "STALE"
    """The segment was queried, but its data may be out of date."""

    NOT_CONFIGURED = "NOT_CONFIGURED"
    """The flag needs a Big Segment and the configuration names no store for them."""

    STORE_ERROR = "STORE_ERROR"
    """The query failed, for instance because of a database error."""
