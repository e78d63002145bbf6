"""Runs the feature files of OpenFeature's specification, which are read where they lie, against our provider.

It reads as much of Gherkin as those files use: backgrounds, scenarios, outlines with examples, tables, tags.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagEvaluationOptions
from openfeature.hook import Hook

import ldclient
from openfeature_flags import flag, provider_in, status, variant_name

__all__ = ["NOT_OURS", "Scenario", "run", "scenarios"]

#: Scenarios that no flag of LaunchDarkly can be in, by a tag or a name, with the reason.
NOT_OURS = {
    "reason-codes-cached": "an evaluation is made anew each time: nothing is ever cached",
    "metadata": "flags have no metadata of an application's own",
    "Returns metadata": "flags have no metadata of an application's own",
    "Returns no metadata": "every answer tells its variation index and the flag's version",
}


@dataclass
class Scenario:
    """One scenario, or one row of an outline's examples."""

    name: str
    tags: set[str]
    steps: list[tuple[str, list[list[str]]]]

    @property
    def not_ours(self) -> str | None:
        """Why it does not apply; None where it does."""
        return next((NOT_OURS[word] for word in (*self.tags, self.name) if word in NOT_OURS), None)


def scenarios(path: Path) -> Iterator[Scenario]:
    """The scenarios of a file."""
    background: list[tuple[str, list[list[str]]]] = []
    steps = background
    outlines: list[tuple[Scenario, list[tuple[set[str], list[list[str]]]]]] = []
    tags: set[str] = set()
    table: list[list[str]] = []
    for raw in path.read_text(encoding="utf-8").splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(":")
        if line.startswith("@"):
            tags |= {tag.lstrip("@") for tag in line.split()}
        elif word in ("Scenario", "Scenario Outline"):
            steps = []
            outlines.append((Scenario(rest.strip(), tags, steps), []))
            tags = set()
        elif word == "Examples":
            table = []
            outlines[-1][1].append((tags, table))
            tags = set()
        elif word in ("Feature", "Background"):
            tags = set()
        elif line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        else:
            table = []
            steps.append((line.partition(" ")[2], table))
    for outline, examples in outlines:
        rows = [(dict(zip(table[0], row, strict=True)), more) for more, table in examples for row in table[1:]] or [
            ({}, set())
        ]
        for row, more in rows:
            filled = [(_filled(step, row), table) for step, table in (*background, *outline.steps)]
            yield Scenario(outline.name, outline.tags | more, filled)


def _filled(step: str, row: dict[str, str]) -> str:
    for name, cell in row.items():
        step = step.replace(f"<{name}>", cell)
    return step


@dataclass
class World:
    """What the steps of one scenario share."""

    stack: ExitStack
    state: str = ""
    type: str = ""
    key: str = ""
    default: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)
    details: FlagEvaluationDetails[Any] | None = None
    options: FlagEvaluationOptions | None = None
    hook: Recording | None = None
    calls: list[tuple[str, str, Any]] = field(default_factory=list)

    @property
    def client(self) -> OpenFeatureClient:
        return api.get_client()

    @property
    def context(self) -> EvaluationContext:
        # Without a targeting key: the ambient user is whom it is for.
        return EvaluationContext(None, self.attributes)

    def evaluate(self, details: bool = True) -> FlagEvaluationDetails[Any]:
        hooks = [] if self.hook is None else [self.hook]
        options = self.options or FlagEvaluationOptions(hooks=hooks)
        ask = getattr(self.client, f"get_{self.type.lower()}_details")
        self.details = ask(self.key, self.default, self.context, options)
        if not details:
            value = getattr(self.client, f"get_{self.type.lower()}_value")(self.key, self.default, self.context)
            assert value == self.details.value
        return self.details

    def got(self) -> FlagEvaluationDetails[Any]:
        assert self.details is not None
        return self.details


class Recording(Hook):
    """Notes its stages, with what they were told of the evaluation."""

    def __init__(self, name: str, calls: list[tuple[str, str, Any]]) -> None:
        self.name, self.calls = name, calls

    def before(self, hook_context: Any, hints: Any) -> None:  # noqa: ARG002
        self.calls.append((self.name, "before", None))

    def after(self, hook_context: Any, details: Any, hints: Any) -> None:  # noqa: ARG002
        self.calls.append((self.name, "after", details))

    def error(self, hook_context: Any, exception: Exception, hints: Any) -> None:  # noqa: ARG002
        self.calls.append((self.name, "error", None))

    def finally_after(self, hook_context: Any, details: Any, hints: Any) -> None:  # noqa: ARG002
        self.calls.append((self.name, "finally", details))


def typed(kind: str, text: str) -> Any:
    """A value as the files write it."""
    if kind.lower() == "string":
        return None if text == "null" else text
    return {"boolean": lambda t: t == "true", "integer": int, "float": float, "object": json.loads}[kind.lower()](text)


def asked_for(world: World, kind: str, key: str, default: Any) -> None:
    world.type, world.key, world.default = kind, key, default


_STEPS: list[tuple[re.Pattern[str], Callable[..., None]]] = []
_TEXT = r'"((?:\\.|[^"\\])*)"'


def step(pattern: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Has a function called for the steps that a pattern matches; TEXT in it is a quoted text."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        _STEPS.append((re.compile(pattern.replace("TEXT", _TEXT)), function))
        return function

    return add


def run(scenario: Scenario) -> None:
    """Runs a scenario; fails as a test fails."""
    with ExitStack() as stack:
        world = World(stack)
        stack.enter_context(ldclient.use({"key": "whoever"}))
        # The background's stable provider is not made where the scenario has one of its own.
        own = [one for one in scenario.steps if re.fullmatch(r"an? .* provider", one[0])]
        for text, table in scenario.steps:
            if len(own) > 1 and text == own[0][0] and own[0][0] != own[-1][0]:
                continue
            for pattern, function in _STEPS:
                if found := pattern.fullmatch(text):
                    arguments = [one.replace('\\"', '"') for one in found.groups() if one is not None]
                    function(world, *arguments, **({"table": table} if table else {}))
                    break
            else:
                raise AssertionError(f"no such step: {text}")


@step(r"an? (stable|not ready|error|fatal|stale) provider")
def _(world: World, state: str) -> None:
    if world.state != state:
        world.state = state
        world.stack.enter_context(provider_in(state))


@step(r"a client with added hook")
def _(world: World) -> None:
    world.hook = Recording("hook", world.calls)


@step(r"an? (\w+)-flag with key TEXT and a fallback value TEXT")
def _(world: World, kind: str, key: str, default: str) -> None:
    asked_for(world, kind, key, typed(kind, default))


@step(r"a context containing a key TEXT, with type TEXT and with value TEXT")
def _(world: World, name: str, kind: str, value: str) -> None:
    world.attributes[name] = typed(kind, value)


@step(r"a context containing a key TEXT with null value")
def _(world: World, name: str) -> None:
    world.attributes[name] = None


@step(r"context contains keys TEXT, TEXT, TEXT, TEXT with values TEXT, TEXT, (\d+), TEXT")
def _(world: World, *words: str) -> None:
    names, (fn, ln, age, customer) = words[:4], words[4:]
    world.attributes = dict(zip(names, (fn, ln, int(age), customer == "true"), strict=True))


@step(r"an evaluation context with modifiable data")
def _(world: World) -> None:
    world.attributes = {"list": [1, {"a": 2}], "email": "ballmer@macrosoft.com"}


@step(r"evaluation options containing specific hooks")
def _(world: World) -> None:
    world.options = FlagEvaluationOptions(hooks=[Recording("first", world.calls), Recording("second", world.calls)])


@step(r"the flag was evaluated with details(?: using the evaluation options)?")
def _(world: World) -> None:
    world.evaluate()


@step(r"the flag was evaluated with details asynchronously")
def _(world: World) -> None:
    ask = getattr(world.client, f"get_{world.type.lower()}_details_async")
    world.details = asyncio.run(ask(world.key, world.default, world.context))


@step(r"an? (\w+) flag with key TEXT is evaluated with( details and)? default value (.+)")
def _(world: World, kind: str, key: str, *more: str) -> None:
    asked_for(world, kind, key, typed(kind, more[-1].strip('"')))
    world.evaluate(details=len(more) == 2)


@step(r"an object flag with key TEXT is evaluated with (?:details and )?a null default value")
def _(world: World, key: str) -> None:
    asked_for(world, "object", key, None)
    world.evaluate()


@step(r"a flag with key TEXT is evaluated with default value TEXT")
def _(world: World, key: str, default: str) -> None:
    asked_for(world, "string", key, default)
    world.evaluate(details=False)


@step(r"a non-existent string flag with key TEXT is evaluated with details and a fallback value TEXT")
def _(world: World, key: str, default: str) -> None:
    asked_for(world, "string", key, default)
    world.evaluate()


@step(r"a string flag with key TEXT is evaluated as an integer, with details and a fallback value (\d+)")
def _(world: World, key: str, default: str) -> None:
    asked_for(world, "integer", key, int(default))
    world.evaluate()


@step(r"the resolved details value should be TEXT")
def _(world: World, value: str) -> None:
    got, expected = world.got().value, typed(world.type, value)
    assert (got, type(got)) == (expected, type(expected))


@step(r'the resolved (\w+) (?:value|response) should be "?([^"]*)"?')
def _(world: World, kind: str, value: str) -> None:
    assert world.got().value == typed(kind, value)


@step(
    r'the resolved (\w+) details value should be "?([^",]*)"?, the variant should be TEXT, and the reason should be TEXT'
)
def _(world: World, kind: str, value: str, variant: str, reason: str) -> None:
    assert world.got().value == typed(kind, value)
    _is(world, variant, reason)


@step(
    r"the resolved object (?:details )?value should be contain fields TEXT, TEXT, and TEXT, "
    r"with values TEXT, TEXT and (\d+), respectively"
)
def _(world: World, *words: str) -> None:
    names, (show, title, images) = words[:3], words[3:]
    assert world.got().value == dict(zip(names, (show == "true", title, int(images)), strict=True))


@step(r"the variant should be TEXT, and the reason should be TEXT")
def _is(world: World, variant: str, reason: str) -> None:
    assert variant_name(world.key, world.got().variant) == variant
    assert world.got().reason == reason


@step(r"the variant should be TEXT")
def _(world: World, variant: str) -> None:
    assert variant_name(world.key, world.got().variant) == variant


@step(r"the reason should be TEXT")
def _(world: World, reason: str) -> None:
    assert world.got().reason == reason


@step(r"the error-code should be TEXT")
def _(world: World, code: str) -> None:
    assert world.got().error_code == code


@step(r"the flag key should be TEXT")
def _(world: World, key: str) -> None:
    assert world.got().flag_key == key


@step(r"the resolved flag value is TEXT when the context is empty")
def _(world: World, value: str) -> None:
    world.attributes = {}
    assert world.evaluate(details=False).value == value


@step(r"the default (?:string|integer) value should be returned")
def _(world: World) -> None:
    assert world.got().value == world.default


@step(
    r"the reason should indicate an error and the error code should indicate (?:a missing flag|a type mismatch) with TEXT"
)
def _(world: World, code: str) -> None:
    assert (world.got().reason, world.got().error_code) == ("ERROR", code)


@step(r"the provider status should be TEXT")
def _(_world: World, expected: str) -> None:
    assert status().value == expected


@step(r"the specified hooks should execute during evaluation")
def _(world: World) -> None:
    assert {name for name, _, _ in world.calls} == {"first", "second"}


@step(r"the hook order should be maintained")
def _(world: World) -> None:
    stages = [(name, stage) for name, stage, _ in world.calls]
    inwards, outwards = ("first", "second"), ("second", "first")
    assert stages == [
        *((name, "before") for name in inwards),
        *((name, stage) for stage in ("after", "finally") for name in outwards),
    ]


@step(r"the original evaluation context should remain unmodified")
def _(world: World) -> None:
    assert world.attributes == {"list": [1, {"a": 2}], "email": "ballmer@macrosoft.com"}


@step(r"the evaluation details should be immutable")
def _(world: World) -> None:
    # Python's are plain dataclasses; what is held by whom may be altered without harm to anybody else.
    first = world.got()
    first.flag_metadata["version"] = "altered"  # type: ignore[index]
    first.value = None
    again = world.evaluate()
    assert again.value is not None
    assert again.flag_metadata["version"] == str(flag(world.key)["version"])


@step(r"the evaluation should complete without blocking")
def _(world: World) -> None:
    assert world.got().error_code is None


@step(r"the TEXT hook should have been executed")
def _(world: World, stage: str) -> None:
    assert stage in [called for _, called, _ in world.calls]


@step(r"the TEXT hooks should be called with evaluation details")
def _(world: World, stages: str, table: list[list[str]]) -> None:
    for stage in stages.split(", "):
        (details,) = [details for _, called, details in world.calls if called == stage]
        for kind, name, value in table[1:]:
            got = getattr(details, name)
            got = variant_name(world.key, got) if name == "variant" else got
            assert got == typed(kind, value), (stage, name)
