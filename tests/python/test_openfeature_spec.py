"""What OpenFeature's specification tests of evaluations, row by row; and its own feature files where they are at hand.

``OPENFEATURE_SPEC`` names a checkout of github.com/open-feature/spec; docs/openfeature.md tells what came of a run.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openfeature", reason="openfeature-sdk is installed for the newest Python only")

from openfeature import api
from openfeature.evaluation_context import EvaluationContext

import ldclient
from openfeature_features import Scenario, run, scenarios
from openfeature_flags import FLAGS, provider_in, status, variant_name

pytestmark = pytest.mark.once

KINDS = {"boolean": False, "string": "bye", "integer": 1, "float": 0.1, "object": {"a": 1}}
OTHER = {"boolean": True, "string": "hi", "integer": 1, "float": 0.1, "object": {"a": 1}}
BALLMER = {"email": "ballmer@macrosoft.com"}
SULISLAW = {"fn": "Sulisław", "ln": "Świętopełk", "age": 29, "customer": False}
INSIDER = {**BALLMER, "role": "admin", "age": 65, "customer": False}

# name: kind, flag, default, attributes, what comes of it: value, variant, reason, error code.
Row = tuple[str, str, Any, dict[str, Any], tuple[Any, str | None, str, str | None]]
ROWS: dict[str, Row] = {}

for kind, default in KINDS.items():
    variants, everybody, _ = FLAGS[f"{kind}-flag"]
    served = (variants[str(everybody)], everybody, "STATIC", None)
    ROWS[f"a {kind} flag without rules is static"] = (kind, f"{kind}-flag", default, {}, served)
    zero = FLAGS[f"{kind}-zero-flag"][0]["zero"]
    static = (zero, "zero", "STATIC", None)
    ROWS[f"a {kind} that counts as false is served"] = (kind, f"{kind}-zero-flag", OTHER[kind], {}, static)
    targeted = f"{kind}-targeted-zero-flag"
    match, no_match = (zero, "zero", "TARGETING_MATCH", None), (zero, "zero", "DEFAULT", None)
    ROWS[f"a rule that serves a {kind} matches"] = (kind, targeted, OTHER[kind], BALLMER, match)
    stranger = {"email": "ballmer@none.com"}
    ROWS[f"a rule that serves a {kind} matches nobody else"] = (kind, targeted, OTHER[kind], stranger, no_match)
    ROWS[f"a rule that serves a {kind} matches nobody without attributes"] = (kind, targeted, OTHER[kind], {}, no_match)
    nothing = {"email": None}
    ROWS[f"a rule that serves a {kind} does not match null"] = (kind, targeted, OTHER[kind], nothing, no_match)
    off = (default, None, "DISABLED", None)
    ROWS[f"a {kind} flag that is off gives the default"] = (kind, f"{kind}-disabled-flag", default, {}, off)
    missing = (default, None, "ERROR", "FLAG_NOT_FOUND")
    ROWS[f"there is no such {kind} flag"] = (kind, "non-existent-flag", default, {}, missing)
    wrong = "string-flag" if kind == "boolean" else "boolean-flag"
    mismatch = (default, None, "ERROR", "TYPE_MISMATCH")
    ROWS[f"what is no {kind} is a mismatch"] = (kind, wrong, default, {}, mismatch)

ROWS["a text asked for as a whole number is a mismatch"] = (
    "integer",
    "wrong-flag",
    13,
    {},
    (13, None, "ERROR", "TYPE_MISMATCH"),
)
ROWS["four attributes match together"] = (
    "string",
    "context-aware",
    "EXTERNAL",
    SULISLAW,
    ("INTERNAL", "internal", "TARGETING_MATCH", None),
)
ROWS["without the four attributes nothing matches"] = (
    "string",
    "context-aware",
    "EXTERNAL",
    {},
    ("EXTERNAL", "external", "DEFAULT", None),
)
ROWS["three attributes match beside one that no rule asks for"] = (
    "string",
    "complex-targeted",
    "default",
    INSIDER,
    ("INTERNAL", "internal", "TARGETING_MATCH", None),
)
ROWS["an object flag with no default at all"] = (
    "object",
    "object-flag",
    None,
    {},
    (FLAGS["object-flag"][0]["template"], "template", "STATIC", None),
)


@pytest.fixture(scope="module")
def stable() -> Iterator[None]:
    with provider_in("stable"), ldclient.use({"key": "whoever"}):
        yield


@pytest.mark.parametrize("asynchronous", [False, True], ids=["", "asynchronously"])
@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_an_evaluation_answers_what_the_specification_says(row: Row, asynchronous: bool, stable: None) -> None:  # noqa: ARG001
    kind, key, default, attributes, expected = row
    ask = getattr(api.get_client(), f"get_{kind}_details{'_async' if asynchronous else ''}")
    with ldclient.use({"key": "whoever"}):
        answer = ask(key, default, EvaluationContext(None, attributes))
        details = asyncio.run(answer) if asynchronous else answer
    named = variant_name(key, details.variant) if key in FLAGS else details.variant
    assert (details.value, named, details.reason, details.error_code) == expected
    assert type(details.value) is type(expected[0])
    assert details.flag_key == key
    assert (details.error_message is None) == (details.error_code is None)


@pytest.mark.parametrize("state", ["stable", "not ready", "error", "fatal", "stale"])
def test_a_provider_has_the_state_that_the_specification_names(state: str) -> None:
    with provider_in(state):
        assert status().value == {"stable": "READY", "not ready": "NOT_READY"}.get(state, state.upper())


@pytest.mark.parametrize(("state", "code"), [("not ready", "PROVIDER_NOT_READY"), ("fatal", "PROVIDER_FATAL")])
def test_a_provider_without_flags_gives_the_default_and_says_why(state: str, code: str) -> None:
    with provider_in(state):
        for kind, default in KINDS.items():
            details = getattr(api.get_client(), f"get_{kind}_details")(f"{kind}-flag", default)
            assert (details.value, details.reason, details.error_code) == (default, "ERROR", code)


SPEC = os.environ.get("OPENFEATURE_SPEC")
FILES = ("evaluation.feature", "evaluation_v2.feature", "hooks.feature", "metadata.feature")


def found() -> list[Any]:
    rows = []
    folder = Path(SPEC or "", "specification", "assets", "gherkin")
    for path in (folder / name for name in FILES if SPEC):
        for number, one in enumerate(scenarios(path), 1):
            marks = [pytest.mark.skip(reason=one.not_ours)] if one.not_ours else []
            rows.append(pytest.param(one, id=f"{path.stem}-{number}-{one.name}", marks=marks))
    why = "OPENFEATURE_SPEC names no checkout of github.com/open-feature/spec; the rows above are its vectors"
    return rows or [pytest.param(None, id="none", marks=pytest.mark.skip(reason=why))]


@pytest.mark.parametrize("scenario", found())
def test_a_scenario_of_the_specification_itself(scenario: Scenario) -> None:
    run(scenario)
