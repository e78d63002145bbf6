"""Runs the field's contract suite against the test service, and everything that the suite needs beside it.

What a run amounts to is ``verdict.py``'s question. The harness listens on all interfaces, wipes the stores that it finds
on three fixed ports and takes whoever listens there for its own, therefore:

1. Everything runs in a network namespace of its own where that is permitted.
2. It refuses to start while anybody else listens on one of its ports, and names the port.
3. Whatever it starts, it ends, by process id, also when it is interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import verdict
from capabilities import DECLARED

_HERE = Path(__file__).resolve().parent
_EXPECTED = _HERE / "expected.json"
_VERSION = "2.41.0"
_REDIS, _DYNAMODB, _CONSUL = 6379, 8000, 8500
_INSIDE = "CONTRACT_NAMESPACE"

# Seconds.
_START = 30
_END = 5
_SHORT_RUN = 15 * 60
_LONG_RUN = 40 * 60

# The tests that wait for minutes: each has a harness of its own, all at once. Beside them runs what has the same headings.
_LONG_GROUPS = ("streaming/retry behavior", "polling/retry behavior")
_REFUSED = (401, 403, 405)
_LONG_TESTS = (
    *(f"{_LONG_GROUPS[0]}/retry after unexpected HTTP error on initial connect/error {status}" for status in _REFUSED),
    *(f"{_LONG_GROUPS[0]}/retry after unexpected HTTP error on reconnect/error {status}" for status in _REFUSED),
    f"{_LONG_GROUPS[0]}/enters extended-regime backoff after unexpected HTTP error",
    f"{_LONG_GROUPS[0]}/does not permanently stop under sustained unexpected HTTP errors",
    f"{_LONG_GROUPS[0]}/returns to normal-regime backoff after healthy operation",
    *(f"{_LONG_GROUPS[1]}/retry after unexpected HTTP error on initial poll/error {status}" for status in _REFUSED),
    f"{_LONG_GROUPS[1]}/returns to normal-regime cadence after two consecutive successful polls",
)


class CannotRunError(Exception):
    """Something that the run needs is missing or in the way."""


def main() -> int:
    """Returns 0 when the run counts, 1 when it does not, 2 when it could not be made."""
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _check_harness(options.harness)
        _need_redis()
        if not os.environ.get(_INSIDE):
            inside = _namespace()
            if inside is not None:
                return subprocess.call([*inside, sys.executable, *sys.argv], env={**os.environ, _INSIDE: "own"})
            print("No network namespace could be had: the ports of this machine are used.")
        else:
            _raise_loopback()
        return _run(options)
    except CannotRunError as error:
        print(f"contract: {error}", file=sys.stderr)
        return 2


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--harness", type=Path, required=True, help=f"sdk-test-harness v{_VERSION}")
    parser.add_argument(
        "--port", type=int, default=8111, help="the first harness's port; each takes two, the second for https"
    )
    parser.add_argument("--long-running", action="store_true", help="only the tests that wait for minutes")
    parser.add_argument(
        "--logs", type=Path, help="a folder for the logs, kept; default: one that is removed on success"
    )
    parser.add_argument("--record", action="store_true", help="write what ran to expected.json, if nothing failed")
    return parser.parse_args()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _check_harness(path: Path) -> None:
    try:
        # Without arguments it says its version, then that it needs some.
        said = subprocess.run([path], capture_output=True, text=True, timeout=_START, check=False).stdout
    except OSError as error:
        raise CannotRunError(f"the harness cannot be started: {error}") from error
    if said.partition("\n")[0].strip() != f"sdk-test-harness v{_VERSION}":
        raise CannotRunError(f"{path} is not sdk-test-harness v{_VERSION}")


def _need_redis() -> None:
    if shutil.which("redis-server"):
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise CannotRunError("redis-server is missing. On Debian or Ubuntu: apt-get install redis-server")
    print("Installing redis-server", flush=True)
    done = subprocess.run([apt, "install", "-qq", "-y", "--no-install-recommends", "redis-server"], check=False)
    if done.returncode != 0 or not shutil.which("redis-server"):
        raise CannotRunError("redis-server could not be installed: apt-get install redis-server")


def _namespace() -> list[str] | None:
    """Returns the command that starts another one in a network namespace of its own, None where that is not permitted."""
    unshare = shutil.which("unshare")
    for command in ([unshare, "--net"], [unshare, "--map-root-user", "--net"]):
        if unshare and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return [str(word) for word in command]
    return None


def _raise_loopback() -> None:
    """Makes the loopback device of a new namespace work, as ``ip link set lo up`` does."""
    get_flags, set_flags, up = 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(handle, get_flags, request))
        fcntl.ioctl(handle, set_flags, struct.pack("16sh14x", b"lo", flags | up))


def _run(options: argparse.Namespace) -> int:
    harnesses = len(_selections(options.long_running))
    for port in (_REDIS, _DYNAMODB, _CONSUL, *range(options.port, options.port + 2 * harnesses)):
        _refuse_others(port)
    with tempfile.TemporaryDirectory(prefix="contract-") as temporary:
        logs = options.logs or Path(temporary)
        logs.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with contextlib.ExitStack() as parts:
            if not options.long_running:
                _start_stores(parts, logs)
            url = _start_service(parts, logs)
            reports = _harnesses(parts, options, url, logs)
        found = verdict.read(*reports)
        code = _judge(options, found, time.monotonic() - began)
        if code and options.logs is None:
            kept = Path(tempfile.mkdtemp(prefix="contract-logs-"))
            shutil.copytree(logs, kept, dirs_exist_ok=True)
            print(f"The logs are in {kept}")
    return code


def _refuse_others(port: int) -> None:
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # Without this, a connection of an earlier run that is still dying counts as somebody.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotRunError(
                    f"somebody listens on port {port} already; the suite would use or wipe it"
                ) from None


def _start_stores(parts: contextlib.ExitStack, logs: Path) -> None:
    redis = ["redis-server", "--port", str(_REDIS), "--bind", "127.0.0.1", "--save", "", "--dir", str(logs)]
    parts.enter_context(_part("redis", redis, _REDIS, logs))
    moto = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(_DYNAMODB)]
    parts.enter_context(_part("dynamodb", moto, _DYNAMODB, logs))
    if agent := shutil.which("consul"):
        consul = [agent, "agent", "-dev", "-bind", "127.0.0.1", "-http-port", str(_CONSUL)]
        print(f"Redis: real. DynamoDB: moto. Consul: {agent}.")
    else:
        consul = [sys.executable, str(_HERE / "consul_stand_in.py"), str(_CONSUL)]
        print(
            "Redis: real. DynamoDB: moto. Consul: a stand-in (tests/contract/consul_stand_in.py), no agent is installed."
        )
    parts.enter_context(_part("consul", consul, _CONSUL, logs))


def _start_service(parts: contextlib.ExitStack, logs: Path) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    parts.enter_context(_part("service", [sys.executable, str(_HERE / "service.py"), str(port)], port, logs))
    return f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _part(name: str, command: Sequence[str], port: int, logs: Path) -> Iterator[None]:
    """Runs a part for as long as the block lasts, from the moment at which it listens."""
    log = logs / f"{name}.log"
    with log.open("wb") as output:
        # Out of reach of Ctrl-C: a part ends after what uses it.
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=_environment(), start_new_session=True
        )
    try:
        end = time.monotonic() + _START
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end:
                raise CannotRunError(f"{name} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        yield
    finally:
        _end(process)


def _environment() -> dict[str, str]:
    """The environment without proxies (all parts are on loopback), and without accounts of AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    kept = {name: value for name, value in kept.items() if not name.startswith("AWS_")}
    return {**kept, "PYTHONUNBUFFERED": "1", "AWS_EC2_METADATA_DISABLED": "true"}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _selections(long_running: bool) -> list[list[str]]:
    """Returns which tests each harness runs, as its arguments."""
    if not long_running:
        return [["-enable-persistence-tests"]]
    rest = [word for name in _LONG_GROUPS for word in ("-run", name)]
    rest += [word for name in _LONG_TESTS for word in ("-skip", name)]
    return [["-enable-long-running-tests", *words] for words in (rest, *(["-run", name] for name in _LONG_TESTS))]


def _harnesses(parts: contextlib.ExitStack, options: argparse.Namespace, url: str, logs: Path) -> list[str]:
    """Runs the harness for each selection, all at once; returns their reports."""
    end = time.monotonic() + (_LONG_RUN if options.long_running else _SHORT_RUN)
    running = []
    for number, selection in enumerate(_selections(options.long_running)):
        own = logs / f"harness-{number}"
        own.mkdir(exist_ok=True)
        report = own / "junit.xml"
        report.unlink(missing_ok=True)
        command = [str(options.harness.resolve()), "-url", url, "-port", str(options.port + 2 * number)]
        command += ["-status-timeout", "20", "-debug", "-record-failures", str(own / "failures.txt")]
        log = own / "harness.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "-junit", str(report), *selection],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )
        parts.callback(_end, process)
        running.append((process, report, log))
    reports = []
    for process, report, log in running:
        try:
            process.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise CannotRunError(f"the harness did not end in time, see {log}") from None
        if not report.exists():
            raise CannotRunError(f"the harness left no report:\n{log.read_text(errors='replace')[-2000:]}")
        reports.append(report.read_text())
    return reports


def _judge(options: argparse.Namespace, run: verdict.Run, seconds: float) -> int:
    print(verdict.table(run))
    expected: dict[str, Any] = json.loads(_EXPECTED.read_text())
    of = "long_running" if options.long_running else "suite"
    recorded = {
        "capabilities": sorted(DECLARED) if options.record else expected["capabilities"],
        "ran": expected[of]["ran"],
    }
    found = verdict.faults(run, recorded, DECLARED, selected=options.long_running)
    for sentence in found:
        print(sentence)
    ran = sum(group.ran for group in run.groups.values())
    print(f"sdk-test-harness v{_VERSION}: {ran} ran in {seconds:.0f} s, {len(found)} reasons to fail")
    if found or not options.record:
        return 1 if found else 0
    expected["capabilities"] = sorted(run.capabilities)
    expected[of] = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "seconds": round(seconds),
        "ran": {name: group.ran for name, group in run.groups.items()},
    }
    _EXPECTED.write_text(json.dumps(expected, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
