"""The capabilities that the test service declares: 34 that launchdarkly-server-sdk 9.20 declares, and seven more.

The target fails when the harness skips a test for want of one of them, or when the list and ``expected.json`` differ.
"""

from __future__ import annotations

__all__ = ["DECLARED"]

AS_THE_REFERENCE = (
    "all-flags-client-side-only",
    "all-flags-details-only-for-tracked-flags",
    "all-flags-with-reasons",
    "anonymous-redaction",
    "big-segments",
    "client-prereq-events",
    "context-type",
    "evaluation-hooks",
    "event-gzip",
    "event-sampling",
    "fdv1-fallback",
    "filtering",
    "flag-change-listeners",
    "flag-value-change-listeners",
    "hook-environment-id",
    "http-proxy",
    "inline-context-all",
    "instance-id",
    "migrations",
    "omit-anonymous-contexts",
    "optional-event-gzip",
    "persistent-data-store-consul",
    "persistent-data-store-dynamodb",
    "persistent-data-store-redis",
    "polling-gzip",
    "retry-conformance-fdv1-polling",
    "retry-conformance-fdv1-streaming",
    "secure-mode-hash",
    "server-side",
    "server-side-polling",
    "service-endpoints",
    "tags",
    "tls:skip-verify-peer",
    "wrapper",
)

BEYOND_THE_REFERENCE = (
    "context-comparison",
    "filtering-strict",
    "strongly-typed",
    "tls:custom-ca",
    "tls:verify-peer",
    "track-hooks",
    "user-type",
)

DECLARED = (*AS_THE_REFERENCE, *BEYOND_THE_REFERENCE)
