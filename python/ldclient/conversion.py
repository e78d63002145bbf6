"""Which Python values can be sent, and as what.

Text, numbers, booleans, ``None``, lists, tuples, sets and dicts (and their subclasses) are read by the native core.
Every other type comes here:

==========================================  =====================================================
``datetime.datetime``                       RFC 3339 text; one without a time zone counts as UTC
``datetime.date``, ``datetime.time``        ISO 8601 text
``datetime.timedelta``                      seconds, as a number
``decimal.Decimal``, ``fractions.Fraction`` its text, so that no digit is lost
``uuid.UUID``, ``pathlib`` paths            its text
IP addresses (``ipaddress``)                its text
``enum.Enum``                               its value
``bytes``, ``bytearray``                    text, if it is UTF-8
numpy scalars and arrays                    the Python number, text or list that they stand for
other mappings and sequences                a dict or a list
==========================================  =====================================================

Anything else cannot be sent. That costs the attribute that holds it, with one warning that names the attribute.
Nothing here is imported before a value of such a type is met.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["CannotBeSentError", "plain"]


class CannotBeSentError(TypeError):
    """Says why a value cannot be sent, by its type and without anything of the value."""


def plain(value: object) -> object:
    """The JSON-like value to send for ``value``; raises :class:`CannotBeSentError` if there is none.

    Never changes ``value``. What the value's own methods raise is not caught.
    """
    found, result = _from_known_type(value)
    if found:
        return result
    # numpy's scalars and arrays, without importing numpy: they have both of these.
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Sequence, AbstractSet)):
        return list(value)
    raise CannotBeSentError(f"a value of type {type(value).__qualname__} cannot be sent")


def _from_known_type(value: Any) -> tuple[bool, object]:
    if isinstance(value, (bytes, bytearray)):
        try:
            return True, bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise CannotBeSentError("bytes that are not UTF-8 text cannot be sent") from None
    # A value can only be of one of these types if its module is loaded already.
    if (enum := sys.modules.get("enum")) and isinstance(value, enum.Enum):
        return True, value.value
    if datetime := sys.modules.get("datetime"):
        if isinstance(value, datetime.datetime):
            if value.tzinfo is None:
                value = value.replace(tzinfo=datetime.timezone.utc)
            return True, value.isoformat()
        if isinstance(value, (datetime.date, datetime.time)):
            return True, value.isoformat()
        if isinstance(value, datetime.timedelta):
            return True, value.total_seconds()
    for module, names in _TEXTS:
        if loaded := sys.modules.get(module):
            types = tuple(getattr(loaded, name) for name in names if hasattr(loaded, name))
            if isinstance(value, types):
                return True, str(value)
    return False, None


_TEXTS = (
    ("decimal", ("Decimal",)),
    ("uuid", ("UUID",)),
    ("fractions", ("Fraction",)),
    ("pathlib", ("PurePath",)),
    ("ipaddress", ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network")),
)
