"""Runs the cases with whichever `ldclient` its interpreter has; driven over pipes by compare.py, one turn at a time.

It reads one JSON line a request and writes one a reply. `{"case": name, "calls": n}` makes the calls and asks for a
flush; the reply carries the caller's wall time. `{}` then asks for the processor time the whole process has used since
the calls began: compare.py sends it when the sink has everything, and until then this process only waits for the pipe.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from itertools import cycle, repeat
from typing import Any

import workload

import ldclient
from ldclient.client import LDClient
from ldclient.config import Config

MIXED: list[tuple[str, str, object]] = [
    ("variation", "bool-simple", False),
    ("variation", "rules", False),
    ("variation", "rollout", "none"),
    ("variation", "prereq", False),
    ("variation_detail", "bool-simple", False),
]


def by_old_user(client: Any) -> dict[str, Callable[[int], None]]:
    """The only case of a package from before contexts."""
    users, variation = workload.old_users(), client.variation

    def loop(calls: int) -> None:
        for user, _ in zip(cycle(users), repeat(None, calls)):
            variation("bool-simple", user, False)

    return {"user_dict": loop}


def loops(client: Any, thousand: Any, takes_dicts: bool) -> dict[str, Callable[[int], None]]:
    """The loop of each case. `takes_dicts`: a dict user goes into the call as it is; otherwise it is built first.
    `thousand` is a client without events that has a thousand flags."""
    from ldclient import Context

    users = workload.users()
    contexts = [Context.from_dict(user) for user in users]
    context = contexts[7]
    variation, detail, track = client.variation, client.variation_detail, client.track
    data = {"item": "book", "amount": 3}

    def prebuilt(key: str, default: object) -> Callable[[int], None]:
        def loop(calls: int) -> None:
            for _ in repeat(None, calls):
                variation(key, context, default)

        return loop

    def by_dict(key: str, default: object) -> Callable[[int], None]:
        def straight(calls: int) -> None:
            for user, _ in zip(cycle(users), repeat(None, calls)):
                variation(key, user, default)

        def built(calls: int) -> None:
            for user, _ in zip(cycle(users), repeat(None, calls)):
                variation(key, Context.from_dict(user), default)

        return straight if takes_dicts else built

    def details(calls: int) -> None:
        for _ in repeat(None, calls):
            detail("bool-simple", context, False)

    def events(calls: int) -> None:
        for _ in repeat(None, calls):
            track("bought", context, data, 19.5)

    def mixed(calls: int) -> None:
        asked = [(getattr(client, method), key, default) for method, key, default in MIXED]
        for one, (ask, key, default), _ in zip(cycle(contexts), cycle(asked), repeat(None, calls)):
            ask(key, one, default)

    def all_flags_json(calls: int) -> None:
        for _ in repeat(None, calls):
            thousand.all_flags_state(context).to_json_string()

    return {
        "bool_simple": prebuilt("bool-simple", False),
        "bool_dict": by_dict("bool-simple", False),
        "rules": prebuilt("rules", False),
        "rules_dict": by_dict("rules", False),
        "rollout": prebuilt("rollout", "none"),
        "prereq": prebuilt("prereq", False),
        "detail": details,
        "track": events,
        "mixed": mixed,
        "all_flags_json": all_flags_json,
        **by_old_user(client),
    }


def check(client: Any) -> None:
    """Both packages must give these answers before their speed means anything."""
    from ldclient import Context

    context = Context.from_dict(workload.users()[7])
    for key, default, expected in [("bool-simple", False, True), ("rules", False, True), ("prereq", False, True)]:
        assert client.variation(key, context, default) is expected, key
    assert client.variation("rollout", context, "none") in ("a", "b", "c")
    assert client.variation_detail("rules", context, False).reason["ruleIndex"] == 9


def main() -> None:
    # `users`: "contexts" and "dicts" say what is handed into a call, "old" that the package knows no contexts.
    sdk_key, address, users = sys.argv[1:]

    def opened(send_events: bool, address: str = address) -> Any:
        keys, more = "context_keys", {"diagnostic_opt_out": True}
        if users == "old":
            keys, more = "user_keys", {}
        config = Config(
            sdk_key=sdk_key,
            base_uri=address,
            stream_uri=address,
            events_uri=address,
            send_events=send_events,
            # Nothing is dropped, and nothing is sent but when asked for.
            events_max_pending=1_000_000,
            flush_interval=3600,
            **{f"{keys}_capacity": 10_000, f"{keys}_flush_interval": 3600, **more},
        )
        client = LDClient(config=config, start_wait=20)
        assert client.is_initialized(), "the client did not get its flags"
        return client

    if users != "old":
        with opened(send_events=False) as client:
            check(client)
    with opened(send_events=True) as client, opened(send_events=False, address=f"{address}/thousand") as thousand:
        cases = by_old_user(client) if users == "old" else loops(client, thousand, users == "dicts")
        print(json.dumps({"version": ldclient.__version__, "python": sys.version.split()[0]}), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            loop, calls = cases[request["case"]], request["calls"]
            gc.collect()
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            loop(calls)
            wall = time.perf_counter_ns() - wall
            client.flush()
            print(json.dumps({"wall_ns": wall}), flush=True)
            sys.stdin.readline()
            print(json.dumps({"cpu_ns": time.process_time_ns() - cpu}), flush=True)


if __name__ == "__main__":
    main()
