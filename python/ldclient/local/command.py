"""The command line, ``python -m ldclient``: arguments, messages, signals and exit codes.

What each subcommand does is left to its own module, imported only when it runs. A subcommand is one function that adds
its arguments and one that runs; ``_SUBCOMMANDS`` lists them. Exit codes: 0 done, 2 wrong use or nothing to work with,
3 no such flag, 4 a flag whose data is malformed.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    :param arguments: what follows the program's name; None takes it from ``sys.argv``

    Raises SystemExit as argparse does: 0 after ``--help``, 2 after arguments that make no sense.
    """
    parser = argparse.ArgumentParser(prog="python -m ldclient", description="Tools of the feature flag client.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (summary, add_arguments, run) in _SUBCOMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        add_arguments(command)
        command.set_defaults(run=run)
    chosen = parser.parse_args(arguments)
    run_chosen: Callable[[argparse.Namespace], int] = chosen.run
    return run_chosen(chosen)


def _add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="flag file, JSON or YAML; watched for changes")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8030, help="port to listen on, 0 for any free one (default: %(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="do not print events and changed flags")
    parser.add_argument("--ready-file", metavar="PATH", help="write the server's address to this file when it listens")
    parser.add_argument("--events-file", metavar="PATH", help="append each event received to this file, one a line")


def _serve(options: argparse.Namespace) -> int:
    from ldclient.local.server import DevelopmentServer, why_not_listening

    out, problems = _Lines(sys.stdout), _Lines(sys.stderr)
    if options.events_file is not None:
        try:
            Path(options.events_file).open("a").close()
        except OSError as error:
            return _fail(f"cannot write --events-file {options.events_file}: {error.strerror}")
    try:
        server = DevelopmentServer(
            options.files,
            options.host,
            options.port,
            events_file=options.events_file,
            say=None if options.quiet else out.say,
            warn=problems.say,
        )
    except ValueError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(why_not_listening(error, options.host, options.port))
    with _StopSignal() as stop, server:
        status = server.status()
        out.say(
            f"serving {_count(status['flags'], 'flag')} and {_count(status['segments'], 'segment')} at {server.uri}"
        )
        try:
            with _ReadyFile(options.ready_file, server.uri):
                stop.wait()
        except OSError as error:
            return _fail(f"cannot write --ready-file {options.ready_file}: {error.strerror}")
    out.say("stopped")
    return 0


def _add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="the flag")
    parser.add_argument("--user", required=True, help="a user's key, or a user or context as a JSON object")
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--file", metavar="FILE", nargs="+", action="extend", help="flag files, JSON or YAML")
    origin.add_argument("--redis", metavar="URL", help="a Redis store that an SDK or a relay fills")
    parser.add_argument("--prefix", help="what stands before the keys in Redis (default: launchdarkly)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _explain(options: argparse.Namespace) -> int:
    from ldclient.local.explained import run

    try:
        return run(options)
    except ValueError as error:
        return _fail(str(error))


_SUBCOMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "explain": ("Say what a flag serves a user, and why.", _add_explain_arguments, _explain),
    "serve": ("Serve flag files to LaunchDarkly SDKs on this machine.", _add_serve_arguments, _serve),
}


class _StopSignal:
    """Waits for SIGINT or SIGTERM in the main thread.

    The signal's number arrives through a socket, since a lock that a handler shares with the code it interrupts can
    stop both for ever.
    """

    def __enter__(self) -> _StopSignal:
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._earlier_descriptor = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        # A signal that is ignored, as the shell does with SIGINT for background jobs, stays ignored.
        self._earlier_handlers = {
            number: signal.signal(number, lambda _number, _frame: None)
            for number in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        return self

    def wait(self) -> None:
        """Returns when one of the signals has come."""
        while not set(self._read.recv(16)) & {int(number) for number in self._earlier_handlers}:
            pass

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._earlier_descriptor)
        self._read.close()
        self._write.close()


class _ReadyFile:
    """A file that holds the server's address while it listens; written in one step so that nobody reads half."""

    def __init__(self, path: str | None, uri: str) -> None:
        self._path = path
        self._uri = uri

    def __enter__(self) -> None:
        if self._path is not None:
            unfinished = Path(f"{self._path}.{os.getpid()}")
            unfinished.write_text(self._uri + "\n", encoding="utf-8")
            unfinished.replace(self._path)

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            with suppress(OSError):
                Path(self._path).unlink()


class _Lines:
    """Prints whole lines with the time of day, from any thread; a reader that went away stops nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        """Prints one line."""
        text = f"{time.strftime('%H:%M:%S')} {line}\n"
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()


def _fail(problem: str) -> int:
    with suppress(OSError):
        sys.stderr.write(f"python -m ldclient: {problem}\n")
    return 2


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 0 to 65535")
    return int(text)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
