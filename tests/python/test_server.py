"""The development server, in process and as the command people type."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ldclient.local.event_lines import describe, describe_diagnostic
from ldclient.local.protocol import MAX_BODY
from ldclient.local.served import ServedData
from ldclient.local.server import DevelopmentServer, why_not_listening
from ldclient.local.streams import Streams
from ldclient.local.watching import FlagFiles

DEADLINE = 10.0


def flag(value: Any, **fields: Any) -> dict[str, Any]:
    return {"on": True, "variations": [value], "fallthrough": {"variation": 0}, "version": 1, **fields}


def write(path: Path, flags: dict[str, Any], segments: dict[str, Any] | None = None) -> None:
    """Replaces a flag file in one step."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"flags": flags, "segments": segments or {}}))
    unfinished.replace(path)


def wait_until(reached: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not reached():
        assert time.monotonic() < deadline, f"not within {DEADLINE} s: {what}"
        time.sleep(0.005)


@pytest.fixture
def flag_file(tmp_path: Path) -> Path:
    path = tmp_path / "flags.json"
    write(path, {"a": flag(1)}, {"s": {"included": ["x"], "version": 4}})
    return path


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def server(flag_file: Path, said: list[str]) -> Iterator[DevelopmentServer]:
    with DevelopmentServer([flag_file], say=said.append, warn=said.append) as running:
        yield running


@contextmanager
def connected(uri: str) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection(uri.removeprefix("http://"), timeout=DEADLINE)) as connection:
        yield connection


def ask(
    uri: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    with connected(uri) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response, response.read()


def next_event(response: http.client.HTTPResponse) -> tuple[str, Any]:
    name, data = "", ""
    while line := response.readline().rstrip(b"\n").decode():
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            data += value.strip()
    return name, json.loads(data) if data else None


@contextmanager
def streaming(uri: str) -> Iterator[http.client.HTTPResponse]:
    with connected(uri) as connection:
        connection.request("GET", "/all", headers={"Authorization": "any-key"})
        response = connection.getresponse()
        assert response.status == 200
        assert response.getheader("Content-Type", "").startswith("text/event-stream")
        with closing(response):
            yield response


# --- flags out ---


def test_a_stream_begins_with_put_and_follows_the_file(server: DevelopmentServer, flag_file: Path) -> None:
    with streaming(server.uri) as response:
        name, data = next_event(response)
        assert (name, data["path"]) == ("put", "/")
        assert data["data"]["flags"]["a"] == {**flag(1), "key": "a"}
        assert data["data"]["segments"]["s"]["version"] == 4
        write(flag_file, {"a": flag(2), "b": flag(3)})
        arrived = {data["path"]: (name, data) for name, data in (next_event(response) for _ in range(3))}
        assert arrived["/segments/s"] == ("delete", {"path": "/segments/s", "version": 5})
        assert arrived["/flags/a"] == ("patch", {"path": "/flags/a", "data": {**flag(2), "key": "a", "version": 2}})
        assert arrived["/flags/b"][1]["data"]["version"] == 1


def test_many_streams_all_hear_of_a_change(server: DevelopmentServer, flag_file: Path) -> None:
    threads_before = threading.active_count()
    connections = []
    try:
        responses = []
        for _ in range(100):
            connection = http.client.HTTPConnection(server.uri.removeprefix("http://"), timeout=DEADLINE)
            connections.append(connection)
            connection.request("GET", "/all")
            responses.append(connection.getresponse())
        for response in responses:
            assert next_event(response)[0] == "put"
        wait_until(lambda: threading.active_count() <= threads_before + 1, "no thread is left to a stream")
        assert server.status()["streams"] == 100
        write(flag_file, {"a": flag(2)}, {"s": {"included": ["x"], "version": 4}})
        for response in responses:
            assert next_event(response)[1]["data"]["version"] == 2
            response.close()
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: server.status()["streams"] == 0, "the streams are gone")


def test_a_client_that_does_not_read_holds_up_nobody(flag_file: Path) -> None:
    # Enough data that the sockets' buffers cannot hold it.
    write(flag_file, {"a": flag("x" * 8_000_000)})
    with DevelopmentServer([flag_file]) as server, connected(server.uri) as deaf:
        deaf.request("GET", "/all")
        wait_until(lambda: server.status()["streams"] == 1, "the deaf stream is open")
        with streaming(server.uri) as response:
            assert next_event(response)[0] == "put"
            write(flag_file, {"a": flag("y")})
            assert next_event(response)[1]["data"]["variations"] == ["y"]
        late = deaf.getresponse()
        assert next_event(late)[0] == "put"
        assert next_event(late)[1]["data"]["variations"] == ["y"]
        late.close()


def test_a_client_that_takes_nothing_is_dropped_in_the_end() -> None:
    streams = Streams(heartbeat=0.02, patience=0.05)
    streams.start()
    ours, theirs = socket.socketpair()
    with theirs:
        streams.add(ours, b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 8_000_000, chunked=False)
        wait_until(lambda: ours.fileno() == -1, "the stalled client is dropped")
        assert len(streams) == 0
    streams.stop()


def test_a_stream_has_heartbeats(flag_file: Path) -> None:
    with DevelopmentServer([flag_file], heartbeat=0.05) as server, streaming(server.uri) as response:
        next_event(response)
        assert response.readline() == b":\n"


def test_a_client_of_http_1_0_gets_its_stream_without_chunks(server: DevelopmentServer) -> None:
    host, port = server.uri.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=DEADLINE) as connection,
        connection.makefile("rb") as lines,
    ):
        connection.sendall(b"GET /all HTTP/1.0\r\n\r\n")
        head = []
        while line := lines.readline().strip():
            head.append(line.lower())
        assert b"connection: close" in head
        assert not any(line.startswith(b"transfer-encoding") for line in head)
        assert lines.readline() == b"event: put\n"


def test_the_poll_answers_304_until_something_changes(server: DevelopmentServer, flag_file: Path) -> None:
    response, body = ask(server.uri, "GET", "/sdk/latest-all")
    assert set(json.loads(body)) == {"flags", "segments"}
    etag = response.getheader("ETag") or ""
    for form in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        assert ask(server.uri, "GET", "/sdk/latest-all", headers={"If-None-Match": form})[0].status == 304
    write(flag_file, {"a": flag(2)})
    wait_until(
        lambda: ask(server.uri, "GET", "/sdk/latest-all", headers={"If-None-Match": etag})[0].status == 200,
        "the poll sees the change",
    )


def test_single_items_can_be_asked_for(server: DevelopmentServer) -> None:
    assert list(json.loads(ask(server.uri, "GET", "/sdk/latest-flags")[1])) == ["a"]
    assert json.loads(ask(server.uri, "GET", "/sdk/latest-flags/a")[1])["key"] == "a"
    assert json.loads(ask(server.uri, "GET", "/sdk/latest-segments/s")[1])["version"] == 4
    response, body = ask(server.uri, "GET", "/sdk/latest-flags/nope")
    assert response.status == 404
    assert "nope" in json.loads(body)["message"]


def test_slashes_too_many_do_no_harm(server: DevelopmentServer) -> None:
    assert ask(server.uri, "GET", "//sdk/latest-all/")[0].status == 200


def test_flag_values_become_whole_flags_and_files_are_merged(tmp_path: Path, flag_file: Path) -> None:
    values = tmp_path / "values.json"
    values.write_text('{"flagValues": {"colour": "blue"}}')
    with DevelopmentServer([flag_file, values]) as server:
        flags = json.loads(ask(server.uri, "GET", "/sdk/latest-all")[1])["flags"]
        assert set(flags) == {"a", "colour"}
        colour = flags["colour"]
        assert colour["variations"][colour["fallthrough"]["variation"]] == "blue"
        assert (colour["on"], colour["key"]) == (True, "colour")


# --- versions ---


def test_a_changed_item_gets_a_version_above_the_last_one_served() -> None:
    data = ServedData()
    versions = []
    for value, version in [(1, 5), (2, 5), (3, 1), (3, 1), (3, 4), (4, 50), (4, 51)]:
        changes = data.replace({"flags": {"a": flag(value, version=version)}})
        versions.append([change.version for change in changes])
    assert versions == [[5], [6], [7], [], [], [50], [51]]


def test_a_deleted_key_goes_on_counting_when_it_comes_back() -> None:
    data = ServedData()
    data.replace({"flags": {"a": flag(1, version=5)}})
    (deleted,) = data.replace({"flags": {}})
    assert (deleted.item, deleted.version) == (None, 6)
    (back,) = data.replace({"flags": {"a": flag(1, version=5)}})
    assert back.version == 7


def test_a_segment_is_announced_before_the_flag_that_uses_it() -> None:
    changes = ServedData().replace({"flags": {"a": flag(1)}, "segments": {"s": {}}})
    assert [change.kind for change in changes] == ["segments", "flags"]


@pytest.mark.parametrize("version", [None, "3", True, 1.5])
def test_a_version_that_is_no_number_counts_as_one(version: Any) -> None:
    (change,) = ServedData().replace({"flags": {"a": {"version": version}}})
    assert change.version == 1


def test_an_item_that_is_no_object_changes_nothing() -> None:
    data = ServedData()
    data.replace({"flags": {"a": flag(1)}})
    before = data.body()
    with pytest.raises(ValueError, match='flag "b" must be an object'):
        data.replace({"flags": {"a": flag(2), "b": 3}})
    assert data.body() == before


# --- files ---


def polls(files: FlagFiles, count: int) -> list[tuple[bool, str | None]]:
    return [(data is not None, line) for data, line in (files.poll() for _ in range(count))]


def test_a_replaced_file_is_read_at_once(flag_file: Path) -> None:
    files = FlagFiles([flag_file])
    files.read()
    assert polls(files, 2) == [(False, None)] * 2
    write(flag_file, {"b": flag(1)})
    assert polls(files, 2) == [(True, None), (False, None)]


def test_a_file_written_in_place_is_read_when_it_is_quiet(flag_file: Path) -> None:
    files = FlagFiles([flag_file])
    files.read()
    with flag_file.open("w") as unfinished:
        assert polls(files, 1) == [(False, None)]
        unfinished.write('{"flags": {}, ')
        unfinished.flush()
        assert polls(files, 1) == [(False, None)]
        unfinished.write('"segments": {}}')
    assert polls(files, 3) == [(False, None), (True, None), (False, None)]


def test_a_bad_file_is_reported_once_with_its_position_and_so_is_its_recovery(flag_file: Path) -> None:
    files = FlagFiles([flag_file])
    files.read()
    flag_file.write_text('{\n  "flags": {]\n')
    seen = polls(files, 6)
    assert not any(data for data, _ in seen)
    (line,) = [line for _, line in seen if line]
    assert flag_file.name in line
    assert re.search(r"line 2|:2:", line)
    assert "last good data" in line
    write(flag_file, {"b": flag(1)})
    seen = polls(files, 3)
    assert [data for data, _ in seen] == [True, False, False]
    assert [line for _, line in seen if line] == ["the flag files are good again: serving them"]


def test_a_file_that_is_away_for_a_moment_is_not_reported(flag_file: Path) -> None:
    files = FlagFiles([flag_file])
    files.read()
    away = flag_file.with_suffix(".away")
    flag_file.rename(away)
    assert polls(files, 2) == [(False, None)] * 2
    away.rename(flag_file)
    assert [line for _, line in polls(files, 3)] == [None] * 3


def test_a_file_that_stays_away_is_reported(flag_file: Path) -> None:
    files = FlagFiles([flag_file])
    files.read()
    flag_file.unlink()
    lines = [line for _, line in polls(files, 6) if line]
    assert len(lines) == 1
    assert flag_file.name in lines[0]


def test_a_change_in_the_same_tick_of_the_clock_is_found_a_second_later(
    flag_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FlagFiles([flag_file])
    files.read()
    stat = flag_file.stat()
    text = flag_file.read_text()
    flag_file.write_text(text.replace("[1]", "[2]"))
    os.utime(flag_file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert polls(files, 2) == [(False, None)] * 2
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1.1)
    data, _ = files.poll()
    assert data is not None
    assert data["flags"]["a"]["variations"] == [2]
    assert polls(files, 2) == [(False, None)] * 2


def test_the_server_goes_on_with_the_last_good_data(
    server: DevelopmentServer, flag_file: Path, said: list[str]
) -> None:
    flag_file.write_text("{")
    wait_until(lambda: any("last good data" in line for line in said), "the error is told")
    assert list(json.loads(ask(server.uri, "GET", "/sdk/latest-flags")[1])) == ["a"]
    write(flag_file, {"b": flag(1)})
    wait_until(lambda: any("good again" in line for line in said), "the recovery is told")
    assert list(json.loads(ask(server.uri, "GET", "/sdk/latest-flags")[1])) == ["b"]
    assert 'flag "b" now at version 1' in said
    assert 'flag "a" deleted version 2' in said


# --- events in ---

EVENTS = [
    {
        "kind": "summary",
        "features": {"a": {"default": 0, "counters": [{"variation": 0, "value": 1, "version": 1, "count": 3}]}},
    },
    {"kind": "identify", "context": {"kind": "user", "key": "aa0ceb"}},
    {"kind": "custom", "key": "Completed purchase", "contextKeys": {"user": "aa0ceb"}, "data": {"price": 320}},
]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_events_are_taken_kept_and_told(
    server: DevelopmentServer, said: list[str], zipped: bool, chunked: bool
) -> None:
    body = json.dumps(EVENTS).encode()
    body = gzip.compress(body) if zipped else body
    headers = {"Content-Encoding": "gzip"} if zipped else {}
    sent = iter([body[:10], body[10:]]) if chunked else body
    response, nothing = ask(server.uri, "POST", "/bulk", sent, headers)
    assert (response.status, nothing) == (202, b"")
    assert response.getheader("Date")
    assert json.loads(ask(server.uri, "GET", "/events")[1]) == EVENTS == server.events()
    assert said == [
        'event: summary   "a" variation 0 = 1, 3 times',
        'event: identify  user "aa0ceb"',
        'event: custom    "Completed purchase" by user "aa0ceb", data {"price": 320}',
    ]


def test_diagnostics_are_counted_and_told(server: DevelopmentServer, said: list[str]) -> None:
    event = {"kind": "diagnostic-init", "sdk": {"name": "python-server-sdk", "version": "9"}}
    assert ask(server.uri, "POST", "/diagnostic", json.dumps(event))[0].status == 202
    assert said == ['event: diagnostic-init from "python-server-sdk" "9"']
    assert server.status()["received"] == {"events": 0, "payloads": 0, "diagnostics": 1}


def test_only_the_last_thousand_events_are_kept(server: DevelopmentServer) -> None:
    for start in (0, 600):
        body = json.dumps([{"kind": "custom", "key": str(n)} for n in range(start, start + 600)])
        ask(server.uri, "POST", "/bulk", body)
    assert [event["key"] for event in server.events()] == [str(n) for n in range(200, 1200)]
    assert server.status()["received"]["events"] == 1200


def test_a_payload_that_is_sent_again_is_recorded_once(server: DevelopmentServer) -> None:
    for _ in range(2):
        ask(server.uri, "POST", "/bulk", '[{"kind": "custom"}]', {"X-LaunchDarkly-Payload-ID": "one"})
    assert len(server.events()) == 1


def test_events_are_appended_to_the_events_file(flag_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "events"
    for _ in range(2):
        with DevelopmentServer([flag_file], events_file=path) as server:
            ask(server.uri, "POST", "/bulk", json.dumps(EVENTS))
    assert [json.loads(line) for line in path.read_text().splitlines()] == EVENTS * 2


def test_one_connection_serves_many_requests(server: DevelopmentServer) -> None:
    with connected(server.uri) as connection:
        for _ in range(3):
            connection.request("POST", "/bulk", b"[]")
            response = connection.getresponse()
            assert (response.status, response.read()) == (202, b"")
        used = connection.sock
        connection.request("GET", "/status")
        assert json.loads(connection.getresponse().read())["status"] == "ok"
        assert connection.sock is used


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "says"),
    [
        ("GET", "/nowhere", None, {}, 404, "/nowhere"),
        ("POST", "/nowhere", b"", {}, 404, "/nowhere"),
        ("POST", "/all", b"", {}, 405, "GET"),
        ("GET", "/bulk", None, {}, 405, "POST"),
        ("DELETE", "/all", None, {}, 405, "GET and POST"),
        ("POST", "/bulk", b"{", {}, 400, "not JSON"),
        ("POST", "/bulk", b"{}", {}, 400, "array"),
        ("POST", "/bulk", b"[" * 100_000, {}, 400, "not JSON"),
        ("POST", "/bulk", b"\xff", {}, 400, "not JSON"),
        ("POST", "/diagnostic", b"", {}, 400, "not JSON"),
        ("POST", "/bulk", b"no gzip", {"Content-Encoding": "gzip"}, 400, "not gzip"),
        ("POST", "/bulk", gzip.compress(b"[]")[:-4], {"Content-Encoding": "gzip"}, 400, "cut short"),
        ("POST", "/bulk", b"[]", {"Content-Encoding": "br"}, 415, "gzip"),
        ("POST", "/bulk", gzip.compress(b" " * (MAX_BODY + 1)), {"Content-Encoding": "gzip"}, 413, "larger"),
        ("POST", "/bulk", b"x", {"Content-Length": "ten"}, 400, "not a number"),
        ("POST", "/bulk", b"x", {"Content-Length": str(MAX_BODY + 1)}, 413, "larger"),
        ("POST", "/bulk", b"x", {"Content-Length": str(MAX_BODY + 1), "Expect": "100-continue"}, 413, "larger"),
        ("POST", "/bulk", b"zz\r\n", {"Transfer-Encoding": "chunked"}, 400, "chunk"),
    ],
    ids=lambda value: "" if isinstance(value, bytes | dict) else None,
)
def test_bad_input_is_told_what_was_wrong_and_the_server_goes_on(
    server: DevelopmentServer,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
    says: str,
) -> None:
    response, answer = ask(server.uri, method, path, body, headers)
    assert response.status == status
    assert says in json.loads(answer)["message"]
    assert ask(server.uri, "GET", "/status")[0].status == 200
    assert server.events() == []


def test_a_post_without_length_and_a_line_that_is_no_request_are_refused(server: DevelopmentServer) -> None:
    host, port = server.uri.removeprefix("http://").split(":")
    for sent, status in [(b"POST /bulk HTTP/1.1\r\nHost: x\r\n\r\n", b"411"), (b"nonsense\r\n\r\n", b"400")]:
        with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
            connection.sendall(sent)
            assert status in connection.recv(1000)


def test_the_first_page_says_what_this_is_and_the_key_is_nowhere(server: DevelopmentServer, said: list[str]) -> None:
    headers = {"Authorization": "secret-sdk-key"}
    response, body = ask(server.uri, "GET", "/", headers=headers)
    assert response.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert "development server" in body.decode()
    assert server.uri in body.decode()
    ask(server.uri, "POST", "/bulk", json.dumps(EVENTS), headers)
    everything = " ".join(
        [*said, *(ask(server.uri, "GET", path, headers=headers)[1].decode() for path in ("/", "/status"))]
    )
    assert "secret-sdk-key" not in everything


# --- how events read ---


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        ({"kind": "summary", "features": {}}, ["summary   of nothing"]),
        (
            {"kind": "summary", "features": {"a": {"counters": [{"unknown": True, "value": False, "count": 1}]}}},
            ['summary   "a" unknown flag = false, 1 time'],
        ),
        (
            {"kind": "summary", "features": {"a": {"counters": [{"value": None, "count": 2}]}}},
            ['summary   "a" no variation = null, 2 times'],
        ),
        (
            {"kind": "index", "context": {"kind": "multi", "user": {"key": "u"}, "org": {"key": "o"}}},
            ['index     user "u" + org "o"'],
        ),
        ({"kind": "index", "user": {"key": "u"}}, ['index     user "u"']),
        (
            {"kind": "feature", "key": "a", "value": 1, "userKey": "u", "reason": {"kind": "OFF"}, "prereqOf": "b"},
            ['feature   "a" = 1 for user "u", because "OFF", as a prerequisite of "b"'],
        ),
        ({"kind": "custom", "key": "k", "metricValue": 2.5}, ['custom    "k" by nobody, metric 2.5']),
        (
            {"kind": "migration_op", "operation": "read", "evaluation": {"key": "m"}, "contextKeys": {"user": "u"}},
            ['migration "read" of "m" for user "u"'],
        ),
        ({"kind": "custom", "key": "\x1b[2J\n"}, ['custom    "\\u001b[2J\\n" by nobody']),
        (
            {"kind": "custom", "key": "k", "contextKeys": {"\n": "u"}},
            ['custom    "k" by "\\n" "u"'],
        ),
        ({"kind": "else"}, ['unknown   {"kind": "else"}']),
        (17, ["not an event: 17"]),
        ({"kind": "summary", "features": {"a": 1, "b": {"counters": [2]}}}, ["summary   of nothing"]),
    ],
)
def test_an_event_reads_as_one_plain_line(event: object, lines: list[str]) -> None:
    assert describe(event) == lines


def test_a_long_value_is_cut() -> None:
    (line,) = describe({"kind": "custom", "key": "k" * 1000})
    assert len(line) < 300
    assert describe_diagnostic(1).startswith("not a diagnostic")


# --- the command ---


@contextmanager
def command(*arguments: str | Path, ready: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs ``python -m ldclient serve`` until the block ends; gives the process and the address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ldclient", "serve", *map(str, arguments), "--port", "0", "--ready-file", str(ready)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None, "the server is ready")
        assert process.poll() is None, process.communicate()[0]
        yield process, ready.read_text().strip()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate(timeout=DEADLINE)


def run(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ldclient", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(os.name != "posix", reason="Windows has no signal that a process can be sent and handle")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_cleanly_within_a_second_with_streams_open(
    flag_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    ready = tmp_path / "ready"
    with command(flag_file, ready=ready) as (process, uri), streaming(uri) as response:
        assert next_event(response)[0] == "put"
        ask(uri, "POST", "/bulk", json.dumps(EVENTS[1:2]))
        started = time.monotonic()
        process.send_signal(number)
        output, _ = process.communicate(timeout=DEADLINE)
        assert time.monotonic() - started < 1.0
        assert process.returncode == 0
        assert response.read() == b""
        assert not ready.exists()
    lines = [line.split(" ", 1)[1] for line in output.splitlines()]
    assert lines == [f"serving 1 flag and 1 segment at {uri}", 'event: identify  user "aa0ceb"', "stopped"]


def test_a_quiet_command_tells_no_events(flag_file: Path, tmp_path: Path) -> None:
    with command(flag_file, "--quiet", ready=tmp_path / "ready") as (process, uri):
        ask(uri, "POST", "/bulk", json.dumps(EVENTS))
        process.terminate()
        assert "event" not in process.communicate(timeout=DEADLINE)[0]


def test_a_command_whose_output_nobody_reads_goes_on(flag_file: Path, tmp_path: Path) -> None:
    with command(flag_file, ready=tmp_path / "ready") as (process, uri):
        assert process.stdout is not None
        process.stdout.close()
        for _ in range(3):
            assert ask(uri, "POST", "/bulk", json.dumps(EVENTS))[0].status == 202
        assert len(json.loads(ask(uri, "GET", "/events")[1])) == 9
        process.kill()
        process.wait(DEADLINE)
        process.stdout = None


def test_a_missing_or_malformed_file_ends_the_command_with_a_reason(tmp_path: Path) -> None:
    code, output = run("serve", tmp_path / "nowhere.json", "--port", "0")
    assert code == 2
    assert "nowhere.json" in output
    bad = tmp_path / "bad.json"
    bad.write_text('{"flags": {\n]}')
    code, output = run("serve", bad, "--port", "0")
    assert code == 2
    assert "bad.json" in output
    assert re.search(r"line 2|:2:", output)
    assert "Traceback" not in output


def test_a_port_that_is_taken_ends_the_command_with_a_reason(flag_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = run("serve", flag_file, "--port", str(port))
    assert code == 2
    assert f"port {port} on 127.0.0.1 is taken" in output
    assert "--port" in output


def test_files_that_cannot_be_written_end_the_command_with_a_reason(flag_file: Path, tmp_path: Path) -> None:
    for option in ("--events-file", "--ready-file"):
        code, output = run("serve", flag_file, "--port", "0", option, tmp_path / "no" / "where")
        assert code == 2
        assert f"cannot write {option}" in output


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_wrong_use(flag_file: Path, port: str) -> None:
    code, output = run("serve", flag_file, f"--port={port}")
    assert code == 2
    assert "not a port" in output


def test_without_a_subcommand_the_use_is_told() -> None:
    code, output = run()
    assert code == 2
    assert "usage: python -m ldclient" in output


def test_an_address_of_another_machine_is_told() -> None:
    error = OSError(99, "Cannot assign requested address")
    assert "--host" in why_not_listening(socket.gaierror(-2, "unknown"), "nowhere", 1)
    assert "cannot listen" in why_not_listening(OSError(5, "I/O error"), "127.0.0.1", 1)
    if os.name == "posix" and sys.platform == "linux":
        assert "--host" in why_not_listening(error, "192.0.2.1", 1)


def test_a_server_that_was_never_started_can_be_stopped_twice(flag_file: Path) -> None:
    server = DevelopmentServer([flag_file])
    server.stop()
    server.stop()
