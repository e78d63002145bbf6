"""The shapes of what ``LDClient.stats()`` and ``LDClient.readiness()`` return."""

from __future__ import annotations

from typing import Literal, TypedDict

__all__ = ["EventStats", "Readiness", "SourceError", "Stats"]

#: Whether evaluations mean something: see ``LDClient.readiness``.
Readiness = Literal["fresh", "stale", "missing"]

_State = Literal["INITIALIZING", "VALID", "INTERRUPTED", "OFF"]


class SourceError(TypedDict):
    """The last error of the data source. It stays when the source has recovered."""

    kind: Literal["UNKNOWN", "NETWORK_ERROR", "ERROR_RESPONSE", "INVALID_DATA", "STORE_ERROR"]
    #: The HTTP status of an ERROR_RESPONSE, else 0.
    status_code: int
    #: When it happened, in milliseconds since 1970.
    time_ms: int
    #: What happened, in words without secrets.
    message: str


class EventStats(TypedDict, total=False):
    """What became of the events of this process: accepted = sent + pending + the sum of dropped, at every moment.

    Empty where no events are sent.
    """

    #: Events that were handed in, whatever became of them.
    accepted: int
    #: Events that the service took.
    sent: int
    #: Events that wait, or are under way.
    pending: int
    #: Events that were lost, by reason; a reason without any is left out. ``capacity``: too many waited. ``rejected``:
    #: the service refused them for good. ``undeliverable``: two attempts failed. ``closed``: they came after the close,
    #: or did not leave before its deadline. ``unencodable``: no JSON can hold them. ``internal``: a defect of this package.
    dropped: dict[str, int]


class Stats(TypedDict):
    """How a client is doing in this process."""

    #: The state of the data source, and since when in milliseconds since 1970.
    state: _State
    state_since_ms: int
    #: Whether there are flags to answer from.
    initialized: bool
    offline: bool
    closed: bool
    #: Seconds since flag data last arrived or was confirmed; None before the first. A stream on which nothing changes
    #: lets it grow.
    data_age_seconds: float | None
    #: Seconds since the data source last gave a sign of life: any bytes on the stream (the service sends some every few
    #: minutes), an answer to a poll, a look at the files. None before the first, and without a source of that kind.
    contact_age_seconds: float | None
    #: The service's name for the environment, once it told.
    environment_id: str | None
    last_error: SourceError | None
    #: How many flags and segments are known.
    flags: int
    segments: int
    #: How many changes arrived.
    updates: int
    #: How many times the stream was opened after the first one, and how many attempts to open it failed.
    reconnects: int
    failed_connections: int
    #: The number of this process in its line of forks: 1 in the one that imported the package.
    generation: int
    #: Native threads that run now.
    threads: int
    #: Look-ups of names that the system has not answered yet, in the whole process: 0 or 1.
    lookups: int
    events: EventStats
    #: The state of the client that takes this one's place once it has flags, after another key or Config was set.
    replacement: _State | None
