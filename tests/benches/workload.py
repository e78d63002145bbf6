"""The flags, the users and the cases of the benchmark. Only data: the service serves it, the worker runs it."""

from __future__ import annotations

from typing import Any

COUNTRIES = ["de", "fr", "it", "es", "pt", "nl", "be", "at", "pl", "se"]

# case -> calls in one round, evaluations that the summary counts for each call, custom events for each call
CASES: dict[str, tuple[int, int, int]] = {
    "bool_simple": (30_000, 1, 0),
    "bool_dict": (20_000, 1, 0),
    "rules": (4_000, 1, 0),
    "rules_dict": (4_000, 1, 0),
    "rollout": (20_000, 1, 0),
    "prereq": (10_000, 3, 0),
    "detail": (20_000, 1, 0),
    "track": (10_000, 0, 1),
}


def flag(key: str, **parts: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "key": key,
        "version": 3,
        "on": True,
        "salt": f"salt-{key}",
        "variations": [True, False],
        "fallthrough": {"variation": 0},
        "offVariation": 1,
        "targets": [],
        "rules": [],
        "prerequisites": [],
    }
    return record | parts


def clause(attribute: str, op: str, *values: object) -> dict[str, Any]:
    return {"attribute": attribute, "op": op, "values": list(values), "negate": False}


def rules() -> list[dict[str, Any]]:
    """Ten rules of three clauses. Only the last matches; each of the others fails at its third clause."""
    found = []
    for number in range(10):
        second = (
            clause("email", "startsWith", "user", "admin", "guest")
            if number % 2
            else clause("appVersion", "semVerGreaterThan", "1.2.0")
        )
        found.append(
            {
                "id": f"rule-{number}",
                "variation": 1 if number < 9 else 0,
                "clauses": [
                    clause("country", "in", *COUNTRIES),
                    second,
                    clause("", "segmentMatch", "everybody" if number == 9 else f"segment-{number}"),
                ],
            }
        )
    return found


def segment(key: str, **parts: Any) -> dict[str, Any]:
    record: dict[str, Any] = {"key": key, "version": 1, "salt": key, "included": [], "excluded": [], "rules": []}
    return record | parts


def data() -> dict[str, Any]:
    """What the flag service sends: `flags` and `segments` by key."""
    rollout = {"variations": [{"variation": n, "weight": w} for n, w in enumerate((30_000, 30_000, 40_000))]}
    flags = [
        flag("bool-simple"),
        flag("rules", rules=rules()),
        flag("rollout", variations=["a", "b", "c"], offVariation=0, fallthrough={"rollout": rollout}),
        flag("prereq", prerequisites=[{"key": "prereq-1", "variation": 0}]),
        flag("prereq-1", prerequisites=[{"key": "prereq-2", "variation": 0}]),
        flag("prereq-2"),
    ]
    nobody = [segment(f"segment-{number}", included=[f"somebody-{number}"]) for number in range(9)]
    everybody = segment("everybody", rules=[{"id": "all", "clauses": [clause("country", "in", *COUNTRIES)]}])
    return {
        "flags": {one["key"]: one for one in flags},
        "segments": {one["key"]: one for one in [*nobody, everybody]},
    }


def users() -> list[dict[str, Any]]:
    """A thousand context dicts of eight attributes, as an application makes them for each request."""
    return [
        {
            "kind": "user",
            "key": f"user-{number}",
            "name": f"User Number {number}",
            "email": f"user{number}@example.com",
            "country": COUNTRIES[number % len(COUNTRIES)],
            "appVersion": f"2.{number % 20}.1",
            "plan": "gold" if number % 3 else "free",
            "age": 18 + number % 60,
        }
        for number in range(1000)
    ]
