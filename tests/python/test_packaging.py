"""The installed distribution: its version, dependencies and files. Leaves what the code means to other tests."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ldclient

ROOT = Path(__file__).resolve().parents[2]


def cargo_version() -> str:
    found = re.search(r'^version = "([^"]+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert found, "Cargo.toml names no version"
    return found[1]


def test_the_version_is_the_one_in_cargo_toml() -> None:
    assert importlib.metadata.version("ldclient-rs") == cargo_version()
    native = importlib.import_module("ldclient._ldclient")
    assert cargo_version() == native.VERSION


def test_nothing_is_required_beside_python() -> None:
    required = importlib.metadata.requires("ldclient-rs") or []
    assert [line for line in required if "extra ==" not in line] == []


def test_the_extras_of_the_reference_are_accepted_and_only_dynamodb_needs_a_package() -> None:
    extras = set(importlib.metadata.metadata("ldclient-rs").get_all("Provides-Extra") or [])
    assert {"consul", "dynamodb", "redis", "test-filesource"} <= extras
    needed = [line for line in importlib.metadata.requires("ldclient-rs") or [] if "extra ==" in line]
    ours = [line for line in needed if re.search("extra == .(consul|dynamodb|redis|test-filesource)", line)]
    assert [line.partition(">")[0].strip() for line in ours] == ["boto3"]


def test_the_package_under_test_is_the_installed_one_and_not_the_source_tree() -> None:
    assert ROOT / "python" not in Path(ldclient.__file__).resolve().parents


def test_the_distribution_carries_its_types_its_stub_and_its_licence() -> None:
    files = {str(file) for file in importlib.metadata.files("ldclient-rs") or []}
    assert {"ldclient/py.typed", "ldclient/_ldclient.pyi"} <= files
    assert any(re.fullmatch(r"ldclient/_ldclient\..*(so|pyd)", file) for file in files)
    assert any(file.endswith("/LICENSE") for file in files)


def test_the_distribution_carries_no_file_outside_its_package() -> None:
    tops = {file.parts[0] for file in importlib.metadata.files("ldclient-rs") or [] if file.parts[0] != ".."}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ldclient"}


def test_the_command_ldflags_is_installed() -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="ldflags")
    assert entry.value == "ldclient.__main__:main"
    assert callable(entry.load())


def modules() -> list[str]:
    return ["ldclient", *(found.name for found in pkgutil.walk_packages(ldclient.__path__, "ldclient."))]


def set_up_django() -> None:
    """Its models can be imported in a project only."""
    import django
    from django.conf import settings

    if not settings.configured:
        apps = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "ldclient.django"]
        settings.configure(INSTALLED_APPS=apps, LDCLIENT={"OFFLINE": True})
        django.setup()


@pytest.mark.parametrize("name", [name for name in modules() if "._" not in name])
def test_every_public_module_lists_its_names_and_has_them(name: str) -> None:
    try:
        if name.startswith("ldclient.django."):
            set_up_django()
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "ldclient":
            raise
        pytest.skip(f"{name} is for users of {error.name}, which is not installed")
    assert [public for public in module.__all__ if not hasattr(module, public)] == []
    assert (module.__doc__ or "").strip(), f"{name} does not say what it is"


@pytest.mark.once
@pytest.mark.timeout(600)
def test_pip_installs_the_source_tree_and_the_result_runs_on_the_standard_library_alone(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-build-isolation",
            # Nothing can be downloaded, so a dependency that is asked for fails the test.
            "--no-index",
            "--target",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        timeout=590,
        env={**os.environ, "PATH": path_with_tools()},
    )
    ran = subprocess.run(
        # -S leaves site-packages out.
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(tmp_path)!r}); import ldclient"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def path_with_tools() -> str:
    """PATH with this environment's commands first: the build back end calls `maturin`."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
