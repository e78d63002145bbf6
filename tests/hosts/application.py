"""What the hosts serve: a WSGI application whose client is made, and used, when the module is loaded.

It asks only for what launchdarkly-server-sdk 9.20 has too, so that one application shows how both fare. Each answer is
JSON about the worker that gave it; what the service received is left to the tests.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

logging.basicConfig(level=logging.INFO, format="LOG %(process)d %(levelname)s %(message)s")

import ldclient  # noqa: E402 - the hosts' logs are to show what is logged from the first line on
from ldclient import Config, Context  # noqa: E402
from ldclient.hook import Hook, Metadata  # noqa: E402

KEY = "your.feature.key"
MADE_IN = os.getpid()

requests: dict[int, Iterator[int]] = {}
heard: Counter[int] = Counter()
hooked: Counter[int] = Counter()


class Evaluations(Hook):
    """Counts evaluations by process."""

    @property
    def metadata(self) -> Metadata:
        return Metadata(name="evaluations")

    def before_evaluation(self, _context: Any, data: dict[str, Any]) -> dict[str, Any]:
        hooked[os.getpid()] += 1
        return data

    def after_evaluation(self, _context: Any, data: dict[str, Any], _detail: Any) -> dict[str, Any]:
        return data


def connect() -> Any:
    """Makes the shared client as the environment says."""
    uri = os.environ["SERVICE_URI"]
    ldclient.set_config(
        Config(
            "sdk-key",
            base_uri=uri,
            stream_uri=uri,
            events_uri=uri,
            diagnostic_opt_out=True,
            flush_interval=float(os.environ.get("FLUSH_INTERVAL", "600")),
        )
    )
    made = ldclient.get()
    made.add_hook(Evaluations())
    made.flag_tracker.add_listener(lambda _change: heard.update([os.getpid()]))
    made.track("when loaded", Context.create("loader"), {"process": os.getpid()})
    return made


client = connect()
statuses = client.data_source_status_provider


def evaluate() -> dict[str, Any]:
    """Evaluates the flag and records an event, in whichever process this is."""
    worker = os.getpid()
    number = next(requests.setdefault(worker, itertools.count(1)))
    user = Context.create(f"worker-{worker}")
    value = ldclient.get().variation(KEY, user, "default")
    ldclient.get().track("request", user, {"worker": worker, "number": number})
    return {
        "worker": worker,
        "made_in": MADE_IN,
        "value": value,
        "heard": heard[worker],
        "hooked": hooked[worker],
        "number": number,
        "source": statuses.status.state.name,
    }


def wait(call: Callable[[], Any]) -> dict[str, Any]:
    """Calls what waits, while something else of this worker should go on: under gevent, a greenlet."""
    import threading

    ticks, stop = [0], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.01)

    thread = threading.Thread(target=tick)
    thread.start()
    begin = time.monotonic()
    call()
    took = time.monotonic() - begin
    stop.set()
    thread.join()
    return {"worker": os.getpid(), "ticks": ticks[0], "seconds": took}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/flush":
        ldclient.get().track("flushed", Context.create("aa0ceb"))
        answer = wait(lambda: ldclient.get().flush(2))
    else:
        answer = evaluate()
        # Long enough for a second request to find this worker busy and go to another one.
        time.sleep(0.01)
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
