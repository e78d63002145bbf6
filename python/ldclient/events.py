"""What an event processor of an application's own is given, for ``Config(event_processor_class=...)``: one object an event.

Attributes and their meanings are those that launchdarkly-server-sdk 9.20 gives its own processor. Whoever tests an event's
type imports the classes from here.
"""

from __future__ import annotations

# `typing` takes longer to import than this whole module; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .context import Context
    from .migrations.tracker import MigrationOpEvent as MigrationOpEvent

__all__ = [
    "EventInput",
    "EventInputCustom",
    "EventInputEvaluation",
    "EventInputIdentify",
    "Flag",
    "MigrationOpEvent",
]


class EventInput:
    """What all events have. Two that say the same are equal.

    :param timestamp: milliseconds since 1970
    :param context: whom it is about, valid
    :param sampling_ratio: one in so many is to be sent; None means each
    """

    __slots__ = ("context", "sampling_ratio", "timestamp")

    def __init__(self, timestamp: int, context: Context, sampling_ratio: int | None = None) -> None:
        self.timestamp = timestamp
        self.context = context
        self.sampling_ratio = sampling_ratio

    def to_debugging_dict(self) -> dict[str, Any]:
        """Returns everything it says, with the context as a dict and of a flag only its key."""
        return {"timestamp": self.timestamp, "context": self.context.to_dict(), "sampling_ratio": self.sampling_ratio}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventInput):
            return NotImplemented
        return type(self) is type(other) and self.to_debugging_dict() == other.to_debugging_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_debugging_dict()!r})"


class EventInputEvaluation(EventInput):
    """A flag was evaluated: for the application, or as the prerequisite of another flag.

    :param timestamp: milliseconds since 1970
    :param context: whom it was evaluated for
    :param key: the flag's key
    :param flag: the flag; None if there is none of that key
    :param variation: the position of the value among the flag's variations; None for the default
    :param value: what the caller got
    :param reason: why, if the caller asked for it or an experiment needs it; else None
    :param default_value: the caller's default; None for a prerequisite
    :param prereq_of: the flag that this one is a prerequisite of, or None
    :param track_events: whether the service wants an event of its own for this evaluation

    ``sampling_ratio`` and ``exclude_from_summaries`` are the flag's.
    """

    __slots__ = (
        "default_value",
        "exclude_from_summaries",
        "flag",
        "key",
        "prereq_of",
        "reason",
        "track_events",
        "value",
        "variation",
    )

    def __init__(
        self,
        timestamp: int,
        context: Context,
        key: str,
        flag: Flag | None,
        variation: int | None,
        value: Any,
        reason: dict[str, Any] | None,
        default_value: Any,
        prereq_of: Flag | None = None,
        track_events: bool = False,
    ) -> None:
        super().__init__(timestamp, context, 1 if flag is None else flag.sampling_ratio)
        self.key = key
        self.flag = flag
        self.variation = variation
        self.value = value
        self.reason = reason
        self.default_value = default_value
        self.prereq_of = prereq_of
        self.track_events = track_events
        self.exclude_from_summaries = False if flag is None else flag.exclude_from_summaries

    def to_debugging_dict(self) -> dict[str, Any]:
        """Returns everything it says, with the context as a dict and of a flag only its key."""
        return {
            **super().to_debugging_dict(),
            "key": self.key,
            "flag": None if self.flag is None else {"key": self.flag.key},
            "variation": self.variation,
            "value": self.value,
            "reason": self.reason,
            "default_value": self.default_value,
            "prereq_of": None if self.prereq_of is None else {"key": self.prereq_of.key},
            "track_events": self.track_events,
            "exclude_from_summaries": self.exclude_from_summaries,
        }


class EventInputIdentify(EventInput):
    """``identify`` was called."""

    __slots__ = ()


class EventInputCustom(EventInput):
    """``track`` was called.

    :param timestamp: milliseconds since 1970
    :param context: who did it
    :param key: the event's name
    :param data: whatever the application gave
    :param metric_value: the number that the application gave, or None
    """

    __slots__ = ("data", "key", "metric_value")

    def __init__(
        self, timestamp: int, context: Context, key: str, data: Any = None, metric_value: float | None = None
    ) -> None:
        super().__init__(timestamp, context)
        self.key = key
        self.data = data
        self.metric_value = metric_value

    def to_debugging_dict(self) -> dict[str, Any]:
        """Returns everything it says, with the context as a dict."""
        return {
            **super().to_debugging_dict(),
            "key": self.key,
            "data": self.data,
            "metric_value": self.metric_value,
        }


class Flag:
    """The flag of an event: what an event processor may want to know of it. Whom it targets is not in it.

    ``flag["version"]``, ``flag.get("trackEvents")`` and ``"salt" in flag`` read it by the names of its JSON form.

    >>> flag = Flag({"key": "a", "version": 3, "trackEvents": True})
    >>> flag.version, flag["version"], flag.track_events, flag.sampling_ratio
    (3, 3, True, None)
    """

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = dict(members)

    @property
    def key(self) -> str:
        """Its key."""
        return str(self._members["key"])

    @property
    def version(self) -> int:
        """Grows with every change."""
        return int(self._members["version"])

    @property
    def deleted(self) -> bool:
        """False: a deleted flag is None in an event."""
        return False

    @property
    def on(self) -> bool:
        """Whether it is on."""
        return bool(self.get("on"))

    @property
    def salt(self) -> str:
        """What goes into its buckets."""
        return str(self.get("salt", ""))

    @property
    def variations(self) -> list[Any]:
        """The values it can have."""
        return list(self.get("variations", ()))

    @property
    def off_variation(self) -> int | None:
        """The position of the value that it has when it is off; None is the caller's default."""
        variation: int | None = self.get("offVariation")
        return variation

    @property
    def prerequisites(self) -> list[FlagPrerequisite]:
        """What it needs of other flags."""
        return [FlagPrerequisite(one["key"], one["variation"]) for one in self.get("prerequisites", ())]

    @property
    def track_events(self) -> bool:
        """Whether each evaluation is to be sent as an event of its own."""
        return bool(self.get("trackEvents"))

    @property
    def track_events_fallthrough(self) -> bool:
        """Whether that is so for evaluations in which no rule and no target matched."""
        return bool(self.get("trackEventsFallthrough"))

    @property
    def debug_events_until_date(self) -> int | None:
        """Until when each evaluation is to be sent for debugging, in milliseconds since 1970; None for not at all."""
        date: int | None = self.get("debugEventsUntilDate")
        return date

    @property
    def exclude_from_summaries(self) -> bool:
        """Whether its evaluations are to be left out of summaries."""
        return bool(self.get("excludeFromSummaries"))

    @property
    def sampling_ratio(self) -> int | None:
        """One in so many events is to be sent; None means each."""
        ratio: int | None = self.get("samplingRatio")
        return ratio

    @property
    def migrations(self) -> FlagMigration | None:
        """What a migration needs to know, or None."""
        migration = self.get("migration")
        return None if migration is None else FlagMigration(migration.get("checkRatio"))

    def get(self, name: str, default: Any = None) -> Any:
        """Returns a member by its name in JSON; ``default`` if it is not there."""
        value = self._members.get(name)
        return default if value is None else value

    def to_json_dict(self) -> dict[str, Any]:
        """Returns what is known of it, by the names of its JSON form."""
        return dict(self._members)

    def __getitem__(self, name: str) -> Any:
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __eq__(self, other: object) -> bool:
        return self._members == other._members if isinstance(other, Flag) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.key, self.version))

    def __repr__(self) -> str:
        return f"Flag({self._members!r})"


class FlagPrerequisite:
    """A condition of a flag.

    :param key: the other flag
    :param variation: the position of the value that it must have
    """

    __slots__ = ("key", "variation")

    def __init__(self, key: str, variation: int) -> None:
        self.key = key
        self.variation = variation


class FlagMigration:
    """What a migration needs to know of its flag.

    :param check_ratio: one in so many operations is checked for consistency; None means each
    """

    __slots__ = ("check_ratio",)

    def __init__(self, check_ratio: int | None) -> None:
        self.check_ratio = check_ratio


def __getattr__(name: str) -> Any:
    if name == "MigrationOpEvent":
        # Migrations are imported by who uses them.
        from .migrations.tracker import MigrationOpEvent

        return MigrationOpEvent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
