"""Real gunicorn: with the application loaded before the fork (``--preload``) and after it, for each kind of worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import delivered_once, hears, is_clean, lives
from running import gunicorn
from stand_in import StandIn

KINDS = {"sync": ("-k", "sync"), "gthread": ("-k", "gthread", "--threads", "4"), "gevent": ("-k", "gevent")}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_each_worker_serves_receives_listens_and_delivers_after_a_preload(
    service: StandIn, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with gunicorn(tmp_path, service.uri, "--preload", *options) as host:
        lives(host, service, 2, streams=3)
        hears(host, service, 2)
        loader = host.asked[0]["made_in"]
    assert loader == host.process.pid
    delivered_once(host, service, {loader})
    is_clean(host)
    service.wait_for_streams(0)


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_sigterm_delivers_every_event_once(service: StandIn, tmp_path: Path, options: tuple[str, ...]) -> None:
    with gunicorn(tmp_path, service.uri, "--preload", *options, flush_interval=600) as host:
        host.ask_workers(2, True)
    delivered_once(host, service, {host.process.pid})


def test_workers_that_load_the_application_themselves_live(service: StandIn, tmp_path: Path) -> None:
    with gunicorn(tmp_path, service.uri) as host:
        lives(host, service, 2, streams=2)
    delivered_once(host, service, {answer["worker"] for answer in host.asked})
    is_clean(host)


def test_waiting_calls_leave_the_hub_of_a_gevent_worker_free(service: StandIn, tmp_path: Path) -> None:
    with gunicorn(tmp_path, service.uri, "--preload", "-k", "gevent", workers=1) as host:
        host.ask()
        service.fault("/bulk", "stall", seconds=1.0, times=1)
        told = host.ask("/flush")
        assert told["seconds"] > 0.5, "the service was slow, so the call waited"
        assert told["ticks"] > told["seconds"] / 0.01 / 4, told
