"""What ``python -m ldclient explain`` does: one flag of flag files, or of a Redis store, for one user, without a service."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from typing import Any

from .._listing import user_of
from ..client import LDClient
from ..config import Config

__all__ = ["run"]

#: Exit codes by the kind of error; a flag that was found is 0.
_CODES = {"FLAG_NOT_FOUND": 3, "MALFORMED_FLAG": 4}


def run(options: argparse.Namespace) -> int:
    """Prints the explanation and returns the exit code.

    :raises ValueError: the user cannot be read, or there are no flags to work with; the message says why
    """
    user = user_of(options.user)
    with LDClient(_config(options), start_wait=3 if options.redis else 10) as client:
        explanation = client.explain(options.key, user)
    kind = explanation.reason.get("errorKind")
    if kind in ("CLIENT_NOT_READY", "EXCEPTION"):
        raise ValueError("no flags can be read from Redis" if options.redis else str(explanation.problem))
    if options.json:
        _say(json.dumps(explanation.to_json_dict(), indent=2, ensure_ascii=False))
    else:
        _say(str(explanation))
    return 0 if kind is None else _CODES.get(kind, 2)


def _config(options: argparse.Namespace) -> Config:
    from ..integrations import Files, Redis

    settings: dict[str, Any] = {"send_events": False, "diagnostic_opt_out": True}
    if options.redis:
        settings.update(feature_store=Redis.new_feature_store(url=options.redis, prefix=options.prefix), use_ldd=True)
    else:
        from .._ldclient import read_flag_files

        # A source would log what is wrong and go on without.
        read_flag_files(options.file)
        settings.update(update_processor_class=Files.new_data_source(paths=options.file))
    return Config("no-key", **settings)


def _say(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    with suppress(BrokenPipeError):
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
