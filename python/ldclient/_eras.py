"""Which option each argument of ``Config(...)`` means, for the positional orders of every published release.

1. A number in position 1: 0.15 to 0.19 (base_uri, connect_timeout, read_timeout, ...).
2. ``://`` in position 0, or a number in position 2: 0.20 to 3.0 (base_uri, events_uri, connect_timeout, ...).
3. Otherwise position 0 is the SDK key. Text in position 5: 7.0 and later.
4. A number in position 5: 4.x to 6.x. Positions 5 and 6 were batch size and queue capacity up to 5.x, queue capacity
   and flush interval from 6.0. A capacity is not smaller than a batch, and an interval is smaller than a capacity.
5. Four or five arguments fit 4.x and 9.x alike and are read as 9.20 reads them, with a warning that says so.

Within a generation the type of a later argument tells the releases apart. Checking the values is config.py's part.
"""

from __future__ import annotations

from . import logs
from ._values import is_number

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _words(text: str) -> list[str]:
    return text.split()


NAMES = _words(
    "sdk_key base_uri events_uri events_max_pending flush_interval stream_uri stream initial_reconnect_delay defaults "
    "send_events update_processor_class poll_interval use_ldd feature_store feature_requester_class "
    "event_processor_class private_attributes all_attributes_private offline context_keys_capacity "
    "context_keys_flush_interval diagnostic_opt_out diagnostic_recording_interval wrapper_name wrapper_version http "
    "big_segments application hooks plugins enable_event_compression omit_anonymous_contexts payload_filter_key "
    "datasystem_config"
)
"""The options of 9.20, in its order."""

OLDER_NAMES = _words(
    "connect_timeout read_timeout verify_ssl http_proxy private_attribute_names events_enabled event_consumer_class "
    "events_upload_max_batch_size inline_users_in_events"
)
"""Options that 9.20 no longer has, under the last name they had."""

OWN_NAMES = ("public_attributes",)
"""Options that no release of the reference has."""

ALIASES = {
    "api_key": "sdk_key",
    "capacity": "events_max_pending",
    "upload_limit": "events_upload_max_batch_size",
    "verify": "verify_ssl",
    "events": "events_enabled",
    "consumer_class": "event_consumer_class",
    "stream_processor_class": "update_processor_class",
    "feature_store_class": "feature_store",
    "user_keys_capacity": "context_keys_capacity",
    "user_keys_flush_interval": "context_keys_flush_interval",
}
"""Earlier names of options."""

_KNOWN = frozenset((*NAMES, *OLDER_NAMES, *OWN_NAMES))

_TAIL_0_19 = "stream_processor_class feature_store_class feature_requester_class consumer_class"
_START_2 = (
    "connect_timeout read_timeout events_upload_max_batch_size events_max_pending stream_uri stream verify_ssl defaults"
)
_TAIL_2 = "update_processor_class poll_interval use_ldd feature_store feature_requester_class event_consumer_class"
_START_6 = (
    "sdk_key base_uri events_uri connect_timeout read_timeout events_max_pending flush_interval stream_uri stream"
)
_TAIL_6 = (
    "verify_ssl defaults send_events events_enabled update_processor_class poll_interval use_ldd feature_store "
    "feature_requester_class event_processor_class private_attribute_names all_attributes_private offline "
    "user_keys_capacity user_keys_flush_interval inline_users_in_events http_proxy diagnostic_opt_out "
    "diagnostic_recording_interval wrapper_name wrapper_version http"
)
_START_7 = (
    "sdk_key base_uri events_uri events_max_pending flush_interval stream_uri stream initial_reconnect_delay defaults "
    "send_events"
)

ORDERS = {
    "0.18": "base_uri connect_timeout read_timeout upload_limit capacity stream_uri stream verify "
    "stream_processor_class feature_store_class",
    "0.19": "base_uri connect_timeout read_timeout upload_limit capacity stream_uri stream verify defaults events "
    + _TAIL_0_19,
    "0.20": "base_uri events_uri connect_timeout read_timeout upload_limit capacity stream_uri stream verify defaults "
    "events " + _TAIL_0_19,
    "2.0": f"base_uri events_uri {_START_2} events_enabled {_TAIL_2} offline",
    "4.0": f"sdk_key base_uri events_uri {_START_2} events_enabled {_TAIL_2} offline",
    "4.1": f"sdk_key base_uri events_uri {_START_2} send_events events_enabled {_TAIL_2} private_attribute_names "
    "all_attributes_private offline",
    "6.0": f"{_START_6} {_TAIL_6}",
    "6.13": f"{_START_6} initial_reconnect_delay {_TAIL_6}",
    "7.0": f"{_START_7} events_enabled update_processor_class poll_interval use_ldd feature_store "
    "feature_requester_class event_processor_class private_attribute_names all_attributes_private offline "
    "user_keys_capacity user_keys_flush_interval inline_users_in_events diagnostic_opt_out "
    "diagnostic_recording_interval wrapper_name wrapper_version http big_segments application",
    "8.0": f"{_START_7} update_processor_class poll_interval use_ldd feature_store feature_requester_class "
    "event_processor_class private_attributes private_attribute_names all_attributes_private offline "
    "context_keys_capacity context_keys_flush_interval user_keys_capacity user_keys_flush_interval "
    "diagnostic_opt_out diagnostic_recording_interval wrapper_name wrapper_version http big_segments application",
    "9.20": " ".join(NAMES),
}
"""The positional order of each generation, by the first release that had it."""


def release(arguments: tuple[object, ...]) -> str:
    """Returns the key in ``ORDERS`` whose order positional arguments follow. Never raises."""

    def at(position: int) -> object:
        return arguments[position] if position < len(arguments) else None

    count = len(arguments)
    if is_number(at(1)):
        return "0.18" if callable(at(8)) or callable(at(9)) else "0.19"
    if (isinstance(at(0), str) and "://" in str(at(0))) or is_number(at(2)):
        # Position 12 was a class in 0.20 and is the poll interval from 2.0 on.
        return "0.20" if count > 12 and not is_number(at(12)) else "2.0"
    if is_number(at(5)):
        return _release_4_to_6(at, count)
    if isinstance(at(10), bool) or (count > 11 and not is_number(at(11))):
        return "7.0"
    if count > 17 and isinstance(at(17), (set, frozenset, tuple, list)):
        return "8.0"
    return "9.20"


def _release_4_to_6(at: Any, count: int) -> str:
    capacity_first = is_number(at(6)) and at(5) > at(6)
    if is_number(at(9)):
        return "6.13"
    if capacity_first or count > 22:
        return "6.0"
    # Position 12 is the update processor (a class or None) in 4.0 and a switch from 4.1 on.
    return "4.0" if count > 12 and not isinstance(at(12), bool) else "4.1"


def read_arguments(positional: tuple[object, ...], named: dict[str, object]) -> dict[str, object]:
    """Returns option name -> value for the arguments of one ``Config(...)`` call, under the names of ``NAMES``.

    :raises TypeError: an unknown name, too many arguments, or one option given twice
    """
    order = ORDERS[release(positional)].split()
    if len(positional) > len(order):
        raise TypeError(f"Config() takes at most {len(order)} positional arguments ({len(positional)} given)")
    if len(positional) in (4, 5) and order == NAMES:
        fields = ", ".join(order[: len(positional)])
        logs.logger().warning("Config(...) with %d arguments was read as (%s). Name them.", len(positional), fields)
    found: dict[str, object] = {}
    for given_name, value in (*zip(order, positional, strict=False), *named.items()):
        name = ALIASES.get(given_name, given_name)
        if name not in _KNOWN:
            raise TypeError(f"Config() has no option {given_name!r}{_suggestion(given_name)}")
        # 8.x had some options under two names at once; the one that was left out there is None.
        if name in found and (given_name in named or None not in (value, found[name])):
            raise TypeError(f"Config() got more than one value for {name!r}")
        if found.get(name) is None:
            found[name] = value
    return found


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, (*_KNOWN, *ALIASES), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
