"""Reasons of evaluations in the words that OpenFeature and OpenTelemetry share, for the two modules that speak them."""

from __future__ import annotations

__all__ = ["ERRORS", "REASONS", "message"]

#: OpenFeature's reason by the service's. A failed prerequisite makes a flag serve what it serves when it is off. What a
#: FALLTHROUGH is depends on the flag: ``_resolve`` of the native client tells.
REASONS = {
    "OFF": "DISABLED",
    "PREREQUISITE_FAILED": "DISABLED",
    "TARGET_MATCH": "TARGETING_MATCH",
    "RULE_MATCH": "TARGETING_MATCH",
    "FALLTHROUGH": "DEFAULT",
    "ERROR": "ERROR",
}

#: OpenFeature's error code by the service's kind of error; any other kind is GENERAL.
ERRORS = {
    "CLIENT_NOT_READY": "PROVIDER_NOT_READY",
    "FLAG_NOT_FOUND": "FLAG_NOT_FOUND",
    "MALFORMED_FLAG": "PARSE_ERROR",
    "USER_NOT_SPECIFIED": "TARGETING_KEY_MISSING",
    "WRONG_TYPE": "TYPE_MISMATCH",
}

_MESSAGES = {
    "CLIENT_NOT_READY": 'flag "{}" was asked for before flag data arrived, or the client is offline',
    "FLAG_NOT_FOUND": 'flag "{}" not found',
    "MALFORMED_FLAG": 'the data of flag "{}" is malformed',
    "USER_NOT_SPECIFIED": 'flag "{}" was asked for without a valid context',
    "WRONG_TYPE": 'flag "{}" serves a value of another type',
}


def message(kind: str | None, key: str) -> str:
    """What happened to the flag, in a sentence."""
    return _MESSAGES.get(kind or "", 'evaluating flag "{}" failed; the log says why').format(key)
