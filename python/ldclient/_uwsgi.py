"""Tells whether uWSGI lets Python threads run. Without them they stand still between requests, and nothing says so.

The client's own threads are native: flags arrive and events leave all the same. What stands still is the thread that
emits their log lines, and every thread of the application and of other packages.
"""

from __future__ import annotations

import sys

from . import logs

_NO = ("", "0", "false", "no", "off", "none")


def check_threads() -> bool:
    """Logs one error when the process runs under uWSGI without threads; returns False then. Never raises.

    Under uWSGI means: a module ``uwsgi`` with the attribute ``opt`` is loaded. Keys and values of ``opt`` may be bytes.
    """
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    if not isinstance(options, dict):
        return True
    if _is_on(_value(options, "enable-threads")) or _count(_value(options, "threads")) > 1:
        return True
    logs.logger().error(
        "uWSGI runs without threads: start it with the option enable-threads (or with threads greater than 1). "
        "Until then Python threads stand still between requests; log lines of this client come late."
    )
    return False


def _value(options: dict[object, object], name: str) -> object:
    value = options.get(name, options.get(name.encode()))
    # An option that is given more than once is a list; the last one counts.
    while isinstance(value, (list, tuple)):
        value = value[-1] if value else None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _is_on(value: object) -> bool:
    return value is not False and str(value).strip().lower() not in _NO


def _count(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0
