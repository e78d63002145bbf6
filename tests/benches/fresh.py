"""What one process does once, for compare.py: ``fresh.py import`` or ``fresh.py ready <address>``. Prints its costs.

``ready`` is the time from the making of a client, whose flags come by one poll over HTTP, until it has them; it is told
without the import. Memory is what stays after garbage collection.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time


def kept() -> int:
    """The resident memory of this process in KiB; 0 where the system does not tell."""
    gc.collect()
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except OSError:
        return 0


def report(cpu: int, wall: int, memory: int) -> None:
    cost = {
        "cpu_ns": time.process_time_ns() - cpu,
        "wall_ns": time.perf_counter_ns() - wall,
        "kib": 0,
    }
    cost["kib"] = kept() - memory
    print(json.dumps(cost), flush=True)


def importing() -> None:
    memory, cpu, wall = kept(), time.process_time_ns(), time.perf_counter_ns()
    import ldclient

    ldclient.LDClient, ldclient.Config, ldclient.Context  # noqa: B018 - names may be imported when asked for
    report(cpu, wall, memory)


def ready(address: str) -> None:
    from ldclient.client import LDClient
    from ldclient.config import Config

    config = Config(
        sdk_key="ready",
        base_uri=f"{address}/large",
        stream=False,
        send_events=False,
        diagnostic_opt_out=True,
    )
    memory, cpu, wall = kept(), time.process_time_ns(), time.perf_counter_ns()
    client = LDClient(config, start_wait=60)
    assert client.is_initialized(), "the client did not get its flags"
    report(cpu, wall, memory)
    client.close()


if __name__ == "__main__":
    if sys.argv[1] == "import":
        importing()
    else:
        ready(sys.argv[2])
