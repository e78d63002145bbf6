"""The flags that OpenFeature's specification tests with, as flags of LaunchDarkly, and providers in each of its states.

Keys, variants and values are those of its ``test-flags.json``. A variant's name is the position of its value there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from openfeature import api
from openfeature.provider import ProviderStatus

from ldclient import Config
from ldclient.integrations import Files
from ldclient.openfeature import LaunchDarklyProvider
from stand_in import StandIn

__all__ = ["FLAGS", "flag", "provider_in", "variant_name", "wait_until"]

_TEMPLATE = {"showImages": True, "title": "Check out these pics!", "imagesPerPage": 100}

# Whom a flag's rule is for: attribute -> (operator, value).
_BALLMER = {"email": ("in", "ballmer@macrosoft.com")}
_INSIDER = {**_BALLMER, "customer": ("in", False), "age": ("greaterThan", 10)}
_SULISLAW = {"fn": ("in", "Sulisław"), "ln": ("in", "Świętopełk"), "age": ("in", 29), "customer": ("in", False)}

# By key: the values by the names of their variants, the variant for everybody, and (rule, its variant).
_Rule = tuple[dict[str, tuple[str, Any]], str]
FLAGS: dict[str, tuple[dict[str, Any], str | None, _Rule | None]] = {
    "boolean-flag": ({"on": True, "off": False}, "on", None),
    "string-flag": ({"greeting": "hi", "parting": "bye"}, "greeting", None),
    "integer-flag": ({"one": 1, "ten": 10}, "ten", None),
    "float-flag": ({"tenth": 0.1, "half": 0.5}, "half", None),
    "object-flag": ({"empty": {}, "template": _TEMPLATE}, "template", None),
    "boolean-zero-flag": ({"zero": False, "non-zero": True}, "zero", None),
    "string-zero-flag": ({"zero": "", "non-zero": "str"}, "zero", None),
    "integer-zero-flag": ({"zero": 0, "non-zero": 1}, "zero", None),
    "float-zero-flag": ({"zero": 0.0, "non-zero": 1.0}, "zero", None),
    "object-zero-flag": ({"zero": {}, "non-zero": _TEMPLATE}, "zero", None),
    "boolean-targeted-zero-flag": ({"zero": False, "non-zero": True}, "zero", (_BALLMER, "zero")),
    "string-targeted-zero-flag": ({"zero": "", "non-zero": "str"}, "zero", (_BALLMER, "zero")),
    "integer-targeted-zero-flag": ({"zero": 0, "non-zero": 1}, "zero", (_BALLMER, "zero")),
    "float-targeted-zero-flag": ({"zero": 0.0, "non-zero": 1.0}, "zero", (_BALLMER, "zero")),
    "object-targeted-zero-flag": ({"zero": {}, "non-zero": _TEMPLATE}, "zero", (_BALLMER, "zero")),
    # Off, without a value for that: everybody gets the default of the call.
    "boolean-disabled-flag": ({"on": True, "off": False}, None, None),
    "string-disabled-flag": ({"greeting": "hi", "parting": "bye"}, None, None),
    "integer-disabled-flag": ({"one": 1, "ten": 10}, None, None),
    "float-disabled-flag": ({"tenth": 0.1, "half": 0.5}, None, None),
    "object-disabled-flag": ({"empty": {}, "template": _TEMPLATE}, None, None),
    "complex-targeted": ({"internal": "INTERNAL", "external": "EXTERNAL"}, "external", (_INSIDER, "internal")),
    "context-aware": ({"internal": "INTERNAL", "external": "EXTERNAL"}, "external", (_SULISLAW, "internal")),
    "metadata-flag": ({"on": True, "off": False}, "on", None),
    "wrong-flag": ({"one": "uno", "two": "dos"}, "one", None),
}


def flag(key: str) -> dict[str, Any]:
    """One of them as LaunchDarkly's data has it."""
    variants, everybody, rule = FLAGS[key]
    names = list(variants)
    made: dict[str, Any] = {"key": key, "version": 1, "on": everybody is not None, "salt": "s"}
    made["variations"] = list(variants.values())
    made["fallthrough"] = {"variation": names.index(everybody or names[0])}
    if rule is not None:
        clauses = [{"attribute": name, "op": op, "values": [value]} for name, (op, value) in rule[0].items()]
        made["rules"] = [{"id": "rule", "variation": names.index(rule[1]), "clauses": clauses}]
    return made


def variant_name(key: str, variant: str | None) -> str | None:
    """What the specification calls the variant."""
    return None if variant is None else list(FLAGS[key][0])[int(variant)]


@contextmanager
def provider_in(state: str) -> Iterator[LaunchDarklyProvider]:
    """A provider that is registered with the API and has come into a state: of those that the specification names, by
    what the service does."""
    with StandIn({key: flag(key) for key in FLAGS}) as service:
        if state in ("error", "not ready"):
            service.fault("/all", "black_hole")
        options: dict[str, Any] = dict.fromkeys(("base_uri", "stream_uri", "events_uri"), service.uri)
        if state == "fatal":
            # Nothing else is final: a refused key is tried again.
            options["update_processor_class"] = Files.new_data_source(paths=["there-is-no-such-file.json"])
        config = Config("sdk-key", **options, send_events=False, initial_reconnect_delay=0.05)
        provider = LaunchDarklyProvider(config, start_wait=0.05 if state == "error" else 20)
        try:
            api.set_provider(provider)
            if state == "stale":
                wait_until(lambda: status() == ProviderStatus.READY)
                service.go_down()
            expected = {"stable": "READY", "not ready": "NOT_READY"}.get(state, state.upper())
            wait_until(lambda: status().value == expected)
            yield provider
        finally:
            # Whoever waits for flags ends with the client.
            provider.client.close(0.5)
            api.shutdown()
            api.clear_providers()


def status() -> ProviderStatus:
    """The state of the provider that is registered."""
    return api.get_client().get_provider_status()


def wait_until(reached: Callable[[], bool], seconds: float = 10) -> None:
    """Returns once it is so; fails the test where that takes too long."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.005)
