"""Plugins: what an integration brings along, hooks and a place to begin. Starting them is left to ``_plugins``.

A plugin that raises costs itself: the client starts without it and says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .hook import Hook

if TYPE_CHECKING:
    from .client import LDClient

__all__ = ["ApplicationMetadata", "EnvironmentMetadata", "Plugin", "PluginMetadata", "SdkMetadata"]


@dataclass
class SdkMetadata:
    """Which SDK a plugin works with."""

    name: str
    """``python-server-sdk``, as the service calls an SDK of this kind."""
    version: str
    """The version of this package."""
    wrapper_name: str | None = None
    """As in the Config."""
    wrapper_version: str | None = None
    """As in the Config."""


@dataclass
class ApplicationMetadata:
    """Which application a plugin works in, as in the Config."""

    id: str | None = None
    version: str | None = None


@dataclass
class EnvironmentMetadata:
    """Where a plugin finds itself."""

    sdk: SdkMetadata
    """The SDK."""
    # Not in the repr, which may be logged.
    sdk_key: str | None = field(default=None, repr=False)
    """The SDK key; not in the repr."""
    application: ApplicationMetadata | None = None
    """The application."""


@dataclass
class PluginMetadata:
    """What a plugin says of itself."""

    name: str
    """Its name in the log."""


class Plugin(ABC):
    """The class that every plugin inherits from; instances are given to ``Config(plugins=[...])``.

    >>> from ldclient import Config, LDClient
    >>> class Greeting(Plugin):
    ...     @property
    ...     def metadata(self):
    ...         return PluginMetadata(name="greeting")
    ...
    ...     def register(self, client, metadata):
    ...         print("started with", metadata.sdk.name)
    >>> LDClient(Config(offline=True, plugins=[Greeting()])).close()
    started with python-server-sdk
    """

    @property
    @abstractmethod
    def metadata(self) -> PluginMetadata:
        """What the plugin says of itself."""
        return PluginMetadata(name="UNDEFINED")

    @abstractmethod
    def register(self, client: LDClient, metadata: EnvironmentMetadata) -> None:
        """Called once for each client, when it is made and before it waits for flags. Not called again after a fork.

        :param client: the client. It can be used, but evaluations may return their defaults still
        :param metadata: where the plugin finds itself
        """

    def get_hooks(self, metadata: EnvironmentMetadata) -> list[Hook]:  # noqa: ARG002
        """Called before ``register``; what it returns is added to the client's hooks, behind those of the Config.

        :param metadata: where the plugin finds itself
        """
        return []
