"""Types that a caller of hooks and migrations sees, checked by mypy and never run."""

# ruff: noqa: ARG002

from typing import Any

from typing_extensions import assert_type

from ldclient import Config, LDClient, MigratorBuilder, OpTracker, Result, Stage
from ldclient.evaluation import EvaluationDetail
from ldclient.hook import EvaluationSeriesContext, Hook, Metadata
from ldclient.plugin import EnvironmentMetadata, Plugin, PluginMetadata


class Counting(Hook):
    @property
    def metadata(self) -> Metadata:
        return Metadata(name="counting")

    # As hooks for launchdarkly-server-sdk are written.
    def before_evaluation(self, series_context: EvaluationSeriesContext, data: dict) -> dict:  # type: ignore[type-arg]
        return data

    def after_evaluation(
        self, series_context: EvaluationSeriesContext, data: dict[str, Any], detail: EvaluationDetail
    ) -> dict[str, Any]:
        return data


class Starting(Plugin):
    @property
    def metadata(self) -> PluginMetadata:
        return PluginMetadata(name="starting")

    def register(self, client: LDClient, metadata: EnvironmentMetadata) -> None:
        client.add_hook(Counting())


client = LDClient(Config(sdk_key="sdk-key", offline=True, hooks=[Counting()], plugins=[Starting()]))
assert_type(client.migration_variation("flag", {"key": "u"}, Stage.OFF), tuple[Stage, OpTracker])


def read(payload: Any) -> Result:
    return Result.success(payload)


migrator = MigratorBuilder(client).read(read, read, lambda a, b: bool(a == b)).write(read, read).build()
if isinstance(migrator, str):
    raise RuntimeError(migrator)
assert_type(migrator.read("flag", {"key": "u"}, Stage.OFF, 1).is_success(), bool)
