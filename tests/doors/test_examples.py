"""The example applications under real servers: a flag is flipped while requests are served.

Every request must be answered, none with two minds, and all workers must come to the new value without a restart.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ldclient
from ldclient.local.server import DevelopmentServer
from running import DIRECT, Host, listener, started

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PACKAGE = str(Path(ldclient.__file__).parents[1])

UWSGI = (
    sys.executable,
    "-c",
    "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])",
    "--master",
    "--enable-threads",
    "--need-app",
)

SERVERS = {
    "flask under gunicorn, preloaded": ("flask_app", "gunicorn", "app:app", 2),
    "flask under uWSGI": ("flask_app", "uwsgi", "app:app", 2),
    "django under gunicorn": ("django_app", "gunicorn", "shop:application", 2),
    "django under uWSGI": ("django_app", "uwsgi", "shop:application", 2),
    "django under uvicorn": ("django_app", "uvicorn", "shop:asgi", 1),
    "fastapi under uvicorn": ("fastapi_app", "uvicorn", "app:app", 1),
}


def command(server: str, application: str, listening: int) -> list[str]:
    if server == "gunicorn":
        return [
            *(sys.executable, "-m", "gunicorn", application, "--preload", "--no-control-socket"),
            *("--workers", "2", "--threads", "4", "--bind", f"fd://{listening}", "--graceful-timeout", "8"),
        ]
    if server == "uwsgi":
        return [
            *UWSGI,
            *("--http-socket", f"fd://{listening}", "--module", application, "--processes", "2", "--threads", "4"),
            *("--worker-reload-mercy", "8", "--die-on-term"),
        ]
    return [sys.executable, "-m", "uvicorn", application, "--fd", str(listening), "--log-level", "warning"]


@contextmanager
def serving(folder: Path, example: str, server: str, application: str, service: str) -> Iterator[Host]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = {
        **kept,
        "LD_BASE_URI": service,
        "PYTHONPATH": os.pathsep.join(
            [str(EXAMPLES / example), PACKAGE, *(path for path in sys.path if "site-" in path)]
        ),
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    listening = listener()
    with started(command(server, application, listening.fileno()), folder, environment, listening=listening) as host:
        host.wait_until_it_listens(30)
        yield host


def get(host: Host, path: str) -> tuple[int, str]:
    try:
        with DIRECT.open(f"http://127.0.0.1:{host.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="the servers are those of Linux")
@pytest.mark.parametrize("name", SERVERS)
def test_a_flag_is_flipped_while_requests_are_served(name: str, tmp_path: Path) -> None:
    example, server, application, workers = SERVERS[name]
    file = tmp_path / "flags.json"
    flags = json.loads((EXAMPLES / "flags.json").read_text())
    file.write_text(json.dumps(flags))
    with DevelopmentServer([file]) as service, serving(tmp_path, example, server, application, service.uri) as host:
        assert "one-page" in get(host, "/?user=demo-account")[1]

        def ask(_: int = 0) -> dict[str, Any]:
            status, body = get(host, "/checkout?user=demo-account")
            assert status == 200, body
            answer: dict[str, Any] = json.loads(body)
            assert answer["first"] == answer["second"], answer
            return answer

        with ThreadPoolExecutor(8) as pool:
            before = list(pool.map(ask, range(40)))
            assert {answer["first"] for answer in before} == {"one-page"}
            flags["flags"]["new-checkout"]["on"] = False
            flags["flags"]["new-checkout"]["version"] += 1
            part = tmp_path / "part"
            part.write_text(json.dumps(flags))
            part.replace(file)
            seen: dict[int, str] = {}
            end = time.monotonic() + 20
            while len(seen) < workers or set(seen.values()) != {"classic"}:
                assert time.monotonic() < end, f"not all workers have the new value: {seen}"
                for answer in pool.map(ask, range(16)):
                    seen[answer["worker"]] = answer["first"]
        assert "classic" in get(host, "/?user=demo-account")[1]
        assert get(host, "/beta?user=somebody")[0] in (200, 404), "redirected home, or not there"
        host.end()
        assert "Traceback" not in host.log()


def test_each_example_is_short() -> None:
    for example in ("flask_app/app.py", "django_app/shop.py", "fastapi_app/app.py"):
        assert len((EXAMPLES / example).read_text().splitlines()) < 80, example
