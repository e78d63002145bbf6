"""Real uWSGI: the client is made in the master when the application is loaded, and serves in each worker."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stand_in import StandIn, constant_flag

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="uWSGI is tried on Linux only"),
    pytest.mark.skipif(importlib.util.find_spec("pyuwsgi") is None, reason="pyuwsgi is not installed"),
]

KEY = "your.feature.key"
ERROR = "uWSGI runs without threads"

APPLICATION = """
import logging, os
logging.basicConfig(level=logging.INFO, format="LOG %(process)d %(levelname)s %(message)s")
import ldclient

uri = os.environ["SERVICE_URI"]
ldclient.config = ldclient.Config(
    "sdk-key", base_uri=uri, stream_uri=uri, events_uri=uri, diagnostic_opt_out=True,
    flush_interval=float(os.environ["FLUSH_INTERVAL"]),
)
client = ldclient.get()

def application(environ, start_response):
    user = {"key": f"worker-{os.getpid()}"}
    value = ldclient.get().variation("your.feature.key", user, "default")
    ldclient.get().track("request", user)
    body = f"{os.getpid()} {value}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Host:
    """A running uWSGI."""

    def __init__(self, port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.port, self._log, self.process = port, log, process

    def ask(self) -> tuple[int, str]:
        """Returns the process id of the worker that answered, and the flag's value there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            worker, value = answer.read().decode().split()
            return int(worker), value

    def ask_all(self, workers: int, wanted: str, seconds: float) -> set[int]:
        """Asks until so many workers have answered with the wanted value; returns who they are."""
        end = time.monotonic() + seconds
        seen: dict[int, str] = {}
        while sum(value == wanted for value in seen.values()) < workers:
            assert time.monotonic() < end, (seen, self.log())
            worker, value = self.ask()
            seen[worker] = value
            time.sleep(0.005)
        assert set(seen.values()) == {wanted}, seen
        return set(seen)

    def log(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def uwsgi(folder: Path, service: StandIn, *options: str, flush_interval: float = 0.2) -> Iterator[Host]:
    """Runs uWSGI with the application until the block ends; it must then end by itself, in time."""
    (folder / "application.py").write_text(textwrap.dedent(APPLICATION))
    # uWSGI takes the socket over, so that nobody else can take the port in between.
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    command = [
        *(sys.executable, "-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])"),
        *("--master", "--http-socket", f"fd://{listening.fileno()}", "--wsgi-file", str(folder / "application.py")),
        *("--processes", "2", "--need-app", "--die-on-term", "--worker-reload-mercy", "5"),
        *options,
    ]
    log = folder / "log"
    environment = {**os.environ, "SERVICE_URI": service.uri, "FLUSH_INTERVAL": str(flush_interval)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
    port = listening.getsockname()[1]
    listening.close()
    host = Host(port, log, process)
    try:
        yield host
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    except BaseException:
        print(host.log())
        raise
    finally:
        if process.poll() is None:
            # The session is its own: this reaches the workers and nobody else.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def lives(host: Host, service: StandIn) -> None:
    """Both workers answer, receive and deliver."""
    workers = host.ask_all(2, "True", 10)
    service.wait_for_streams(3)
    service.put(constant_flag(KEY, "new"))
    assert host.ask_all(2, "new", 5) == workers
    end = time.monotonic() + 5
    wanted = {f"worker-{worker}" for worker in workers}
    while not wanted <= {event["context"]["key"] for event in service.events_of("custom")}:
        assert time.monotonic() < end, service.events
        time.sleep(0.01)


@pytest.mark.parametrize("option", [["--enable-threads"], ["--threads", "2"]], ids=["enable-threads", "threads"])
def test_each_worker_serves_receives_and_delivers(service: StandIn, tmp_path: Path, option: list[str]) -> None:
    with uwsgi(tmp_path, service, *option) as host:
        lives(host, service)
    assert ERROR not in host.log()
    assert "Traceback" not in host.log()


def test_workers_that_end_deliver_every_event_once(service: StandIn, tmp_path: Path) -> None:
    with uwsgi(tmp_path, service, "--enable-threads", flush_interval=600) as host:
        for _ in range(20):
            host.ask()
        # uWSGI runs no exit handlers in a worker that is still busy with the end of its last request.
        end = time.monotonic() + 5
        while host.log().count("=> generated") < 20:
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(0.2)
    assert len(service.events_of("custom")) == 20
    assert service.counted(KEY) == {0: 20}
    service.wait_for_streams(0)


def test_without_threads_one_error_names_the_option_and_values_still_come(service: StandIn, tmp_path: Path) -> None:
    with uwsgi(tmp_path, service) as host:
        host.ask_all(2, "True", 10)
        host.ask_all(2, "True", 10)
    errors = [line for line in host.log().splitlines() if line.startswith("LOG") and " ERROR " in line]
    assert len(errors) == 1, errors
    assert ERROR in errors[0]
    assert "enable-threads" in errors[0]


def test_lazy_apps_live(service: StandIn, tmp_path: Path) -> None:
    with uwsgi(tmp_path, service, "--enable-threads", "--lazy-apps") as host:
        workers = host.ask_all(2, "True", 10)
        service.wait_for_streams(2)
        service.put(constant_flag(KEY, "new"))
        assert host.ask_all(2, "new", 5) == workers


def test_without_threads_flags_and_events_flow_all_the_same(service: StandIn, tmp_path: Path) -> None:
    with uwsgi(tmp_path, service) as host:
        lives(host, service)
