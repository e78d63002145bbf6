"""Runs real hosts for tests and measurements: uWSGI, gunicorn, a Celery worker. Each ends with its block, in time.

What a host serves is left to ``application`` and ``tasks``; which package that imports is a matter of the ``Side``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["HERE", "OURS", "Host", "Side", "apache", "apache_is_missing", "gunicorn", "reference", "started", "uwsgi"]

HERE = Path(__file__).resolve().parent

# Addresses here are loopback ones; a proxy that the machine names has nothing to do with them.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Side:
    """One of the two packages: how it is called, and the interpreter and environment that import it."""

    name: str
    python: str = sys.executable
    paths: tuple[str, ...] = ()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a process in which ``import ldclient`` finds this package."""
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        # From Python 3.12 on a fork beside threads is warned of, which is what some hosts are about.
        kept["PYTHONWARNINGS"] = "ignore::DeprecationWarning"
        # The last one for pyuwsgi: when it reloads, it starts the interpreter anew and loses the virtual environment.
        paths = (*self.paths, str(HERE), sysconfig.get_path("platlib"))
        return {**kept, "PYTHONPATH": os.pathsep.join(paths), **more}


OURS = Side("ldclient")


def reference() -> Side:
    """launchdarkly-server-sdk 9.20, in its own environment; the hosts are those of the environment this runs in."""
    made = subprocess.run(
        [HERE.parent / "reference_env", sys.executable], check=True, capture_output=True, text=True, timeout=300
    )
    python = made.stdout.split()[-1]
    where = "import ldclient, pathlib; print(pathlib.Path(ldclient.__file__).parents[1])"
    found = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True, timeout=60)
    return Side("launchdarkly-server-sdk 9.20", paths=(found.stdout.strip(),))


@dataclass
class Host:
    """A running host."""

    process: subprocess.Popen[bytes]
    logged_to: Path
    port: int = 0
    ends_within: float = 15.0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, path: str = "/") -> dict[str, Any]:
        """Returns what one worker answers."""
        with DIRECT.open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        self.asked.append(told)
        return told

    def ask_many(self, count: int) -> Sequence[dict[str, Any]]:
        """What is answered to so many questions, asked at once."""
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.ask(), range(count)))

    def ask_workers(self, count: int, value: Any, seconds: float = 10.0) -> dict[int, dict[str, Any]]:
        """Asks until so many workers have answered with the value, and no other one did; returns the last answers."""
        end = time.monotonic() + seconds
        last: dict[int, dict[str, Any]] = {}
        while sum(answer["value"] == value for answer in last.values()) < count:
            assert time.monotonic() < end, f"no {count} workers with {value!r} within {seconds} s: {last}"
            for answer in self.ask_many(2 * count):
                last[answer["worker"]] = answer
        assert {str(answer["value"]) for answer in last.values()} == {str(value)}, last
        return last

    def log(self) -> str:
        return self.logged_to.read_text(errors="replace")

    def log_lines(self, level: str) -> list[str]:
        """What the application's processes logged at a level."""
        return [line for line in self.log().splitlines() if line.startswith("LOG") and f" {level} " in line]

    def wait_for_log(self, text: str, count: int = 1, seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while self.log().count(text) < count:
            assert time.monotonic() < end, f"not {count} times {text!r} within {seconds} s: {self.log()}"
            assert self.process.poll() is None, f"the host ended: {self.log()}"
            time.sleep(0.02)

    def wait_until_it_listens(self, seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < end, self.log()
                assert self.process.poll() is None, self.log()
                time.sleep(0.02)

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Asks the host to end, and waits until it has."""
        self.process.send_signal(by)
        self.process.wait(self.ends_within)


@contextmanager
def started(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    listening: socket.socket | None = None,
    ends_by: signal.Signals = signal.SIGTERM,
) -> Iterator[Host]:
    """Runs a host until the block ends. It is asked to end then, unless it was before, and must do so by itself."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            pass_fds=[] if listening is None else [listening.fileno()],
            start_new_session=True,
        )
    host = Host(process, log)
    if listening is not None:
        host.port = listening.getsockname()[1]
        listening.close()
    try:
        yield host
        if process.poll() is None:
            host.end(ends_by)
    except BaseException as error:
        if sys.version_info >= (3, 11):
            error.add_note(f"The host's log:\n{host.log()}")
        raise
    finally:
        end_session(process)


def end_session(process: subprocess.Popen[Any]) -> None:
    """Ends a process that has a session of its own, with all that it started, and nobody else."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def listener() -> socket.socket:
    """A socket that a host takes over, so that nobody else can take the port in between."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    return listening


@contextmanager
def uwsgi(
    folder: Path,
    service: str,
    *options: str,
    side: Side = OURS,
    application: Sequence[str] = ("--wsgi-file", str(HERE / "application.py"), "--need-app"),
    processes: int = 2,
    flush_interval: float = 0.2,
    ends_by: signal.Signals = signal.SIGTERM,
) -> Iterator[Host]:
    """Runs uWSGI with a master and so many workers; the application is loaded in the master unless an option says not.

    :param service: the address that the client is to use
    """
    listening = listener()
    command = [
        *(side.python, "-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])"),
        *("--master", "--http-socket", f"fd://{listening.fileno()}", *application),
        *("--processes", str(processes), "--worker-reload-mercy", "8"),
        *options,
    ]
    environment = side.environment(SERVICE_URI=service, FLUSH_INTERVAL=str(flush_interval))
    with started(command, folder, environment, listening=listening, ends_by=ends_by) as host:
        yield host


@contextmanager
def gunicorn(
    folder: Path,
    service: str,
    *options: str,
    side: Side = OURS,
    workers: int = 2,
    flush_interval: float = 0.2,
) -> Iterator[Host]:
    """Runs gunicorn with so many workers."""
    listening = listener()
    command = [
        *(side.python, "-m", "gunicorn", "application:application", "--no-control-socket"),
        *("--bind", f"fd://{listening.fileno()}", "--workers", str(workers), "--graceful-timeout", "8"),
        *options,
    ]
    environment = side.environment(SERVICE_URI=service, FLUSH_INTERVAL=str(flush_interval))
    with started(command, folder, environment, listening=listening) as host:
        yield host


APACHE = """
ServerRoot "{folder}"
ServerName 127.0.0.1
PidFile "{folder}/pid"
Mutex sem
ErrorLog /dev/stderr
ErrorLogFormat "%M"
LogLevel warn wsgi:info
Listen 127.0.0.1:{port}
LoadModule mpm_event_module "{modules}/mod_mpm_event.so"
LoadModule authz_core_module "{modules}/mod_authz_core.so"
{load}
WSGISocketPrefix "{folder}/wsgi"
StartServers 1
ServerLimit 1
{directives}
"""


def apache_is_missing() -> str | None:
    """Why there is no Apache with mod_wsgi for this interpreter; None when there is."""
    if importlib.util.find_spec("mod_wsgi") is None:
        return "mod_wsgi is not installed: it is compiled with apxs (Debian: apache2-dev)"
    if _apache_program() is None:
        return "there is no Apache (Debian: apache2-bin)"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "Apache serves nothing as root, and there is no setpriv to be somebody else by"
    return None


def _apache_program() -> str | None:
    return shutil.which("apache2") or shutil.which("httpd") or shutil.which("apache2", path="/usr/sbin")


@contextmanager
def apache(folder: Path, service: str, *directives: str, flush_interval: float = 0.2) -> Iterator[Host]:
    """Runs Apache with mod_wsgi and these directives, and one process for them if they ask for none."""
    program = _apache_program()
    assert program is not None
    express = Path(sys.executable).with_name("mod_wsgi-express")
    load = subprocess.run([express, "module-config"], check=True, capture_output=True, text=True, timeout=60).stdout
    modules = subprocess.run(["apxs", "-q", "LIBEXECDIR"], check=True, capture_output=True, text=True, timeout=60)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    filled = APACHE.format(
        folder=folder, port=port, modules=modules.stdout.strip(), load=load, directives="\n".join(directives)
    )
    configuration = folder / "apache.conf"
    configuration.write_text(filled)
    command = [program, "-DFOREGROUND", "-f", str(configuration)]
    if os.geteuid() == 0:
        # Somebody else, who may read what root may: where the interpreter lives is nobody's choice here.
        folder.chmod(0o777)
        may = "+dac_override,+dac_read_search"
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={may}",
                   f"--ambient-caps={may}", *command]  # fmt: skip
    environment = OURS.environment(SERVICE_URI=service, FLUSH_INTERVAL=str(flush_interval))
    with started(command, folder, environment) as host:
        host.port = port
        host.wait_until_it_listens()
        yield host
