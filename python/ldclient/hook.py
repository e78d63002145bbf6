"""Hooks: code of the application that runs before and after evaluations, and after events. Running them is left to
``_hooks``.

1. Stages run on the caller's thread, in the order in which the hooks were added; those after an evaluation in reverse,
   so that the first hook is around all others.
2. A stage that raises costs itself: the evaluation and the other hooks go on, and the first time it is logged.
3. An evaluation that a stage asks for runs the stages of the other hooks; one that such a stage asks for runs none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from .context import Context
from .evaluation import EvaluationDetail

__all__ = ["EvaluationSeriesContext", "Hook", "Metadata", "TrackSeriesContext"]


@dataclass
class EvaluationSeriesContext:
    """What an evaluation was asked for. All hooks are given the same one: do not change it."""

    key: str
    """The flag."""
    context: Context
    """Whom it is evaluated for; a dict user as a Context, and an invalid Context for what is neither."""
    default_value: Any
    """The caller's default; of a migration, the text of the default stage."""
    method: str
    """The name of the method that was called, such as ``variation_detail``."""
    environment_id: str | None = None
    """The service's id of the environment, once it told."""


@dataclass
class TrackSeriesContext:
    """What an event was recorded with. All hooks are given the same one: do not change it."""

    context: Context
    """Whom the event is about; a dict user as a Context."""
    key: str
    """The event's name."""
    data: Any = None
    """The data that was given."""
    metric_value: float | None = None
    """The number that was given."""
    environment_id: str | None = None
    """The service's id of the environment, once it told."""


@dataclass
class Metadata:
    """What a hook says of itself."""

    name: str
    """Its name in the log."""


class Hook(ABC):
    """The class that every hook inherits from. A stage that a hook does not define does nothing.

    >>> class Printing(Hook):
    ...     @property
    ...     def metadata(self):
    ...         return Metadata(name="printing")
    ...
    ...     def after_evaluation(self, series_context, data, detail):
    ...         print(series_context.key, detail.value)
    ...         return data
    >>> from ldclient import Config, LDClient
    >>> with LDClient(Config(offline=True, hooks=[Printing()])) as client:
    ...     answer = client.variation("any.flag", {"key": "aa0ceb"}, False)
    any.flag False
    """

    @property
    @abstractmethod
    def metadata(self) -> Metadata:
        """What the hook says of itself."""
        return Metadata(name="UNDEFINED")

    def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Runs before a flag is evaluated.

        :param series_context: what is asked
        :param data: empty
        :return: what ``after_evaluation`` of this hook gets as ``data`` for this evaluation
        """
        return data

    def after_evaluation(
        self,
        series_context: EvaluationSeriesContext,  # noqa: ARG002
        data: dict[str, Any],
        detail: EvaluationDetail[Any],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Runs after a flag was evaluated.

        :param series_context: what was asked
        :param data: what ``before_evaluation`` returned; empty when it raised
        :param detail: the answer
        :return: the data, for stages to come; nothing uses it today
        """
        return data

    def after_track(self, series_context: TrackSeriesContext) -> None:  # noqa: B027
        """Runs after ``track`` recorded an event, and not when there was no valid context to record it for.

        (launchdarkly-server-sdk 9.20 has no such stage; LaunchDarkly's other SDKs do.)

        :param series_context: what was recorded
        """
