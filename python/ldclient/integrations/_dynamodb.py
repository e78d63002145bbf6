"""What stores in DynamoDB ask it with: ``boto3``, which is imported only here and only when a store is made."""

from __future__ import annotations

import os

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Account"]


class Account:
    """One client of DynamoDB a process: its connections must not be used by a parent and its child at a time.

    :param options: arguments for ``boto3.client``
    :raises NotImplementedError: ``boto3`` is not installed, as launchdarkly-server-sdk 9.20 raises it
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        try:
            import boto3  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError as error:
            raise NotImplementedError("DynamoDB needs boto3: pip install 'ldclient-rs[dynamodb]'") from error
        self._boto3 = boto3
        self._options = dict(options)
        # By process. An inherited one stays here unused: to end it would touch the parent's connections.
        self._clients: dict[int, Any] = {os.getpid(): boto3.client("dynamodb", **options)}

    @property
    def client(self) -> Any:
        """The one of this process."""
        process = os.getpid()
        made = self._clients.get(process)
        if made is None:
            made = self._clients.setdefault(process, self._boto3.client("dynamodb", **self._options))
        return made
