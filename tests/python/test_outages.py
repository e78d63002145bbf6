"""What a user sees when the service, its data or a file fails: what goes on, what is said, and what never is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ldclient import Config, LDClient
from ldclient.config import HTTPConfig
from ldclient.integrations import Files
from stand_in import StandIn, constant_flag

USER = {"key": "u"}
KEY = "sdk-5f3c-distinctive-key"
DEADLINE = 10.0


@contextmanager
def client_of(service: StandIn, start_wait: float = 5, **options: Any) -> Iterator[LDClient]:
    options = {"initial_reconnect_delay": 0.01, "flush_interval": 60, **options}
    config = Config(KEY, base_uri=service.uri, stream_uri=service.uri, events_uri=service.uri, **options)
    with LDClient(config, start_wait=start_wait) as client:
        yield client


def until(answer: Callable[[], Any], wanted: Any) -> None:
    """Waits until the answer is the wanted one."""
    end = time.monotonic() + DEADLINE
    while answer() != wanted:
        assert time.monotonic() < end, f"still {answer()!r}, not {wanted!r}"
        time.sleep(0.005)


def said(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


def test_one_malformed_flag_among_good_ones_is_an_error_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    bad = {"key": "bad", "version": 1, "on": "certainly", "variations": [True]}
    with StandIn({"good": constant_flag("good", 1), "bad": bad}) as service, client_of(service) as client:
        assert client.variation("good", USER, 0) == 1
        detail = client.variation_detail("bad", USER, "default")
        assert (detail.value, detail.reason) == ("default", {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"})
        assert client.all_flags(USER) == {"good": 1}
        assert len(said(caplog, '"bad" is malformed')) == 1
        service.put(constant_flag("bad", 2))
        until(lambda: client.variation("bad", USER, "default"), 2)


def test_a_payload_of_twenty_megabytes_arrives() -> None:
    large = constant_flag("large", "x" * 20_000_000)
    with StandIn({"large": large, "small": constant_flag("small", 1)}) as service, client_of(service) as client:
        assert client.variation("small", USER, 0) == 1
        assert len(client.variation("large", USER, "")) == 20_000_000


@pytest.mark.parametrize("fault", ["half_payload", "half_chunk", "not_http", "malformed_event", "refuse", "reset"])
def test_after_bad_data_the_stream_is_opened_anew_and_nothing_of_it_was_used(fault: str) -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service:
        service.fault("/all", fault, times=1)
        with client_of(service, start_wait=DEADLINE) as client:
            assert client.is_initialized()
            assert client.variation("a", USER, 0) == 1
            assert client.stats()["state"] == "VALID"
            assert len(service.requests_to("/all")) == 2


@pytest.mark.parametrize("fault", ["unknown_event", "comments", "retry_hint"])
def test_what_a_stream_may_hold_besides_flags_disturbs_nothing(fault: str) -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service:
        service.fault("/all", fault, times=1)
        with client_of(service) as client:
            assert client.variation("a", USER, 0) == 1
            service.put(constant_flag("a", 2))
            until(lambda: client.variation("a", USER, 0), 2)
            assert len(service.requests_to("/all")) == 1


def test_an_outage_is_told_once_when_it_begins_and_once_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with StandIn({"a": constant_flag("a", 1)}) as service, client_of(service) as client:
        service.fault("/all", status=503)
        service.end_streams()
        until(lambda: client.stats()["state"], "INTERRUPTED")
        service.wait_for_requests("/all", 5)
        assert client.variation("a", USER, 0) == 1
        error = client.stats()["last_error"]
        assert (error["kind"], error["status_code"]) == ("ERROR_RESPONSE", 503)
        service.heal("/all")
        service.put(constant_flag("a", 2))
        until(lambda: client.variation("a", USER, 0), 2)
        until(lambda: client.stats()["state"], "VALID")
        until(lambda: len(said(caplog, "interrupted")), 1)
        until(lambda: client.stats() and len([r for r in caplog.records if "again" in r.getMessage()]), 1)
    assert client.stats()["state"] == "OFF"


def test_a_refused_key_is_said_as_an_error_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with StandIn({"a": constant_flag("a", 1)}) as service:
        service.fault("/all", status=401)
        with client_of(service, start_wait=0.3) as client:
            assert not client.is_initialized()
            assert client.variation_detail("a", USER, 0).reason == {"kind": "ERROR", "errorKind": "CLIENT_NOT_READY"}
            assert client.stats()["last_error"]["status_code"] == 401
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 1
        assert "401" in errors[0]


def test_polling_asks_with_the_etag_and_keeps_its_flags() -> None:
    flags = {"a": constant_flag("a", 1)}
    with StandIn(flags) as service, client_of(service, stream=False, poll_interval=1) as client:
        assert client.variation("a", USER, 0) == 1
        service.wait_for_requests("/sdk/latest-all", 2)
        first, second = service.requests_to("/sdk/latest-all")[:2]
        assert first.headers.get("If-None-Match") is None
        assert second.headers.get("If-None-Match")
        service.put(constant_flag("a", 2))
        until(lambda: client.variation("a", USER, 0), 2)


@pytest.mark.parametrize("fault", ["garbage", "not_http", "refuse"])
def test_a_poll_that_brings_bad_data_changes_nothing_and_the_next_one_is_read(fault: str) -> None:
    flags = {"a": constant_flag("a", 1)}
    with StandIn(flags) as service, client_of(service, stream=False, poll_interval=1) as client:
        service.fault("/sdk/latest-all", fault, times=1)
        until(lambda: client.stats()["state"], "INTERRUPTED")
        assert client.variation("a", USER, 0) == 1
        service.put(constant_flag("a", 2))
        until(lambda: client.variation("a", USER, 0), 2)


def test_a_broken_file_leaves_the_last_good_flags_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "flags.yaml"
    file.write_text("flagValues:\n  a: 1\n", encoding="utf-8")
    source = Files.new_data_source(paths=[str(file)], auto_update=True, poll_interval=0.05)
    with LDClient(Config(KEY, update_processor_class=source, send_events=False)) as client:
        assert client.variation("a", USER, 0) == 1
        file.write_text("flagValues: [\n", encoding="utf-8")
        until(lambda: bool(client.stats() and said(caplog, "flags.yaml")), True)
        assert client.variation("a", USER, 0) == 1
        file.write_text("flagValues:\n  a: 22\n", encoding="utf-8")
        until(lambda: client.variation("a", USER, 0), 22)
        assert len({*said(caplog, "line")}) == 1


@pytest.mark.parametrize("key", ["sdk\nkey", "sdk\x00key", "sdk key", "ключ"])
def test_a_key_with_characters_that_no_key_has_is_refused_without_being_shown(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(key)
    assert config.sdk_key == ""
    assert said(caplog, "SDK key")
    assert not said(caplog, key)


def test_the_key_and_a_proxy_password_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    with StandIn({"a": constant_flag("a", 1)}) as service:
        for fault in ("garbage", "not_http", "half_chunk", "refuse", "malformed_event"):
            service.fault("/all", fault, times=1)
            service.fault("/bulk", fault, times=2)
        for status in (401, 403, 500):
            service.fault("/all", status=status, times=1)
        for options in (
            {"stream": True},
            {"stream": False, "poll_interval": 1},
            {"http": HTTPConfig(http_proxy="http://somebody:s3cret-word@127.0.0.1:1")},
            {"http": HTTPConfig(http_proxy="socks5://somebody:s3cret-word@127.0.0.1:1")},
        ):
            try:
                with client_of(service, start_wait=0.2, **options) as client:
                    client.variation("a", USER, 0)
                    client.identify({"key": "v"})
                    shown += [repr(client), str(client.stats()), repr(client.flush(timeout=0.2)), repr(client._config)]
            except ValueError as error:
                shown.append(str(error))
        shown += [str(event) for event in service.events]
        bodies = [str(body) for body in service.diagnostics]
    shown += [record.getMessage() for record in caplog.records]
    assert len(shown) > 10
    assert not [text for text in shown + bodies if KEY in text or "s3cret-word" in text]
