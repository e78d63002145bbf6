"""The SDK key and the passwords of proxies and addresses appear nowhere but where the protocol wants them.

The protocol wants the key in the header ``Authorization``, and its last six characters in diagnostic events.
"""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ldclient
from ldclient import Config, LDClient
from ldclient.config import HTTPConfig
from stand_in import StandIn, constant_flag, silent_port

KEY = "sdk-5ecre7aa-bbbb-cccc-dddd-3ffee5TAIL42"
PASSWORD = "pa55w0rd-0f-pr0xy"
# No part of the key of this length may be seen; of its end six characters may, in diagnostics.
PARTS = {KEY[start : start + 8] for start in range(len(KEY) - 7)} | {PASSWORD, "cGE1NXcwcmQtMGYtcHIweH"}
USER = {"key": "u", "custom": {"x": 1}}


def leaks(*texts: object) -> list[str]:
    """The texts that show a part of a secret."""
    return [str(text) for text in texts if any(part in str(text) for part in PARTS)]


def seen(client: LDClient) -> list[str]:
    """All that a client shows of itself."""
    config = client._config
    objects = [client, client.stats(), client.flush(timeout=0.05), config.http, vars(client).keys(), config]
    return [text for one in objects for text in (repr(one), str(one))]


def use(client: LDClient) -> None:
    client.variation_detail("f", USER, 1)
    client.track("t", USER, {"a": 1}, 2)
    client.identify(USER)
    client.all_flags_state(USER)


def wait_for_trouble(client: LDClient) -> None:
    for _ in range(300):
        if client.stats()["last_error"]:
            return
        client.wait_for_initialization(0.02)


def fault(path: str, *arguments: Any, **options: Any) -> Callable[[StandIn], None]:
    return lambda service: service.fault(path, *arguments, **options)


def echo(service: StandIn) -> None:
    """A service that answers with what it was sent."""
    text = f"your key {KEY} is wrong"
    for path in ("/all", "/bulk", "/diagnostic"):
        service.fault(path, status=401, body=text.encode(), headers={"X-Key": KEY})


@pytest.mark.parametrize(
    "break_it",
    [
        fault("/none"),
        fault("/all", status=401),
        fault("/all", status=403),
        fault("/all", status=503),
        fault("/all", status=301, headers={"Location": "http://127.0.0.1:9/elsewhere"}),
        fault("/all", "reset"),
        fault("/all", "not_http"),
        fault("/all", "half_chunk"),
        fault("/all", "malformed_event"),
        fault("/bulk", status=401),
        fault("/bulk", status=503),
        fault("/bulk", "reset"),
        fault("/diagnostic", status=500),
        echo,
    ],
    ids=range(14),
)
def test_no_failure_of_the_service_shows_the_key(break_it: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with StandIn({"f": constant_flag("f", 1, trackEvents=True)}) as service:
        break_it(service)
        uri = service.uri
        config = Config(
            KEY,
            base_uri=uri,
            stream_uri=uri,
            events_uri=uri,
            initial_reconnect_delay=0.01,
            enable_event_compression=True,
        )
        client = LDClient(config, 0.1)
        use(client)
        client.flush(timeout=3)
        shown = seen(client)
        client.close(1)
        requests = service.requests
    assert requests
    for request in requests:
        assert request.headers["Authorization"] == KEY
        rest = [value for name, value in request.headers.items() if name.lower() != "authorization"]
        assert not leaks(request.path, request.query, request.body.decode(), *rest)
    diagnostics = [request.json() for request in requests if request.path == "/diagnostic"]
    assert all(event["id"]["sdkKeySuffix"] == KEY[-6:] for event in diagnostics)
    assert not leaks(*shown, *recorded(caplog))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [True, False])
def test_a_redirect_to_another_server_does_not_take_the_key_along(stream: bool, status: int) -> None:
    with StandIn({"f": constant_flag("f", 1)}) as service, StandIn({"f": constant_flag("f", 2)}) as other:
        for path in ("/all", "/sdk/latest-all", "/bulk"):
            service.fault(path, status=status, headers={"Location": other.uri.replace("127.0.0.1", "localhost") + path})
        uri = service.uri
        client = LDClient(Config(KEY, base_uri=uri, stream_uri=uri, events_uri=uri, stream=stream), 0.5)
        use(client)
        client.flush(timeout=1)
        client.close(0.5)
        assert not [request for request in other.requests if request.headers["Authorization"]]


def recorded(caplog: pytest.LogCaptureFixture) -> list[object]:
    return [
        part for r in caplog.records for part in (r.getMessage(), r.args, r.exc_text, sorted(vars(r).items(), key=str))
    ]


@pytest.mark.parametrize(
    "proxy",
    [
        f"http://user:{PASSWORD}@127.0.0.1:9",
        f"http://user:{PASSWORD}@host.invalid:80",
        f"http://user:{PASSWORD}@[::1]:9",
        f"http://{PASSWORD}@127.0.0.1:9",
    ],
)
@pytest.mark.parametrize("how", ["option", "environment"])
def test_no_failure_of_a_proxy_shows_its_password(
    how: str, proxy: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("http_proxy", proxy if how == "environment" else "")
    monkeypatch.delenv("no_proxy", raising=False)
    uri = "http://flags.invalid"
    http = HTTPConfig(connect_timeout=1, read_timeout=1, http_proxy=proxy if how == "option" else None)
    client = LDClient(Config(KEY, base_uri=uri, stream_uri=uri, events_uri=uri, http=http), 0)
    use(client)
    wait_for_trouble(client)
    client.flush(timeout=1)
    shown = seen(client)
    client.close(0.5)
    assert not leaks(*shown, *recorded(caplog))


def test_a_proxy_that_answers_with_an_error_does_not_show_its_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with StandIn() as stand_in:  # it knows no address of another host: 404 to everything
        proxy = stand_in.uri.replace("http://", f"http://user:{PASSWORD}@")
        uri = "http://flags.invalid"
        client = LDClient(
            Config(KEY, base_uri=uri, stream_uri=uri, events_uri=uri, http=HTTPConfig(http_proxy=proxy)), 0
        )
        wait_for_trouble(client)
        use(client)
        client.flush(timeout=2)
        shown = seen(client)
        client.close(0.5)
        assert not leaks(*shown, *recorded(caplog), *(request.body for request in stand_in.requests))


def test_an_address_with_a_password_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with silent_port() as uri:
        uri = uri.replace("http://", f"http://user:{PASSWORD}@")
        client = LDClient(Config(KEY, base_uri=uri, stream_uri=uri, events_uri=uri), 0.1)
        use(client)
        shown = seen(client)
        client.close(0.2)
        assert not leaks(*shown, *recorded(caplog))


@pytest.mark.parametrize(
    "call",
    [
        lambda: LDClient(KEY, Config("another")),
        lambda: LDClient(KEY, KEY),
        lambda: LDClient(KEY, Config(KEY), KEY),
        lambda: LDClient(Config(KEY, base_uri=KEY)),
        lambda: LDClient(Config(KEY, http=HTTPConfig(http_proxy=f"ftp://u:{PASSWORD}@h:1"))),
        lambda: LDClient(Config(KEY, http=HTTPConfig(http_proxy=f"http://u:{PASSWORD}@h:99999"))),
        lambda: LDClient(Config(KEY, http=HTTPConfig(http_proxy=f"u:{PASSWORD}@"))),
        lambda: LDClient(Config(KEY, feature_store=object())),
        lambda: Config(KEY, KEY),
        lambda: Config(KEY, KEY, KEY),
        lambda: Config(KEY, stream=KEY),
        lambda: Config(KEY, poll_interval=KEY),
        lambda: Config(KEY, defaults=KEY),
        lambda: Config(KEY, http=KEY),
        lambda: Config(KEY, private_attributes=KEY),
        lambda: Config(KEY + "\n"),
        lambda: Config(base_uri=f"ftp://u:{PASSWORD}@h"),
        lambda: ldclient.set_config(KEY),
        lambda: LDClient(Config(KEY, http=HTTPConfig(ca_certs=str(Path(__file__)))), 0),
    ],
    ids=range(19),
)
def test_no_misuse_shows_a_secret(call: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []
    try:
        made = call()
        shown += [repr(made), str(made)]
        if isinstance(made, LDClient):
            made.close(0.1)
    except (TypeError, ValueError, RuntimeError) as error:
        # Without the lines of source code, which hold this file's own text.
        chain = traceback.TracebackException.from_exception(error)
        shown += [*chain.format_exception_only(), repr(error), error.args]
    assert not leaks(*shown, *recorded(caplog))


def test_objects_that_hold_the_key_show_it_only_to_who_asks() -> None:
    config = Config(KEY, http=HTTPConfig(http_proxy=f"http://user:{PASSWORD}@h:1"), application={"id": "a"})
    for one in (config, copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert not leaks(repr(one), str(one), f"{one!r}", repr(one.http), repr([one]))
        assert one.sdk_key == KEY
    ldclient.set_config(Config(KEY, offline=True))
    assert not leaks(repr(ldclient.config), repr(ldclient.get()), json.dumps(ldclient.get().stats(), default=str))
