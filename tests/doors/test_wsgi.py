"""WSGI: the middleware, and the application that tells how the client is doing."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any
from weakref import ref
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

import ldclient
from ldclient import Config, LDClient
from ldclient.integrations import TestData
from ldclient.request import RequestFlags, UnknownFlagError
from ldclient.wsgi import FlagsMiddleware, StatusApp


def user_of(environ: dict[str, Any]) -> dict[str, str] | None:
    return {"key": environ["REMOTE_USER"]} if "REMOTE_USER" in environ else None


def call(app: Any, path: str = "/", **environ: Any) -> tuple[str, dict[str, str], bytes]:
    """Calls an application as a server does, with the checks of wsgiref around it."""
    setup_testing_defaults(environ)
    path, _, query = path.partition("?")
    environ.update(PATH_INFO=path, QUERY_STRING=query)
    answer: list[Any] = []
    body = validator(app)(environ, lambda status, headers, _=None: answer.append((status, dict(headers))))
    try:
        content = b"".join(body)
    finally:
        body.close()
    return *answer[0], content


def answering(text: Any) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(text()).encode()]

    return app


def test_module_functions_are_for_the_user_of_the_request(source: TestData) -> None:
    app = FlagsMiddleware(answering(lambda: ldclient.variation("new-ui", "nobody")), user_of)
    assert call(app, REMOTE_USER="ann")[2] == b"True"
    assert call(app, REMOTE_USER="bob")[2] == b"False"
    assert call(app)[2] == b"nobody"


def test_the_environ_has_the_flags_of_the_request(source: TestData) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        flags: RequestFlags = environ["ldclient.flags"]
        return [str(flags.is_active("new-ui")).encode()]

    assert call(FlagsMiddleware(app, user_of), REMOTE_USER="ann")[2] == b"True"


def test_a_body_that_is_made_bit_by_bit_has_the_user_and_the_view(source: TestData) -> None:
    closed: list[object] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            yield str(ldclient.variation("colour", None)).encode()
            source.update(source.flag("colour").value_for_all("blue"))
            yield str(ldclient.variation("colour", None)).encode()
        finally:
            closed.append(ldclient.variation("colour", None))

    assert call(FlagsMiddleware(app, user_of), REMOTE_USER="ann")[2] == b"redred"
    assert closed == ["red"]


def test_two_bodies_that_are_read_in_turns_keep_their_users(source: TestData) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        for _ in range(2):
            yield str(ldclient.variation("new-ui", None)).encode()

    middleware = FlagsMiddleware(app, user_of)
    ann, bob = (middleware({"REMOTE_USER": name}, None) for name in ("ann", "bob"))
    assert list(zip(ann, bob, strict=True)) == [(b"True", b"False")] * 2


def test_a_complete_body_and_a_wrapped_file_reach_the_server_as_they_are() -> None:
    whole = [b"x"]
    file = FileWrapper(BytesIO(b"x"))
    for body in (whole, file):
        app = FlagsMiddleware(lambda *_, body=body: body)
        assert app({"wsgi.file_wrapper": FileWrapper}, None) is body


def test_an_application_that_raises_leaves_no_user_behind(source: TestData) -> None:
    app = FlagsMiddleware(answering(lambda: 1 / 0), user_of)
    with pytest.raises(ZeroDivisionError):
        call(app, REMOTE_USER="ann")
    assert ldclient.ambient.current() is None


def test_a_loader_that_raises_costs_the_user_only(source: TestData, caplog: pytest.LogCaptureFixture) -> None:
    app = FlagsMiddleware(answering(lambda: ldclient.variation("new-ui", "nobody")), lambda environ: environ["NO"])
    assert [call(app)[2] for _ in range(2)] == [b"nobody"] * 2
    assert sum("The user loader" in record.getMessage() for record in caplog.records) == 1


def test_in_strict_mode_a_failing_loader_and_an_unknown_flag_raise(source: TestData) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["ldclient.flags"].variation(environ["REQUEST_METHOD"], None)
        return []

    with pytest.raises(KeyError):
        FlagsMiddleware(app, lambda environ: environ["NO"], strict=True)({"REQUEST_METHOD": "colour"}, None)
    with pytest.raises(UnknownFlagError, match="typo"):
        FlagsMiddleware(app, user_of, strict=True)({"REQUEST_METHOD": "typo", "REMOTE_USER": "ann"}, None)


def test_without_a_loader_the_log_says_how_to_give_one(source: TestData, caplog: pytest.LogCaptureFixture) -> None:
    call(FlagsMiddleware(answering(lambda: ldclient.variation("colour", "nobody"))))
    assert any("FlagsMiddleware(app, user=function)" in record.getMessage() for record in caplog.records)


def test_the_middleware_asks_the_client_that_it_was_given() -> None:
    source = TestData.data_source()
    source.update(source.flag("colour").value_for_all("green"))
    with LDClient(Config("k", update_processor_class=source, send_events=False)) as client:
        app = FlagsMiddleware(
            answering(lambda: ldclient.variation("colour", None)), lambda _: {"key": "a"}, client=client
        )
        assert call(app)[2] == b"green"


class Environ(dict[str, Any]):
    """One that can be watched."""


def test_nothing_of_a_request_is_left_to_the_garbage_collector(source: TestData) -> None:
    gc.collect()
    gc.disable()
    try:
        for name in ("new-ui", None):
            environ = Environ(REMOTE_USER="ann")
            watched = ref(environ)
            app = FlagsMiddleware(
                lambda *_, name=name: [b"" if name is None else ldclient.variation(name, b"")], user_of
            )
            app(environ, None)
            del environ
            assert watched() is None, name
    finally:
        gc.enable()


# The status application


def test_flags_are_told_as_flagon_tells_them(source: TestData) -> None:
    status, headers, body = call(StatusApp(), "/v0/colour")
    assert (status, body) == ("200 OK", b'{"active": true, "known": true}')
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-cache, no-store, must-revalidate"
    status, _, body = call(StatusApp(), "/v0/typo", REQUEST_METHOD="POST")
    assert (status, body) == ("404 Not Found", b'{"active": false, "known": false}')
    assert call(StatusApp(), "/v0/new-ui?key=ann")[2] == b'{"active": true, "known": true}'
    assert json.loads(call(StatusApp(), "/v0")[2]) == {
        "colour": {"active": True, "known": True},
        "new-ui": {"active": False, "known": True},
    }


def test_it_tells_how_the_client_is_doing(source: TestData) -> None:
    assert call(StatusApp(), "/live")[0] == "200 OK"
    assert call(StatusApp(), "/ready")[0] == "200 OK"
    assert json.loads(call(StatusApp(), "/")[2])["flags"] == 2
    assert call(StatusApp(), "/ready", REQUEST_METHOD="HEAD")[2] == b""


def test_it_is_not_ready_before_flags_arrive_and_when_nothing_is_configured() -> None:
    assert call(StatusApp(), "/ready")[0] == call(StatusApp(), "/v0/x")[0] == "503 Service Unavailable"
    ldclient.start_wait = 0
    ldclient.set_config(Config("k", base_uri="http://127.0.0.1:1", stream_uri="http://127.0.0.1:1", send_events=False))
    assert call(StatusApp(), "/ready")[0] == "503 Service Unavailable"
    ldclient.start_wait = 5


def test_it_only_tells(source: TestData) -> None:
    status, headers, _ = call(StatusApp(), "/", REQUEST_METHOD="DELETE")
    assert (status, headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")
    assert call(StatusApp(), "/v1")[0] == "404 Not Found"
