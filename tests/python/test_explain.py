"""``client.explain`` and ``python -m ldclient explain``: what a person and a program read. That an explanation is of the
evaluation itself is told by ``test_cases.py`` and, step by step, by ``tests/rust/explained.rs``."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import redis_server
from ldclient import Config, Context, LDClient
from ldclient.explanation import ExplainedFlag, Explanation
from ldclient.integrations import Files
from stand_in import StandIn

Start = Callable[..., LDClient]

ON = {"key": "flag", "version": 1, "on": True, "variations": [False, True], "offVariation": 0, "salt": "s"}
EVERYBODY = {"fallthrough": {"variation": 0}}
ANN = {"kind": "user", "key": "ann", "country": "de", "_meta": {"privateAttributes": ["country"]}}


def rule(*clauses: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"id": "r", "variation": 1, "clauses": list(clauses), **rest}


def clause(attribute: str, op: str, *values: Any, **rest: Any) -> dict[str, Any]:
    return {"contextKind": "user", "attribute": attribute, "op": op, "values": list(values), **rest}


@pytest.fixture
def explained(tmp_path: Path) -> Callable[..., Explanation]:
    def explain(flag: Any, user: Any = ANN, *, segments: Any = None, key: str = "flag", **others: Any) -> Explanation:
        path = tmp_path / "flags.json"
        path.write_text(json.dumps({"flags": {"flag": flag, **others}, "segments": segments or {}}), encoding="utf-8")
        source = Files.new_data_source(paths=[str(path)])
        with LDClient(Config("sdk-key", update_processor_class=source, send_events=False), 10) as client:
            return client.explain(key, user)

    return explain


def steps(explanation: Explanation) -> ExplainedFlag:
    assert explanation.flag is not None
    return explanation.flag


def text(explanation: Explanation) -> list[str]:
    """The lines below the first ones, without the margin."""
    return [line[11:] for line in str(explanation).splitlines() if line.startswith(" ")]


Explained = Callable[..., Explanation]


def test_the_rule_that_matches_is_told_with_what_the_others_lack(explained: Explained) -> None:
    flag = {
        **ON,
        **EVERYBODY,
        "rules": [
            rule(clause("country", "in", "us", "ca"), clause("plan", "in", "gold"), id="us"),
            rule(clause("country", "in", "de")),
            rule(clause("country", "in", "fr"), id="fr"),
        ],
    }
    explanation = explained(flag)
    assert (explanation.key, explanation.version, explanation.problem) == ("flag", 1, None)
    assert (explanation.value, explanation.variation_index) == (True, 1)
    assert explanation.reason == {"kind": "RULE_MATCH", "ruleIndex": 1, "ruleId": "r"}
    assert [each["matched"] for each in steps(explanation)["rules"]] == [False, True, None]
    assert str(explanation).splitlines()[:5] == [
        "flag       flag (version 1)",
        "state      on",
        'user       {"key":"ann","kind":"user","country":"de","_meta":{"privateAttributes":["country"]}}',
        "value      true (variation 1)",
        "because    rule 2 matches (r)",
    ]
    assert text(explanation) == [
        "no  rule 1 (us), which serves variation 1",
        '    no  country in "ca", "us"; the user has "de"',
        '    -   plan in "gold"; the user has none',
        "yes rule 2 (r), which serves variation 1",
        '    yes country in "de"; the user has "de"',
        "-   rule 3: not asked",
        "-   everybody else: variation 0",
    ]


def test_a_clause_tells_its_operands_and_what_the_context_has(explained: Explained) -> None:
    many = [f"k{n:02}" for n in range(30)]
    user = {"kind": "multi", "user": {"key": "u", "tags": [1, "b"], "a": {"b": 5}}, "org": {"key": "o"}}
    flag = {
        **ON,
        **EVERYBODY,
        "rules": [
            rule(clause("/a/b", "greaterThan", 7)),
            rule(clause("tags", "in", *many)),
            rule(clause("key", "in", "u", negate=True)),
            rule(clause("kind", "in", "device")),
            rule(clause("tier", "semVerEqual", "nonsense", contextKind="org")),
            rule(clause("tier", "likes", "x", contextKind="device")),
        ],
    }
    clauses = [each["clauses"][0] for each in steps(explained(flag, Context.from_dict(user)))["rules"]]
    assert [(c["attribute"], c["op"], c["value"], c["missing"], c["matched"]) for c in clauses] == [
        ("/a/b", "greaterThan", 5, None, False),
        ("tags", "in", [1, "b"], None, False),
        ("key", "in", "u", None, False),
        ("kind", "in", ["org", "user"], None, False),
        ("tier", "semVerEqual", None, "attribute", False),
        ("tier", "likes", None, "context", False),
    ]
    assert (clauses[1]["values"], clauses[1]["valueCount"]) == (many[:20], 30)
    assert text(explained(flag, Context.from_dict(user)))[1::2][:6] == [
        "    no  /a/b greaterThan 7; the user has 5",
        f'    no  tags in {", ".join(json.dumps(key) for key in many[:20])} and 10 more; the user has [1, "b"]',
        '    no  key not in "u"; the user has "u"',
        '    no  kind in "device"; the user has ["org", "user"]',
        "    no  org tier semVerEqual nothing that the operator can use; the org has none",
        "    no  device tier likes nothing that the operator can use; there is no device",
    ]


def test_a_rollout_tells_bucket_shares_and_what_was_hashed(explained: Explained) -> None:
    shares = [{"variation": 0, "weight": 30_000}, {"variation": 1, "weight": 70_000, "untracked": True}]
    flag = {**ON, "key": "roll", "fallthrough": {"rollout": {"variations": shares}}}
    explanation = explained({**ON, **EVERYBODY}, {"key": "u"}, key="roll", roll=flag)
    rollout = steps(explanation)["fallthrough"]["rollout"]
    assert rollout is not None
    # The bucket that every SDK gives this key.
    assert rollout["bucket"] == 0.2853293968431259
    assert (rollout["prefix"], rollout["contextKind"], rollout["bucketBy"], rollout["value"]) == (
        "roll.s.", "user", "key", "u",
    )  # fmt: skip
    assert rollout["shares"] == [
        {"variation": 0, "begin": 0.0, "end": 0.3, "untracked": False, "chosen": True},
        {"variation": 1, "begin": 0.3, "end": 1.0, "untracked": True, "chosen": False},
    ]
    assert text(explanation) == [
        "yes everybody else: a rollout",
        '    =   by key: the user has "u"; after "roll.s." that hashes to the bucket 0.285329',
        "        yes 0 to 0.3: variation 0",
        "        no  0.3 to 1: variation 1, outside the experiment",
    ]
    seeded = {**flag, "fallthrough": {"rollout": {"kind": "experiment", "seed": 61, "variations": shares}}}
    explanation = explained({**ON, **EVERYBODY}, {"key": "u"}, key="roll", roll=seeded)
    chosen = steps(explanation)["fallthrough"]["rollout"]
    assert chosen is not None
    assert (chosen["experiment"], chosen["prefix"]) == (True, "61.")
    assert text(explanation)[0] == "yes everybody else: an experiment"


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        ({"contextKind": "org"}, "by org key: there is no org, so the first share is taken"),
        ({"bucketBy": "nothing"}, "by nothing: the user has none, so the bucket is 0"),
        ({"bucketBy": "ratio"}, "by ratio: the user has 1.5, so the bucket is 0"),
    ],
)
def test_a_rollout_without_anything_to_hash_says_so(explained: Explained, rollout: dict[str, Any], said: str) -> None:
    rollout["variations"] = [{"variation": 0, "weight": 50_000}, {"variation": 1, "weight": 50_000}]
    explanation = explained({**ON, "fallthrough": {"rollout": rollout}}, {"kind": "user", "key": "u", "ratio": 1.5})
    assert text(explanation)[1] == f"    =   {said}"
    assert explanation.variation_index == 0


def test_a_segment_tells_which_part_of_it_decided(explained: Explained) -> None:
    segments = {
        "in": {"key": "in", "version": 2, "included": ["ann"]},
        "out": {"key": "out", "version": 3, "excluded": ["ann"], "rules": [{"clauses": [clause("key", "in", "ann")]}]},
        "half": {
            "key": "half", "version": 4, "salt": "t",
            "rules": [
                {"clauses": [clause("country", "in", "us")]},
                {"clauses": [clause("country", "in", "de")], "weight": 60_000},
            ],
        },
        "outer": {"key": "outer", "version": 5, "rules": [{"clauses": [clause("", "segmentMatch", "in")]}]},
        "big": {"key": "big", "version": 6, "unbounded": True, "generation": 1},
    }  # fmt: skip
    asked = clause("", "segmentMatch", "gone", "out", "big", "half", "outer", negate=True)
    explanation = explained({**ON, **EVERYBODY, "rules": [rule(asked)]}, segments=segments)
    found = steps(explanation)["rules"][0]["clauses"][0]["segments"]
    assert [(s["key"], s["version"], s["member"], s["by"]) for s in found] == [
        ("gone", None, False, "missing"),
        ("out", 3, False, "excluded"),
        ("big", 6, False, "nothing"),
        ("half", 4, True, "rule"),
    ]
    assert text(explanation)[1:-1] == [
        '    no  not segmentMatch "gone", "out", "big", "half", "outer"',
        "        no  in segment gone: there is no such segment",
        "        no  in segment out (version 3): its list of excluded keys of kind user names the user",
        "        no  in segment big (version 6): neither its lists nor its rules have the context"
        "; the store of big segments told nothing (NOT_CONFIGURED)",
        "        yes in segment half (version 4)",
        "            no  rule 1 of the segment",
        '                no  country in "us"; the user has "de"',
        "            yes rule 2 of the segment",
        '                yes country in "de"; the user has "de"',
        '                =   by key: the user has "ann"; after "half.t." that hashes to the bucket 0.562507',
        "                    yes 0 to 0.6: the segment",
    ]
    nested = explained({**ON, **EVERYBODY, "rules": [rule(clause("", "segmentMatch", "outer"))]}, segments=segments)
    assert text(nested)[2:6] == [
        "        yes in segment outer (version 5)",
        "            yes rule 1 of the segment",
        '                yes segmentMatch "in"',
        "                    yes in segment in (version 2): its list of keys of kind user names the user",
    ]


def test_prerequisites_are_explained_in_their_place(explained: Explained) -> None:
    needs = [{"key": "base", "variation": 1}, {"key": "off", "variation": 0}, {"key": "later", "variation": 0}]
    base = {**ON, "key": "base", **EVERYBODY, "rules": [rule(clause("country", "in", "de"))]}
    off = {**ON, "key": "off", "version": 4, "on": False}
    explanation = explained({**ON, **EVERYBODY, "prerequisites": needs}, base=base, off=off)
    assert explanation.reason == {"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "off"}
    found = steps(explanation)["prerequisites"]
    assert [each["met"] for each in found] == [True, False, None]
    assert found[1]["flag"] is not None
    assert found[1]["flag"]["version"] == 4
    assert text(explanation) == [
        "yes prerequisite base must be on and serve variation 1: it serves variation 1, rule 1 matches (r)",
        "    yes rule 1 (r), which serves variation 1",
        '        yes country in "de"; the user has "de"',
        "    -   everybody else: variation 0",
        "no  prerequisite off must be on and serve variation 0: it serves variation 0, the flag is off",
        "-   prerequisite later must be on and serve variation 0",
        "-   everybody else: variation 0",
    ]
    gone = explained({**ON, **EVERYBODY, "prerequisites": needs[2:]})
    assert text(gone)[0] == "no  prerequisite later must be on and serve variation 0: there is no such flag"


def test_targets_and_a_flag_that_is_off_end_it(explained: Explained) -> None:
    targets = [{"variation": 0, "values": ["bob", "eve"]}, {"variation": 1, "values": ["ann"]}]
    flag = {**ON, **EVERYBODY, "targets": targets, "rules": [rule(), rule()]}
    assert text(explained(flag)) == [
        'no  target of variation 0: 2 keys of kind user; the user\'s is "ann"',
        'yes target of variation 1: 1 key of kind user; the user\'s is "ann"',
        "-   rules 1 to 2: not asked",
        "-   everybody else: variation 0",
    ]
    off = explained({**flag, "on": False})
    assert (text(off), off.value, steps(off)["targets"][1]["matched"]) == ([], False, None)
    assert "because    the flag is off" in str(off)
    nothing = explained({**flag, "on": False, "offVariation": None})
    assert (nothing.value, nothing.variation_index) == (None, None)
    assert "value      the caller's default" in str(nothing)


MALFORMED: list[tuple[dict[str, Any], str]] = [
    (
        {"prerequisites": [{"key": "flag", "variation": 0}], **EVERYBODY},
        "!   prerequisite flag must be on and serve variation 0: it leads back to itself, or through more than 128 flags",
    ),
    ({"fallthrough": {"variation": 9}}, "!   everybody else: variation 9: what it serves is none of its variations"),
    ({"fallthrough": {}}, "!   everybody else: nothing: what it serves is none of its variations"),
    (
        {"rules": [rule(clause("//", "in", 1))], **EVERYBODY},
        "    !   no attribute in 1: an attribute reference has a double or trailing slash",
    ),
    (
        {
            "fallthrough": {
                "rollout": {"contextKind": "user", "bucketBy": "/", "variations": [{"variation": 0, "weight": 1}]}
            }
        },
        "!   everybody else: a rollout: an attribute reference cannot be empty",
    ),
    (
        {"rules": [rule(clause("", "segmentMatch", "loop"))], **EVERYBODY},
        "                    !   in segment loop (version 1): it leads back to itself, or through more than 128 segments",
    ),
]


@pytest.mark.parametrize(("flag", "line"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_flag_shows_the_step_that_is_wrong(explained: Explained, flag: Any, line: str) -> None:
    loop = {"key": "loop", "version": 1, "rules": [{"clauses": [clause("", "segmentMatch", "loop")]}]}
    explanation = explained({**ON, **flag}, segments={"loop": loop})
    assert explanation.reason == {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}
    assert explanation.problem == "The flag's data is malformed; the steps say where."
    assert line in text(explanation)


def test_where_nothing_was_evaluated_the_problem_is_told(explained: Explained) -> None:
    unreadable = explained({**ON, "on": "yes", "version": 8})
    assert (unreadable.version, unreadable.flag) == (8, None)
    assert (unreadable.problem or "").startswith("The flag's data is malformed: invalid type")
    unknown = explained({**ON, **EVERYBODY}, key="flog")
    assert unknown.problem == "There is no feature flag with the key 'flog'. Did you mean 'flag'?"
    for nobody in (None, {}, {"kind": "org"}, 42):
        explanation = explained({**ON, **EVERYBODY}, nobody)
        assert explanation.reason["errorKind"] == "USER_NOT_SPECIFIED"
        assert (explanation.problem or "").startswith("There is nobody to evaluate the flag for: ")
        assert explanation.to_json_dict()["context"] is None


def test_a_client_without_flags_says_so(start: Start) -> None:
    with LDClient(Config(offline=True)) as client:
        assert client.explain("flag", ANN).problem == "The client is offline: it has no flags."
        assert client.explain("flag").reason == {"kind": "ERROR", "errorKind": "CLIENT_NOT_READY"}
    with StandIn({}) as service:
        service.go_down()
        client = start(service, start_wait=0)
        assert (client.explain("flag", ANN).problem or "").startswith("No flags have arrived yet.")
        client.close()
        service.come_back()


def test_an_explanation_records_no_event_and_logs_no_value(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    flag = {**ON, **EVERYBODY, "trackEvents": True, "rules": [rule(clause("country", "in", "de"))]}
    with StandIn({"flag": flag}) as service, caplog.at_level(logging.DEBUG):
        client = start(service)
        explanation = client.explain("flag", ANN)
        assert explanation.value is True
        assert explanation == client.explain(key="flag", user=ANN) == client.explain("flag", context=ANN)
        assert client.pinned().explain("flag", ANN) == explanation
        assert client.flush(timeout=10).sent == 0
        client.close()
    assert '"de"' in str(explanation)
    assert "de" not in repr(explanation).replace("ldclient", "").replace("explanation", "")
    assert '"de"' not in caplog.text


def test_an_explanation_is_a_value(explained: Explained) -> None:
    explanation = explained({**ON, **EVERYBODY})
    assert json.loads(json.dumps(explanation.to_json_dict())) == explanation.to_json_dict()
    explanation.to_json_dict()["value"] = 7
    assert explanation.value is False
    assert pickle.loads(pickle.dumps(explanation)) == copy.copy(explanation) == explanation
    assert len({explanation, explained({**ON, **EVERYBODY})}) == 1
    assert explanation != explained({**ON, "version": 2, **EVERYBODY})
    with pytest.raises(AttributeError, match="cannot be changed"):
        explanation.key = "x"  # type: ignore[misc]


def test_deep_chains_are_cut_and_answered_all_the_same(explained: Explained) -> None:
    def needing(number: int) -> dict[str, Any]:
        return {**ON, **EVERYBODY, "key": f"f{number}", "prerequisites": [{"key": f"f{number + 1}", "variation": 0}]}

    others: dict[str, Any] = {f"f{number}": needing(number) for number in range(100)}
    others["f100"] = {**ON, **EVERYBODY, "key": "f100"}
    explanation = explained({**ON, **EVERYBODY, "prerequisites": [{"key": "f0", "variation": 0}]}, **others)
    assert explanation.reason == {"kind": "FALLTHROUGH"}
    assert sum("prerequisite" in line for line in text(explanation)) == 32
    assert "must be on and serve variation 0 (its steps lie deeper than is shown here)" in str(explanation)


# --- the command ---


def run(*arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ldclient", "explain", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("files")
    flags, segments = folder / "flags.json", folder / "segments.yaml"
    asked = rule(clause("", "segmentMatch", "staff"))
    flag = {**ON, **EVERYBODY, "rules": [asked]}
    flags.write_text(json.dumps({"flags": {"flag": flag, "bad": {**ON, "key": "bad", "on": 3}}}), encoding="utf-8")
    segments.write_text("segments:\n  staff: {key: staff, version: 2, included: [ann]}\n", encoding="utf-8")
    return flags, segments


@pytest.mark.once
def test_the_command_explains_a_flag_of_files(files: tuple[Path, Path]) -> None:
    code, said, problems = run("flag", "--user", "ann", "--file", *files)
    assert code == 0, problems
    assert "because    rule 1 matches (r)" in said.splitlines()
    assert said.splitlines()[-2].endswith(
        "yes in segment staff (version 2): its list of keys of kind user names the user"
    )
    code, said, problems = run("flag", "--user", json.dumps(ANN), "--file", files[0], "--file", files[1], "--json")
    assert code == 0, problems
    assert json.loads(said)["flag"]["rules"][0]["matched"] is True


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["flog", "--user", "ann"], 3, "There is no feature flag with the key 'flog'. Did you mean 'flag'?"),
        (["bad", "--user", "ann"], 4, "The flag's data is malformed: invalid type"),
        (["flag", "--user", "{bad"], 2, "the user is no JSON object"),
        (["flag", "--user", ""], 2, "a user is a key"),
        (["flag"], 2, "--user"),
        ([], 2, "KEY"),
        (["flag", "--user", "ann", "--file", "missing.json"], 2, "missing.json"),
        (["flag", "--user", "ann", "--redis", "redis://127.0.0.1:1/0"], 2, "not allowed with"),
    ],
)
def test_the_commands_exit_code_says_what_went_wrong(
    files: tuple[Path, Path], arguments: list[str], code: int, said: str
) -> None:
    got, out, problems = run(*arguments, *(() if "--file" in arguments else ("--file", *files)))
    assert got == code, problems
    assert said in out + problems
    assert "Traceback" not in problems


@pytest.mark.once
def test_the_command_explains_a_flag_of_redis() -> None:
    with redis_server.running() as server:
        server.ask("HSET", "team:features", "flag", json.dumps({**ON, **EVERYBODY}))
        server.ask("SET", "team:$inited", "")
        code, said, problems = run("flag", "--user", "ann", "--redis", server.url, "--prefix", "team")
        assert code == 0, problems
        assert "value      false (variation 0)" in said
        assert run("flog", "--user", "ann", "--redis", server.url, "--prefix", "team")[0] == 3
    code, said, problems = run("flag", "--user", "ann", "--redis", server.url)  # Nobody listens there any more.
    assert (code, said) == (2, "")
    assert "no flags can be read from Redis" in problems
