"""LaunchDarkly as a provider of OpenFeature: ``api.set_provider(LaunchDarklyProvider(Config("sdk-key")))``.

It needs the package ``openfeature-sdk`` (``pip install 'ldclient-rs[openfeature]'``). Whom an evaluation context means
is ``_openfeature_context``'s question.

1. Making a provider waits for nothing. ``initialize``, which the API calls, waits at most ``start_wait`` seconds for
   flags. Without them the provider is in the state ERROR, which is not fatal: it becomes READY when flags arrive.
2. Events tell what is so. READY: the flags are those that the service has. STALE: the last known ones are served.
   ERROR: no more will come; fatal only where none are known. A key that the service refuses is not fatal: it is tried
   again. Each is told once, and only when it differs from what was told last. What came and went before it could be
   told is not told.
3. An evaluation is one native call, which never waits. The asynchronous methods call the same.
4. Events are told on the thread ``ldclient-listeners``. No lock is held: it could be inherited locked by a forked child.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Literal

try:
    from openfeature.event import ProviderEvent, ProviderEventDetails
    from openfeature.exception import ErrorCode, ProviderFatalError, ProviderNotReadyError
    from openfeature.flag_evaluation import FlagResolutionDetails, Reason
    from openfeature.provider import AbstractProvider, Metadata, ProviderStatus
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "ldclient.openfeature needs openfeature-sdk: pip install 'ldclient-rs[openfeature]'",
        name=error.name,
    ) from error

from . import _hooks, _ldclient, _openfeature_context, _reasons
from .client import LDClient
from .config import Config
from .interfaces import DataSourceState
from .listeners import Listeners

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagValueType
    from openfeature.provider import FeatureProvider
    from openfeature.track import TrackingEventDetails

    from .evaluation import EvaluationDetail
    from .interfaces import DataSourceStatus, FlagChange

__all__ = ["LaunchDarklyProvider"]

# Seconds that the first event waits at most until the API has told how the start ended.
_REGISTRATION = 1.0

_ENDED = "no more flag data will come: the data source ended, or the client was closed"

_REASONS = {kind: Reason(reason) for kind, reason in _reasons.REASONS.items()}
_CODES = {kind: ErrorCode(code) for kind, code in _reasons.ERRORS.items()}
_FALLTHROUGH = {"static": Reason.STATIC, "rules": Reason.DEFAULT, "rollout": Reason.SPLIT}

# What a reason tells beside its kind, and an OpenFeature user finds in the metadata.
_TOLD = ("ruleIndex", "ruleId", "inExperiment", "prerequisiteKey", "bigSegmentsStatus")

_TYPES = {
    "bool_variation_detail": "a boolean",
    "str_variation_detail": "a text",
    "int_variation_detail": "a whole number",
    "float_variation_detail": "a number",
    "json_variation_detail": "an object or a list",
}
_Method = Literal[
    "bool_variation_detail",
    "str_variation_detail",
    "int_variation_detail",
    "float_variation_detail",
    "json_variation_detail",
]


class LaunchDarklyProvider(AbstractProvider):
    """Resolves OpenFeature's flags from LaunchDarkly's.

    :param config_or_client: the options of a client, which the provider makes and closes; or a client that is there
        already, which ``shutdown`` leaves open
    :param start_wait: seconds that ``initialize`` waits for flags; default 5
    :raises TypeError: the first argument is neither, or the wait is no number
    :raises ValueError: the wait is negative, or the options are refused as :class:`ldclient.LDClient` refuses them

    >>> from ldclient import Config
    >>> from openfeature import api
    >>> api.set_provider_and_wait(LaunchDarklyProvider(Config(offline=True)))
    >>> api.get_client().get_boolean_value("any.flag", False)
    False
    >>> api.shutdown()
    """

    def __init__(self, config_or_client: Config | LDClient, start_wait: float = 5) -> None:
        super().__init__()
        if not isinstance(config_or_client, (Config, LDClient)):
            raise TypeError(f"expected a Config or an LDClient, got {type(config_or_client).__name__}")
        if not math.isfinite(start_wait) or start_wait < 0:
            raise ValueError(f"start_wait must be a number of seconds, 0 or more; got {start_wait!r}")
        self._start_wait = start_wait
        self._config = config_or_client if isinstance(config_or_client, Config) else None
        self._client = config_or_client if isinstance(config_or_client, LDClient) else LDClient(config_or_client, 0)
        self._metadata = Metadata(name="LaunchDarkly")
        # What the API was told last; None while `initialize` has not ended, when the API is told by that.
        self._told: ProviderEvent | None = None
        self._settled = False
        self._changed: list[str] = []
        self._looks = Listeners()
        self._looks.add(self._look)
        self._environment: str | None = None

    @property
    def client(self) -> LDClient:
        """The client behind this provider, for what OpenFeature has no words for."""
        return self._client

    def get_metadata(self) -> Metadata:
        """Returns the provider's name, ``LaunchDarkly``."""
        return self._metadata

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002
        """Waits for flags, at most ``start_wait`` seconds. The API calls it, on a thread of its own or the caller's.

        :raises ProviderNotReadyError: there are none yet. A READY event follows when they arrive
        :raises ProviderFatalError: there are none and none will come: the client is closed, or its files cannot be read
        """
        if self._config is not None and self._client.is_closed():
            # Registered again after a shutdown.
            self._client = LDClient(self._config, 0)
        client = self._client
        self._told, self._settled = None, False
        client.data_source_status_provider.remove_listener(self._hear_status)
        client.data_source_status_provider.add_listener(self._hear_status)
        deadline = time.monotonic() + self._start_wait
        client._wait_for_start(self._start_wait)
        has_data = client._has_data()
        # A wait in vain ends early where flags will never come.
        is_over = time.monotonic() < deadline or client.is_closed()
        client.flag_tracker.remove_listener(self._hear_change)
        client.flag_tracker.add_listener(self._hear_change)
        self._told = ProviderEvent.PROVIDER_READY if has_data else ProviderEvent.PROVIDER_ERROR
        # Whatever happened meanwhile is told after the outcome of the start.
        client._notifications().post(self._looks, None)
        if has_data:
            return
        if is_over:
            raise ProviderFatalError(self._why(_ENDED))
        raise ProviderNotReadyError(self._why("no flag data has arrived yet; the client goes on trying"))

    def shutdown(self) -> None:
        """Ends the events, and closes the client if the provider made it, which delivers what waits."""
        self._client.data_source_status_provider.remove_listener(self._hear_status)
        self._client.flag_tracker.remove_listener(self._hear_change)
        self._told = None
        if self._config is not None:
            self._client.close()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Resolves a flag that serves booleans."""
        return self._resolve("bool_variation_detail", flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Resolves a flag that serves text."""
        return self._resolve("str_variation_detail", flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Resolves a flag that serves whole numbers. 10.0 is one; 0.5 is a TYPE_MISMATCH."""
        return self._resolve("int_variation_detail", flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Resolves a flag that serves numbers, as a float."""
        if type(default_value) is int:
            default_value = float(default_value)
        return self._resolve("float_variation_detail", flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Resolves a flag that serves objects or lists."""
        return self._resolve("json_variation_detail", flag_key, default_value, evaluation_context)

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Records an event: the details' value becomes its metric value, their attributes its data. Never raises."""
        user = _openfeature_context.user_of(evaluation_context)
        if user is None:
            _openfeature_context.tell("track() needs a targeting key or an ambient user; the event was not recorded.")
            return
        value = data = None
        if tracking_event_details is not None:
            value, data = tracking_event_details.value, tracking_event_details.attributes or None
        self._client.track(tracking_event_name, user, data, value)

    def _resolve(
        self, method: _Method, key: str, default: Any, evaluation_context: EvaluationContext | None
    ) -> FlagResolutionDetails[Any]:
        user = _openfeature_context.user_of(evaluation_context)
        if user is None:
            return FlagResolutionDetails(
                default,
                ErrorCode.TARGETING_KEY_MISSING,
                f'flag "{key}" was asked for without a targeting key, and there is no ambient user',
                Reason.ERROR,
            )
        client = self._client
        if client._hooks:
            detail, known = self._resolve_with_hooks(method, key, user, default)
        else:
            detail, known = client._resolve(method, key, user, default)
        reason = detail.reason
        kind = reason["kind"]
        if kind == "ERROR":
            return self._failed(method, key, user, default, reason.get("errorKind"))
        value, index = detail.value, detail.variation_index
        metadata: dict[str, bool | int | float | str] = {"reasonKind": kind}
        if len(reason) > 1:
            for name in _TOLD:
                told = reason.get(name)
                if told is not None:
                    metadata[name] = told
        standard = _REASONS.get(kind, Reason.UNKNOWN)
        if known is not None:
            metadata["version"] = str(known[0])
            if kind == "FALLTHROUGH":
                standard = _FALLTHROUGH[known[1]]
        environment = self._environment
        if environment is None:
            environment = self._environment = client._environment_id()
        if environment is not None:
            metadata["flagSetId"] = environment
        if index is None:
            return FlagResolutionDetails(value, None, None, standard, None, metadata)
        if method == "json_variation_detail" and not isinstance(value, (dict, list)):
            return self._failed(method, key, user, default, "WRONG_TYPE")
        metadata["variationIndex"] = index
        return FlagResolutionDetails(value, None, None, standard, str(index), metadata)

    def _resolve_with_hooks(
        self, method: _Method, key: str, user: Any, default: Any
    ) -> tuple[EvaluationDetail[Any], tuple[int, Literal["static", "rules", "rollout"]] | None]:
        known = None

        def answer() -> EvaluationDetail[Any]:
            nonlocal known
            detail, known = self._client._resolve(method, key, user, default)
            return detail

        return _hooks.around(self._client, method, key, user, default, answer), known

    def _failed(
        self, method: _Method, key: str, user: Any, default: Any, kind: str | None
    ) -> FlagResolutionDetails[Any]:
        code, message = _CODES.get(kind or "", ErrorCode.GENERAL), _reasons.message(kind, key)
        if kind == "WRONG_TYPE":
            message = f'flag "{key}" does not serve {_TYPES[method]}'
        elif kind == "USER_NOT_SPECIFIED":
            # There was a key, so something else is wrong.
            code = ErrorCode.INVALID_CONTEXT
            message = f"{message}: {_ldclient.context_of(user).error}"
        return FlagResolutionDetails(default, code, message, Reason.ERROR)

    def _hear_status(self, status: DataSourceStatus) -> None:  # noqa: ARG002
        # Not what it was then but what it is now: a later one may have been told already.
        self._look(None)

    def _hear_change(self, change: FlagChange) -> None:
        if self._told is None:
            return
        self._changed.append(change.key)
        if len(self._changed) == 1:
            # Told together with the other flags of the same delivery: posts come after them.
            self._client._notifications().post(self._looks, None)

    def _look(self, _posted: None) -> None:
        """Tells the API what has become of the data source since it was told last, and which flags changed."""
        if self._told is None:
            return
        self._wait_for_registration()
        event, details = self._now()
        if event is not None and event != self._told:
            self._told = event
            self.emit(event, details)
        if self._changed:
            changed, self._changed = self._changed, []
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=changed))

    def _now(self) -> tuple[ProviderEvent | None, ProviderEventDetails]:
        """The event that says how things are, and its details; None where nothing can be said yet."""
        state = self._client.data_source_status_provider.status.state
        has_data = self._client._has_data()
        if state == DataSourceState.OFF and not self._client.is_offline():
            why = self._why(_ENDED)
            code = ErrorCode.GENERAL if has_data else ErrorCode.PROVIDER_FATAL
            return ProviderEvent.PROVIDER_ERROR, ProviderEventDetails(message=why, error_code=code)
        if not has_data:
            return None, ProviderEventDetails()
        if state == DataSourceState.INTERRUPTED:
            why = self._why("the connection is interrupted; the last known flags are served")
            return ProviderEvent.PROVIDER_STALE, ProviderEventDetails(message=why)
        return ProviderEvent.PROVIDER_READY, ProviderEventDetails()

    def _why(self, otherwise: str) -> str:
        error = self._client.data_source_status_provider.status.error
        return error.message if error is not None and error.message else otherwise

    def _wait_for_registration(self) -> None:
        """Waits until the API has told how ``initialize`` ended, which it does right after, on its own thread."""
        if self._settled:
            return
        self._settled = True
        registry = getattr(getattr(self, "_on_emit", None), "__self__", None)
        status: Callable[[FeatureProvider], ProviderStatus] | None = getattr(registry, "get_provider_status", None)
        deadline = time.monotonic() + _REGISTRATION
        while status is not None and status(self) == ProviderStatus.NOT_READY and time.monotonic() < deadline:
            time.sleep(0.001)
