"""The options of the Python package ``redis``, as the native connections take them.

1. What the address says itself wins, and of the address what stands before the question mark, as ``redis`` has it.
2. Options that only concern that package are accepted and have no effect; others that the native connections cannot
   honour are refused by name.
"""

from __future__ import annotations

from .. import _ldclient, _values

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["connections", "prefix_of"]

_DEFAULT = "redis://localhost:6379/0"

# What ``redis.ConnectionPool.from_url`` takes and has no meaning here.
_NO_EFFECT = frozenset(
    (
        *("client_name", "decode_responses", "encoding", "encoding_errors", "health_check_interval", "protocol"),
        *("retry", "retry_on_error", "retry_on_timeout", "socket_keepalive", "socket_keepalive_options"),
        "socket_read_size",
    )
)


def connections(url: str, options: Mapping[str, Any]) -> _ldclient.RedisConnections:
    """Returns the connections; nothing is connected yet.

    :raises ValueError: the address is none, or an option cannot be honoured. The text does not quote the address
    """
    address, said = _read(url if _values.text("url", url) is not None else _DEFAULT)
    given = {name: value for name, value in {**options, **said}.items() if name not in _NO_EFFECT}
    database = _number("db", given.pop("db", None), int)
    timeouts = {
        name: _values.number(name, _number(name, given.pop(name, None), float), default, above=0)
        for name, default in (("socket_connect_timeout", 2), ("socket_timeout", 3))
    }
    most = _values.whole(
        "max_connections", _number("max_connections", given.pop("max_connections", 16), int), 16, least=1
    )
    username = _values.text("username", given.pop("username", None)) or None
    password = _values.text("password", given.pop("password", None)) or None
    refused = sorted(name for name, value in given.items() if value is not None)
    if refused:
        raise ValueError(
            f"redis_opts: {', '.join(refused)} cannot be honoured by the native Redis client. Username, password, "
            'database and "rediss" for TLS belong into the url'
        )
    return _ldclient.RedisConnections(
        address,
        username=username,
        password=password,
        database=database,
        connect_timeout=timeouts["socket_connect_timeout"],
        timeout=timeouts["socket_timeout"],
        most=most,
    )


def prefix_of(prefix: str | None) -> str:
    """Returns what stands before all keys."""
    return _values.text("prefix", prefix) or "launchdarkly"


def _read(url: str) -> tuple[str, dict[str, Any]]:
    """The address without its options, and the options that it gives; None is one that the address has in itself."""
    from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

    try:
        parts = urlsplit(url)
        options: dict[str, Any] = dict(parse_qsl(parts.query))
        username, password = parts.username, parts.password
    except ValueError:
        # The native client says so without quoting it.
        return url, {}
    if parts.scheme == "unix":
        for name, value in (("username", username), ("password", password)):
            if value:
                options[name] = unquote(value)
        return f"unix://{parts.path}", options
    for name, is_said in (("username", username), ("password", password), ("db", parts.path.strip("/"))):
        if is_said and not (name == "db" and name in options):
            options[name] = None
    return urlunsplit(parts._replace(query="", fragment="")), options


def _number(name: str, value: Any, make: type[int | float]) -> Any:
    """In an address it is text."""
    if not isinstance(value, str):
        return value
    try:
        return make(value)
    except ValueError:
        raise ValueError(f"redis_opts: {name} must be a number") from None
