"""What an evaluation through OpenFeature costs: run it with a Python that has this package, and with one that has
``launchdarkly-openfeature-server`` beside launchdarkly-server-sdk, and compare. It needs openfeature-sdk.

Prints nanoseconds of processor time for each call: of the provider by itself, through OpenFeature's client, and of the
SDK below both.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from openfeature import api
from openfeature.evaluation_context import EvaluationContext

import ldclient
from ldclient import Config, Context
from ldclient.integrations.test_data import TestData

try:
    from ldclient.openfeature import LaunchDarklyProvider
except ImportError:
    from ld_openfeature import LaunchDarklyProvider  # type: ignore[import-not-found,no-redef]


def nanoseconds(call: Callable[[], object], calls: int = 5_000, rounds: int = 15) -> float:
    """The best round: what else the machine does only ever adds."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.thread_time_ns()
        for _ in range(calls):
            call()
        best = min(best, (time.thread_time_ns() - begin) / calls)
    return best


def main() -> None:
    data = TestData.data_source()
    data.update(data.flag("static"))
    data.update(data.flag("ruled").if_match("plan", "gold").then_return(True))
    data.update(data.flag("text").variations("a", "b").fallthrough_variation(0))
    provider = LaunchDarklyProvider(Config("key", update_processor_class=data, send_events=False))
    api.set_provider_and_wait(provider)
    client, ann = api.get_client(), EvaluationContext("ann")
    rich = EvaluationContext("ann", {"plan": "gold", "email": "ann@example.com", "age": 42})
    context = Context.builder("ann").set("plan", "gold").build()
    rows: dict[str, Callable[[], object]] = {
        "provider: boolean": lambda: provider.resolve_boolean_details("static", False, ann),
        "provider: rule, three attributes": lambda: provider.resolve_boolean_details("ruled", False, rich),
        "provider: text": lambda: provider.resolve_string_details("text", "d", ann),
        "provider: no such flag": lambda: provider.resolve_boolean_details("none", False, ann),
        "OpenFeature's client: boolean": lambda: client.get_boolean_value("static", False, ann),
        "OpenFeature's client: rule": lambda: client.get_boolean_value("ruled", False, rich),
        "SDK: variation_detail": lambda: provider.client.variation_detail("ruled", context, False),
    }
    for name, call in rows.items():
        print(f"{name:35} {nanoseconds(call):8.0f} ns")
    api.shutdown()


if __name__ == "__main__":
    print(ldclient.__file__)
    main()
