"""Starts the plugins of a client: their hooks first, then each is told of the client."""

from __future__ import annotations

from . import _hooks, _ldclient, logs
from .plugin import ApplicationMetadata, EnvironmentMetadata, Plugin, SdkMetadata

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .client import LDClient
    from .config import Config

_COMPLAINT = "The plugin %s raised an exception in %s: %s. The client starts without what it would have brought."


class Plugins:
    """The plugins of one client."""

    def __init__(self, config: Config) -> None:
        self._plugins: list[Plugin] = []
        for plugin in config.plugins:
            if isinstance(plugin, Plugin):
                self._plugins.append(plugin)
            else:
                logs.logger().warning(
                    "A plugin must be an ldclient.plugin.Plugin; one of type %s was left out.", type(plugin).__name__
                )
        application = config.application
        self._metadata = EnvironmentMetadata(
            sdk=SdkMetadata(
                name="python-server-sdk",
                version=_ldclient.VERSION,
                wrapper_name=config.wrapper_name,
                wrapper_version=config.wrapper_version,
            ),
            sdk_key=config.sdk_key,
            application=ApplicationMetadata(id=application.get("id"), version=application.get("version")),
        )

    def hooks(self) -> list[object]:
        """The hooks of all plugins, in their order. Those of a plugin that raises are left out."""
        hooks: list[object] = []
        for plugin in self._plugins:
            try:
                hooks.extend(plugin.get_hooks(self._metadata))
            except Exception as error:
                logs.logger().error(_COMPLAINT, _hooks.name_of(plugin), "get_hooks", _hooks.describe(error))
        return hooks

    def register(self, client: LDClient) -> None:
        """Tells every plugin of the client."""
        for plugin in self._plugins:
            try:
                plugin.register(client, self._metadata)
            except Exception as error:
                logs.logger().error(_COMPLAINT, _hooks.name_of(plugin), "register", _hooks.describe(error))
