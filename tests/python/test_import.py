"""What importing the package does, seen from a fresh interpreter each time. Leaves what the names do to their tests."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What an import of the package reports about itself. Modules that were there before do not count.
REPORT = """
import json, sys, threading
before = set(sys.modules)
import ldclient
print(json.dumps({
    "modules": sorted(set(sys.modules) - before),
    "threads": threading.active_count(),
    "native_threads": %s,
}))
"""
NATIVE_THREADS = "len(__import__('os').listdir('/proc/self/task'))" if sys.platform == "linux" else "1"


def fresh(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *flags, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture(scope="module")
def report() -> dict[str, object]:
    # -I and -S: nothing from the environment, the current folder or site-packages is there before the import.
    ran = fresh(f"import site; site.main()\n{REPORT % NATIVE_THREADS}", "-I", "-S")
    assert ran.returncode == 0, ran.stderr
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def test_the_import_says_nothing_and_warns_of_nothing() -> None:
    ran = fresh("import ldclient")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_import_loads_no_module_from_outside_the_standard_library(report: dict[str, object]) -> None:
    roots = {name.partition(".")[0] for name in report["modules"]}  # type: ignore[attr-defined]
    assert "ldclient" in roots
    assert roots - {"ldclient"} - set(sys.stdlib_module_names) == set()


def test_the_import_starts_no_thread(report: dict[str, object]) -> None:
    assert report["threads"] == 1
    assert report["native_threads"] == 1


def test_the_import_loads_no_network_or_asyncio_stack(report: dict[str, object]) -> None:
    heavy = {"asyncio", "http.client", "socket", "ssl", "email", "urllib.request", "multiprocessing", "unittest"}
    assert heavy & set(report["modules"]) == set()  # type: ignore[call-overload]


def test_the_import_survives_an_interpreter_that_drops_docstrings() -> None:
    assert fresh("import ldclient", "-OO").returncode == 0


def test_a_subinterpreter_imports_or_refuses_but_never_crashes() -> None:
    code = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
one = interpreters.create()
try:
    failure = interpreters.run_string(one, "import ldclient")
except Exception as error:
    failure = error
assert failure is None or "ImportError" in repr(failure) + str(failure), failure
interpreters.destroy(one)
"""
    ran = fresh(code)
    assert ran.returncode == 0, ran.stderr
