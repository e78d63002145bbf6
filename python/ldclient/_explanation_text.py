"""The text of an explanation: what it serves, then each step on a line of its own with its result before it."""

from __future__ import annotations

import json

from ._listing import words

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .explanation import (
        ExplainedChoice,
        ExplainedClause,
        ExplainedFlag,
        ExplainedPrerequisite,
        ExplainedRollout,
        ExplainedSegment,
        ExplainedSegmentRule,
        ExplainedTarget,
        Explanation,
    )

# Where the text of the first lines begins; the steps stand below it.
_MARGIN = " " * 11
_STEP = " " * 4
# A value is cut after so many characters.
_LONGEST = 120

_ASKED = {True: "yes", False: "no", None: "-"}


def lines(explanation: Explanation) -> Iterator[str]:
    """The lines of the text."""
    data = explanation.to_json_dict()
    flag: ExplainedFlag | None = data["flag"]
    version = "" if data["version"] is None else f" (version {data['version']})"
    yield f"flag       {data['key']}{version}"
    if data["reason"]["kind"] == "ERROR":
        yield "state      error"
    elif flag is not None:
        yield f"state      {'on' if flag['on'] else 'off'}"
    if data["context"] is not None:
        yield f"user       {_compact(data['context'])}"
    if data["variation"] is not None:
        yield f"value      {_json(data['value'])} (variation {data['variation']})"
    else:
        yield "value      the caller's default"
    yield f"because    {words(data['reason'])}"
    if data["problem"] is not None:
        yield f"problem    {data['problem']}"
    if flag is not None:
        for line in _flag(flag):
            yield _MARGIN + line


def _flag(flag: ExplainedFlag) -> Iterator[str]:
    if not flag["on"]:
        return
    for needed in flag["prerequisites"]:
        yield from _prerequisite(needed)
    for target in flag["targets"]:
        yield _line(target["matched"], _target(target))
    unasked = 0
    for number, rule in enumerate(flag["rules"], 1):
        if rule["matched"] is None and rule["problem"] is None and not any(_is_told(c) for c in rule["clauses"]):
            unasked += 1
            continue
        identity = f" ({rule['id']})" if rule["id"] else ""
        serves = _choice(rule["serves"])
        yield _line(rule["matched"], f"rule {number}{identity}, which serves {serves}", rule["problem"])
        for clause in rule["clauses"]:
            yield from _indented(_clause(clause))
        if rule["matched"]:
            yield from _indented(_rollout(rule["serves"]["rollout"]))
    if unasked:
        last = len(flag["rules"])
        which = f"rule {last}" if unasked == 1 else f"rules {last - unasked + 1} to {last}"
        yield _line(None, f"{which}: not asked")
    fell_through = flag["reason"] is not None and flag["reason"]["kind"] == "FALLTHROUGH"
    chosen = fell_through or flag["problem"] is not None
    yield _line(True if fell_through else None, f"everybody else: {_choice(flag['fallthrough'])}", flag["problem"])
    if chosen:
        yield from _indented(_rollout(flag["fallthrough"]["rollout"]))


def _is_told(clause: ExplainedClause) -> bool:
    return clause["matched"] is not None or clause["problem"] is not None or bool(clause["segments"])


def _prerequisite(needed: ExplainedPrerequisite) -> Iterator[str]:
    text = f"prerequisite {needed['key']} must be on and serve variation {needed['needs']}"
    flag = needed["flag"]
    if flag is None:
        yield _line(needed["met"], text + _cut(needed["cut"]), needed["problem"])
        return
    if flag["reason"] is None:
        served = ""
    else:
        variation = flag["variation"]
        what = "its default" if variation is None else f"variation {variation}"
        served = f": it serves {what}, {words(flag['reason'])}"
    yield _line(needed["met"], f"{text}{served}", needed["problem"])
    yield from _indented(_flag(flag))


def _target(target: ExplainedTarget) -> str:
    many = "1 key" if target["count"] == 1 else f"{target['count']} keys"
    text = f"target of variation {target['variation']}: {many} of kind {target['contextKind']}"
    if target["value"] is None:
        return f"{text}; there is no {target['contextKind']}"
    return f"{text}; the {target['contextKind']}'s is {_json(target['value'])}"


def _clause(clause: ExplainedClause) -> Iterator[str]:
    kind = clause["contextKind"]
    values = ", ".join(_json(value) for value in clause["values"])
    more = clause["valueCount"] - len(clause["values"])
    if more:
        values += f" and {more} more"
    if not clause["valueCount"]:
        values = "nothing that the operator can use"
    op = f"not {clause['op']}" if clause["negate"] else clause["op"]
    if clause["op"] == "segmentMatch":
        text = f"{op} {values}"
    else:
        asked = clause["attribute"] or "no attribute"
        found = f"; {_found(clause)}" if clause["attribute"] else ""
        text = f"{asked if kind == 'user' else f'{kind} {asked}'} {op} {values}{found}"
    yield _line(clause["matched"], text + _cut(clause["cut"]), clause["problem"])
    for segment in clause["segments"]:
        yield from _indented(_segment(segment))


def _found(asked: ExplainedClause | ExplainedRollout) -> str:
    kind = asked["contextKind"]
    if asked["missing"] == "context":
        return f"there is no {kind}"
    if asked["missing"] == "attribute":
        return f"the {kind} has none"
    return f"the {kind} has {_json(asked['value'])}"


def _segment(segment: ExplainedSegment) -> Iterator[str]:
    by = segment["by"]
    kind = segment["contextKind"]
    how = {
        "included": f": its list of keys of kind {kind} names the {kind}",
        "excluded": f": its list of excluded keys of kind {kind} names the {kind}",
        "bigSegment": f": by the store of big segments ({segment['bigSegmentsStatus']})",
        "nothing": ": neither its lists nor its rules have the context",
        "missing": ": there is no such segment",
    }.get(by or "", "")
    if by in ("rule", "nothing") and segment["bigSegmentsStatus"]:
        how += f"; the store of big segments told nothing ({segment['bigSegmentsStatus']})"
    version = "" if segment["version"] is None else f" (version {segment['version']})"
    yield _line(segment["member"], f"in segment {segment['key']}{version}{how}", segment["problem"])
    for number, rule in enumerate(segment["rules"], 1):
        if rule["matched"] is not None or rule["problem"] is not None or any(_is_told(c) for c in rule["clauses"]):
            yield from _indented(_segment_rule(number, rule))


def _segment_rule(number: int, rule: ExplainedSegmentRule) -> Iterator[str]:
    yield _line(rule["matched"], f"rule {number} of the segment", rule["problem"])
    for clause in rule["clauses"]:
        yield from _indented(_clause(clause))
    if all(clause["matched"] for clause in rule["clauses"]):
        yield from _indented(_rollout(rule["rollout"]))


def _choice(choice: ExplainedChoice) -> str:
    if choice["variation"] is not None:
        return f"variation {choice['variation']}"
    rollout = choice["rollout"]
    if rollout is None or not rollout["shares"]:
        return "nothing"
    return "an experiment" if rollout["experiment"] else "a rollout"


def _rollout(rollout: ExplainedRollout | None) -> Iterator[str]:
    if rollout is None:
        return
    kind = rollout["contextKind"]
    name = rollout["bucketBy"] if kind == "user" else f"{kind} {rollout['bucketBy']}"
    if rollout["missing"] == "context":
        how = f"there is no {kind}, so the first share is taken"
    elif rollout["bucket"] is None:
        how = _found(rollout)
    elif not isinstance(rollout["value"], (str, int)) or isinstance(rollout["value"], bool):
        how = f"{_found(rollout)}, so the bucket is 0"
    else:
        how = f"{_found(rollout)}; after {_json(rollout['prefix'])} that hashes to the bucket {rollout['bucket']:.6f}"
    yield _line("=", f"by {name}: {how}")
    for share in rollout["shares"]:
        range_ = f"{share['begin']:.5g} to {share['end']:.5g}"
        what = "the segment" if share["variation"] is None else f"variation {share['variation']}"
        untracked = ", outside the experiment" if share["untracked"] else ""
        yield from _indented(iter([_line(share["chosen"], f"{range_}: {what}{untracked}")]))


def _line(result: bool | str | None, text: str, problem: str | None = None) -> str:
    mark = result if isinstance(result, str) else _ASKED[result]
    if problem is not None and not result:
        mark = "!" if result is None else mark
        text += f": {problem}"
    return f"{mark:<4}{text}"


def _indented(inner: Iterator[str]) -> Iterator[str]:
    for line in inner:
        yield _STEP + line


def _cut(cut: bool) -> str:
    return " (its steps lie deeper than is shown here)" if cut else ""


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
