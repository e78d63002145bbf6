"""Reads the value of one option: checks its type and range and returns it in one form, or raises naming the option.

Messages name types and, for numbers, the value. They never show text: an argument in the wrong place can be the SDK
key. None always means "not given". What options there are is config.py's question.
"""

from __future__ import annotations

import os

from . import logs

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any
else:
    # Where they come from, without the package around them: the interpreter has it loaded already.
    from _collections_abc import Iterable, Mapping

_KEY_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_MAX_KEY_LENGTH = 8192
_MAX_APPLICATION_LENGTH = 64


def _wrong(name: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{name}: expected {expected}, got {type(value).__name__}")


def is_number(value: object) -> bool:
    """Tells whether a positional argument is a number of seconds or a count (True and False are not)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def text(name: str, value: object) -> str | None:
    """Text, or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    return str(value)


def sdk_key(value: object) -> str:
    """An SDK key; '' when there is none. A key that cannot be one is discarded with a warning, as in 9.20."""
    key = text("sdk_key", value)
    if not key:
        return ""
    if len(key) > _MAX_KEY_LENGTH:
        logs.logger().warning("The SDK key was discarded: it is longer than %d characters.", _MAX_KEY_LENGTH)
        return ""
    if not _KEY_CHARACTERS.issuperset(key):
        logs.logger().warning("The SDK key was discarded: it has characters other than letters, digits, . _ and -.")
        return ""
    return key


def uri(name: str, value: object, default: str) -> str:
    """An http(s) address without a slash at its end. Blank means the default, as in ``Config('', 1, 2)``."""
    given = text(name, value)
    given = "" if given is None else given.strip().rstrip("/\\")
    if not given:
        return default
    scheme, separator, rest = given.partition("://")
    if scheme.lower() not in ("http", "https") or not separator or not rest:
        raise ValueError(f"{name}: expected an address that begins with https:// or http://")
    if any(character <= " " or character == "\x7f" for character in given):
        raise ValueError(f"{name}: expected an address without spaces or control characters")
    return given


def number(
    name: str, value: object, default: float, *, above: float | None = None, least: float | None = None
) -> float:
    """A finite number greater than ``above`` and not less than ``least``."""
    if value is None:
        return default
    if isinstance(value, (bool, str, bytes)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise _wrong(name, "a number", value)
    try:
        given = float(value)  # type: ignore[arg-type]
    except OverflowError:
        given = float("inf")
    if not -float("inf") < given < float("inf"):
        raise ValueError(f"{name}: expected a finite number")
    if above is not None and given <= above:
        raise ValueError(f"{name}: expected a number greater than {above:g}, got {given:g}")
    if least is not None and given < least:
        raise ValueError(f"{name}: expected a number of at least {least:g}, got {given:g}")
    # 30 stays 30, not 30.0: properties show what was given.
    return value if type(value) in (int, float) else given  # type: ignore[return-value]


def whole(name: str, value: object, default: int, *, least: int) -> int:
    """A whole number not less than ``least``."""
    given = number(name, value, default, least=least)
    if given != int(given):
        raise ValueError(f"{name}: expected a whole number, got {given:g}")
    return int(given)


def switch(name: str, value: object) -> bool:
    """True or False; 0, 1 and None are taken for them. Text is refused: "false" would be true."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if type(value).__name__ == "bool_":  # numpy's
        return bool(value)
    raise _wrong(name, "True or False", value)


def names(name: str, value: object) -> tuple[str, ...]:
    """Several names, sorted, each once. One piece of text is refused: its letters would be the names."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise _wrong(name, "a set or list of attribute names", value)
    given = set()
    for item in value:
        if not isinstance(item, str):
            raise TypeError(f"{name}: expected attribute names as text, found {type(item).__name__}")
        given.add(str(item))
    return tuple(sorted(given))


def literal(name: str) -> str:
    """The attribute reference for a name that may begin with a slash but is no path (releases before 7.0)."""
    return "/" + name.replace("~", "~0").replace("/", "~1") if name.startswith("/") else name


def mapping(name: str, value: object) -> dict[str, Any]:
    """A dictionary, copied; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(name, "a dictionary", value)
    return dict(value)


def path(name: str, value: object) -> str | None:
    """A path in the file system as text, or None."""
    if value is None:
        return None
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise _wrong(name, "a path", value)
    return os.fsdecode(value)


def paths(name: str, value: object) -> tuple[str, ...]:
    """One path or several."""
    if isinstance(value, (str, bytes, os.PathLike)):
        return (os.fsdecode(value),)
    if not isinstance(value, Iterable):
        raise _wrong(name, "a path or a list of paths", value)
    found = []
    for item in value:
        if not isinstance(item, (str, bytes, os.PathLike)):
            raise TypeError(f"{name}: expected paths, found {type(item).__name__}")
        found.append(os.fsdecode(item))
    return tuple(found)


def sequence(name: str, value: object) -> list[Any]:
    """A list of objects; None is an empty one."""
    if value is None:
        return []
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise _wrong(name, "a list", value)
    return list(value)


def filter_key(value: object) -> str | None:
    """The key of a payload filter, or None. One that the service could not know is discarded with a warning."""
    key = text("payload_filter_key", value)
    if not key:
        return None
    if not _KEY_CHARACTERS.issuperset(key) or key[0] in "._-":
        logs.logger().warning(
            "payload_filter_key was discarded, so the flags of the whole environment are received: a key starts with a "
            "letter or a digit and contains letters, digits, . _ and - only."
        )
        return None
    return key


def application(value: object) -> dict[str, str]:
    """The ``id`` and ``version`` of the application; what the service would refuse is discarded with a warning."""
    given = mapping("application", value)
    return {field: _application_value(field, given.get(field)) for field in ("id", "version")}


def _application_value(field: str, value: object) -> str:
    if not isinstance(value, str):
        return ""
    if len(value) > _MAX_APPLICATION_LENGTH:
        logs.logger().warning(
            "application[%s] was discarded: it is longer than %d characters.", field, _MAX_APPLICATION_LENGTH
        )
        return ""
    if not _KEY_CHARACTERS.issuperset(value):
        logs.logger().warning(
            "application[%s] was discarded: it contains characters other than letters, digits, . _ and -.", field
        )
        return ""
    return value


def host(address: str) -> str:
    """The host of an address, in lower case, without user, password and port."""
    authority = address.partition("://")[2]
    for end in "/?#":
        authority = authority.partition(end)[0]
    authority = authority.rpartition("@")[2].lower()
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]


def without_password(address: str) -> str:
    """The address with what stands before its ``@`` hidden."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address
    end = min((index for index in map(rest.find, "/?#") if index >= 0), default=len(rest))
    credentials, at, place = rest[:end].rpartition("@")
    return scheme + separator + ("***@" if at and credentials else at) + place + rest[end:]
