"""The flags, the users and the cases of the benchmark. Only data: the service serves it, the worker runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COUNTRIES = ["de", "fr", "it", "es", "pt", "nl", "be", "at", "pl", "se"]


@dataclass(frozen=True)
class Kind:
    """One case: what is called how often in a round, and what the sink must have counted for each call."""

    calls: int
    evaluations: float = 1
    custom: int = 0
    beside: str = "reference"  # the package whose work is 1
    must: float = 0  # the ratio that a release has to reach, and the one it aims at
    aim: float = 0


# So many calls that what one delivery costs does not matter.
CASES: dict[str, Kind] = {
    "bool_simple": Kind(60_000, must=0.0085, aim=0.0055),
    "bool_dict": Kind(40_000, must=0.018, aim=0.010),
    "user_dict": Kind(40_000, beside="v6", must=0.035, aim=0.020),
    "rules": Kind(10_000, must=0.0036, aim=0.0020),
    "rules_dict": Kind(10_000, must=0.0070, aim=0.0035),
    "rollout": Kind(40_000, must=0.0100, aim=0.0060),
    "prereq": Kind(20_000, evaluations=3, must=0.0045, aim=0.0030),
    "detail": Kind(40_000, must=0.0120, aim=0.0080),
    "track": Kind(20_000, evaluations=0, custom=1, must=0.080, aim=0.040),
    "mixed": Kind(200_000, evaluations=1.4, must=0.0060, aim=0.0040),
    "all_flags_json": Kind(20, evaluations=0, must=0.013, aim=0.007),
}

ABOUT = {
    "bool_simple": "boolean flag, context built before",
    "bool_dict": "boolean flag, dict user of 8 attributes for each call",
    "user_dict": "the same with old-style users, beside ldclient-py 6.9.1",
    "rules": "10 rules of 3 clauses, the last one matches",
    "rules_dict": "the same, dict user for each call",
    "rollout": "percentage rollout",
    "prereq": "two levels of prerequisites",
    "detail": "with the reason",
    "track": "`track`, until delivered",
    "mixed": "mixed calls over 1,000 contexts",
    "all_flags_json": "all of 1,000 flags as JSON text",
    "ready": "5,000 flags from start to ready",
    "import": "`import ldclient`",
}

# Each in a fresh process: case -> ratio that must be reached and aim. The second pair is of the memory kept, in MiB.
FRESH: dict[str, tuple[float, float, float, float]] = {
    "ready": (0.16, 0.08, 30, 16),
    "import": (0.091, 0.038, 5, 3),
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


def old_users() -> list[dict[str, Any]]:
    """The same people as users of the time before contexts."""
    found = []
    for user in users():
        custom = {name: user[name] for name in ("appVersion", "plan", "age")}
        found.append({name: user[name] for name in ("key", "name", "email", "country")} | {"custom": custom})
    return found


def thousand() -> dict[str, Any]:
    """A thousand flags, of every sort that the cases know, and their segments."""
    found = data()
    sorts = list(found["flags"].values())
    for number in range(1_000 - len(sorts)):
        like = sorts[number % len(sorts)]
        found["flags"][f"flag-{number}"] = like | {"key": f"flag-{number}"}
    return found


def large() -> dict[str, Any]:
    """5,000 flags and 200 segments: about 9.6 MB of JSON."""
    flags, segments = {}, {}
    for number in range(200):
        included = [f"member-{number}-{one:04}" for one in range(40)]
        segments[f"segment-{number}"] = segment(f"segment-{number}", included=included)
    for number in range(5_000):
        of_flag = [
            {
                "id": f"{number:08}-{one}-0c3b-4d2c-9f7e",
                "variation": one % 2,
                "trackEvents": False,
                "clauses": [
                    clause("country", "in", *COUNTRIES[one:], f"country-{number}"),
                    clause("email", "endsWith", f"@team-{number}.example.com"),
                    clause("appVersion", "semVerGreaterThan", f"{number % 9}.{one}.0"),
                    clause("", "segmentMatch", f"segment-{(number + one) % 200}"),
                ],
            }
            for one in range(3)
        ]
        targets = [{"variation": 1, "values": [f"target-{number}-{one}" for one in range(3)]}]
        key = f"team-{number % 50}.feature-{number}"
        flags[key] = flag(
            key, rules=of_flag, targets=targets, trackEvents=False, clientSide=False, sel=f"{number:032x}"
        )
    return {"flags": flags, "segments": segments}
