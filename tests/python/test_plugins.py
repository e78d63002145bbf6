"""Plugins: what they are told and when, the hooks they bring, and that a broken one costs itself."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import ldclient
from ldclient import Config, LDClient
from ldclient.evaluation import EvaluationDetail
from ldclient.hook import EvaluationSeriesContext, Hook, Metadata
from ldclient.plugin import ApplicationMetadata, EnvironmentMetadata, Plugin, PluginMetadata, SdkMetadata
from stand_in import StandIn

USER = {"key": "u"}


class Named(Hook):
    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    @property
    def metadata(self) -> Metadata:
        return Metadata(name=self.name)

    def after_evaluation(
        self, series_context: EvaluationSeriesContext, data: dict[str, Any], detail: EvaluationDetail[Any]
    ) -> dict[str, Any]:
        self.notes.append(f"{self.name} {series_context.key}")
        return super().after_evaluation(series_context, data, detail)


class Noting(Plugin):
    def __init__(self, name: str, notes: list[str], hooks: int = 1) -> None:
        self.name = name
        self.notes = notes
        self.count = hooks
        self.told: list[EnvironmentMetadata] = []
        self.client: LDClient | None = None

    @property
    def metadata(self) -> PluginMetadata:
        return PluginMetadata(name=self.name)

    def register(self, client: LDClient, metadata: EnvironmentMetadata) -> None:
        self.notes.append(f"register {self.name}")
        self.client = client
        self.told.append(metadata)

    def get_hooks(self, metadata: EnvironmentMetadata) -> list[Hook]:
        self.notes.append(f"hooks of {self.name}")
        self.told.append(metadata)
        return [*super().get_hooks(metadata), *(Named(f"{self.name}{n}", self.notes) for n in range(self.count))]


def offline(*plugins: object, **options: Any) -> LDClient:
    return LDClient(Config("secret-sdk-key", offline=True, plugins=plugins, **options))


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name == "ldclient.util"
    ]


def test_plugins_bring_their_hooks_before_any_is_told_of_the_client() -> None:
    notes: list[str] = []
    plugins = [Noting("a", notes, 2), Noting("b", notes)]
    with offline(*plugins, hooks=[Named("own", notes)]) as client:
        assert notes == ["hooks of a", "hooks of b", "register a", "register b"]
        assert all(plugin.client is client for plugin in plugins)
        notes.clear()
        client.variation("flag", USER, False)
    # Stages after run in reverse: the Config's own hooks come first, then the plugins' in their order.
    assert notes == ["b0 flag", "a1 flag", "a0 flag", "own flag"]


def test_plugins_are_told_where_they_are() -> None:
    plugin = Noting("a", [])
    application = {"id": "shop", "version": "1.2"}
    with offline(plugin, application=application, wrapper_name="wrapper", wrapper_version="3"):
        pass
    assert (
        plugin.told
        == [
            EnvironmentMetadata(
                sdk=SdkMetadata("python-server-sdk", ldclient.VERSION, "wrapper", "3"),
                sdk_key="secret-sdk-key",
                application=ApplicationMetadata("shop", "1.2"),
            )
        ]
        * 2
    )


def test_what_plugins_are_told_does_not_show_the_key_when_it_is_logged() -> None:
    plugin = Noting("a", [])
    with offline(plugin):
        pass
    assert plugin.told[0].sdk_key == "secret-sdk-key"
    assert "secret-sdk-key" not in repr(plugin.told[0])


def test_a_plugin_can_use_the_client_at_once(service: StandIn) -> None:
    class Asking(Noting):
        def register(self, client: LDClient, metadata: EnvironmentMetadata) -> None:
            super().register(client, metadata)
            client.add_hook(Named("added", self.notes))
            client.wait_for_initialization(10)
            self.notes.append(str(client.variation("your.feature.key", USER, False)))
            client.track("started", USER)

    notes: list[str] = []
    uris = {"base_uri": service.uri, "stream_uri": service.uri, "events_uri": service.uri}
    with LDClient(Config("key", **uris, plugins=[Asking("a", notes, 0)])) as client:
        assert client.is_initialized()
        assert notes == ["hooks of a", "register a", "added your.feature.key", "True"]
    assert [event["key"] for event in service.events_of("custom")] == ["started"]


def test_a_client_with_plugins_waits_for_flags_as_any_other(service: StandIn) -> None:
    uris = {"base_uri": service.uri, "stream_uri": service.uri, "events_uri": service.uri}
    with LDClient(Config("key", **uris, plugins=[Noting("a", [])]), start_wait=10) as client:
        assert client.variation("your.feature.key", USER, False) is True


@pytest.mark.parametrize("stage", ["get_hooks", "register", "metadata"])
def test_a_plugin_that_raises_costs_itself(caplog: pytest.LogCaptureFixture, stage: str) -> None:
    class Broken(Noting):
        @property
        def metadata(self) -> PluginMetadata:
            if stage == "metadata":
                raise RuntimeError
            return super().metadata

        def get_hooks(self, metadata: EnvironmentMetadata) -> list[Hook]:
            if stage == "get_hooks":
                raise ValueError(metadata.sdk_key)
            return super().get_hooks(metadata)

        def register(self, client: LDClient, metadata: EnvironmentMetadata) -> None:
            if stage != "get_hooks":
                raise ValueError(metadata.sdk_key)
            super().register(client, metadata)

    notes: list[str] = []
    with offline(Broken("bad", notes), Noting("good", notes)) as client:
        assert "register good" in notes
        notes.clear()
        client.variation("flag", USER, False)
    assert notes == (["good0 flag"] if stage == "get_hooks" else ["good0 flag", "bad0 flag"])
    (line,) = complaints(caplog)
    name = "Broken" if stage == "metadata" else "bad"
    where = "get_hooks" if stage == "get_hooks" else "register"
    assert line.startswith(f"The plugin {name} raised an exception in {where}: ValueError in {where}, line ")
    assert "secret-sdk-key" not in caplog.text


def test_hooks_of_a_plugin_that_are_none_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Noting):
        def get_hooks(self, metadata: EnvironmentMetadata) -> Any:
            return [object(), *super().get_hooks(metadata)]

    notes: list[str] = []
    with offline(Odd("odd", notes)) as client:
        notes.clear()
        client.variation("flag", USER, False)
    assert notes == ["odd0 flag"]
    assert "one of type object was left out" in complaints(caplog)[0]


def test_what_is_no_plugin_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    with offline(object(), Noting("a", notes)) as client:
        assert client.variation("flag", USER, "default") == "default"
    assert "register a" in notes
    assert "must be an ldclient.plugin.Plugin; one of type object was left out" in complaints(caplog)[0]


def test_an_interrupt_while_a_plugin_starts_ends_the_start_and_leaves_no_client_behind(service: StandIn) -> None:
    class Interrupted(Noting):
        def register(self, client: LDClient, metadata: EnvironmentMetadata) -> None:
            super().register(client, metadata)
            raise KeyboardInterrupt

    plugin = Interrupted("a", [])
    uris = {"base_uri": service.uri, "stream_uri": service.uri, "events_uri": service.uri}
    with pytest.raises(KeyboardInterrupt):
        LDClient(Config("key", **uris, plugins=[plugin]))
    assert plugin.client is not None
    assert plugin.client.is_closed()


def test_the_shared_client_starts_its_plugins_and_one_that_asks_for_it_too_early_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Early(Noting):
        def register(self, client: LDClient, metadata: EnvironmentMetadata) -> None:
            super().register(client, metadata)
            ldclient.get()

    notes: list[str] = []
    ldclient.set_config(Config(offline=True, plugins=[Early("early", notes), Noting("a", notes)]))
    assert ldclient.get().variation("flag", USER, "default") == "default"
    assert "register a" in notes
    assert "The plugin early raised an exception in register: RuntimeError" in complaints(caplog)[0]
