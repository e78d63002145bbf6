"""What an application may implement, and what it is handed back: stores, processors, listeners' values and statuses.

Declarations only; the clients that use them are elsewhere. Names, parameters and meanings are those of
launchdarkly-server-sdk 9.20, without its asynchronous and its FDv2 interfaces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum

# `typing` takes longer to import than this whole module; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .context import Context
    from .events import EventInput
    from .listeners import Listeners
    from .versioned_data_kind import VersionedDataKind

__all__ = [
    "BackgroundOperation",
    "BigSegmentStore",
    "BigSegmentStoreMetadata",
    "BigSegmentStoreStatus",
    "BigSegmentStoreStatusProvider",
    "DataSourceErrorInfo",
    "DataSourceErrorKind",
    "DataSourceState",
    "DataSourceStatus",
    "DataSourceStatusProvider",
    "DataSourceUpdateSink",
    "DataStoreStatus",
    "DataStoreStatusProvider",
    "DataStoreUpdateSink",
    "DiagnosticDescription",
    "EventConsumer",
    "EventProcessor",
    "FeatureRequester",
    "FeatureStore",
    "FeatureStoreCore",
    "FlagChange",
    "FlagTracker",
    "FlagValueChange",
    "ReadOnlyStore",
    "UpdateProcessor",
]


def _itself(data: Any) -> Any:
    return data


class ReadOnlyStore(ABC):
    """The reading half of :class:`FeatureStore`."""

    @abstractmethod
    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = _itself) -> Any:
        """Returns ``callback(item)`` for the item under this key, ``callback(None)`` if there is none."""

    @abstractmethod
    def all(self, kind: VersionedDataKind, callback: Callable[[Any], Any] = _itself) -> Any:
        """Returns ``callback({key: item, ...})`` for all items of the kind, deleted ones left out."""

    @property
    @abstractmethod
    def initialized(self) -> bool:
        """Whether the store holds data."""


class FeatureStore(ReadOnlyStore):
    """A versioned store of flags and segments. Every method may be called from several threads at a time.

    An item is a dict with at least ``key``, ``version`` (it grows with every change) and, on the mark that a deletion
    leaves, ``deleted: True``. The rest of it is JSON that a store keeps as it is.

    Updates may arrive out of order: one whose version is not above the stored one is to be ignored.

    A store may have three more methods, which are called where they exist: ``is_monitoring_enabled() -> bool`` (whether
    the store reports when it fails and when it is well again), ``is_available() -> bool`` (the cheapest look at whether
    it works, called at intervals after a failure) and ``close()`` (called when the client is closed; more calls
    must do no harm).
    """

    @abstractmethod
    def get(self, kind: VersionedDataKind, key: str, callback: Callable[[Any], Any] = _itself) -> Any:
        """Looks one item up.

        :param kind: :data:`ldclient.versioned_data_kind.FEATURES` or ``SEGMENTS``
        :param key: the item's key
        :param callback: what to make of the item; of None if there is none, or only the mark of a deletion
        :return: what the callback returned
        """

    @abstractmethod
    def all(self, kind: VersionedDataKind, callback: Callable[[Any], Any] = _itself) -> Any:
        """Looks all items of a kind up.

        :param kind: the kind
        :param callback: what to make of the dict from key to item, deleted items left out
        :return: what the callback returned
        """

    @abstractmethod
    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict[str, Any]]]) -> None:
        """Replaces everything by this data, whatever the versions.

        :param all_data: kind -> key -> item. Where a store cannot write all at once, it should write in this order
        """

    @abstractmethod
    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Replaces an item by the mark of its deletion, unless the stored version is this one or above.

        :param kind: the kind
        :param key: the item's key
        :param version: the version of the deletion
        """

    @abstractmethod
    def upsert(self, kind: VersionedDataKind, item: dict[str, Any]) -> None:
        """Inserts or replaces an item, unless the stored version is the item's or above.

        :param kind: the kind
        :param item: the item, with ``key`` and ``version``
        """

    @property
    @abstractmethod
    def initialized(self) -> bool:
        """Whether ``init`` has ever been called on the data behind this store."""


class FeatureStoreCore(ABC):
    """The part of a persistent store that its database decides; caching and versions in memory are added by the SDK.

    Give one to :class:`ldclient.feature_store_helpers.CachingStoreWrapper`. It may also have ``is_available()`` and
    ``close()``, as :class:`FeatureStore` describes.
    """

    @abstractmethod
    def get_internal(self, kind: VersionedDataKind, key: str) -> dict[str, Any] | None:
        """Returns the item under this key, also the mark of a deletion; None if there is nothing. No caching."""

    @abstractmethod
    def get_all_internal(self, kind: VersionedDataKind) -> Mapping[str, dict[str, Any]]:
        """Returns all items of the kind by key, the marks of deletions too. No caching."""

    @abstractmethod
    def init_internal(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict[str, Any]]]) -> None:
        """Replaces everything by this data, whatever the versions.

        :param all_data: kind -> key -> item, in the order in which to write where all at once is impossible
        """

    @abstractmethod
    def upsert_internal(self, kind: VersionedDataKind, item: dict[str, Any]) -> dict[str, Any]:
        """Inserts or replaces an item, unless the stored version is the item's or above.

        :return: what is stored afterwards: the item, or the one that was there already
        """

    @abstractmethod
    def initialized_internal(self) -> bool:
        """Tells whether the database holds data, whichever process wrote it. Not to be cached."""


class BackgroundOperation:
    """Something that runs in the background between ``start`` and ``stop``."""

    def start(self) -> None:
        """Begins, and returns at once."""

    def stop(self) -> None:
        """Ends."""

    def is_alive(self) -> bool:
        """Tells whether it runs."""
        return True


class UpdateProcessor(BackgroundOperation, ABC):
    """A data source of an application's own, for ``Config(update_processor_class=...)``.

    The option is called with ``(config, store, ready)``: the :class:`ldclient.config.Config`, the
    :class:`FeatureStore` to write to, and a ``threading.Event`` to set once data is there. It returns the processor.
    """

    def initialized(self) -> bool:
        """Tells whether data has been received and written to the store."""
        return False


class EventProcessor(ABC):
    """What takes the place of the delivery of events, for ``Config(event_processor_class=...)``.

    The option is called with the :class:`ldclient.config.Config` and returns the processor. It is not called for a client
    that is offline or has ``send_events=False``. What the methods raise is logged once and harms no evaluation.
    """

    @abstractmethod
    def send_event(self, event: EventInput) -> None:
        """Takes an event of :mod:`ldclient.events` in. Called on the thread that evaluates: must not wait.

        A processor that holds evaluations up for more than a second is called on a thread of its own from then on.
        Evaluations that it makes here are not told to it.
        """

    @abstractmethod
    def flush(self) -> None:
        """Asks for what waits to be sent soon; does not wait for it."""

    @abstractmethod
    def stop(self) -> None:
        """Sends what waits and ends."""


class EventConsumer(BackgroundOperation):
    """What took the place of the delivery of events before release 6.0, for ``Config(event_consumer_class=...)``.

    The option is called with ``(queue, config)``, or ``(queue, sdk_key, config)`` if it takes three arguments, and
    returns the consumer. It is started, and takes dicts out of the ``queue.Queue`` on a thread of its own.
    """

    @abstractmethod
    def flush(self) -> None:
        """Sends what waits."""


class FeatureRequester:
    """What asks for all data when polling, for ``Config(feature_requester_class=...)``."""

    def get_all(self) -> Any:
        """Returns all flags. The SDK calls :meth:`get_all_data` instead."""

    def get_all_data(self) -> Mapping[VersionedDataKind, Mapping[str, dict[str, Any]]]:
        """Returns all flags and segments: kind -> key -> item."""
        raise NotImplementedError


class DiagnosticDescription:
    """What a component may implement to be named in the diagnostic events."""

    @abstractmethod
    def describe_configuration(self, config: Any) -> str | None:
        """Returns the kind of the component in a word, such as ``Redis``; None for nothing.

        :param config: the client's :class:`ldclient.config.Config`
        """


class BigSegmentStoreMetadata:
    """What :meth:`BigSegmentStore.get_metadata` returns.

    :param last_up_to_date: milliseconds since 1970 of the last update; None if there never was one
    """

    __slots__ = ("_last_up_to_date",)

    def __init__(self, last_up_to_date: int | None) -> None:
        self._last_up_to_date = last_up_to_date

    @property
    def last_up_to_date(self) -> int | None:
        """Milliseconds since 1970 of the store's last update; None if there never was one."""
        return self._last_up_to_date


class BigSegmentStore:
    """A read-only store of the members of big segments. Methods may be called from several threads at a time."""

    @abstractmethod
    def get_metadata(self) -> BigSegmentStoreMetadata:
        """Returns the state of the store, asked anew at each call."""
        raise NotImplementedError

    @abstractmethod
    def get_membership(self, context_hash: str) -> dict[str, bool] | None:
        """Looks up in which big segments a context is.

        :param context_hash: the base64 text of the hash of the context's key
        :return: segment reference -> True (included) or False (excluded, and not included); None if no segment names
            the context. It may be remembered: never change it afterwards
        """
        raise NotImplementedError

    @abstractmethod
    def stop(self) -> None:
        """Releases what the store holds."""
        raise NotImplementedError


class BigSegmentStoreStatus:
    """The state of a big segment store.

    :param available: whether it answers
    :param stale: whether its data is out of date
    """

    __slots__ = ("_available", "_stale")

    def __init__(self, available: bool, stale: bool) -> None:
        self._available = available
        self._stale = stale

    @property
    def available(self) -> bool:
        """Whether the store answers. If not, nobody is in a big segment and reasons say ``STORE_ERROR``."""
        return self._available

    @property
    def stale(self) -> bool:
        """Whether the store was not updated for ``BigSegmentsConfig.stale_after`` seconds; reasons say ``STALE``."""
        return self._stale

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BigSegmentStoreStatus):
            return NotImplemented
        return (self._available, self._stale) == (other._available, other._stale)

    def __hash__(self) -> int:
        return hash((self._available, self._stale))

    def __repr__(self) -> str:
        return f"BigSegmentStoreStatus(available={self._available}, stale={self._stale})"


class BigSegmentStoreStatusProvider:
    """Tells the state of the big segment store: ``client.big_segment_store_status_provider``."""

    @property
    @abstractmethod
    def status(self) -> BigSegmentStoreStatus:
        """The state now. Before the first look at the store, this takes it and waits for it."""
        raise NotImplementedError

    @abstractmethod
    def add_listener(self, listener: Callable[[BigSegmentStoreStatus], None]) -> None:
        """Has the listener called with each new status."""
        raise NotImplementedError

    @abstractmethod
    def remove_listener(self, listener: Callable[[BigSegmentStoreStatus], None]) -> None:
        """Ends that; does nothing for a listener that was not added."""
        raise NotImplementedError


class DataSourceState(Enum):
    """Whether flag data arrives."""

    INITIALIZING = "initializing"
    """No data has arrived yet, whether or not attempts failed."""

    VALID = "valid"
    """Data is there and was up to date when last heard of."""

    INTERRUPTED = "interrupted"
    """Data is there, but the last attempt to have it anew failed. Attempts go on."""

    OFF = "off"
    """The source has ended for good: the client was closed. Nothing follows."""


class DataSourceErrorKind(Enum):
    """What kind of failure a data source had."""

    UNKNOWN = "unknown"
    """None of the others."""

    NETWORK_ERROR = "network_error"
    """No connection, or one that broke."""

    ERROR_RESPONSE = "error_response"
    """The service answered with an error status."""

    INVALID_DATA = "invalid_data"
    """What arrived could not be read."""

    STORE_ERROR = "store_error"
    """Data arrived, and the data store could not take it."""


class DataSourceErrorInfo:
    """A failure of a data source.

    :param kind: what kind it was
    :param status_code: the HTTP status, or 0
    :param time: when it was, in seconds since 1970
    :param message: what happened, in words, or None
    """

    __slots__ = ("_kind", "_message", "_status_code", "_time")

    def __init__(self, kind: DataSourceErrorKind, status_code: int, time: float, message: str | None) -> None:
        self._kind = kind
        self._status_code = status_code
        self._time = time
        self._message = message

    @property
    def kind(self) -> DataSourceErrorKind:
        """What kind of failure it was."""
        return self._kind

    @property
    def status_code(self) -> int:
        """The HTTP status of an ``ERROR_RESPONSE``, else 0."""
        return self._status_code

    @property
    def time(self) -> float:
        """When it was, in seconds since 1970."""
        return self._time

    @property
    def message(self) -> str | None:
        """What happened, in words, or None."""
        return self._message

    def __repr__(self) -> str:
        return (
            f"DataSourceErrorInfo(kind={self._kind}, status_code={self._status_code}, time={self._time}, "
            f"message={self._message!r})"
        )


class DataSourceStatus:
    """The state of a data source.

    :param state: the state
    :param state_since: when it began, in seconds since 1970
    :param last_error: the last failure, or None
    """

    __slots__ = ("_last_error", "_state", "_state_since")

    def __init__(self, state: DataSourceState, state_since: float, last_error: DataSourceErrorInfo | None) -> None:
        self._state = state
        self._state_since = state_since
        self._last_error = last_error

    @property
    def state(self) -> DataSourceState:
        """The state."""
        return self._state

    @property
    def since(self) -> float:
        """When the state began, in seconds since 1970."""
        return self._state_since

    @property
    def error(self) -> DataSourceErrorInfo | None:
        """The last failure since the start, also when all is well again; None if there was none."""
        return self._last_error

    def __repr__(self) -> str:
        return f"DataSourceStatus(state={self._state}, since={self._state_since}, error={self._last_error!r})"


class DataSourceStatusProvider(ABC):
    """Tells whether flag data arrives: ``client.data_source_status_provider``."""

    @property
    @abstractmethod
    def status(self) -> DataSourceStatus:
        """The status now. Never waits."""

    @abstractmethod
    def add_listener(self, listener: Callable[[DataSourceStatus], None]) -> None:
        """Has the listener called with each new status, on the thread ``ldclient-listeners``."""

    @abstractmethod
    def remove_listener(self, listener: Callable[[DataSourceStatus], None]) -> None:
        """Ends that; does nothing for a listener that was not added."""


class DataSourceUpdateSink(ABC):
    """Where a data source of an application's own puts data and tells its state."""

    @abstractmethod
    def init(self, all_data: Mapping[VersionedDataKind, Mapping[str, dict[str, Any]]]) -> None:
        """Replaces everything by this data: kind -> key -> item."""

    @abstractmethod
    def upsert(self, kind: VersionedDataKind, item: dict[str, Any]) -> None:
        """Inserts or replaces an item, unless the one that is known has its version or a later one."""

    @abstractmethod
    def delete(self, kind: VersionedDataKind, key: str, version: int) -> None:
        """Deletes an item, unless the one that is known has this version or a later one."""

    @abstractmethod
    def update_status(self, new_state: DataSourceState, new_error: DataSourceErrorInfo | None) -> None:
        """Tells a new state, a new failure, or both. Before the first data, ``INTERRUPTED`` is ``INITIALIZING``."""


class FlagChange:
    """A flag may answer differently from now on.

    :param key: the flag's key
    """

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    @property
    def key(self) -> str:
        """The flag's key."""
        return self._key

    def __repr__(self) -> str:
        return f"FlagChange(key={self._key!r})"


class FlagValueChange:
    """A flag answers differently for one context.

    :param key: the flag's key
    :param old_value: its value before
    :param new_value: its value now
    """

    __slots__ = ("_key", "_new_value", "_old_value")

    def __init__(self, key: str, old_value: Any, new_value: Any) -> None:
        self._key = key
        self._old_value = old_value
        self._new_value = new_value

    @property
    def key(self) -> str:
        """The flag's key."""
        return self._key

    @property
    def old_value(self) -> Any:
        """The value before; None where the flag had none."""
        return self._old_value

    @property
    def new_value(self) -> Any:
        """The value now; None where the flag has none."""
        return self._new_value

    def __repr__(self) -> str:
        return f"FlagValueChange(key={self._key!r}, old_value={self._old_value!r}, new_value={self._new_value!r})"


class FlagTracker(ABC):
    """Tells of changes of flags: ``client.flag_tracker``.

    Listeners are called one after the other, on the thread ``ldclient-listeners``. One that raises is logged; one that
    waits keeps the others waiting, never an evaluation.
    """

    @abstractmethod
    def add_listener(self, listener: Callable[[FlagChange], None]) -> None:
        """Has the listener called with each flag that changes.

        A flag changes with its own data and with that of each prerequisite and segment that it rests on. Its value need
        not be another one; for that, see :meth:`add_flag_value_change_listener`.
        """

    @abstractmethod
    def remove_listener(self, listener: Callable[[FlagChange], None]) -> None:
        """Ends that; does nothing for a listener that was not added."""

    @abstractmethod
    def add_flag_value_change_listener(
        self, key: str, context: Context | Mapping[str, Any], listener: Callable[[FlagValueChange], None]
    ) -> Callable[[FlagChange], None]:
        """Has the listener called whenever the flag's value for the context becomes another one.

        The flag is evaluated at once, and again after each change of it.

        :param key: the flag's key
        :param context: whom to evaluate it for: a Context or a dict user
        :param listener: what to call
        :return: the subscription; give it, not the listener, to :meth:`remove_listener`
        """


class DataStoreStatus:
    """The state of the data store.

    :param available: whether it works
    :param stale: whether it may have missed an update
    """

    __slots__ = ("_available", "_stale")

    def __init__(self, available: bool, stale: bool) -> None:
        self._available = available
        self._stale = stale

    @property
    def available(self) -> bool:
        """Whether the store works. False from a failure until a query succeeds again."""
        return self._available

    @property
    def stale(self) -> bool:
        """Whether the store may have missed an update, and should be written anew. Of no interest to applications."""
        return self._stale

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DataStoreStatus):
            return NotImplemented
        return (self._available, self._stale) == (other._available, other._stale)

    def __hash__(self) -> int:
        return hash((self._available, self._stale))

    def __repr__(self) -> str:
        return f"DataStoreStatus(available={self._available}, stale={self._stale})"


class DataStoreUpdateSink(ABC):
    """Where a data store of an application's own tells its state."""

    @abstractmethod
    def status(self) -> DataStoreStatus:
        """Returns the status that was told last."""

    @abstractmethod
    def update_status(self, status: DataStoreStatus) -> None:
        """Tells a status. Listeners hear of it if it differs from the last one."""

    @property
    @abstractmethod
    def listeners(self) -> Listeners:
        """Those who hear of it."""


class DataStoreStatusProvider(ABC):
    """Tells whether the data store works: ``client.data_store_status_provider``."""

    @property
    @abstractmethod
    def status(self) -> DataStoreStatus:
        """The status now; always available for the store in memory."""

    @abstractmethod
    def is_monitoring_enabled(self) -> bool:
        """Tells whether the store reports failures. The one in memory does not: it has none."""

    @abstractmethod
    def add_listener(self, listener: Callable[[DataStoreStatus], None]) -> None:
        """Has the listener called with each new status. Without effect where nothing is monitored."""

    @abstractmethod
    def remove_listener(self, listener: Callable[[DataStoreStatus], None]) -> None:
        """Ends that; does nothing for a listener that was not added."""
