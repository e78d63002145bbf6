"""What a Celery worker runs: tasks that use the client of ``application``, made when this module is loaded.

The broker and the place of results are the environment's: ``CELERY_BROKER`` and ``CELERY_RESULTS``.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from application import evaluate

app = Celery("tasks", broker=os.environ["CELERY_BROKER"], backend=os.environ["CELERY_RESULTS"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"control_folder": os.environ.get("CELERY_FOLDER", "")}
    | {f"data_folder_{way}": os.environ.get("CELERY_FOLDER", "") for way in ("in", "out")},
    worker_prefetch_multiplier=1,
    task_ignore_result=False,
)


@app.task(name="ask")
def ask() -> dict[str, Any]:
    """Evaluates the flag and records an event in a worker's process."""
    return evaluate()
