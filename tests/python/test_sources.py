"""Where flags come from, from Python's side: what a client serves, what ``stats()`` says, and what is logged, while the
service misbehaves. Proxies and TLS are left to ``test_connections``.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldclient import Config, LDClient
from ldclient.integrations import Files
from stand_in import StandIn, constant_flag, silent_port

Start = Callable[..., LDClient]

USER = {"key": "u"}
FLAG = "your.feature.key"
QUICK = {"initial_reconnect_delay": 0.01}


def until(condition: Callable[[], Any], what: str, timeout: float = 10) -> Any:
    """Waits for what only shows in the client itself."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.005)
    return found


def state(client: LDClient) -> str:
    return str(client.stats()["state"])


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[tuple[str, str]]:
    """What the source logged, above debugging; call it after the client was closed."""
    for thread in threading.enumerate():
        if thread.name == "ldclient-logs":
            thread.join(10)
    own = ("Flag ", "There is no flag data", "The flag files", "The stream", 'The flag "', 'Flag "')
    found = [(record.levelname, record.getMessage()) for record in caplog.records if record.levelno >= level]
    return [line for line in found if line[1].startswith(own)]


def test_a_stream_puts_patches_and_deletes(service: StandIn, start: Start) -> None:
    client = start(service)
    assert client.variation(FLAG, USER, None) is True
    service.put(constant_flag("new", "n"))
    until(lambda: client.variation("new", USER, None) == "n", "the patch")
    service.delete("new")
    until(lambda: client.variation("new", USER, None) is None, "the deletion")
    service.send_event("patch", {"path": f"/flags/{FLAG}", "data": constant_flag(FLAG, "older", 0)})
    service.put_all({"other": constant_flag("other", 1)})
    until(lambda: client.variation("other", USER, None) == 1, "the put")
    assert client.variation(FLAG, USER, "gone") == "gone"
    stats = client.stats()
    assert (stats["state"], stats["flags"], stats["reconnects"], stats["last_error"]) == ("VALID", 1, 0, None)
    assert stats["data_age_seconds"] < 10


def test_polling_asks_with_the_etag_of_the_last_answer(service: StandIn, start: Start) -> None:
    client = start(service, stream=False, poll_interval=1, payload_filter_key="a.b-c_1")
    first, second = service.wait_for_requests("/sdk/latest-all", 2)[:2]
    assert first.headers["If-None-Match"] is None
    assert second.headers["If-None-Match"]
    assert first.query == second.query == {"filter": "a.b-c_1"}
    service.put(constant_flag(FLAG, "new"))
    until(lambda: client.variation(FLAG, USER, None) == "new", "the new value")
    assert state(client) == "VALID"


def test_a_stream_asks_for_its_filter(service: StandIn, start: Start) -> None:
    start(service, payload_filter_key="a.b-c_1")
    assert service.requests_to("/all")[0].query == {"filter": "a.b-c_1"}


def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends(
    service: StandIn, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = start(service, **QUICK)
    assert (state(client), client.stats()["last_error"]) == ("VALID", None)
    service.fault("/all", status=503)
    service.end_streams()
    until(lambda: state(client) == "INTERRUPTED", "the interruption")
    service.wait_for_requests("/all", 4)
    assert client.variation(FLAG, USER, None) is True
    error = until(
        lambda: (client.stats()["last_error"] or {}).get("status_code") and client.stats()["last_error"], "503"
    )
    assert (error["kind"], error["status_code"]) == ("ERROR_RESPONSE", 503)
    assert "503" in error["message"]
    assert abs(error["time_ms"] / 1000 - time.time()) < 60
    service.heal()
    until(lambda: state(client) == "VALID", "the recovery")
    assert client.stats()["last_error"]["status_code"] == 503
    assert client.stats()["failed_connections"] >= 3
    assert client.stats()["reconnects"] == 1
    client.close()
    assert state(client) == "OFF"
    told = lines(caplog)
    assert [level for level, _ in told] == ["INFO", "WARNING", "INFO"]
    assert "interrupted" in told[1][1]
    assert "again" in told[2][1]
    assert client.variation(FLAG, USER, None) is True


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("stream", [True, False])
def test_a_refused_key_is_one_error_line_and_not_the_end(
    stream: bool, status: int, service: StandIn, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    service.fault("/all", status=status)
    service.fault("/sdk/latest-all", status=status)
    client = start(service, start_wait=0, stream=stream, **QUICK)
    until(lambda: client.stats()["last_error"], "the error")
    assert state(client) == "INITIALIZING"
    assert client.stats()["last_error"]["status_code"] == status
    for user in (USER, {}):  # Before there are flags, nobody looks at the context.
        assert client.variation_detail(FLAG, user, 5).reason == {"kind": "ERROR", "errorKind": "CLIENT_NOT_READY"}
    assert client.stats()["threads"] == 2  # it goes on trying
    client.close()
    ((level, text),) = lines(caplog)
    assert level == "ERROR"
    assert str(status) in text
    assert "next try" in text


@pytest.mark.parametrize(
    "kind",
    [
        "malformed_event",
        "garbage",
        "half_chunk",
        "half_payload",
        "reset",
        "refuse",
        "not_http",
        "unknown_event",
        "comments",
    ],
)
def test_a_stream_that_fails_once_is_followed_by_one_that_does_not(
    kind: Any, service: StandIn, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    service.fault("/all", kind, times=1)
    client = start(service, start_wait=0, **QUICK)
    if kind == "garbage":  # only the end of such a stream tells
        service.wait_for_streams()
        service.end_streams()
    until(client.is_initialized, "flags")
    assert client.variation(FLAG, USER, None) is True
    assert state(client) == "VALID"
    harmless = kind in ("unknown_event", "comments")
    assert client.stats()["failed_connections"] == (0 if harmless else 1)
    client.close()
    levels = [level for level, _ in lines(caplog)]
    assert levels.count("WARNING") == (0 if kind == "comments" else 1)


@pytest.mark.parametrize(
    "text", ["{", '{"path": "/flags/x"}', '{"path": "/flags/x", "data": 5}', "", "[]", '{"path": 5, "data": {}}']
)
@pytest.mark.parametrize("name", ["put", "patch", "delete"])
def test_data_that_cannot_be_read_changes_nothing(name: str, text: str, service: StandIn, start: Start) -> None:
    client = start(service, **QUICK)
    service.send_event(name, text)
    service.wait_for_requests("/all", 2)
    until(lambda: state(client) == "VALID", "the recovery")
    assert client.stats()["last_error"]["kind"] == "INVALID_DATA"
    assert client.all_flags(USER) == {FLAG: True}


@pytest.mark.parametrize(
    "malformed",
    [
        "5", '"x"', "[]", "null", "{}",
        '{"key": "bad", "version": 1, "on": "yes"}',
        '{"key": "bad", "version": 1, "on": true, "variations": {}, "fallthrough": 5}',
        '{"key": "bad", "version": "1"}',
        '{"key": "bad", "version": 1, "on": true, "variations": [1e999], "fallthrough": {"variation": 0}}',
        '{"key": "bad", "version": 1, "on": true, "variations": [1%s], "fallthrough": {"variation": 0}}' % ("0" * 5000),
        '{"key": "bad", "version": 1, "on": true, "variations": %s, "fallthrough": {"variation": 0}}'
        % ("[" * 5000 + "]" * 5000),
        '{"key": "bad", "version": 1, "on": true, "variations": ["\\ud800"], "fallthrough": {"variation": 0}}',
        '{"key": "bad", "version": 1, "on": true, "variations": [1], "fallthrough": {"variation": -1}}',
    ],
    ids=range(13),
)  # fmt: skip
def test_one_malformed_flag_harms_no_other(
    malformed: str, service: StandIn, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    good = json.dumps(constant_flag("good", 1, 1))
    body = f'{{"flags": {{"good": {good}, "bad": {malformed}, "also": {good}}}, "segments": {{}}}}'
    service.fault("/sdk/latest-all", status=200, body=body.encode())
    client = start(service, stream=False, poll_interval=1)
    assert client.is_initialized()
    assert (client.variation("good", USER, 0), client.variation("also", USER, 0)) == (1, 1)
    assert client.variation("bad", USER, "default") == "default"
    assert client.variation_detail("bad", USER, "default").reason["kind"] in ("ERROR", "OFF")
    assert client.all_flags(USER).items() >= {"good": 1, "also": 1}.items()
    service.wait_for_requests("/sdk/latest-all", 2)
    client.close()
    assert len([text for _, text in lines(caplog) if '"bad"' in text]) <= 2


def test_a_payload_of_20_megabytes_is_taken(service: StandIn, start: Start) -> None:
    text = "x" * 1000
    service.put_all({f"f{i}": constant_flag(f"f{i}", f"{i}{text}") for i in range(17_000)})
    assert len(service.latest_all()) > 20_000_000
    client = start(service, start_wait=30)
    assert client.stats()["flags"] == 17_000
    assert client.variation("f16999", USER, None) == f"16999{text}"
    service.put(constant_flag("after", 1))
    until(lambda: client.variation("after", USER, 0) == 1, "a patch after it")


def test_half_an_answer_to_a_poll_is_never_applied(service: StandIn, start: Start) -> None:
    client = start(service, stream=False, poll_interval=1)
    service.put(constant_flag(FLAG, "new"))
    service.fault("/sdk/latest-all", "half_payload")
    until(lambda: state(client) == "INTERRUPTED", "the interruption")
    assert client.variation(FLAG, USER, None) is True
    service.heal()
    until(lambda: client.variation(FLAG, USER, None) == "new", "the recovery")


def test_a_poll_that_stalls_ends_with_the_read_timeout(service: StandIn, start: Start) -> None:
    service.fault("/sdk/latest-all", "stall_body", seconds=30)
    client = start(service, start_wait=0, stream=False, poll_interval=1, read_timeout=0.2)
    error = until(lambda: client.stats()["last_error"], "the time-out", 5)
    assert error["kind"] == "NETWORK_ERROR"


def test_a_service_that_never_answers_delays_nobody() -> None:
    with silent_port() as uri:
        began = time.monotonic()
        config = Config("k", base_uri=uri, stream_uri=uri, events_uri=uri, read_timeout=30, diagnostic_opt_out=True)
        with LDClient(config, start_wait=0.2) as client:
            assert client.variation(FLAG, USER, "d") == "d"
            client.track("t", USER)
            assert client.flush(timeout=0.1).pending == 3  # with the summary and the index
            client.close(0.2)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("key", ["a\nb", "a\r\nX: y", "a b", "ü", "a\x00"])
def test_a_key_that_no_header_takes_is_discarded(
    key: str, service: StandIn, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(service, key, start_wait=0)
    assert client.get_sdk_key() == ""
    assert key not in caplog.text
    assert any("SDK key was discarded" in record.getMessage() for record in caplog.records)


def write(path: Path, text: str) -> Path:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)
    return path


def from_files(*paths: Path, start_wait: float = 5, **options: Any) -> LDClient:
    source = Files.new_data_source(paths, poll_interval=0.02, **options)
    return LDClient(Config("k", update_processor_class=source, send_events=False), start_wait)


YAML = """
flagValues:
  short: [1, {a: "x"}]
segments: {}
"""


def test_files_are_merged_whatever_their_form(tmp_path: Path) -> None:
    first = write(tmp_path / "a.json", json.dumps({"flags": {"whole": constant_flag("whole", "w", 1)}}))
    second = write(tmp_path / "b.yaml", YAML)
    with from_files(first, second) as client:
        assert client.all_flags(USER) == {"whole": "w", "short": [1, {"a": "x"}]}
        assert (state(client), client.stats()["flags"]) == ("VALID", 2)


@pytest.mark.parametrize(
    "broken", ["{", "", "[]", '{"flags": 5}', '{"flagValues": {"other": 1}}', None, "\x00\xff", "a: [1"]
)
def test_a_broken_file_is_told_once_and_the_last_good_flags_go_on(
    broken: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = write(tmp_path / "other.json", '{"flagValues": {"other": 1}}')
    file = write(tmp_path / "flags.json", '{"flagValues": {"a": 1}}')
    with from_files(file, other, auto_update=True) as client:
        assert client.all_flags(USER) == {"a": 1, "other": 1}
        if broken is None:
            file.unlink()
        else:
            write(file, broken)
        until(lambda: state(client) == "INTERRUPTED", "the interruption")
        assert client.all_flags(USER) == {"a": 1, "other": 1}
        write(file, '{"flagValues": {"a": 2}}')
        until(lambda: client.variation("a", USER, 0) == 2, "the repaired file")
        until(lambda: state(client) == "VALID", "the recovery")
    told = [line for line in lines(caplog) if line[1].startswith("The flag files")]
    assert [level for level, _ in told] == ["ERROR", "INFO"]


def test_files_that_are_not_there_give_defaults_and_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with from_files(tmp_path / "nothing.json", start_wait=0) as client:
        assert client.variation("a", USER, "d") == "d"
        until(lambda: client.stats()["last_error"], "the error")
        assert state(client) == "INITIALIZING"
    assert [level for level, _ in lines(caplog)] == ["ERROR"]
    assert "nothing.json" in lines(caplog)[0][1]
