"""Flag evaluations on OpenTelemetry's spans, and a client's figures as metrics.

It needs the package ``opentelemetry-api`` (``pip install 'ldclient-rs[opentelemetry]'``). Names are those of the
semantic conventions for feature flags as of 1.40, and those that LaunchDarkly's own hooks add.

>>> from ldclient import Config, LDClient
>>> client = LDClient(Config(offline=True, hooks=[Hook(HookOptions(include_value=True))]))
>>> instrument(client)
>>> client.close()
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

try:
    from opentelemetry import context as current_context
    from opentelemetry import metrics, trace
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "ldclient.opentelemetry needs opentelemetry-api: pip install 'ldclient-rs[opentelemetry]'",
        name=error.name,
    ) from error

from . import _reasons, logs
from .hook import Hook as _Hook
from .hook import Metadata
from .version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from logging import Logger

    from .client import LDClient
    from .evaluation import EvaluationDetail
    from .hook import EvaluationSeriesContext
    from .stats import Stats

__all__ = ["Hook", "HookOptions", "instrument"]

_STATES = ("INITIALIZING", "VALID", "INTERRUPTED", "OFF")


@dataclass
class HookOptions:
    """The options of :class:`Hook`. Names and defaults are those of ``launchdarkly-server-sdk-otel``."""

    add_spans: bool = False
    """Adds a span around each evaluation, named after the method that was called."""
    include_variant: bool = False
    """The older name of ``include_value``."""
    logger: Logger | None = None
    """Where a wrong option is told; default the package's logger, ``ldclient``."""
    include_value: bool = False
    """Adds the value to events: what a flag serves may be large, or private."""
    environment_id: str | None = None
    """The environment that events name. Default is what the service calls it, once it told."""
    event_name: str = "feature_flag"
    """The events' name. LaunchDarkly's own hooks and its service call them ``feature_flag``; the semantic conventions call
    the same event ``feature_flag.evaluation``."""


class Hook(_Hook):
    """Adds an event to the current span whenever a flag is evaluated. Without a span that records, it does nothing.

    :param options: what to add; default no values and no spans

    Give it to ``Config(hooks=[...])`` or to ``client.add_hook``.
    """

    def __init__(self, options: HookOptions | None = None) -> None:
        options = HookOptions() if options is None else options
        environment: object = options.environment_id
        self._environment = environment if isinstance(environment, str) and environment else None
        if self._environment is None and environment is not None:
            (options.logger or logs.logger()).warning(
                "The option environment_id of the OpenTelemetry hook must be a text that is not empty; it is not used."
            )
        self._tracer = trace.get_tracer("launchdarkly", VERSION) if options.add_spans else None
        self._with_value = options.include_value or options.include_variant
        self._event = options.event_name

    @property
    def metadata(self) -> Metadata:
        """The hook's name in the log."""
        return Metadata(name="LaunchDarkly Tracing Hook")

    def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict[str, Any]) -> dict[str, Any]:
        """Begins the span around the evaluation, where ``add_spans`` asks for it."""
        if self._tracer is None:
            return data
        attributes = {
            "feature_flag.key": series_context.key,
            "feature_flag.context.id": series_context.context.fully_qualified_key,
        }
        span = self._tracer.start_span(series_context.method, attributes=attributes)
        return {**data, "span": span, "token": current_context.attach(trace.set_span_in_context(span))}

    def after_evaluation(
        self, series_context: EvaluationSeriesContext, data: dict[str, Any], detail: EvaluationDetail[Any]
    ) -> dict[str, Any]:
        """Ends that span, and adds the event to the one around it."""
        if self._tracer is not None and "span" in data:
            current_context.detach(data["token"])
            data["span"].end()
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(self._event, self._attributes(series_context, detail))
        return data

    def _attributes(self, series: EvaluationSeriesContext, detail: EvaluationDetail[Any]) -> dict[str, Any]:
        reason = detail.reason or {}
        kind = reason.get("kind")
        attributes: dict[str, Any] = {
            "feature_flag.key": str(series.key),
            "feature_flag.provider.name": "LaunchDarkly",
            "feature_flag.context.id": series.context.fully_qualified_key,
        }
        standard = _reasons.REASONS.get(kind or "", "UNKNOWN")
        if reason.get("inExperiment"):
            attributes["feature_flag.result.reason.inExperiment"] = True
            standard = "SPLIT" if kind == "FALLTHROUGH" else standard
        attributes["feature_flag.result.reason"] = standard.lower()
        if detail.variation_index is not None:
            attributes["feature_flag.result.variant"] = str(detail.variation_index)
            attributes["feature_flag.result.variationIndex"] = detail.variation_index
        environment = self._environment or series.environment_id
        if environment:
            attributes["feature_flag.set.id"] = environment
        if kind == "ERROR":
            error = reason.get("errorKind")
            attributes["error.type"] = _reasons.ERRORS.get(error or "", "GENERAL").lower()
            attributes["feature_flag.error.message"] = _reasons.message(error, series.key)
        if self._with_value:
            attributes["feature_flag.result.value"] = _value(detail.value)
        return attributes


def instrument(
    client: LDClient,
    meter_provider: metrics.MeterProvider | None = None,
    attributes: Mapping[str, str | bool | int | float] | None = None,
) -> None:
    """Offers the client's figures, those of ``stats()``, as metrics. They are read when the metrics are collected.

    :param client: the client; that its figures are read does not keep it alive
    :param meter_provider: whose metrics they become; default the one of the application
    :param attributes: what every figure of this client is marked with. Where an application has several clients, marks
        tell them apart; the id of the environment is one of itself, ``feature_flag.set.id``, once the service told it

    =====================================  ================================================================
    ``ldclient.events.accepted``           events that were handed in
    ``ldclient.events.sent``               events that the service took
    ``ldclient.events.dropped``            events that were lost, by ``reason``
    ``ldclient.events.pending``            events that wait, or are under way
    ``ldclient.data.age``                  seconds since flag data last arrived or was confirmed
    ``ldclient.data.contact_age``          seconds since the data source last gave a sign of life
    ``ldclient.data.updates``              changes that arrived
    ``ldclient.flags``                     flags that are known
    ``ldclient.data_source.state``         1 for the state it is in, by ``state``; 0 for the others
    ``ldclient.data_source.reconnects``    times that the stream was opened after the first one
    ``ldclient.data_source.failures``      attempts to open it that failed
    =====================================  ================================================================
    """
    provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
    clients = _instrumented.get(provider)
    if clients is None:
        clients = _instrumented[provider] = []
        _create(provider, clients)
    clients[:] = [one for one in clients if one[0]() not in (None, client)]
    clients.append((ref(client), dict(attributes or {})))


if TYPE_CHECKING:
    _Marks = dict[str, str | bool | int | float]
    _Clients = list[tuple[ref[LDClient], _Marks]]
    # A number, with marks beside those of the client.
    _Figures = Iterable[tuple[float | None, _Marks]]

# Whose metrics have instruments already: a second one of the same name would be told as a mistake.
_instrumented: WeakKeyDictionary[metrics.MeterProvider, _Clients] = WeakKeyDictionary()


def _create(provider: metrics.MeterProvider, clients: _Clients) -> None:
    meter = provider.get_meter("ldclient", VERSION)

    def read(figures: Callable[[Stats], _Figures]) -> Callable[[metrics.CallbackOptions], list[metrics.Observation]]:
        return lambda _options: _observe(clients, figures)

    def events(name: str) -> Callable[[metrics.CallbackOptions], list[metrics.Observation]]:
        return read(lambda stats: [(stats["events"].get(name), {})])  # type: ignore[list-item]

    counter, gauge = meter.create_observable_counter, meter.create_observable_gauge
    counter("ldclient.events.accepted", [events("accepted")], "{event}", "Events that were handed in")
    counter("ldclient.events.sent", [events("sent")], "{event}", "Events that the service took")
    counter("ldclient.events.dropped", [read(_dropped)], "{event}", "Events that were lost, by reason")
    meter.create_observable_up_down_counter(
        "ldclient.events.pending", [events("pending")], "{event}", "Events that wait, or are under way"
    )
    gauge(
        "ldclient.data.age",
        [read(lambda stats: [(stats["data_age_seconds"], {})])],
        "s",
        "Time since flag data last arrived or was confirmed",
    )
    gauge(
        "ldclient.data.contact_age",
        [read(lambda stats: [(stats["contact_age_seconds"], {})])],
        "s",
        "Time since the data source last gave a sign of life",
    )
    counter("ldclient.data.updates", [read(lambda stats: [(stats["updates"], {})])], "{update}", "Changes that arrived")
    gauge("ldclient.flags", [read(lambda stats: [(stats["flags"], {})])], "{flag}", "Flags that are known")
    gauge("ldclient.data_source.state", [read(_state)], "1", "1 for the state that the data source is in")
    counter(
        "ldclient.data_source.reconnects",
        [read(lambda stats: [(stats["reconnects"], {})])],
        "{connection}",
        "Times that the stream was opened after the first one",
    )
    counter(
        "ldclient.data_source.failures",
        [read(lambda stats: [(stats["failed_connections"], {})])],
        "{connection}",
        "Attempts to open the stream that failed",
    )


def _dropped(stats: Stats) -> _Figures:
    return [(count, {"reason": reason}) for reason, count in stats["events"].get("dropped", {}).items()]


def _state(stats: Stats) -> _Figures:
    return [(int(state == stats["state"]), {"state": state}) for state in _STATES]


def _observe(clients: _Clients, figures: Callable[[Stats], _Figures]) -> list[metrics.Observation]:
    observations = []
    for reference, marks in list(clients):
        client = reference()
        if client is None:
            continue
        stats = client.stats()
        if stats["environment_id"]:
            marks = {"feature_flag.set.id": stats["environment_id"], **marks}
        for figure, more in figures(stats):
            if figure is not None:
                observations.append(metrics.Observation(figure, {**marks, **more}))
    return observations


def _value(value: Any) -> str | bool | int | float:
    return value if isinstance(value, (str, bool, int, float)) else json.dumps(value, default=str)
