"""A real Celery worker with processes: the client is made in the parent, and used by tasks in its children."""

from __future__ import annotations

from pathlib import Path

from celery_worker import worker
from checks import arrived, delivered_once, hears, is_clean, lives, made
from stand_in import StandIn


def test_each_process_serves_receives_listens_and_delivers(service: StandIn, tmp_path: Path) -> None:
    with worker(tmp_path, service.uri) as host:
        lives(host, service, 2, streams=3)
        hears(host, service, 2)
    assert host.asked[0]["made_in"] == host.process.pid, "it was loaded before the fork"
    delivered_once(host, service, {host.process.pid})
    is_clean(host)
    service.wait_for_streams(0)


def test_the_end_delivers_every_event_once(service: StandIn, tmp_path: Path) -> None:
    with worker(tmp_path, service.uri, flush_interval=600) as host:
        host.ask_workers(2, True)
    delivered_once(host, service, {host.process.pid})


def test_processes_that_are_replaced_deliver_every_event_once(service: StandIn, tmp_path: Path) -> None:
    with worker(tmp_path, service.uri, "--max-tasks-per-child", "3", flush_interval=600, processes=1) as host:
        for _ in range(3):
            assert [answer["number"] for answer in host.ask_many(3)] == [1, 2, 3]
    assert len({answer["worker"] for answer in host.asked}) == 3
    assert arrived(service) == made(host.asked)
