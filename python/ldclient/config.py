"""What a client can be told: :class:`Config` and the two groups of options inside it.

Which option a positional argument means is ``_eras.py``'s question, what a value must look like ``_values.py``'s.
"""

from __future__ import annotations

from . import _eras, _values, logs

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, overload

    from .interfaces import DataSourceUpdateSink

__all__ = ["BigSegmentsConfig", "Config", "HTTPConfig"]

DEFAULT_BASE_URI = "https://app.launchdarkly.com"
DEFAULT_EVENTS_URI = "https://events.launchdarkly.com"
DEFAULT_STREAM_URI = "https://stream.launchdarkly.com"

# The service's own hosts are polled every 30 s at most; a relay or a development server may be asked every second.
_SERVICE_DOMAINS = ("launchdarkly.com", "launchdarkly.us")
_SERVICE_POLL_INTERVAL = 30
_OTHER_POLL_INTERVAL = 1
_LEAST_DIAGNOSTIC_INTERVAL = 60


class HTTPConfig:
    """Options of the HTTP connections, for ``Config(http=...)``. Immutable.

    :param connect_timeout: seconds to wait for a connection; > 0, default 10
    :param read_timeout: seconds that one read of a poll or of an event post may stall; > 0, default 15. A stream has
        its own limit
    :param http_proxy: address of a proxy for http and https alike; it wins over the environment's
    :param ca_certs: path of a file with the certificates of the authorities to trust
    :param cert_file: path of a client certificate
    :param disable_ssl_verification: accept any certificate. Unsafe: prefer ``ca_certs``
    :raises TypeError: a value has the wrong type
    :raises ValueError: a value is out of range

    >>> Config("sdk-key", http=HTTPConfig(connect_timeout=1, read_timeout=2)).http.read_timeout
    2
    """

    def __init__(
        self,
        connect_timeout: float | None = 10,
        read_timeout: float | None = 15,
        http_proxy: str | None = None,
        ca_certs: str | None = None,
        cert_file: str | None = None,
        disable_ssl_verification: bool = False,
    ) -> None:
        self._connect_timeout = _values.number("connect_timeout", connect_timeout, 10, above=0)
        self._read_timeout = _values.number("read_timeout", read_timeout, 15, above=0)
        self._http_proxy = _values.text("http_proxy", http_proxy) or None
        self._ca_certs = _values.path("ca_certs", ca_certs)
        self._cert_file = _values.path("cert_file", cert_file)
        self._disable_ssl_verification = _values.switch("disable_ssl_verification", disable_ssl_verification)

    @property
    def connect_timeout(self) -> float:
        """Seconds to wait for a connection."""
        return self._connect_timeout

    @property
    def read_timeout(self) -> float:
        """Seconds that one read may stall."""
        return self._read_timeout

    @property
    def http_proxy(self) -> str | None:
        """Address of the proxy, or None for what the environment says."""
        return self._http_proxy

    @property
    def ca_certs(self) -> str | None:
        """Path of the trusted authorities' certificates, or None for the system's."""
        return self._ca_certs

    @property
    def cert_file(self) -> str | None:
        """Path of the client certificate, or None."""
        return self._cert_file

    @property
    def disable_ssl_verification(self) -> bool:
        """Whether any certificate is accepted."""
        return self._disable_ssl_verification

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if isinstance(other, HTTPConfig) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        return _describe("HTTPConfig", self.__dict__, _HTTP_DEFAULTS.__dict__)


class BigSegmentsConfig:
    """Options of Big Segments, for ``Config(big_segments=...)``. Immutable.

    :param store: where the segments' members are looked up, an :class:`ldclient.interfaces.BigSegmentStore`; None for
        nowhere
    :param context_cache_size: how many contexts' memberships are remembered; default 1000
    :param context_cache_time: seconds for which one is remembered; default 5
    :param status_poll_interval: seconds between two looks at the store's state; default 5
    :param stale_after: seconds without an update after which the data counts as out of date; default 120
    :raises TypeError: a value has the wrong type
    :raises ValueError: a value is out of range

    >>> BigSegmentsConfig().stale_after
    120
    """

    def __init__(
        self,
        store: Any = None,
        context_cache_size: int = 1000,
        context_cache_time: float = 5,
        status_poll_interval: float = 5,
        stale_after: float = 120,
    ) -> None:
        self._store = store
        self._context_cache_size = _values.whole("context_cache_size", context_cache_size, 1000, least=0)
        self._context_cache_time = _values.number("context_cache_time", context_cache_time, 5, least=0)
        self._status_poll_interval = _values.number("status_poll_interval", status_poll_interval, 5, above=0)
        self._stale_after = _values.number("stale_after", stale_after, 120, least=0)

    @property
    def store(self) -> Any:
        """Where memberships are looked up, or None."""
        return self._store

    @property
    def context_cache_size(self) -> int:
        """How many contexts' memberships are remembered."""
        return self._context_cache_size

    @property
    def context_cache_time(self) -> float:
        """Seconds for which a membership is remembered."""
        return self._context_cache_time

    @property
    def status_poll_interval(self) -> float:
        """Seconds between two looks at the store's state."""
        return self._status_poll_interval

    @property
    def stale_after(self) -> float:
        """Seconds without an update after which the data counts as out of date."""
        return self._stale_after

    def _options(self) -> dict[str, object] | None:
        """Returns the options in the form that the native client reads; None without a store."""
        if self._store is None:
            return None
        return {
            "store": self._store,
            "context_cache_size": self._context_cache_size,
            "context_cache_time": float(self._context_cache_time),
            "status_poll_interval": float(self._status_poll_interval),
            "stale_after": float(self._stale_after),
        }

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if isinstance(other, BigSegmentsConfig) else NotImplemented

    def __hash__(self) -> int:
        return hash((id(self._store), self._context_cache_size, self._context_cache_time))

    def __repr__(self) -> str:
        return _describe("BigSegmentsConfig", self.__dict__, _BIG_SEGMENTS_DEFAULTS.__dict__)


class Config:
    """The options of a client. Immutable; two that say the same are equal; it can be copied and pickled.

    :param sdk_key: key of the environment. One with characters that no key has is discarded with a warning
    :param base_uri: address of the service for polling; '' is the default
    :param events_uri: address that events are sent to
    :param stream_uri: address of the stream of flags
    :param stream: receive flags by the stream (default); False polls
    :param offline: connect to nothing; every evaluation returns its default. Needs no key
    :param send_events: whether to send events; default True. Never when offline
    :param events_max_pending: how many events may wait to be sent; at least 1, default 10000. More are dropped
    :param flush_interval: seconds between two sendings of events; > 0, default 5
    :param initial_reconnect_delay: seconds before the first attempt to connect again; >= 0, default 1
    :param poll_interval: seconds between two polls; default 30. Less than 30 is read as 30, except that with a
        ``base_uri`` other than the service's the least is 1
    :param defaults: flag key -> value; wins over the default given in a call
    :param update_processor_class: a data source from :class:`ldclient.integrations.Files`, a
        :class:`ldclient.integrations.test_data.TestData`, or one of the application's own: see
        :class:`ldclient.interfaces.UpdateProcessor`
    :param feature_requester_class: what is asked for all data instead of the service when polling
    :param feature_store: where flags are kept for other processes, from :class:`ldclient.integrations.Redis`,
        ``DynamoDB`` or ``Consul``, or a :class:`ldclient.interfaces.FeatureStore` of the application's own
    :param event_processor_class: what takes the place of the delivery of events: a class or a function that takes the
        Config and makes an :class:`ldclient.interfaces.EventProcessor`, which gets the events of :mod:`ldclient.events`
    :param use_ldd: daemon mode: connect to nothing for flags, only read the feature store, which something else fills
    :param private_attributes: references of attributes whose values are never sent
    :param all_attributes_private: send no attribute's value
    :param public_attributes: when not None, the only attributes whose values are sent; every other one is private
    :param context_keys_capacity: how many contexts are remembered, so that each is sent once; default 1000
    :param context_keys_flush_interval: seconds after which they are forgotten; > 0, default 300
    :param diagnostic_opt_out: do not send diagnostic data
    :param diagnostic_recording_interval: seconds between two diagnostic events; default 900, at least 60
    :param wrapper_name: name of the library that wraps this one; ``wrapper_version`` its version
    :param http: an :class:`HTTPConfig`
    :param big_segments: a :class:`BigSegmentsConfig`
    :param application: ``{"id": ..., "version": ...}``
    :param enable_event_compression: send events gzipped
    :param omit_anonymous_contexts: leave anonymous contexts out of index and identify events
    :param payload_filter_key: receive only the flags of this filter. One with characters that no key has is discarded
        with a warning
    :param hooks: hooks that are there from the start; see :mod:`ldclient.hook`
    :param plugins: plugins, started with the client; see :mod:`ldclient.plugin`
    :raises TypeError: a value has the wrong type, or there is no such option
    :raises ValueError: a value is out of range

    ``datasystem_config`` is kept, and a client refuses to start with it as long as it cannot honour it.

    The positional orders and the option names of all earlier releases are understood:

    >>> Config("", 1, 2).http
    HTTPConfig(connect_timeout=1, read_timeout=2)
    """

    _update_sink: DataSourceUpdateSink | None = None

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            sdk_key: str | None = None,
            base_uri: str = ...,
            events_uri: str = ...,
            events_max_pending: int = ...,
            flush_interval: float = ...,
            stream_uri: str = ...,
            stream: bool = ...,
            initial_reconnect_delay: float = ...,
            defaults: Mapping[str, Any] | None = ...,
            send_events: bool | None = ...,
            update_processor_class: Any = ...,
            poll_interval: float = ...,
            use_ldd: bool = ...,
            feature_store: Any = ...,
            feature_requester_class: Any = ...,
            event_processor_class: Any = ...,
            private_attributes: Iterable[str] = ...,
            all_attributes_private: bool = ...,
            offline: bool = ...,
            context_keys_capacity: int = ...,
            context_keys_flush_interval: float = ...,
            diagnostic_opt_out: bool = ...,
            diagnostic_recording_interval: float = ...,
            wrapper_name: str | None = ...,
            wrapper_version: str | None = ...,
            http: HTTPConfig | None = ...,
            big_segments: BigSegmentsConfig | None = ...,
            application: Mapping[str, str] | None = ...,
            hooks: Iterable[Any] | None = ...,
            plugins: Iterable[Any] | None = ...,
            enable_event_compression: bool = ...,
            omit_anonymous_contexts: bool = ...,
            payload_filter_key: str | None = ...,
            datasystem_config: Any = ...,
            *,
            public_attributes: Iterable[str] | None = ...,
            **earlier_names: Any,
        ) -> None: ...

        @overload
        def __init__(self, *earlier_order: Any, **options: Any) -> None: ...

    def __init__(self, *positional: Any, **named: Any) -> None:
        given = _eras.read_arguments(positional, named)
        get = given.get
        self._sdk_key = _values.sdk_key(get("sdk_key"))
        self._base_uri = _values.uri("base_uri", get("base_uri"), DEFAULT_BASE_URI)
        self._events_uri = _values.uri("events_uri", get("events_uri"), DEFAULT_EVENTS_URI)
        self._stream_uri = _values.uri("stream_uri", get("stream_uri"), DEFAULT_STREAM_URI)
        self._stream = _values.switch("stream", get("stream", True))
        self._offline = _values.switch("offline", get("offline"))
        self._use_ldd = _values.switch("use_ldd", get("use_ldd"))
        self._send_events = _send_events(get("send_events"), get("events_enabled"), self._offline)
        self._initial_reconnect_delay = _values.number(
            "initial_reconnect_delay", get("initial_reconnect_delay"), 1, least=0
        )
        self._poll_interval = max(
            _values.number("poll_interval", get("poll_interval"), _SERVICE_POLL_INTERVAL),
            _least_poll_interval(self._base_uri),
        )
        self._events_max_pending = _values.whole("events_max_pending", get("events_max_pending"), 10000, least=1)
        self._flush_interval = _values.number("flush_interval", get("flush_interval"), 5, above=0)
        self._context_keys_capacity = _values.whole(
            "context_keys_capacity", get("context_keys_capacity"), 1000, least=0
        )
        self._context_keys_flush_interval = _values.number(
            "context_keys_flush_interval", get("context_keys_flush_interval"), 300, above=0
        )
        self._defaults = _values.mapping("defaults", get("defaults"))
        self._private_attributes = _private_attributes(get("private_attributes"), get("private_attribute_names"))
        public = get("public_attributes")
        self._public_attributes = None if public is None else _values.names("public_attributes", public)
        self._all_attributes_private = _values.switch("all_attributes_private", get("all_attributes_private"))
        self._omit_anonymous_contexts = _values.switch("omit_anonymous_contexts", get("omit_anonymous_contexts"))
        self._enable_event_compression = _values.switch("enable_event_compression", get("enable_event_compression"))
        self._diagnostic_opt_out = _values.switch("diagnostic_opt_out", get("diagnostic_opt_out"))
        self._diagnostic_recording_interval = max(
            _values.number("diagnostic_recording_interval", get("diagnostic_recording_interval"), 900),
            _LEAST_DIAGNOSTIC_INTERVAL,
        )
        self._wrapper_name = _values.text("wrapper_name", get("wrapper_name"))
        self._wrapper_version = _values.text("wrapper_version", get("wrapper_version"))
        self._application = _values.application(get("application"))
        self._payload_filter_key = _values.filter_key(get("payload_filter_key"))
        self._http = _http(given)
        self._big_segments = _instance("big_segments", get("big_segments"), BigSegmentsConfig) or BigSegmentsConfig()
        self._hooks = _values.sequence("hooks", get("hooks"))
        self._plugins = _values.sequence("plugins", get("plugins"))
        self._update_processor_class: Any = get("update_processor_class")
        self._feature_store: Any = get("feature_store")
        self._feature_requester_class: Any = get("feature_requester_class")
        self._event_processor_class: Any = get("event_processor_class")
        self._event_consumer_class: Any = get("event_consumer_class")
        self._datasystem_config: Any = get("datasystem_config")
        # Accepted and without effect: events are not sent in fixed batches, and index events carry the context once.
        self._events_upload_max_batch_size = _values.whole(
            "events_upload_max_batch_size", get("events_upload_max_batch_size"), 100, least=0
        )
        self._inline_users_in_events = _values.switch("inline_users_in_events", get("inline_users_in_events"))

    @classmethod
    def default(cls) -> Config:
        """Returns a ``Config`` with every option at its default, without a key."""
        return cls()

    def copy_with_new_sdk_key(self, new_sdk_key: str) -> Config:
        """Returns a ``Config`` like this one with another SDK key. A key that cannot be one is not taken.

        Deprecated, as in the reference SDK.
        """
        import warnings

        warnings.warn("copy_with_new_sdk_key is deprecated", DeprecationWarning, stacklevel=2)
        return self._with_sdk_key(new_sdk_key)

    def with_wrapper_information(self, wrapper_name: str | None, wrapper_version: str | None = None) -> Config:
        """Returns a ``Config`` like this one with another wrapper name and version, for a library that wraps it."""
        copy = self._copy()
        copy._wrapper_name = _values.text("wrapper_name", wrapper_name)
        copy._wrapper_version = _values.text("wrapper_version", wrapper_version)
        return copy

    def get_default(self, key: str, default: Any) -> Any:
        """Returns what ``defaults`` has for the flag, else ``default``."""
        return self._defaults.get(key, default)

    @property
    def sdk_key(self) -> str:
        """Key of the environment; '' when there is none."""
        return self._sdk_key

    @property
    def base_uri(self) -> str:
        """Address of the service for polling, without a slash at its end."""
        return self._base_uri

    @property
    def get_latest_flags_uri(self) -> str:
        """The address that releases before 5.0 polled."""
        return self._base_uri + "/sdk/latest-flags"

    @property
    def get_latest_features_uri(self) -> str:
        """The name of :attr:`get_latest_flags_uri` in 2.x and 3.x."""
        return self.get_latest_flags_uri

    @property
    def events_base_uri(self) -> str:
        """Address that events are sent to, without ``/bulk``."""
        return self._events_uri

    @property
    def events_uri(self) -> str:
        """Address that events are sent to, with ``/bulk``."""
        return self._events_uri + "/bulk"

    @property
    def stream_base_uri(self) -> str:
        """Address of the stream, without a path."""
        return self._stream_uri

    @property
    def stream_uri(self) -> str:
        """Address of the stream, with the path ``/flags`` that releases before 5.0 used."""
        return self._stream_uri + "/flags"

    @property
    def stream(self) -> bool:
        """Whether flags come by the stream; by polling otherwise."""
        return self._stream

    @property
    def offline(self) -> bool:
        """Whether nothing is connected to."""
        return self._offline

    @property
    def use_ldd(self) -> bool:
        """Whether flags are only read from the feature store."""
        return self._use_ldd

    @property
    def send_events(self) -> bool:
        """Whether events are sent; never when offline."""
        return self._send_events

    @property
    def events_enabled(self) -> bool:
        """The name of :attr:`send_events` before 4.1."""
        return self._send_events

    @property
    def initial_reconnect_delay(self) -> float:
        """Seconds before the first attempt to connect again."""
        return self._initial_reconnect_delay

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls."""
        return self._poll_interval

    @property
    def events_max_pending(self) -> int:
        """How many events may wait to be sent."""
        return self._events_max_pending

    @property
    def flush_interval(self) -> float:
        """Seconds between two sendings of events."""
        return self._flush_interval

    @property
    def events_upload_max_batch_size(self) -> int:
        """Events in one post before 6.0; without effect."""
        return self._events_upload_max_batch_size

    @property
    def context_keys_capacity(self) -> int:
        """How many contexts are remembered, so that each is sent once."""
        return self._context_keys_capacity

    @property
    def user_keys_capacity(self) -> int:
        """The name of :attr:`context_keys_capacity` before 8.0."""
        return self._context_keys_capacity

    @property
    def context_keys_flush_interval(self) -> float:
        """Seconds after which the remembered contexts are forgotten."""
        return self._context_keys_flush_interval

    @property
    def user_keys_flush_interval(self) -> float:
        """The name of :attr:`context_keys_flush_interval` before 8.0."""
        return self._context_keys_flush_interval

    @property
    def inline_users_in_events(self) -> bool:
        """An option before 8.0; without effect."""
        return self._inline_users_in_events

    @property
    def defaults(self) -> dict[str, Any]:
        """Flag key -> value that wins over the default given in a call (a copy)."""
        return dict(self._defaults)

    @property
    def private_attributes(self) -> list[str]:
        """References of attributes whose values are never sent."""
        return list(self._private_attributes)

    @property
    def private_attribute_names(self) -> list[str]:
        """The name of :attr:`private_attributes` before 8.0."""
        return list(self._private_attributes)

    @property
    def public_attributes(self) -> list[str] | None:
        """The only attributes whose values are sent, or None for no such rule."""
        return None if self._public_attributes is None else list(self._public_attributes)

    @property
    def all_attributes_private(self) -> bool:
        """Whether no attribute's value is sent."""
        return self._all_attributes_private

    @property
    def omit_anonymous_contexts(self) -> bool:
        """Whether anonymous contexts are left out of index and identify events."""
        return self._omit_anonymous_contexts

    @property
    def enable_event_compression(self) -> bool:
        """Whether events are sent gzipped."""
        return self._enable_event_compression

    @property
    def diagnostic_opt_out(self) -> bool:
        """Whether diagnostic data is kept back."""
        return self._diagnostic_opt_out

    @property
    def diagnostic_recording_interval(self) -> float:
        """Seconds between two diagnostic events."""
        return self._diagnostic_recording_interval

    @property
    def wrapper_name(self) -> str | None:
        """Name of the library that wraps this one, or None."""
        return self._wrapper_name

    @property
    def wrapper_version(self) -> str | None:
        """Version of the library that wraps this one, or None."""
        return self._wrapper_version

    @property
    def application(self) -> dict[str, str]:
        """``id`` and ``version`` of the application, each '' when not given (a copy)."""
        return dict(self._application)

    @property
    def payload_filter_key(self) -> str | None:
        """The filter whose flags are received, or None for all."""
        return self._payload_filter_key

    @property
    def http(self) -> HTTPConfig:
        """Options of the HTTP connections."""
        return self._http

    @property
    def connect_timeout(self) -> float:
        """``http.connect_timeout``, where it was before 7.0."""
        return self._http.connect_timeout

    @property
    def read_timeout(self) -> float:
        """``http.read_timeout``, where it was before 7.0."""
        return self._http.read_timeout

    @property
    def http_proxy(self) -> str | None:
        """``http.http_proxy``, where it was in 6.x."""
        return self._http.http_proxy

    @property
    def verify_ssl(self) -> bool:
        """The opposite of ``http.disable_ssl_verification``, where it was before 7.0."""
        return not self._http.disable_ssl_verification

    @property
    def big_segments(self) -> BigSegmentsConfig:
        """Options of Big Segments."""
        return self._big_segments

    @property
    def hooks(self) -> list[Any]:
        """The hooks that were given (a copy)."""
        return list(self._hooks)

    @property
    def plugins(self) -> list[Any]:
        """The plugins that were given (a copy)."""
        return list(self._plugins)

    @property
    def update_processor_class(self) -> Any:
        """The data source that was given, or None."""
        return self._update_processor_class

    @property
    def feature_store(self) -> Any:
        """The store that was given, or None for the one in memory."""
        return self._feature_store

    @property
    def feature_requester_class(self) -> Any:
        """The requester that was given, or None."""
        return self._feature_requester_class

    @property
    def event_processor_class(self) -> Any:
        """The event processor that was given, or None."""
        return self._event_processor_class

    @property
    def event_consumer_class(self) -> Any:
        """The event consumer (before 6.0) that was given, or None."""
        return self._event_consumer_class

    @property
    def datasystem_config(self) -> Any:
        """The data system that was given, or None."""
        return self._datasystem_config

    @property
    def data_source_update_sink(self) -> DataSourceUpdateSink | None:
        """Where a data source of the application's own may put data and tell its state; None in a Config that no client
        has handed to its source."""
        return self._update_sink

    def __eq__(self, other: object) -> bool:
        # The sink is no option: the Config that a data source is given equals the one that the client was given.
        return self._given() == other._given() if isinstance(other, Config) else NotImplemented

    def __hash__(self) -> int:
        return hash((self._sdk_key, self._base_uri, self._events_uri, self._stream_uri, self._offline))

    def __repr__(self) -> str:
        return _describe("Config", self._given(), _DEFAULTS.__dict__)

    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_update_sink"}

    def _copy(self) -> Config:
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def _with_update_sink(self, sink: DataSourceUpdateSink) -> Config:
        copy = self._copy()
        copy._update_sink = sink
        return copy

    def _with_sdk_key(self, sdk_key: str) -> Config:
        copy = self._copy()
        copy._sdk_key = _values.sdk_key(sdk_key) or self._sdk_key
        return copy

    def _refuse_what_is_missing(self) -> None:
        """Raises ValueError when an option is set that clients of this release cannot honour."""
        missing = {
            "datasystem_config": self._datasystem_config is not None,
        }
        names = [name for name, is_set in missing.items() if is_set]
        if names:
            raise ValueError(
                f"this release of ldclient cannot honour {', '.join(names)} yet, and ignoring it could serve wrong "
                "flags: leave it out, or wait for a later release"
            )

    def _has_own_events(self) -> bool:
        """Whether events go to a class of the application's own. As in the reference, not when none are sent."""
        given = self._event_processor_class, self._event_consumer_class
        if None not in given:
            logs.logger().warning("event_consumer_class has no effect beside event_processor_class.")
        return given != (None, None) and self._send_events and not self._offline

    def _has_own_source(self) -> bool:
        """Whether flags come from a class of the application's own."""
        from .integrations import _FileSource

        source = self._update_processor_class
        if source is not None:
            return not isinstance(source, _FileSource)
        # As in the reference, only polling asks a requester.
        return self._feature_requester_class is not None and not self._stream and not self._use_ldd

    def _store_options(self) -> tuple[dict[str, Any] | None, str]:
        store = self._feature_store
        if store is None or self._offline:
            return None, "memory"
        from . import _stores

        describe = getattr(store, "describe_configuration", None)
        return _stores.options(store), str(describe(self)) if callable(describe) else "custom"

    def _options(self) -> dict[str, object]:
        """Returns the options in the form that the native client reads: plain values, seconds, every name present."""
        from .integrations import _FileSource

        http = self._http
        own_source = self._has_own_source()
        source = None if own_source else self._update_processor_class
        store, data_store_type = self._store_options()
        return {
            "store": store,
            "data_store_type": data_store_type,
            "own_source": own_source,
            "sdk_key": self._sdk_key,
            "base_uri": self._base_uri,
            "stream_uri": self._stream_uri,
            "events_uri": self._events_uri,
            "stream": self._stream,
            "offline": self._offline,
            "use_ldd": self._use_ldd,
            "send_events": self._send_events,
            "initial_reconnect_delay": float(self._initial_reconnect_delay),
            "poll_interval": float(self._poll_interval),
            "files": source.options() if isinstance(source, _FileSource) else None,
            "events_max_pending": self._events_max_pending,
            "flush_interval": float(self._flush_interval),
            "context_keys_capacity": self._context_keys_capacity,
            "context_keys_flush_interval": float(self._context_keys_flush_interval),
            "private_attributes": list(self._private_attributes),
            "public_attributes": self.public_attributes,
            "all_attributes_private": self._all_attributes_private,
            "omit_anonymous_contexts": self._omit_anonymous_contexts,
            "enable_event_compression": self._enable_event_compression,
            "diagnostic_opt_out": self._diagnostic_opt_out,
            "diagnostic_recording_interval": float(self._diagnostic_recording_interval),
            "wrapper_name": self._wrapper_name or None,
            "wrapper_version": self._wrapper_version or None,
            "application_id": self._application["id"] or None,
            "application_version": self._application["version"] or None,
            "payload_filter_key": self._payload_filter_key or None,
            "connect_timeout": float(http.connect_timeout),
            "read_timeout": float(http.read_timeout),
            "http_proxy": http.http_proxy,
            "ca_certs": http.ca_certs,
            "cert_file": http.cert_file,
            "disable_ssl_verification": http.disable_ssl_verification,
            "defaults": dict(self._defaults) or None,
            "big_segments": self._big_segments._options(),
            "instance_id": _random_uuid(),
        }


def _send_events(send_events: object, events_enabled: object, offline: bool) -> bool:
    if offline:
        return False
    if send_events is not None:
        return _values.switch("send_events", send_events)
    return True if events_enabled is None else _values.switch("events_enabled", events_enabled)


def _least_poll_interval(base_uri: str) -> float:
    host = _values.host(base_uri)
    own = any(host == domain or host.endswith("." + domain) for domain in _SERVICE_DOMAINS)
    return _SERVICE_POLL_INTERVAL if own else _OTHER_POLL_INTERVAL


def _private_attributes(references: object, names: object) -> tuple[str, ...]:
    private = set(() if references is None else _values.names("private_attributes", references))
    private.update(
        map(_values.literal, () if names is None else _values.names("private_attribute_names", names)),
    )
    return tuple(sorted(private))


def _instance(name: str, value: Any, kind: type) -> Any:
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}")
    return value


def _http(given: dict[str, Any]) -> HTTPConfig:
    """Joins the ``http`` group with its options' older places outside it, where the group wins as it did in 6.13."""
    outside = {
        name: given[name]
        for name in ("connect_timeout", "read_timeout", "http_proxy", "verify_ssl")
        if given.get(name) is not None
    }
    group: HTTPConfig | None = _instance("http", given.get("http"), HTTPConfig)
    if group is not None:
        if outside:
            logs.logger().warning("Config(http=...) is given too, so this has no effect: %s", ", ".join(outside))
        return group
    verify = _values.switch("verify_ssl", outside.pop("verify_ssl", True))
    return HTTPConfig(**outside, disable_ssl_verification=not verify)


def _random_uuid() -> str:
    # A random (version 4) UUID. The module uuid would take longer to import than this whole package.
    import os

    number = bytearray(os.urandom(16))
    number[6] = number[6] & 0x0F | 0x40
    number[8] = number[8] & 0x3F | 0x80
    text = number.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _describe(kind: str, values: dict[str, Any], defaults: dict[str, Any]) -> str:
    """The repr: what differs from the defaults, without the SDK key and without the passwords of addresses."""
    shown = []
    for attribute, value in values.items():
        if value == defaults[attribute]:
            continue
        name = attribute[1:]
        if name == "sdk_key":
            shown.append("sdk_key=<hidden>")
        elif name == "defaults":
            shown.append(f"defaults=<{len(value)} flags>")
        elif name.endswith("_uri") or name == "http_proxy":
            shown.append(f"{name}={_values.without_password(value)!r}")
        elif isinstance(value, _SHOWN):
            shown.append(f"{name}={value!r}")
        else:
            # A store or a hook may show an address with a password in its own repr.
            shown.append(f"{name}=<{getattr(value, '__name__', type(value).__name__)}>")
    return f"{kind}({', '.join(shown)})"


_SHOWN = (bool, int, float, str, tuple, dict, type(None), HTTPConfig, BigSegmentsConfig)

_HTTP_DEFAULTS = HTTPConfig()
_BIG_SEGMENTS_DEFAULTS = BigSegmentsConfig()
_DEFAULTS = Config()

# `ldclient.config` is this module, and the Config itself once one is assigned there. `ldclient.config.Config` must
# resolve either way.
for _name in __all__:
    setattr(Config, _name, globals()[_name])
