"""The examples that newcomers run first: the demo as a whole, and the quickstart against the stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stand_in import StandIn

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *, timeout: float = 50.0, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_the_demo_succeeds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run("demo.py", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "RULE_MATCH" in done.stdout
    assert '"Completed purchase" by user "aa0ceb", data {"price": 320, "currency": "EUR"}' in done.stdout
    assert "ms after the write" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("found", "put", "says"),
    [
        ('"values": ["Google"]', '"values": ["Nobody"]', "your.feature.key"),
        ('"help@shop.example"', '"help@elsewhere.example"', "support-email"),
        ('"flags": {', '"flags": {{', "the development server ended"),
    ],
)
def test_the_demo_fails_with_a_reason_when_something_is_not_as_expected(
    tmp_path: Path, found: str, put: str, says: str
) -> None:
    for name in ("demo.py", "quickstart.py", "flags.json"):
        text = (EXAMPLES / name).read_text()
        assert name != "flags.json" or found in text
        (tmp_path / name).write_text(text.replace(found, put) if name == "flags.json" else text)
    done = run(str(tmp_path / "demo.py"))
    assert done.returncode == 1
    assert "The demo failed:" in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_quickstart_runs_against_any_service_with_defaults_for_what_it_lacks(service: StandIn) -> None:
    done = run("quickstart.py", LD_BASE_URI=service.uri, LD_SDK_KEY="YOUR_SDK_KEY")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "your.feature.key for Ernestina:   True" in done.stdout
    assert "no.such.flag, default 'fallback': fallback" in done.stdout
    assert "fe8c37f6484ca8906c344af027d299bde492d3b343057e89b1ca2452e732b14e" in done.stdout
    assert [event["key"] for event in service.events_of("custom")] == ["Signed up"] + ["Completed purchase"] * 2
    assert service.requests_to("/all")[0].headers["Authorization"] == "YOUR_SDK_KEY"
    assert "YOUR_SDK_KEY" not in done.stdout + done.stderr
