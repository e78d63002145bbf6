"""Worlds for the differential tests: flags, segments, contexts and the calls to make, all from a seed and a number.

`world(seed, number)` is the same on every machine and every Python. Left out is what `documented-api` and the rows of
`tests/cases` that say `differs` have decided to be different; `LEFT_OUT` lists it. Running a world is left to worker.py.

1. Contexts come first, and most clauses, targets and members are made from what a context holds: otherwise almost
   nothing would match.
2. Each flag may ask for later ones as prerequisites, and now and then for any, so that there are chains, shared
   prerequisites and cycles. The same holds for segments.
3. About one item in ten has something wrong with it that the data model allows; `WRONG_TYPES` has what it does not
   allow.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeVar

FLAGS = [f"flag-{n}" for n in range(8)]
SEGMENTS = [f"segment-{n}" for n in range(6)]
KINDS = ["user", "org", "device"]
KEYS = ["a", "b", "u-1", "u-2", "ü", "", "A b", "0", "%:", "日本"]
TEXTS = ["", "a", "b", "ab", "abc", "x@example.com", "é", "a b", "true", "1", "null", "a.b", "日本", "A", "-"]
NUMBERS = [0, 1, -1, 2, 3, 1.0, 0.5, -0.0, 1.5, 99, 0.1, 1e300, -1e300, 2**53, 2**53 + 1, -(2**63), 2**63 - 1, 1e15]
DATES = [
    "2020-01-01T00:00:00Z",
    "2020-01-01T00:00:00.5Z",
    "2020-01-01T00:00:00.123456Z",
    "2020-01-01T01:00:00+01:00",
    "2020-01-01T00:00:00-00:00",
    "2019-12-31T23:00:00.100-01:00",
    "1969-12-31T23:59:59.999Z",
    "2020-02-29T23:59:59Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    1577836800000,
    1577836800500,
    1577836800500.25,
    0,
    -1,
]
NO_DATES = [
    "2020-02-30T00:00:00Z",
    "2020-13-01T00:00:00Z",
    "2020-01-01T24:01:00Z",
    "2020-01-01T00:00:00",
    "2020-01-01T00:00:00+24:00",
    "hello",
    "",
]
VERSIONS = [
    "1", "1.0", "1.0.0", "1.0.1", "2", "2.0", "2.0.0", "2.1", "2.0.0-rc", "2.0.0-rc.1", "2.0.0-rc.2", "2.0.0-rc.10",
    "2.0.0-rc.a", "2.0.0-0", "2-rc", "2.0-rc.1", "2.0.0+b", "2.0.0-rc+b.01", "10.0.0", "2.0.0--", "2.0.0-a-b",
]  # fmt: skip
NO_VERSIONS = [
    "1.2.3.4", "02.0.0", "v1", "", "1.", "1.a", "2.0.0-01", "2.0.0-", "2.0.0+", "2.0.0-é", " 1", "1 ", "-1", "1.-1", ".1",
]  # fmt: skip
PATTERNS = [
    "a", "^a", "b$", ".*", "^$", "a|b", "[a-z]+", "[^a]", r"\d", r"^\w+@example\.com$", "a{2}", "a{1,2}b?", "(?i)AB", "x*",
    r"\bab\b", "(?P<n>a)b", "(?:a)(b)", r"\.", "é", ".", "(?=a)ab", "(?!a).", "(?<=a)b", "(?<!a)b", r"(a)\1", "^(?!.*b).*$",
    r"\s", r"[\w-]+", "[a-]", r"a\-b", "(?m)^a", "(?s)a.b",
    # None of these is one.
    "(", "[", "a{2,1}", "*", "(?P<n>a)(?P<n>b)", "(?<n", "\\",
]  # fmt: skip
REFERENCES = [
    "/a", "/a/x", "/a/x/y", "a/x", "/~1s", "/s", "/a~0b", "/kind", "/kind/x", "/name", "/name/x", "/anonymous", "/list",
    "/list/0", "~0", "a~b", "//a", "/a/", "/a~2", "/a~", "/", "", "_meta", "/_meta/privateAttributes", "unset", "/a/unset",
]  # fmt: skip
ATTRIBUTES = ["a", "b", "n", "d", "v", "list", "/s", "a~b", "a/x", "~0"]
# How often each one is made: those that seldom match more often.
OPERATORS = {
    "in": 4, "startsWith": 3, "endsWith": 3, "contains": 3, "matches": 3, "lessThan": 2, "lessThanOrEqual": 2,
    "greaterThan": 2, "greaterThanOrEqual": 2, "before": 3, "after": 3, "semVerEqual": 5, "semVerLessThan": 3,
    "semVerGreaterThan": 3, "segmentMatch": 9, "other": 1,
}  # fmt: skip
OPERATOR_NAMES, OPERATOR_WEIGHTS = list(OPERATORS), list(accumulate(OPERATORS.values()))
EVALUATIONS = ("variation_detail", "variation", "migration")  # the calls that count as evaluations
STATE_OPTIONS = ("client_side_only", "with_reasons", "details_only_for_tracked_flags")
STAGES = ["off", "dualwrite", "shadow", "live", "rampdown", "complete"]
SOURCES = [("file", 93), ("nothing", 1.5), ("offline", 1.5), ("failing store", 4)]
FAR = 4102444800000  # a debugging that outlives the run

LEFT_OUT = """\
patterns in which Python's dialect and Rust's differ ("$" before a last newline, "&&" and "[" in classes, \\p); dates that
Python reads though RFC 3339 does not have them, and leap seconds, which it does not read; booleans inside lists and dicts
that meet 1 or 0 there; versions with numbers beyond 64 bits; contexts without `kind`, which a dict user may lack; numbers
beyond 64 bits; segment keys that are lists or dicts, which make the reference raise"""

# What makes an item malformed: a member, and a value that it cannot have.
WRONG_TYPES: list[tuple[str, Any]] = [
    ("on", "yes"), ("on", 1), ("variations", {}), ("offVariation", "0"), ("offVariation", 1.5), ("salt", 1), ("rules", {}),
    ("fallthrough", []), ("fallthrough", {"variation": "0"}), ("fallthrough", {"rollout": []}), ("rules", [[]]),
    ("fallthrough", {"rollout": {"variations": [{"variation": 0}]}}), ("prerequisites", [{"key": "flag-7"}]),
    ("fallthrough", {"rollout": {"variations": [{"variation": 0, "weight": "1"}]}}), ("targets", [{"values": ["a"]}]),
    ("targets", [{"variation": 0, "values": [1]}]), ("contextTargets", "x"), ("trackEvents", "x"),
    ("rules", [{"variation": 0, "clauses": [{"attribute": "a", "op": "in", "values": "x"}]}]),
    ("rules", [{"variation": 0, "clauses": [{"attribute": 1, "op": "in", "values": []}]}]),
    ("debugEventsUntilDate", "x"), ("samplingRatio", "x"),
]  # fmt: skip
WRONG_TYPES_OF_SEGMENTS: list[tuple[str, Any]] = [
    ("included", "a"), ("excluded", [1]), ("rules", {}), ("rules", [{"clauses": [], "weight": "1"}]), ("salt", 1),
    ("includedContexts", ["x"]), ("generation", "1"), ("unbounded", "x"),
]  # fmt: skip

World = dict[str, Any]
Item = TypeVar("Item")
Found = tuple[str, str, Any]  # kind, reference, value: an attribute that some context has


def world(seed: int, number: int, calls: int = 100) -> World:
    """Returns the world of this number: a JSON object that worker.py takes, with about as many evaluations as `calls`."""
    return _Maker(random.Random(f"{seed}/{number}")).world(seed, number, calls)


class _Maker:
    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._found: list[Found] = []
        self._keys: list[tuple[str, str]] = []

    # ------------------------------------------------------------------------------------------------ choices

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def one(self, items: Sequence[Item]) -> Item:
        return items[int(self._random.random() * len(items))]

    def some(self, most: int, make: Callable[[], Any]) -> list[Any]:
        return [make() for _ in range(int(self._random.random() * (most + 1)))]

    def maybe(self, item: dict[str, Any], probability: float, name: str, make: Callable[[], Any]) -> None:
        if self.chance(probability):
            item[name] = make()

    # ------------------------------------------------------------------------------------------------ the whole

    def world(self, seed: int, number: int, calls: int) -> World:
        contexts = [self.context() for _ in range(12)]
        big = self.chance(0.8)
        segments = {key: self.segment(n, key, big) for n, key in enumerate(SEGMENTS)}
        flags = {key: self.flag(n, key) for n, key in enumerate(FLAGS)}
        if self.chance(0.15):
            self.break_one(flags, WRONG_TYPES)
        if self.chance(0.1):
            self.break_one(segments, WRONG_TYPES_OF_SEGMENTS)
        return {
            "name": f"{seed}/{number}",
            "source": self._random.choices([name for name, _ in SOURCES], [weight for _, weight in SOURCES])[0],
            "flags": flags,
            "segments": segments,
            "bigSegments": self.big_segments() if big and self.chance(0.85) else None,
            "config": self.config(),
            "contexts": contexts,
            "calls": [self.call(len(contexts)) for _ in range(calls)],
        }

    def break_one(self, items: dict[str, Any], wrong: list[tuple[str, Any]]) -> None:
        member, value = self.one(wrong)
        item = items[self.one(list(items))]
        if not item.get("deleted"):
            item[member] = value

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {}
        self.maybe(config, 0.4, "private_attributes", lambda: self.some(3, self.private))
        self.maybe(config, 0.1, "all_attributes_private", lambda: True)
        self.maybe(config, 0.2, "omit_anonymous_contexts", lambda: True)
        return config

    def call(self, contexts: int) -> list[Any]:
        """The name of what to call, a context by its number, and the arguments."""
        context = int(self._random.random() * contexts)
        flag = self.one(FLAGS) if self.chance(0.97) else "gone"
        kind = self._random.random()
        if kind < 0.70:
            return ["variation_detail", context, flag, self.default()]
        if kind < 0.88:
            return ["variation", context, flag, self.default()]
        if kind < 0.92:
            return ["migration", context, flag, self.one(STAGES), self.one(["read", "write"])]
        if kind < 0.96:
            return [
                "track",
                context,
                self.one(TEXTS),
                self.one([None, self.value()]),
                self.one([None, self.one(NUMBERS)]),
            ]
        if kind < 0.99:
            return ["identify", context]
        return ["all_flags_state", context, {name: self.chance(0.5) for name in STATE_OPTIONS}]

    def default(self) -> Any:
        return self.one([None, False, "default", 7, 1.5, [1], {"a": None}])

    # ------------------------------------------------------------------------------------------------ contexts

    def context(self) -> dict[str, Any]:
        if self.chance(0.65):
            kind = self.one(["user", "user", "user", "org", "device"])
            context = {"kind": kind, **self.part(kind)}
            if self.chance(0.04):
                context.update(self.one([
                    {"kind": "kind"}, {"kind": ""}, {"kind": "a b"}, {"kind": "multi"}, {"kind": 3}, {"kind": None},
                    {"key": ""}, {"key": None}, {"key": 3}, {"name": 3}, {"anonymous": "yes"}, {"_meta": 3},
                    {"_meta": {"privateAttributes": 3}}, {"_meta": {"privateAttributes": [3]}}, {"kind": "été"},
                ]))  # fmt: skip
            return context
        context = {"kind": "multi"}
        for kind in KINDS:
            if self.chance(0.7):
                context[kind] = self.part(kind)
        if self.chance(0.04):
            context.update(self.one([{"user": 3}, {"org": {}}, {"multi": {"key": "a"}}, {"kind": {"key": "a"}}]))
        return context

    def part(self, kind: str) -> dict[str, Any]:
        part: dict[str, Any] = {"key": self.one(KEYS) or "k"}
        self._keys.append((kind, part["key"]))
        self.maybe(part, 0.4, "name", lambda: self.one(TEXTS))
        self.maybe(part, 0.35, "anonymous", lambda: self.chance(0.6))
        for name in ATTRIBUTES:
            if self.chance(0.65):
                part[name] = self.attribute(name)
        self.maybe(part, 0.3, "_meta", lambda: {"privateAttributes": self.some(3, self.private)})
        self.maybe(part, 0.02, "_meta", lambda: self.one([None, {}, {"privateAttributes": None}, {"secondary": "x"}]))
        for name, value in part.items():
            if name != "_meta":
                reference = "/" + name.replace("~", "~0").replace("/", "~1") if "/" in name or "~" in name else name
                self._found.append((kind, reference, value))
                if isinstance(value, dict):
                    self._found.extend(
                        (kind, f"/{name}/{inner}", held) for inner, held in value.items() if inner.isalpha()
                    )
        return part

    def private(self) -> str:
        return self.one([*ATTRIBUTES, "name", "key", "kind", "anonymous", *REFERENCES])

    def attribute(self, name: str) -> Any:
        if self.chance(0.15):
            return self.value()
        if name == "a" and self.chance(0.5):
            return {"x": self.value(1), "y": {"x": 1, "/s": self.one(TEXTS)}, "b": self.one(TEXTS)}
        if name == "list":
            return self.some(3, lambda: self.value(2))
        if name in ("d", "v"):
            return self.date() if name == "d" else self.version()
        return self.one(NUMBERS if name == "n" else TEXTS)

    def date(self) -> Any:
        return self.one(DATES) if self.chance(0.85) else self.one(NO_DATES)

    def version(self) -> str:
        return str(self.one(VERSIONS) if self.chance(0.85) else self.one(NO_VERSIONS))

    def value(self, depth: int = 0) -> Any:
        """Any JSON value. Inside lists and dicts are no booleans: Python finds True equal to 1 there."""
        kind = self._random.random()
        if kind < 0.3:
            return self.one(TEXTS)
        if kind < 0.5:
            return self.one(NUMBERS)
        if kind < 0.65:
            return self.date() if self.chance(0.5) else self.version()
        if kind < 0.75 and depth == 0:
            return self.chance(0.5)
        if kind < 0.78:
            return None
        if depth > 2:
            return "deep"
        if kind < 0.9:
            return self.some(3, lambda: self.value(depth + 1))
        return {self.one(["x", "y", "0", "/s", "~"]): self.value(depth + 1) for _ in range(self.one([0, 1, 2]))}

    # ------------------------------------------------------------------------------------------------ clauses

    def clause(self, segments: Sequence[str]) -> dict[str, Any]:
        op = self._random.choices(OPERATOR_NAMES, cum_weights=OPERATOR_WEIGHTS)[0]
        if op == "segmentMatch" and not segments:
            op = "other"
        if op == "segmentMatch":
            return self.finish(
                {"attribute": "", "op": op, "values": [self.segment_key(segments) for _ in range(self.one([1, 1, 2]))]}
            )
        kind, reference, value = self.attribute_for(op)
        clause: World = {"attribute": reference, "op": op, "values": self.some(2, lambda: self.operand(op, value))}
        if self.chance(0.85):
            clause["values"].append(self.operand(op, value))
        if kind != "user" or reference[:1] == "/":
            clause["contextKind"] = kind
        self.maybe(clause, 0.12, "attribute", lambda: self.one([*REFERENCES, "kind", "/kind", "key"]))
        self.maybe(clause, 0.08, "contextKind", lambda: self.one([*KINDS, "", "other"]))
        if clause["attribute"] in ("kind", "/kind"):
            clause["values"].append(self.one([*KINDS, "u"]))
        return self.finish(clause)

    def finish(self, clause: dict[str, Any]) -> dict[str, Any]:
        self.maybe(clause, 0.3, "negate", lambda: self.chance(0.7))
        return clause

    def segment_key(self, segments: Sequence[str]) -> Any:
        return self.one(segments) if self.chance(0.95) else self.one(["gone", 3, None, ""])

    def attribute_for(self, op: str) -> Found:
        """An attribute that a context has, most often one whose values suit the operator."""
        name = "d" if op in ("before", "after") else "v" if op.startswith("sem") else "n" if "Than" in op else None
        for _ in range(30 if name else 1):
            found: Found = self.one(self._found)
            if found[1] == name:
                break
        return found

    def operand(self, op: str, value: Any) -> Any:
        if self.chance(0.06):
            return self.value()
        if op in ("before", "after"):
            return self.date()
        if op.startswith("sem"):
            return value if op == "semVerEqual" and self.chance(0.6) else self.version()
        if "Than" in op:
            return self.one(NUMBERS)
        if op == "matches":
            return self.one(PATTERNS)
        if isinstance(value, list) and value and self.chance(0.7):
            value = self.one(value)
        if op == "in" or not isinstance(value, str):
            return value if self.chance(0.8) else self.one(TEXTS)
        cut = int(self._random.random() * (len(value) + 1))
        return self.one([value[:cut], value[cut:], value[cut : cut + 1], self.one(TEXTS)])

    # ------------------------------------------------------------------------------------------------ flags

    def variation(self) -> int:
        return self.one([0, 1, 2, 3, -1]) if self.chance(0.06) else self.one([0, 1, 2])

    def rollout(self) -> dict[str, Any]:
        weights = [0, 1, 10_000, 25_000, 33_333, 50_000, 60_000, 100_000, 200_000]
        shares = [
            {"variation": self.variation(), "weight": self.one(weights)} for _ in range(self.one([0, 1, 2, 2, 3, 3]))
        ]
        for share in shares:
            self.maybe(share, 0.3, "untracked", lambda: self.chance(0.6))
        rollout: dict[str, Any] = {"variations": shares}
        self.maybe(
            rollout,
            0.75,
            "kind",
            lambda: self.one(["rollout", "experiment", "experiment", "experiment", "experiment", "other"]),
        )
        self.maybe(rollout, 0.3, "seed", lambda: self.one([0, 1, -5, 61, 2**40]))
        self.maybe(rollout, 0.4, "contextKind", lambda: self.one([*KINDS, "", "other"]))
        self.maybe(rollout, 0.4, "bucketBy", lambda: self.one([*ATTRIBUTES, *REFERENCES, "key", "kind"]))
        return rollout

    def choice(self, item: dict[str, Any]) -> dict[str, Any]:
        kind = self._random.random()
        if kind < 0.62:
            item["variation"] = self.variation()
        if 0.6 < kind < 0.97:
            item["rollout"] = self.rollout()
        if kind > 0.985:
            item["variation"] = None
        return item

    def target(self, kinds: bool) -> dict[str, Any]:
        kind = self.one(["user", "user", "org", "device", ""])
        target = {"variation": self.variation(), "values": self.some(3, lambda: self.key_of(kind))}
        if kinds and self.chance(0.9):
            target["contextKind"] = kind
        return target

    def key_of(self, kind: str) -> str:
        found, key = self.one(self._keys)
        return key if found == (kind or "user") else self.one(KEYS)

    def rule(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"clauses": [self.clause(SEGMENTS) for _ in range(self.one([0, *[1] * 13, 2, 2, 2]))]}
        self.maybe(rule, 0.8, "id", lambda: self.one(["rule-1", "rule-2", ""]))
        self.maybe(rule, 0.15, "trackEvents", lambda: self.chance(0.7))
        return self.choice(rule)

    def flag(self, number: int, key: str) -> dict[str, Any]:
        stages = self.chance(0.3)
        values = (
            [self.one(STAGES) for _ in range(3)]
            if stages
            else [self.value(), self.one([True, 1, 1.0, 1e17]), {"a": [1, None]}]
        )
        flag: dict[str, Any] = {
            "key": key,
            "version": self.one([1, 2, 100]),
            "on": self.chance(0.9),
            "variations": values,
        }
        self.maybe(flag, 0.05, "variations", lambda: values[: self.one([0, 1, 2])])
        self.maybe(flag, 0.8, "salt", lambda: self.one(["", "salt", "é"]))
        self.maybe(flag, 0.85, "offVariation", self.variation)
        self.maybe(flag, 0.97, "fallthrough", lambda: self.choice({}))
        self.maybe(flag, 0.3, "prerequisites", lambda: self.some(2, lambda: self.prerequisite(number)))
        self.maybe(flag, 0.35, "targets", lambda: self.some(3, lambda: self.target(False)))
        self.maybe(flag, 0.3, "contextTargets", lambda: self.some(4, lambda: self.target(True)))
        self.maybe(flag, 0.9, "rules", lambda: self.some(9, self.rule))
        self.maybe(flag, 0.25, "trackEvents", lambda: self.chance(0.7))
        self.maybe(flag, 0.2, "trackEventsFallthrough", lambda: self.chance(0.7))
        self.maybe(flag, 0.2, "debugEventsUntilDate", lambda: self.one([None, 0, 1000, FAR, FAR, FAR]))
        self.maybe(flag, 0.1, "samplingRatio", lambda: self.one([None, 0, 1]))
        self.maybe(flag, 0.1, "excludeFromSummaries", lambda: self.chance(0.6))
        self.maybe(flag, 0.4, "clientSide", lambda: self.chance(0.7))
        if "clientSide" in flag and self.chance(0.7):  # The service sends both.
            flag["clientSideAvailability"] = {
                "usingEnvironmentId": flag["clientSide"],
                "usingMobileKey": self.chance(0.5),
            }
        self.maybe(flag, 0.1, "migration", lambda: {"checkRatio": self.one([0, 1])})
        return {"key": key, "version": 5, "deleted": True} if self.chance(0.03) else flag

    def prerequisite(self, number: int) -> dict[str, Any]:
        later = FLAGS[number + 1 :]
        key = self.one(FLAGS) if self.chance(0.12) or not later else self.one(later)
        return {"key": "gone" if self.chance(0.03) else key, "variation": self.variation()}

    # ------------------------------------------------------------------------------------------------ segments

    def segment(self, number: int, key: str, big: bool) -> dict[str, Any]:
        segment: dict[str, Any] = {"key": key, "version": 1, "salt": self.one(["", "salt"])}
        for name in ("included", "excluded"):
            self.maybe(segment, 0.35, name, lambda: self.some(3, lambda: self.key_of("user")))
            self.maybe(segment, 0.3, f"{name}Contexts", lambda: self.some(2, self.members))
        self.maybe(segment, 0.8, "rules", lambda: self.some(2, lambda: self.segment_rule(number)))
        if big and self.chance(0.6):
            segment["unbounded"] = True
            self.maybe(segment, 0.4, "unboundedContextKind", lambda: self.one(["user", *KINDS, "", "other"]))
            self.maybe(segment, 0.9, "generation", lambda: self.one([1, 2]))
        return {"key": key, "version": 5, "deleted": True} if self.chance(0.03) else segment

    def members(self) -> dict[str, Any]:
        kind = self.one([*KINDS, ""])
        members: dict[str, Any] = {"values": self.some(3, lambda: self.key_of(kind))}
        self.maybe(members, 0.9, "contextKind", lambda: kind)
        return members

    def segment_rule(self, number: int) -> dict[str, Any]:
        segments = SEGMENTS if self.chance(0.1) else SEGMENTS[number + 1 :]
        rule: dict[str, Any] = {"clauses": [self.clause(segments) for _ in range(self.one([0, 1, 1, 1, 2]))]}
        self.maybe(rule, 0.4, "weight", lambda: self.one([0, 1, 30_000, 50_000, 100_000]))
        self.maybe(rule, 0.3, "bucketBy", lambda: self.one([*ATTRIBUTES, *REFERENCES, "key", "kind"]))
        self.maybe(rule, 0.3, "rolloutContextKind", lambda: self.one([*KINDS, "", "other"]))
        return rule

    def big_segments(self) -> dict[str, Any]:
        names = [f"{key}.g{generation}" for key in SEGMENTS for generation in (1, 2)]
        return {
            "status": self.one(["HEALTHY", "STALE", "STORE_ERROR"]),
            "members": {
                key: {name: self.chance(0.6) for name in names if self.chance(0.4)}
                for key in KEYS
                if key and self.chance(0.7)
            },
        }
