"""ASGI: the middleware, and the dependencies for FastAPI."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Header, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

import ldclient
from ldclient import Config, ambient
from ldclient.asgi import FlagsMiddleware, flags_for, request_flags
from ldclient.integrations import TestData
from ldclient.request import RequestFlags, UnknownFlagError

Flags = Annotated[RequestFlags, Depends(request_flags)]


def user_of(scope: Any) -> dict[str, str] | None:
    names = [value.decode() for name, value in scope["headers"] if name == b"user"]
    return {"key": names[0]} if names else None


async def user_later(scope: Any) -> dict[str, str] | None:
    await asyncio.sleep(0)
    return user_of(scope)


async def current_user(user: Annotated[str, Header()]) -> dict[str, str]:
    return {"key": user}


def new_app(**options: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(FlagsMiddleware, **{"user": user_of, **options})

    @app.get("/")
    async def home() -> Any:
        return [ldclient.variation("new-ui", None), ldclient.variation("colour", None)]

    @app.get("/thread")
    def thread() -> Any:
        return ldclient.variation("new-ui", None)

    @app.get("/flags")
    async def flags(flags: Flags) -> Any:
        return flags.variation("new-ui", None)

    return app


def get(app: FastAPI, path: str = "/", user: str | None = "ann") -> Any:
    answer = TestClient(app).get(path, headers={} if user is None else {"user": user})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("loader", [user_of, user_later])
def test_module_functions_are_for_the_user_of_the_request(source: TestData, loader: Any) -> None:
    app = new_app(user=loader)
    assert get(app) == [True, "red"]
    assert get(app, user="bob") == [False, "red"]
    assert get(app, user=None) == [None, None]
    assert get(app, "/thread") is True
    assert get(app, "/flags") is True


def test_a_request_sees_the_flags_of_one_moment_also_in_its_stream_and_its_tasks(source: TestData) -> None:
    app, seen = new_app(), []

    @app.get("/stream")
    async def stream(tasks: BackgroundTasks) -> StreamingResponse:
        async def parts() -> Any:
            yield ldclient.variation("colour", None)
            source.update(source.flag("colour").value_for_all("blue"))
            yield ldclient.variation("colour", None)

        tasks.add_task(lambda: seen.append(ldclient.variation("colour", None)))
        return StreamingResponse(parts(), background=tasks)

    assert TestClient(app).get("/stream", headers={"user": "ann"}).text == "redred"
    assert seen == ["red"]


def test_requests_side_by_side_keep_their_users(source: TestData) -> None:
    async def main() -> list[bool]:
        met = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else None

        async def app(scope: Any, receive: Any, send: Any) -> None:
            first = ldclient.variation("new-ui", None)
            if met is not None:
                await asyncio.wait_for(met.wait(), 5)
            await send((first, ldclient.variation("new-ui", None)))

        sent: dict[str, Any] = {}

        async def request(name: str) -> None:
            async def send(message: Any) -> None:
                sent[name] = message

            await FlagsMiddleware(app, user_of)({"type": "http", "headers": [(b"user", name.encode())]}, None, send)

        await asyncio.gather(request("ann"), request("bob"))
        return [*sent["ann"], *sent["bob"]]

    assert asyncio.run(main()) == [True, True, False, False]


def test_a_websocket_has_a_user(source: TestData) -> None:
    app = new_app()

    @app.websocket("/ws")
    async def talk(socket: WebSocket, flags: Flags) -> None:
        await socket.accept()
        await socket.send_json([flags.variation("new-ui", None), ldclient.variation("new-ui", None)])
        await socket.close()

    with TestClient(app).websocket_connect("/ws", headers={"user": "ann"}) as socket:
        assert socket.receive_json() == [True, True]


def test_the_life_cycle_goes_through_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, ambient.innermost()))

    scope = {"type": "lifespan"}
    asyncio.run(FlagsMiddleware(app)(scope, None, None))
    assert seen == [({"type": "lifespan"}, None)]


def test_flags_for_takes_the_user_of_another_dependency(source: TestData) -> None:
    app = FastAPI()

    @app.get("/bare")
    async def bare(flags: Annotated[RequestFlags, Depends(flags_for(current_user))]) -> Any:
        return flags.variation("new-ui", None)

    assert get(app, "/bare") is True
    assert get(app, "/bare", "bob") is False

    behind = new_app(user=None)

    @behind.get("/both")
    async def both(flags: Annotated[RequestFlags, Depends(flags_for(current_user))]) -> Any:
        return [flags.variation("new-ui", None), ldclient.variation("new-ui", None)]

    assert get(behind, "/both") == [True, True]


def test_without_the_middleware_the_dependency_says_what_to_do(source: TestData) -> None:
    app = FastAPI()

    @app.get("/")
    async def home(flags: Flags) -> Any:
        return flags.variation("new-ui", None)

    with pytest.raises(RuntimeError, match=r"app\.add_middleware\(FlagsMiddleware"):
        TestClient(app).get("/")


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_a_loader_that_raises_costs_the_user_only(
    source: TestData, caplog: pytest.LogCaptureFixture, is_coroutine: bool
) -> None:
    def broken(scope: Any) -> Any:
        raise KeyError("secret")

    async def broken_later(scope: Any) -> Any:
        raise KeyError("secret")

    app = new_app(user=broken_later if is_coroutine else broken)
    assert [get(app), get(app)] == [[None, None]] * 2
    (said,) = [record.getMessage() for record in caplog.records if "user loader" in record.getMessage()]
    assert "broken" in said
    assert "KeyError" in said
    assert "secret" not in said
    with pytest.raises(KeyError):
        get(new_app(user=broken_later if is_coroutine else broken, strict=True), "/flags")


def test_in_strict_mode_an_unknown_flag_raises(source: TestData) -> None:
    app = new_app(strict=True)

    @app.get("/typo")
    async def typo(flags: Flags) -> Any:
        return flags.variation("typo", None)

    with pytest.raises(UnknownFlagError, match="typo"):
        get(app, "/typo")


def test_the_client_is_built_beside_the_loop(monkeypatch: pytest.MonkeyPatch, source: TestData) -> None:
    builders: list[int] = []
    settle = ldclient._state.settle

    def noting() -> Any:
        builders.append(threading.get_ident())
        return settle()

    monkeypatch.setattr(ldclient._state, "settle", noting)
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((threading.get_ident(), ldclient.variation("colour", None)))

    asyncio.run(FlagsMiddleware(app, lambda _: {"key": "ann"})({"type": "http"}, None, None))
    ((loop, value),) = seen
    assert value == "red"
    assert builders
    assert loop not in builders


def test_a_persistent_store_is_read_beside_the_loop() -> None:
    from ldclient.feature_store import InMemoryFeatureStore
    from ldclient.versioned_data_kind import FEATURES

    readers: list[int] = []

    class Store(InMemoryFeatureStore):
        def get(self, *arguments: Any, **named: Any) -> Any:
            readers.append(threading.get_ident())
            return super().get(*arguments, **named)

        def all(self, *arguments: Any, **named: Any) -> Any:
            readers.append(threading.get_ident())
            return super().all(*arguments, **named)

    store = Store()
    flag = TestData.data_source().flag("colour").value_for_all("stored")._build(1)
    store.init({FEATURES: {"colour": flag}})
    ldclient.set_config(Config("k", feature_store=store, use_ldd=True, send_events=False))
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((threading.get_ident(), ldclient.variation("colour", None)))

    asyncio.run(FlagsMiddleware(app, lambda _: {"key": "ann"})({"type": "http"}, None, None))
    ((loop, value),) = seen
    assert value == "stored"
    assert loop not in readers


def test_without_key_and_config_an_application_that_asks_for_no_flag_is_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = new_app()

    @app.get("/plain")
    async def plain() -> Any:
        return "plain"

    assert get(app, "/plain") == "plain"
    with pytest.raises(RuntimeError, match="set_config"):
        get(app)
