"""Moving from one technology to another behind a flag: migrators, their stages, and what is measured.

``MigratorBuilder`` makes a migrator that reads and writes as the flag's stage says. Those who do that themselves call
``LDClient.migration_variation`` and ``LDClient.track_migration_op``.
"""

from .migrator import Migrator, MigratorBuilder
from .tracker import MigrationOpEvent as MigrationOpEvent
from .tracker import OpTracker
from .types import (
    ExecutionOrder,
    MigrationConfig,
    MigratorCompareFn,
    MigratorFn,
    Operation,
    OperationResult,
    Origin,
    Stage,
    WriteResult,
)

__all__ = [
    "ExecutionOrder",
    "MigrationConfig",
    "Migrator",
    "MigratorBuilder",
    "MigratorCompareFn",
    "MigratorFn",
    "OpTracker",
    "Operation",
    "OperationResult",
    "Origin",
    "Stage",
    "WriteResult",
]
