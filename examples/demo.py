"""The whole way of a flag, on this machine only: served, decided, counted, changed. Run by ``make demo``.

Starts the development server on a free port, runs quickstart.py against it, decides flags, tracks a purchase, shows
what the server received, flips a flag in its file and waits for the change to arrive over the stream. Everything shown
is also checked: the exit code is 0 only if all of it was as expected.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ldclient import Config, LDClient
from ldclient.local.event_lines import describe

EXAMPLES = Path(__file__).resolve().parent
DEADLINE = 10.0  # seconds that any one step may take
USER = {
    "key": "aa0ceb",
    "firstName": "Ernestina",
    "lastName": "Evans",
    "email": "",
    "custom": {"groups": ["Google", "Microsoft"]},
}
VISITOR = {"key": "5d41402abc4b2a76", "anonymous": True}
EXPECTED: list[tuple[dict[str, Any], str, Any, str]] = [
    (USER, "your.feature.key", True, "RULE_MATCH"),
    (VISITOR, "your.feature.key", False, "RULE_MATCH"),
    (USER, "new-checkout", "one-page", "FALLTHROUGH"),
    (USER, "checkout-limits", {"maxItems": 100, "currencies": ["EUR", "USD", "JPY"], "express": True}, "RULE_MATCH"),
    (USER, "gift-wrapping", True, "FALLTHROUGH"),
    (VISITOR, "gift-wrapping", False, "PREREQUISITE_FAILED"),
    (USER, "old-banner", "hidden", "OFF"),
    (USER, "support-email", "help@shop.example", "FALLTHROUGH"),
    (USER, "no.such.flag", "fallback", "ERROR"),
]


class DemoFailed(Exception):
    """Something was not as expected; the message says what."""


def main() -> int:
    """Runs the demo and returns the exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with tempfile.TemporaryDirectory(prefix="ldclient-demo-") as folder:
            flag_file = Path(folder) / "flags.json"
            shutil.copy(EXAMPLES / "flags.json", flag_file)
            with development_server(flag_file, Path(folder)) as uri:
                run_quickstart(uri)
                config = Config("demo-key", base_uri=uri, stream_uri=uri, events_uri=uri)
                with LDClient(config=config, start_wait=DEADLINE) as client:
                    decide(client)
                    deliver(client, uri)
                    change(client, flag_file)
        title("Done")
        print("   Values, events and the change were all as expected.")
        return 0
    except DemoFailed as failure:
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        return 1


@contextmanager
def development_server(flag_file: Path, folder: Path) -> Iterator[str]:
    """Runs ``python -m ldclient serve`` on a free port; gives its address."""
    title("The development server")
    ready, log = folder / "ready", folder / "server.log"
    arguments = ["-m", "ldclient", "serve", str(flag_file), "--port", "0", "--ready-file", str(ready)]
    print("   $ python", *arguments[:3], "flags.json --port 0")
    with log.open("w") as output:
        server = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: ready.exists() or server.poll() is not None, "the development server listens")
        expect(server.poll() is None, f"the development server ended: {log.read_text()}")
        print(indented(log.read_text()))
        yield ready.read_text().strip()
        server.terminate()
        expect(server.wait(DEADLINE) == 0, f"the development server did not end well: {log.read_text()}")
    except subprocess.TimeoutExpired:
        fail("the development server did not stop when asked to")
    finally:
        if server.poll() is None:
            server.kill()
            server.wait(DEADLINE)


def run_quickstart(uri: str) -> None:
    """Runs quickstart.py as its reader would, and checks what the server heard of it."""
    title("examples/quickstart.py")
    print("   $ LD_BASE_URI=" + uri, "python examples/quickstart.py")
    try:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "quickstart.py")],
            env={**os.environ, "LD_BASE_URI": uri},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3 * DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        fail("quickstart.py did not end")
    print(indented(done.stdout))
    expect(done.returncode == 0, f"quickstart.py ended with exit code {done.returncode}")
    received = events(uri)
    tracked = [(event.get("key"), event.get("data")) for event in received if event.get("kind") == "custom"]
    purchase = ("Completed purchase", {"price": 320})
    expect(tracked == [("Signed up", None), purchase, purchase], f"quickstart.py tracked {tracked}")
    expect(any(event.get("kind") == "identify" for event in received), "no identify event came from quickstart.py")
    # Twice and once asked for, and once as the prerequisite of gift-wrapping.
    counts = counted(received, "your.feature.key")
    expect(counts == {0: 3, 1: 1}, f"quickstart.py's values of your.feature.key were counted as {counts}")


def decide(client: LDClient) -> None:
    """Asks for flags with their reasons."""
    title("Flags and the reasons for their values")
    expect(client.is_initialized(), f"the client got no flags within {DEADLINE} s")
    for user, key, value, kind in EXPECTED:
        detail = client.variation_detail(key, user, "fallback")
        reason = detail.reason or {}
        who = "a visitor" if user.get("anonymous") else "Ernestina"
        why = " ".join(f"{name}={part}" for name, part in reason.items() if name != "kind")
        print(f"   {key:<17} {who:<10} {json.dumps(detail.value):<20} {reason.get('kind')} {why}".rstrip())
        expect(detail.value == value, f"{key} for {who} is {detail.value!r}, not {value!r}")
        expect(reason.get("kind") == kind, f"the reason for {key} for {who} is {reason}, not {kind}")


def deliver(client: LDClient, uri: str) -> None:
    """Tracks a purchase, flushes, and shows what the server received."""
    title("Events, as the server received them")
    before = len(events(uri))
    client.track("Completed purchase", USER, {"price": 320, "currency": "EUR"}, 320)
    started = time.perf_counter()
    result = client.flush(timeout=5)
    took = (time.perf_counter() - started) * 1000
    expect(result is not None and result.complete, f"flush(timeout=5) left something behind: {result}")
    received = events(uri)[before:]
    for event in received:
        for line in describe(event):
            print("  ", line)
    print(f"\n   flush(timeout=5) took {took:.1f} ms")
    purchases = [event for event in received if event.get("kind") == "custom"]
    expect(len(purchases) == 1, f"{len(purchases)} custom events arrived, not 1")
    purchase = purchases[0]
    expect(
        purchase.get("data") == {"price": 320, "currency": "EUR"} and purchase.get("metricValue") == 320,
        f"the purchase arrived as {purchase}",
    )
    # Twice as a prerequisite, twice asked for.
    counts = counted(received, "your.feature.key")
    expect(counts == {0: 2, 1: 2}, f"the values of your.feature.key were counted as {counts}")
    expect(counted(received, "no.such.flag") == {None: 1}, "the unknown flag was not counted")
    expect(sum(event.get("kind") == "index" for event in received) >= 1, "no index event arrived")


def change(client: LDClient, flag_file: Path) -> None:
    """Flips a flag in the file and waits for the client to answer by it."""
    title("A change in the file, arriving over the stream")
    data = json.loads(flag_file.read_text())
    for on, value in ((False, False), (True, True)):
        data["flags"]["your.feature.key"]["on"] = on
        unfinished = flag_file.with_suffix(".new")
        unfinished.write_text(json.dumps(data, indent=2))
        started = time.perf_counter()
        unfinished.replace(flag_file)
        wait_until(
            lambda value=value: client.variation("your.feature.key", USER, None) is value,  # type: ignore[misc]
            f"your.feature.key became {value} after the file had changed",
        )
        took = (time.perf_counter() - started) * 1000
        word = "on" if on else "off"
        print(f"   switched {word:<4}-> variation answers {json.dumps(value):<6} {took:6.1f} ms after the write")


def events(uri: str) -> list[dict[str, Any]]:
    """The events that the server has received."""
    with urllib.request.urlopen(uri + "/events", timeout=DEADLINE) as response:
        received: list[dict[str, Any]] = json.load(response)
        return received


def counted(received: list[dict[str, Any]], key: str) -> dict[int | None, int]:
    """How often each variation of a flag is counted in summaries."""
    totals: dict[int | None, int] = {}
    for event in received:
        for counter in event.get("features", {}).get(key, {}).get("counters", []):
            variation = counter.get("variation")
            totals[variation] = totals.get(variation, 0) + counter["count"]
    return totals


def wait_until(reached: Any, what: str) -> None:
    """Waits for something to become true; fails when it has not within the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not reached():
        expect(time.monotonic() < deadline, f"it did not happen within {DEADLINE} s that {what}")
        time.sleep(0.001)


def expect(as_expected: object, otherwise: str) -> None:
    """Fails the demo with a message unless the first argument is true."""
    if not as_expected:
        fail(otherwise)


def fail(problem: str) -> NoReturn:
    """Fails the demo."""
    raise DemoFailed(problem)


def title(text: str) -> None:
    """Prints a heading."""
    print(f"\n== {text}", flush=True)


def indented(text: str) -> str:
    """Text with each line moved to the right."""
    return "\n".join(f"   {line}" for line in text.rstrip().splitlines())


def _terminated(*_: object) -> NoReturn:
    # An exception, so that the server is stopped and the folder removed on the way out.
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
