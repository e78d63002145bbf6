"""Runs a real Celery worker with processes, and asks it through its broker: Redis, or files where there is no Redis."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis_server
from running import OURS, Host, Side, started

__all__ = ["Worker", "worker"]

# Sends tasks and prints their results, line by line; ends with its input.
ASKING = """
import json, os, sys
from celery import Celery, group
app = Celery("tasks", broker=os.environ["CELERY_BROKER"], backend=os.environ["CELERY_RESULTS"])
folder = os.environ["CELERY_FOLDER"]
app.conf.broker_transport_options = {"control_folder": folder, "data_folder_in": folder, "data_folder_out": folder}
for line in sys.stdin:
    sent = [app.send_task("ask") for _ in range(int(line))]
    print(json.dumps([one.get(timeout=20, interval=0.02) for one in sent]), flush=True)
"""


@dataclass
class Worker(Host):
    """A Celery worker: it is asked by tasks, not by HTTP."""

    asking: subprocess.Popen[str] | None = None

    def ask(self, path: str = "/") -> dict[str, Any]:
        assert path == "/", "tasks have no paths"
        assert self.asking is not None
        assert self.asking.stdin is not None
        assert self.asking.stdout is not None
        print(1, file=self.asking.stdin, flush=True)
        told: dict[str, Any] = json.loads(self.asking.stdout.readline())[0]
        self.asked.append(told)
        return told

    def ask_many(self, count: int) -> Sequence[dict[str, Any]]:
        """The answers of so many tasks, sent at once."""
        assert self.asking is not None
        assert self.asking.stdin is not None
        assert self.asking.stdout is not None
        print(count, file=self.asking.stdin, flush=True)
        told: list[dict[str, Any]] = json.loads(self.asking.stdout.readline())
        self.asked += told
        return told


@contextmanager
def worker(
    folder: Path, service: str, *options: str, side: Side = OURS, flush_interval: float = 0.2, processes: int = 2
) -> Iterator[Worker]:
    """Runs a worker with so many processes, and what its broker needs."""
    queue = folder / "queue"
    (queue / "results").mkdir(parents=True)
    with ExitStack() as stack:
        if shutil.which("redis-server"):
            broker = results = stack.enter_context(redis_server.running()).url
        else:
            broker, results = "filesystem://", f"file://{queue / 'results'}"
        environment = side.environment(
            SERVICE_URI=service,
            FLUSH_INTERVAL=str(flush_interval),
            CELERY_BROKER=broker,
            CELERY_RESULTS=results,
            CELERY_FOLDER=str(queue),
        )
        command = [
            *(side.python, "-m", "celery", "--app", "tasks", "worker", "--pool", "prefork"),
            *("--concurrency", str(processes), "--loglevel", "INFO", "-O", "fair"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            *options,
        ]
        host = stack.enter_context(started(command, folder, environment))
        host.wait_for_log(" ready.")
        asking = subprocess.Popen(
            [sys.executable, "-c", ASKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        try:
            yield Worker(host.process, host.logged_to, asking=asking)
        finally:
            asking.communicate(timeout=15)
