"""Programs of the tests: each runs in an interpreter of its own, with a deadline, against the stand-in's address.

What a program does and prints is left to the tests. A program that is not in time is ended with all it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from types import TracebackType

__all__ = ["Ended", "Program"]

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

# What every program begins with. Events leave when something asks for it, so that it is known who sent them.
PRELUDE = """
import faulthandler, os, signal, sys, threading, time
from ldclient import Config, LDClient
URI = sys.argv[1]
faulthandler.register(signal.SIGUSR1)
USER = {"key": "aa0ceb"}

def config(**options):
    given = {"sdk_key": "sdk-key", "base_uri": URI, "stream_uri": URI, "events_uri": URI}
    return Config(**{**given, "flush_interval": 600, "diagnostic_opt_out": True, **options})

def until(answer, seconds=5.0):
    end = time.monotonic() + seconds
    while not answer():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.002)

def fork(work, ends=os._exit):
    # Runs the work in a child, which ends by 0, or by 1 with a traceback.
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        import traceback
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    ends(0)

def reap(child, seconds=15.0):
    end = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert status == 0, f"the child ended with {status}"
            return
        if time.monotonic() > end:
            os.kill(child, signal.SIGUSR1)  # says where it is
            time.sleep(0.2)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError(f"the child did not end within {seconds} s")
        time.sleep(0.002)

def value(client):
    return client.variation("your.feature.key", USER, "default")

def native_threads():
    names = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as comm:
                names.append(comm.read().strip())
        except OSError:
            pass
    return sorted(name for name in names if name.startswith("ld"))

def sockets():
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found
"""


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    output: str
    errors: str


class Program:
    """A running program; a context manager that ends it.

    :param source: its text, which follows the prelude
    :param arguments: what it is called with; the first one is the address of the service
    :param before: what it does before the prelude, which imports the package
    """

    def __init__(self, source: str, *arguments: str, before: str = "") -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        text = f"{before}\n{PRELUDE}{textwrap.dedent(source)}"
        # Certificates that the machine names would be read at each start, and the addresses here need none. Python 3.12
        # and later warn of a fork while there are threads, which is what some programs are about.
        environment = {name: value for name, value in os.environ.items() if name not in CERTIFICATES}
        environment["PYTHONWARNINGS"] = "ignore::DeprecationWarning"
        self.process = subprocess.Popen(
            [sys.executable, "-c", text, *arguments],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()
        self.go()
        if error is not None:
            print(self._ended())
        self._output.close()
        self._errors.close()

    def go(self) -> None:
        """Ends the program's standard input, which it may wait for."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self, seconds: float = 30.0) -> Ended:
        """Returns when the program has ended; fails if that takes longer."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._end()
            raise AssertionError(f"the program did not end within {seconds} s: {self._ended()}") from None
        return self._ended()

    def succeeds(self, seconds: float = 30.0) -> str:
        """Returns what the program printed; it must end by 0 and write no error."""
        ended = self.wait(seconds)
        assert (ended.code, ended.errors) == (0, ""), ended
        return ended.output

    def _end(self) -> None:
        if self.process.poll() is None:
            # The session is its own: this reaches its children and nobody else.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _ended(self) -> Ended:
        texts = []
        for file in (self._output, self._errors):
            file.seek(0)
            texts.append(file.read())
        return Ended(self.process.returncode, *texts)
