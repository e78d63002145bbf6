"""The stand-in itself, spoken to by ``http.client`` and plain sockets: what it promises to the other tests."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from stand_in import FaultKind, StandIn, black_hole_port, constant_flag, hanging_resolver, silent_port


@contextmanager
def connected(service: StandIn, timeout: float = 5.0) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=timeout)) as connection:
        yield connection


def ask(service: StandIn, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[Any, bytes]:
    with connected(service) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read()


def next_event(response: http.client.HTTPResponse) -> tuple[str, str]:
    """The next event of a stream: name and data."""
    name, data = "", []
    while line := response.readline().rstrip(b"\n").decode():
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            data.append(value.strip())
    return name, "\n".join(data)


def test_a_stream_begins_with_everything_and_goes_on_with_changes() -> None:
    with StandIn({"a": constant_flag("a", 1)}, {"s": {"key": "s"}}) as service, connected(service) as connection:
        connection.request("GET", "/all")
        response = connection.getresponse()
        name, data = next_event(response)
        assert (name, json.loads(data)["path"]) == ("put", "/")
        assert json.loads(data)["data"]["flags"]["a"]["version"] == 1
        assert json.loads(data)["data"]["segments"]["s"]["version"] == 1
        assert service.put(constant_flag("a", 2)) == 2
        name, data = next_event(response)
        assert (name, json.loads(data)["path"], json.loads(data)["data"]["version"]) == ("patch", "/flags/a", 2)
        assert service.delete("a") == 3
        assert next_event(response) == ("delete", '{"path": "/flags/a", "version": 3}')
        service.put_segment({"key": "t"})
        assert next_event(response)[0] == "patch"
        service.put_all({"b": constant_flag("b", 1)})
        name, data = next_event(response)
        assert (name, list(json.loads(data)["data"]["flags"])) == ("put", ["b"])


def test_an_explicit_version_is_sent_as_it_is() -> None:
    with StandIn({"a": constant_flag("a", 1, version=7)}) as service:
        assert service.put(constant_flag("a", 2, version=3)) == 3
        assert service.put(constant_flag("a", 2)) == 8


def test_streams_are_counted_and_their_end_is_noticed() -> None:
    with StandIn() as service:
        with connected(service) as connection:
            connection.request("GET", "/all")
            response = connection.getresponse()
            service.wait_for_streams(1)
            response.close()
        service.wait_for_streams(0)


def test_streams_end_cleanly_or_by_a_reset() -> None:
    with StandIn() as service:
        with connected(service) as connection:
            connection.request("GET", "/all")
            response = connection.getresponse()
            next_event(response)
            service.end_streams()
            assert response.read() == b""
        with connected(service) as connection:
            connection.request("GET", "/all")
            response = connection.getresponse()
            next_event(response)
            service.end_streams(reset=True)
            with pytest.raises(ConnectionResetError):
                response.read()


def test_heartbeats_are_sent_on_request() -> None:
    with StandIn(heartbeat=0.02) as service, connected(service) as connection:
        connection.request("GET", "/all")
        response = connection.getresponse()
        next_event(response)
        assert response.readline() == b":\n"


def test_the_poll_has_an_entity_tag_that_follows_the_data() -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service:
        response, body = ask(service, "GET", "/sdk/latest-all?filter=x")
        assert json.loads(body)["flags"]["a"]["variations"] == [1]
        same, nothing = ask(service, "GET", "/sdk/latest-all", If_None_Match=response.getheader("ETag"))
        assert (same.status, nothing) == (304, b"")
        service.put(constant_flag("a", 2))
        assert ask(service, "GET", "/sdk/latest-all", If_None_Match=response.getheader("ETag"))[0].status == 200
        assert service.requests[0].query == {"filter": "x"}


def test_events_are_collected_with_their_headers_and_unzipped() -> None:
    with StandIn() as service:
        events = [{"kind": "custom", "key": "k"}]
        response, _ = ask(
            service,
            "POST",
            "/bulk",
            gzip.compress(json.dumps(events).encode()),
            Content_Encoding="gzip",
            X_LaunchDarkly_Event_Schema="4",
        )
        assert response.status == 202
        assert response.getheader("Date")
        assert service.wait_for_events(1) == events
        assert service.wait_for_event("custom") == events[0]
        assert service.payloads[0].headers["x-launchdarkly-event-schema"] == "4"
        assert service.requests[0].json() == events


def test_a_payload_sent_again_counts_once() -> None:
    with StandIn() as service:
        for _ in range(2):
            ask(service, "POST", "/bulk", b'[{"kind": "custom"}]', X_LaunchDarkly_Payload_ID="one")
        assert len(service.events) == 1
        assert len(service.requests_to("/bulk")) == 2


def test_summaries_are_added_up() -> None:
    def summary(count: int) -> bytes:
        counters = [{"variation": 0, "count": count, "value": 1}, {"unknown": True, "count": 1}]
        return json.dumps([{"kind": "summary", "features": {"a": {"counters": counters}}}]).encode()

    with StandIn() as service:
        ask(service, "POST", "/bulk", summary(2))
        ask(service, "POST", "/bulk", summary(5))
        assert service.counted("a") == {0: 7, None: 2}
        assert service.counted("b") == {}


def test_diagnostics_are_apart_from_events() -> None:
    with StandIn() as service:
        ask(service, "POST", "/diagnostic", b'{"kind": "diagnostic-init"}')
        assert service.wait_for_diagnostics(1) == [{"kind": "diagnostic-init"}]
        assert service.events == []


def test_waiting_in_vain_says_what_did_arrive() -> None:
    with StandIn() as service:
        ask(service, "POST", "/bulk", b'[{"kind": "custom"}]')
        with pytest.raises(AssertionError, match=r"no 2 event\(s\).*POST /bulk.*custom"):
            service.wait_for_events(2, timeout=0.01)


def test_a_status_fault_is_used_up_and_the_next_takes_its_place() -> None:
    with StandIn() as service:
        service.fault("/bulk", status=503, headers={"Retry-After": "7"}, times=1)
        service.fault("/bulk", status=401, body=b"no", times=1)
        first, _ = ask(service, "POST", "/bulk", b"[{}]")
        second, body = ask(service, "POST", "/bulk", b"[{}]")
        third, _ = ask(service, "POST", "/bulk", b"[{}]")
        assert (first.status, first.getheader("Retry-After")) == (503, "7")
        assert (second.status, body, third.status) == (401, b"no", 202)
        assert len(service.events) == 1


def test_a_fault_without_times_stays_until_healed() -> None:
    with StandIn() as service:
        service.fault("/sdk/latest-all", status=500)
        assert [ask(service, "GET", "/sdk/latest-all")[0].status for _ in range(3)] == [500] * 3
        service.heal("/sdk/latest-all")
        assert ask(service, "GET", "/sdk/latest-all")[0].status == 200


@pytest.mark.parametrize("kind", ["black_hole", "stall", "stall_body"])
@pytest.mark.parametrize("path", ["/all", "/sdk/latest-all", "/bulk"])
def test_a_stall_outlasts_the_clients_patience_but_not_the_stand_in(path: str, kind: FaultKind) -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service:
        service.fault(path, kind)
        with connected(service, timeout=0.1) as connection:
            connection.request("POST" if path == "/bulk" else "GET", path, b"[]" if path == "/bulk" else None)
            with pytest.raises(TimeoutError):
                connection.getresponse().read()
        started = time.monotonic()
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("path", ["/all", "/sdk/latest-all"])
def test_a_stall_that_ends_is_followed_by_the_normal_answer(path: str) -> None:
    for kind in ("stall", "stall_body"):
        with StandIn({"a": constant_flag("a", 1)}) as service, connected(service) as connection:
            service.fault(path, kind, seconds=0.05)  # type: ignore[arg-type]
            connection.request("GET", path)
            response = connection.getresponse()
            data = next_event(response)[1] if path == "/all" else response.read().decode()
            assert "variations" in data
            json.loads(data)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("refuse", http.client.RemoteDisconnected),
        ("reset", ConnectionResetError),
        ("not_http", http.client.BadStatusLine),
        ("half_chunk", http.client.IncompleteRead),
    ],
)
@pytest.mark.parametrize("path", ["/all", "/sdk/latest-all"])
def test_a_torn_connection_is_torn_in_its_own_way(path: str, kind: FaultKind, failure: type[Exception]) -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service:
        service.fault(path, kind, times=1)
        with pytest.raises(failure) as raised:
            ask(service, "GET", path)
        assert type(raised.value) is failure


def test_half_a_payload_is_short_of_its_length_or_of_its_event() -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service:
        service.fault("/sdk/latest-all", "half_payload")
        with pytest.raises(http.client.IncompleteRead):
            ask(service, "GET", "/sdk/latest-all")
        service.fault("/all", "half_payload")
        body = ask(service, "GET", "/all")[1]
        assert body.startswith(b"event: put\n")
        assert b"\n\n" not in body


def test_garbage_is_neither_json_nor_an_event() -> None:
    with StandIn() as service:
        service.fault("/sdk/latest-all", "garbage")
        response, body = ask(service, "GET", "/sdk/latest-all")
        assert response.status == 200
        with pytest.raises(UnicodeDecodeError):
            json.loads(body)


def test_a_drip_arrives_whole_but_slowly() -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service:
        service.fault("/sdk/latest-all", "drip", seconds=0.001, piece=50)
        assert "a" in json.loads(ask(service, "GET", "/sdk/latest-all")[1])["flags"]
        service.fault("/all", "drip", seconds=0.001, piece=50)
        with connected(service) as connection:
            connection.request("GET", "/all")
            assert next_event(connection.getresponse())[0] == "put"


@pytest.mark.parametrize(
    ("kind", "first_line"),
    [
        ("malformed_event", b"event: put\n"),
        ("unknown_event", b"event: nobody-knows-this\n"),
        ("retry_hint", b"retry: 50\n"),
        ("comments", b":\n"),
    ],
)
def test_odd_lines_of_a_stream_come_before_the_normal_event(kind: FaultKind, first_line: bytes) -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service, connected(service) as connection:
        service.fault("/all", kind, seconds=0.05)
        connection.request("GET", "/all")
        response = connection.getresponse()
        assert response.readline() == first_line
        while True:
            name, data = next_event(response)
            if name == "put" and "variations" in data:
                break
        assert list(json.loads(data)["data"]["flags"]) == ["a"]


def test_live_streams_take_any_bytes() -> None:
    with StandIn() as service, connected(service) as connection:
        connection.request("GET", "/all")
        response = connection.getresponse()
        next_event(response)
        service.send_raw(b": hello\n\n")
        assert response.readline() == b": hello\n"
        service.send_event("patch", "{")
        response.readline()
        assert next_event(response) == ("patch", "{")


def test_every_request_is_recorded_also_to_unknown_paths() -> None:
    with StandIn() as service:
        response, _ = ask(service, "REPORT", "/nowhere?x=1", b"body", Authorization="the-key")
        assert response.status == 404
        (request,) = service.wait_for_requests("/nowhere")
        assert (request.method, request.query, request.body) == ("REPORT", {"x": "1"}, b"body")
        assert request.headers["authorization"] == "the-key"


def test_a_silent_port_takes_connections_and_says_nothing() -> None:
    with silent_port() as uri:
        port = int(uri.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(1)


def test_a_port_that_is_a_black_hole_lets_connects_hang() -> None:
    with black_hole_port() as uri:
        port = int(uri.rsplit(":", 1)[1])
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", port), timeout=0.05)


def test_a_fault_of_every_path_gives_way_to_a_paths_own() -> None:
    with StandIn() as service:
        service.fault("*", status=500)
        service.fault("/bulk", status=401, times=1)
        assert [ask(service, "POST", "/bulk", b"[]")[0].status for _ in range(2)] == [401, 500]
        assert ask(service, "GET", "/sdk/latest-all")[0].status == 500
        service.heal()
        assert ask(service, "GET", "/sdk/latest-all")[0].status == 200


def test_keys_can_be_refused() -> None:
    with StandIn() as service:
        service.accept_only("new")
        statuses = [ask(service, "GET", "/sdk/latest-all", Authorization=key)[0].status for key in ("old", "new")]
        service.accept_only()
        assert [*statuses, ask(service, "GET", "/sdk/latest-all")[0].status] == [401, 200, 200]


def test_a_service_that_is_down_refuses_connections_and_comes_back_on_its_port() -> None:
    with StandIn() as service, connected(service) as connection:
        connection.request("GET", "/all")
        response = connection.getresponse()
        next_event(response)
        assert service.connections == 1
        port = service.port
        service.go_down()
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            response.read()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
        service.wait_for_streams(0)
        service.come_back()
        assert service.port == port
        assert ask(service, "GET", "/sdk/latest-all")[0].status == 200


def test_a_resolver_that_hangs_hangs_only_for_names_that_do_not_exist(tmp_path: Path) -> None:
    try:
        variables = hanging_resolver(tmp_path)
    except LookupError as missing:
        pytest.skip(str(missing))
    ask_name = "import socket, sys; socket.getaddrinfo(sys.argv[1], 80)"
    for name, expected in (("name.invalid", None), ("name.example", 1)):
        with subprocess.Popen(
            [sys.executable, "-c", ask_name, name], env={**os.environ, **variables}, stderr=subprocess.DEVNULL
        ) as program:
            try:
                ended = program.wait(0.5 if expected is None else 10)
            except subprocess.TimeoutExpired:
                ended = None
                program.kill()
            assert ended == expected
