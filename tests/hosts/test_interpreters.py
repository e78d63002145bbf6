"""Several interpreters in one process: Python's own, uWSGI's with several applications, Apache's with mod_wsgi.

The native module serves one of them; the others get an ImportError that says what to set.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import arrived, delivered_once, flips, is_clean, lives, made, until
from program import Program
from running import HERE, apache, apache_is_missing, uwsgi
from stand_in import StandIn

SETTINGS = ("WSGIApplicationGroup %{GLOBAL}", "single-interpreter")

needs_apache = pytest.mark.skipif(apache_is_missing() is not None, reason=str(apache_is_missing()))

INTERPRETERS = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

IMPORT = '''
try:
    import ldclient
    print("imported", ldclient.LDClient(ldclient.Config(offline=True)).variation("a", {"key": "b"}, "default"))
except ImportError as error:
    print(error)
'''

def run(kind):
    # Interpreters that share the lock, as those of uWSGI and mod_wsgi do, are "legacy" ones since Python 3.13.
    isolated = {} if sys.version_info >= (3, 13) else {"isolated": kind == "isolated"}
    made = interpreters.create(kind) if sys.version_info >= (3, 13) else interpreters.create(**isolated)
    run = getattr(interpreters, "exec", None) or interpreters.run_string
    sys.stdout.flush()
    run(made, IMPORT)
    run(made, "import sys; sys.stdout.flush()")
"""


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_a_second_interpreter_is_told_what_to_set(service: StandIn, kind: str) -> None:
    with Program(f"{INTERPRETERS}\nrun({kind!r})\nprint(value(LDClient(config(), 5)))", service.uri) as program:
        told, first = program.succeeds().splitlines()
    for setting in SETTINGS:
        assert setting in told
    assert first == "True", "the first one goes on"


def two_applications(folder: Path) -> list[str]:
    # uWSGI and mod_wsgi tell applications apart by their files.
    for name in ("one.py", "two.py"):
        (folder / name).write_text((HERE / "application.py").read_text())
    return ["--mount", f"/one={folder}/one.py", "--mount", f"/two={folder}/two.py", "--manage-script-name"]


def test_the_second_application_of_a_uwsgi_is_told_what_to_set(service: StandIn, tmp_path: Path) -> None:
    options = ("--enable-threads", "--die-on-term")
    with uwsgi(tmp_path, service.uri, *options, application=two_applications(tmp_path), processes=1) as host:
        # As with whatever an application raises when it is loaded, uWSGI does not start.
        assert host.process.wait(10) != 0
    errors = [line for line in host.log().splitlines() if line.startswith("ImportError")]
    assert len(errors) == 2, "the cause, and what to do about it"
    for setting in SETTINGS:
        assert setting in errors[-1]


def test_two_applications_of_a_uwsgi_with_a_single_interpreter_live(service: StandIn, tmp_path: Path) -> None:
    options = ("--enable-threads", "--die-on-term", "--single-interpreter")
    with uwsgi(tmp_path, service.uri, *options, application=two_applications(tmp_path), processes=1) as host:
        assert [host.ask(path)["value"] for path in ("/one", "/two")] == [True, True]
        flips(host, service, 1, streams=2)
    assert "ImportError" not in host.log()


def script(folder: Path, name: str) -> str:
    return f'WSGIScriptAlias /{name} "{folder}/{name}.py"'


@needs_apache
def test_an_application_of_apache_lives_in_the_first_interpreter(service: StandIn, tmp_path: Path) -> None:
    directives = (
        f'WSGIScriptAlias / "{HERE}/application.py"',
        "WSGIApplicationGroup %{GLOBAL}",
        "WSGIDaemonProcess flags processes=2 threads=2",
        "WSGIProcessGroup flags",
    )
    with apache(tmp_path, service.uri, *directives) as host:
        lives(host, service, 2, streams=2)
    delivered_once(host, service, {answer["worker"] for answer in host.asked})
    is_clean(host)
    service.wait_for_streams(0)


@needs_apache
def test_the_end_of_apache_delivers_every_event_once(service: StandIn, tmp_path: Path) -> None:
    directives = (
        f'WSGIScriptAlias / "{HERE}/application.py"',
        "WSGIApplicationGroup %{GLOBAL}",
        "WSGIDaemonProcess flags processes=1 threads=2",
        "WSGIProcessGroup flags",
    )
    with apache(tmp_path, service.uri, *directives, flush_interval=600) as host:
        host.ask_workers(1, True)
    assert arrived(service) == made(host.asked)


@needs_apache
def test_a_single_application_of_apache_lives_without_any_setting(service: StandIn, tmp_path: Path) -> None:
    with apache(tmp_path, service.uri, f'WSGIScriptAlias / "{HERE}/application.py"') as host:
        lives(host, service, 1, streams=1)
    is_clean(host)


@needs_apache
def test_the_second_application_of_an_apache_is_told_what_to_set(service: StandIn, tmp_path: Path) -> None:
    two_applications(tmp_path)
    with apache(tmp_path, service.uri, script(tmp_path, "one"), script(tmp_path, "two")) as host:
        assert host.ask("/one")["value"] is True
        with pytest.raises(OSError, match="500"):
            host.ask("/two")
        until(lambda: all(setting in host.log() for setting in SETTINGS))


@needs_apache
def test_two_applications_of_apache_with_the_setting_live(service: StandIn, tmp_path: Path) -> None:
    two_applications(tmp_path)
    directives = (script(tmp_path, "one"), script(tmp_path, "two"), "WSGIApplicationGroup %{GLOBAL}")
    with apache(tmp_path, service.uri, *directives) as host:
        assert [host.ask(path)["value"] for path in ("/one", "/two")] == [True, True]
    assert "ImportError" not in host.log()
