"""Real uWSGI: the client is made in the master when the application is loaded, and serves in each worker."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from checks import arrived, delivered, delivered_once, flips, hears, is_clean, lives, made, until
from running import Host, uwsgi
from stand_in import StandIn

ERROR = "uWSGI runs without threads"
FOR_THREADS = {"enable-threads": ["--enable-threads"], "threads": ["--threads", "2"]}


def is_idle(host: Host) -> bool:
    # uWSGI runs no exit handlers in a worker that is still busy with the end of its last request.
    return host.log().count("=> generated") >= len(host.asked)


@pytest.mark.parametrize("option", FOR_THREADS.values(), ids=FOR_THREADS)
def test_each_worker_serves_receives_listens_and_delivers(service: StandIn, tmp_path: Path, option: list[str]) -> None:
    with uwsgi(tmp_path, service.uri, *option, "--die-on-term") as host:
        lives(host, service, 2, streams=3)
        hears(host, service, 2)
        loader = host.asked[0]["made_in"]
        until(lambda: delivered(service, "when loaded"))
    assert loader not in {answer["worker"] for answer in host.asked}, "it was loaded before the fork"
    delivered_once(host, service, {loader})
    is_clean(host)
    service.wait_for_streams(0)


def test_four_workers_live(service: StandIn, tmp_path: Path) -> None:
    with uwsgi(tmp_path, service.uri, "--enable-threads", "--die-on-term", processes=4) as host:
        lives(host, service, 4, streams=5)
    is_clean(host)


def test_workers_that_load_the_application_themselves_live(service: StandIn, tmp_path: Path) -> None:
    with uwsgi(tmp_path, service.uri, "--enable-threads", "--lazy-apps", "--die-on-term") as host:
        lives(host, service, 2, streams=2)
        hears(host, service, 2)
        until(lambda: is_idle(host))
    delivered_once(host, service, {answer["worker"] for answer in host.asked})
    assert {answer["made_in"] for answer in host.asked} == {answer["worker"] for answer in host.asked}
    is_clean(host)


# The signals by which uWSGI ends, with the option that makes it end by SIGTERM; without it SIGTERM reloads.
ENDS = {
    "SIGTERM with die-on-term": (["--die-on-term"], signal.SIGTERM),
    "SIGINT": ([], signal.SIGINT),
    "SIGQUIT": ([], signal.SIGQUIT),
}


@pytest.mark.parametrize(("options", "by"), ENDS.values(), ids=ENDS)
def test_the_end_delivers_every_event_once(
    service: StandIn, tmp_path: Path, options: list[str], by: signal.Signals
) -> None:
    with uwsgi(tmp_path, service.uri, "--enable-threads", *options, flush_interval=600, ends_by=by) as host:
        host.ask_workers(2, True)
        until(lambda: is_idle(host))
    # What the master recorded left within its flush interval, or never: uWSGI runs no exit handlers in its master.
    assert arrived(service) == made(host.asked)
    assert delivered(service, "when loaded") == []
    service.wait_for_streams(0)


@pytest.mark.parametrize("by", [signal.SIGHUP, signal.SIGTERM], ids=["gracefully", "brutally"])
def test_a_reload_delivers_and_serves_again(service: StandIn, tmp_path: Path, by: signal.Signals) -> None:
    with uwsgi(tmp_path, service.uri, "--enable-threads", flush_interval=600, ends_by=signal.SIGINT) as host:
        before = host.ask_workers(2, True)
        until(lambda: is_idle(host))
        host.process.send_signal(by)
        host.wait_for_log("spawned uWSGI worker 2", 2)
        until(lambda: arrived(service) == made(host.asked))
        after = host.ask_workers(2, True)
        assert not before.keys() & after.keys()
        until(lambda: is_idle(host))
    assert arrived(service) == made(host.asked)


def test_a_worker_that_is_replaced_delivers_and_the_next_one_lives(service: StandIn, tmp_path: Path) -> None:
    options = ("--enable-threads", "--die-on-term", "--max-requests", "20", "--min-worker-lifetime", "0")
    with uwsgi(tmp_path, service.uri, *options, processes=1, flush_interval=600) as host:
        first = host.ask()["worker"]
        for _ in range(60):
            if host.ask()["worker"] != first:
                break
        else:
            pytest.fail("no worker was replaced")
        flips(host, service, 1, streams=2)
        until(lambda: is_idle(host))
    assert arrived(service) == made(host.asked)


def test_without_threads_one_error_names_the_option(service: StandIn, tmp_path: Path) -> None:
    with uwsgi(tmp_path, service.uri, "--die-on-term") as host:
        host.ask_workers(2, True)
        host.ask_workers(2, True)
    errors = host.log_lines("ERROR")
    assert len(errors) == 1, errors
    assert ERROR in errors[0]
    assert "enable-threads" in errors[0]


def test_without_threads_values_flips_and_events_flow_all_the_same(service: StandIn, tmp_path: Path) -> None:
    with uwsgi(tmp_path, service.uri, "--die-on-term") as host:
        lives(host, service, 2, streams=3)
        until(lambda: is_idle(host))
        until(lambda: delivered(service, "when loaded"))
    delivered_once(host, service, {host.asked[0]["made_in"]})
    assert "Traceback" not in host.log()


def test_without_threads_the_end_delivers_what_waits(service: StandIn, tmp_path: Path) -> None:
    with uwsgi(tmp_path, service.uri, "--die-on-term", flush_interval=600) as host:
        host.ask_workers(2, True)
        until(lambda: is_idle(host))
    assert arrived(service) == made(host.asked)
