"""What the doors cost a request: middleware and three evaluations, over the same application without flags.

    .venv/bin/python tests/benches/doors.py [--reference PYTHON]

Each framework's application is called in this process, without a server: processor time for each request, the best of
several rounds, flags in memory and no events. Beside it, with ``--reference``, the same application with three plain
evaluations by launchdarkly-server-sdk, in its environment with the same frameworks. The limit is 20 microseconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

ROUNDS, REQUESTS = 25, 1000
LIMIT_US = 20.0
USER = {"key": "aa0ceb", "custom": {"groups": ["Google"]}}
KEYS = ("one", "two", "three")
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/",
    "SERVER_NAME": "x",
    "SERVER_PORT": "80",
    "wsgi.url_scheme": "http",
}

Ask = Callable[[], Any]


def nothing() -> None:
    """The bare application's part."""


def wsgi(ask: Ask, door: bool) -> Callable[[], Any]:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        ask()
        start_response("200 OK", [])
        return [b"ok"]

    if door:
        from ldclient.wsgi import FlagsMiddleware

        app = FlagsMiddleware(app, lambda _: USER)  # type: ignore[assignment]
    return lambda: app(dict(ENVIRON), lambda *_: None)


def asgi(ask: Ask, door: bool) -> Callable[[], Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        ask()

    if door:
        from ldclient.asgi import FlagsMiddleware

        app = FlagsMiddleware(app, lambda _: USER)  # type: ignore[assignment]

    def call() -> None:
        # Driven by hand, so that no loop is measured.
        request = app({"type": "http"}, None, None)
        try:
            request.send(None)
        except StopIteration:
            return
        raise AssertionError("a request waited")

    return call


def flask(ask: Ask, door: bool) -> Callable[[], Any]:
    from flask import Flask

    app = Flask("bench")
    app.add_url_rule("/", "home", lambda: (ask(), "ok")[1])
    if door:
        from ldclient.flask import FeatureFlags

        FeatureFlags(app).user_loader(lambda: USER)
    return lambda: list(app(dict(ENVIRON), lambda *_: None))


def django(ask: Ask, door: bool) -> Callable[[], Any]:
    import django as package
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    def home(request: Any) -> HttpResponse:
        ask()
        return HttpResponse("ok")

    from types import ModuleType

    if not settings.configured:
        urls: Any = ModuleType("urls")
        urls.urlpatterns = []
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, LDCLIENT={"USER_LOADER": lambda _: USER})
        package.setup()
    patterns = settings.ROOT_URLCONF.urlpatterns
    place = f"page{len(patterns)}"
    patterns.append(path(place, home))
    settings.MIDDLEWARE = ["ldclient.django.middleware.FlagsMiddleware"] if door else []
    from django.urls import clear_url_caches

    clear_url_caches()
    handler = WSGIHandler()
    environ = {**ENVIRON, "PATH_INFO": f"/{place}", "wsgi.input": BytesIO()}

    def call() -> None:
        handler(dict(environ), lambda *_: None).close()

    return call


FRAMEWORKS = {"WSGI": wsgi, "ASGI": asgi, "Flask": flask, "Django": django}


def microseconds(*calls: Callable[[], Any]) -> list[float]:
    """Processor time of each of the calls: the best of several rounds, in turns, so that a busy machine harms all alike."""
    for call in calls:
        for _ in range(200):
            call()
    rounds: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, found in zip(calls, rounds, strict=True):
            begin = time.process_time_ns()
            for _ in range(REQUESTS):
                call()
            found.append((time.process_time_ns() - begin) / REQUESTS / 1000)
    return [min(found) for found in rounds]


def ours() -> Ask:
    import ldclient
    from ldclient import Config
    from ldclient.integrations import TestData

    source = TestData.data_source()
    for key in KEYS:
        source.update(source.flag(key).if_match("groups", "Google").then_return(True))
    ldclient.set_config(Config("any-key", update_processor_class=source, send_events=False))
    ldclient.get()
    variation = ldclient.variation

    def ask() -> None:
        for key in KEYS:
            assert variation(key, False) is True

    return ask


def reference() -> Ask:
    from ldclient import Config, Context, LDClient
    from ldclient.integrations.test_data import TestData

    source = TestData.data_source()
    for key in KEYS:
        source.update(source.flag(key).if_match("groups", "Google").then_return(True))
    client = LDClient(Config("any-key", update_processor_class=source, send_events=False))

    def ask() -> None:
        context = Context.builder("aa0ceb").set("groups", ["Google"]).build()
        for key in KEYS:
            assert client.variation(key, context, False) is True

    return ask


def measure(kind: str) -> dict[str, float]:
    """What the flags add to a request, in microseconds, by framework."""
    ask = ours() if kind == "ours" else reference()
    found = {}
    for name, make in FRAMEWORKS.items():
        bare, asking = microseconds(make(nothing, False), make(ask, kind == "ours"))
        found[name] = asking - bare
        found[f"{name} bare"] = bare
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--reference", help="the interpreter of an environment with launchdarkly-server-sdk and frameworks"
    )
    parser.add_argument("--measure", choices=["ours", "reference"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return 0
    rows = {"ours": measured(sys.executable, "ours")}
    if options.reference:
        rows["reference"] = measured(options.reference, "reference")
    worst = 0.0
    for name in FRAMEWORKS:
        cost = rows["ours"][name]
        worst = max(worst, cost)
        line = f"{name:8} bare {rows['ours'][f'{name} bare']:7.2f} us, flags add {cost:6.2f} us"
        if "reference" in rows:
            other = rows["reference"][name]
            line += f"; launchdarkly-server-sdk adds {other:7.2f} us, {other / max(cost, 0.01):.1f} times as much"
        print(line)
    print(f"the limit of {LIMIT_US:g} us is {'kept' if worst < LIMIT_US else 'EXCEEDED'}")
    return int(worst >= LIMIT_US)


def measured(python: str, kind: str) -> dict[str, float]:
    ran = subprocess.run(
        [python, __file__, "--measure", kind], stdout=subprocess.PIPE, text=True, timeout=600, check=True
    )
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
