"""What the harness plays for the client through callbacks: hooks, a big segment store, listeners and the two systems of
a migration. Each is written against the public interface, as a user of the package would write it.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ldclient import Context, Result
from ldclient.evaluation import EvaluationDetail
from ldclient.hook import EvaluationSeriesContext, Hook, Metadata, TrackSeriesContext
from ldclient.interfaces import BigSegmentStore, BigSegmentStoreMetadata, FlagChange, FlagValueChange

__all__ = ["CallbackHook", "CallbackStore", "answer_of", "migration_step", "on_change", "on_value_change"]

# Seconds; the harness itself gives up after 5.
_PATIENCE = 10

_Json = dict[str, Any]


class CallbackError(Exception):
    """The harness answered with an error, as some of its tests want it to."""


class CallbackHook(Hook):
    """Tells the harness of each stage, returns the data it was configured with, raises the errors it was told to."""

    def __init__(self, parameters: _Json) -> None:
        self._name: str = parameters["name"]
        self._uri: str = parameters["callbackUri"]
        self._data: Mapping[str, _Json] = parameters.get("data") or {}
        self._errors: Mapping[str, str] = parameters.get("errors") or {}

    @property
    def metadata(self) -> Metadata:
        return Metadata(name=self._name)

    def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict[str, Any]) -> dict[str, Any]:
        return self._evaluation_stage("beforeEvaluation", series_context, data, None)

    def after_evaluation(
        self, series_context: EvaluationSeriesContext, data: dict[str, Any], detail: EvaluationDetail
    ) -> dict[str, Any]:
        return self._evaluation_stage("afterEvaluation", series_context, data, detail)

    def after_track(self, series_context: TrackSeriesContext) -> None:
        self._raise_if_told("afterTrack")
        series: _Json = {"key": series_context.key, "context": series_context.context.to_dict()}
        if series_context.data is not None:
            series["data"] = series_context.data
        if series_context.metric_value is not None:
            series["metricValue"] = series_context.metric_value
        if series_context.environment_id is not None:
            series["environmentId"] = series_context.environment_id
        _post(self._uri, {"stage": "afterTrack", "trackSeriesContext": series})

    def _evaluation_stage(
        self, stage: str, series_context: EvaluationSeriesContext, data: dict[str, Any], detail: EvaluationDetail | None
    ) -> dict[str, Any]:
        self._raise_if_told(stage)
        series: _Json = {
            "flagKey": series_context.key,
            "context": series_context.context.to_dict(),
            "defaultValue": series_context.default_value,
            "method": series_context.method,
        }
        if series_context.environment_id is not None:
            series["environmentId"] = series_context.environment_id
        payload: _Json = {"stage": stage, "evaluationSeriesContext": series, "evaluationSeriesData": data}
        if detail is not None:
            payload["evaluationDetail"] = answer_of(detail)
        _post(self._uri, payload)
        return {**data, **(self._data.get(stage) or {})}

    def _raise_if_told(self, stage: str) -> None:
        if stage in self._errors:
            raise RuntimeError(self._errors[stage])


class CallbackStore(BigSegmentStore):
    """A big segment store whose content the harness holds."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def get_metadata(self) -> BigSegmentStoreMetadata:
        return BigSegmentStoreMetadata(json.loads(_post(f"{self._uri}/getMetadata", None)).get("lastUpToDate"))

    def get_membership(self, context_hash: str) -> dict[str, bool] | None:
        answer = json.loads(_post(f"{self._uri}/getMembership", {"contextHash": context_hash}))
        values: dict[str, bool] | None = answer.get("values")
        return values

    def stop(self) -> None:
        pass


def migration_step(uri: str) -> Callable[[str | None], Result]:
    """Returns the function that reads from, or writes to, one of the two systems."""

    def step(payload: str | None) -> Result:
        try:
            return Result.success(_post_text(uri, payload or ""))
        except (CallbackError, OSError) as error:
            return Result.fail(str(error), error)

    return step


def on_change(uri: str, listener_id: str) -> Callable[[FlagChange], None]:
    """Returns a listener that reports which flag changed."""
    return lambda change: _send(uri, {"listenerId": listener_id, "flagKey": change.key})


def on_value_change(uri: str, listener_id: str) -> Callable[[FlagValueChange], None]:
    """Returns a listener that reports a flag's value for one context, before and after."""
    return lambda change: _send(
        uri,
        {
            "listenerId": listener_id,
            "flagKey": change.key,
            "oldValue": change.old_value,
            "newValue": change.new_value,
        },
    )


def answer_of(detail: EvaluationDetail) -> _Json:
    """Returns the harness's form of an evaluation detail."""
    answer: _Json = {"value": detail.value, "reason": detail.reason}
    if detail.variation_index is not None:
        answer["variationIndex"] = detail.variation_index
    return answer


def context_of(parameters: _Json) -> Context | _Json:
    """Returns whom a command is about: a context, or a user in the form of before 8.0, which is passed on as it is."""
    if parameters.get("context") is not None:
        return Context.from_dict(parameters["context"])
    user: _Json = parameters["user"]
    return user


def _send(uri: str, payload: _Json) -> None:
    _post(uri, payload)


def _post(uri: str, payload: _Json | None) -> str:
    return _post_text(uri, "" if payload is None else json.dumps(payload), "application/json")


def _post_text(uri: str, body: str, content_type: str = "text/plain") -> str:
    where = urlsplit(uri)
    connection = http.client.HTTPConnection(where.hostname or "localhost", where.port, timeout=_PATIENCE)
    try:
        connection.request("POST", where.path, body.encode(), {"Content-Type": content_type})
        response = connection.getresponse()
        text = response.read().decode()
        if response.status >= 300:
            raise CallbackError(f"the callback answered {response.status}")
        return text
    finally:
        connection.close()
