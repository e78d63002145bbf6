"""What stores in DynamoDB ask it with: ``boto3``, which is imported only here and only when a store is made."""

from __future__ import annotations

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["client"]


def client(options: Mapping[str, Any]) -> Any:
    """Returns a client of DynamoDB.

    :param options: arguments for ``boto3.client``
    :raises NotImplementedError: ``boto3`` is not installed, as launchdarkly-server-sdk 9.20 raises it
    """
    try:
        import boto3  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise NotImplementedError("DynamoDB needs boto3: pip install 'ldclient-rs[dynamodb]'") from error
    return boto3.client("dynamodb", **options)
