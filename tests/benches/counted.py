"""Calls one case so many times in one process, for instructions.py to count: ``counted.py <case> <times> <data>``.

The flags come from a file; events are on, and nothing is sent: the process ends at once.
"""

from __future__ import annotations

import os
import sys

import worker

from ldclient.client import LDClient
from ldclient.config import Config
from ldclient.integrations import Files

WARM_UP = 2_000  # twice the number of users: each context has been told, each flag counted


def main() -> None:
    case, times, data = sys.argv[1:]
    config = Config(
        sdk_key="counted",
        events_uri="http://127.0.0.1:9",
        update_processor_class=Files.new_data_source(paths=[data]),
        flush_interval=3600,
        events_max_pending=1_000_000,
        context_keys_capacity=10_000,
        context_keys_flush_interval=3600,
        diagnostic_opt_out=True,
    )
    client = LDClient(config, start_wait=30)
    assert client.is_initialized()
    loop = worker.loops(client, client, takes_dicts=True)[case]
    loop(WARM_UP)
    loop(int(times))
    os._exit(0)


if __name__ == "__main__":
    main()
