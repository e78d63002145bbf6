"""What launchdarkly-server-sdk 9.20 and this package write into Redis, each read by the other, and compared byte by byte.

One program runs under both: the calls are the same. The reference has an environment of its own
(``tests/reference_env``), and the server is a real one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_server import RedisServer, running

pytestmark = [pytest.mark.once, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]

# Does the steps, and prints what it then finds.
PROGRAM = """
import json, sys
from ldclient import Config, Context, LDClient
from ldclient.config import BigSegmentsConfig
from ldclient.feature_store import CacheConfig
from ldclient.integrations import Files, Redis
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

url, prefix, steps, file = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
store = Redis.new_feature_store(url, prefix=prefix, caching=CacheConfig.disabled())
big = Redis.new_big_segment_store(url, prefix=prefix)
kinds = {"features": FEATURES, "segments": SEGMENTS}
for step, *given in steps:
    if step == "init":
        store.init({FEATURES: given[0], SEGMENTS: given[1]})
    elif step == "upsert":
        store.upsert(kinds[given[0]], given[1])
    elif step == "delete":
        store.delete(kinds[given[0]], given[1], given[2])
    elif step == "deliver":
        source = Files.new_data_source(paths=[file])
        with LDClient(Config("sdk-key", feature_store=store, update_processor_class=source, send_events=False)) as client:
            assert client.is_initialized()
found = {
    "initialized": bool(store.initialized),
    "features": store._core.get_all_internal(FEATURES),
    "segments": store._core.get_all_internal(SEGMENTS),
    "updated": big.get_metadata().last_up_to_date,
    "membership": big.get_membership("hash"),
    "nobody": big.get_membership("another"),
}
config = Config("sdk-key", feature_store=Redis.new_feature_store(url, prefix=prefix), use_ldd=True, send_events=False,
    big_segments=BigSegmentsConfig(Redis.new_big_segment_store(url, prefix=prefix)))
with LDClient(config) as client:
    who = Context.builder("u").set("email", "u@example.com").build()
    state = client.all_flags_state(who, with_reasons=True)
    found["state"] = state.to_json_dict()
    found["gone"] = client.variation_detail("gone", who, "default").reason
print(json.dumps(found, sort_keys=True))
"""


@pytest.fixture(scope="module")
def reference() -> str:
    """The Python of the reference's environment."""
    import fcntl

    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache" / "reference.lock").open("w") as lock:
        # Test processes may want it at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            [ROOT / "tests" / "reference_env", sys.executable], capture_output=True, text=True, timeout=500, check=False
        )
    if made.returncode:
        pytest.skip(f"launchdarkly-server-sdk 9.20 could not be installed: {made.stderr.strip()[-300:]}")
    return made.stdout.splitlines()[-1]


@pytest.fixture(params=["launchdarkly-server-sdk", "ldclient-rs"])
def writer(request: pytest.FixtureRequest, reference: str) -> str:
    return reference if request.param == "launchdarkly-server-sdk" else sys.executable


@pytest.fixture
def reader(reference: str, writer: str) -> str:
    """The other one."""
    return sys.executable if writer == reference else reference


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


def run(python: str, server: RedisServer, prefix: str | None, steps: list[Any], file: Path | str = "") -> Any:
    command = [python, "-c", PROGRAM, server.url, json.dumps(prefix), json.dumps(steps), str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def content(server: RedisServer) -> dict[str, str]:
    """What feature stores keep there, as it is."""
    names = [key for key in server.ask("KEYS", "*").splitlines() if "big_segment" not in key]
    return {key: server.ask("GET" if key.endswith("$inited") else "HGETALL", key) for key in sorted(names)}


def hash_of(key: str) -> str:
    return base64.b64encode(hashlib.sha256(key.encode()).digest()).decode()


def rule(*clauses: dict[str, Any]) -> dict[str, Any]:
    return {"id": "r", "variation": 1, "clauses": list(clauses)}


def clause(op: str, attribute: str, *values: Any) -> dict[str, Any]:
    return {"attribute": attribute, "op": op, "values": list(values), "negate": False}


def flag(key: str, version: int, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"on": True, "variations": [f"{key} off", {"été ☃": [1.5, None]}], "offVariation": 0}
    return {
        "key": key,
        "version": version,
        **known,
        "fallthrough": {"variation": 0},
        "salt": "s",
        "rules": list(rules),
        **more,
    }


FLAGS = {
    "plain": flag("plain", 3, targets=[{"values": ["u"], "variation": 1}], **{"not of this release": [1.0]}),
    "by rule": flag("by rule", 1_760_000_000_001, rule(clause("endsWith", "email", "@example.com"))),
    "by segment": flag("by segment", 2, rule(clause("segmentMatch", "", "members"))),
    "by big segment": flag("by big segment", 2, rule(clause("segmentMatch", "", "big"))),
    "by need": flag("by need", 4, rule(clause("in", "key", "u")), prerequisites=[{"key": "by rule", "variation": 1}]),
    "gone": flag("gone", 1),
}
SEGMENTS = {
    "members": {"key": "members", "version": 1, "included": ["u"], "excluded": [], "rules": [], "salt": "s"},
    "big": {"key": "big", "version": 1, "unbounded": True, "generation": 2, "rules": [], "salt": "s"},
}
STEPS: list[Any] = [
    ["init", FLAGS, SEGMENTS],
    ["delete", "features", "gone", 2],
    ["upsert", "features", flag("gone", 2)],
    ["delete", "features", "never there", 5],
    ["upsert", "features", flag("plain", 2)],
    ["upsert", "features", {**FLAGS["plain"], "version": 4}],
    ["upsert", "segments", {**SEGMENTS["members"], "version": 7}],
    ["delete", "segments", "big", 1],
]


@pytest.mark.parametrize("prefix", [None, "env:one"])
def test_what_one_wrote_the_other_one_reads_and_answers_alike(
    server: RedisServer, writer: str, reader: str, prefix: str | None
) -> None:
    name = prefix or "launchdarkly"
    # As the relay does, for the context key "u" and for a hash of a test's own.
    server.ask("SET", f"{name}:big_segments_synchronized_on", "4102444800000")
    for context_hash in ("hash", hash_of("u")):
        server.ask("SADD", f"{name}:big_segment_include:{context_hash}", "big.g2", "both.g1")
        server.ask("SADD", f"{name}:big_segment_exclude:{context_hash}", "été.g1", "both.g1")
    wrote = run(writer, server, prefix, STEPS)
    before = content(server)
    read = run(reader, server, prefix, [])
    assert read == wrote
    assert content(server) == before
    assert read["initialized"] is True
    versions = {key: (item["version"], item.get("deleted", False)) for key, item in read["features"].items()}
    assert versions["plain"] == (4, False)
    assert versions["gone"] == (2, True)
    assert versions["never there"] == (5, True)
    assert read["segments"]["members"]["version"] == 7
    assert read["membership"] == {"big.g2": True, "both.g1": True, "été.g1": False}
    assert (read["updated"], read["nobody"]) == (4_102_444_800_000, None)
    assert read["gone"] == {"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}
    values = {key: value for key, value in read["state"].items() if not key.startswith("$")}
    assert values == {key: {"été ☃": [1.5, None]} for key in FLAGS if key != "gone"}
    # And goes on where the other one left off.
    later = run(
        reader, server, prefix, [["upsert", "features", flag("plain", 4)], ["upsert", "features", flag("gone", 3)]]
    )
    assert (later["features"]["plain"], later["features"]["gone"]) == (read["features"]["plain"], flag("gone", 3))


def test_both_write_the_same_bytes(server: RedisServer, reference: str) -> None:
    found = []
    for python in (reference, sys.executable):
        server.ask("FLUSHALL")
        run(python, server, "env", STEPS)
        found.append(content(server))
    assert found[0] == found[1]
    assert sorted(found[0]) == ["env:$inited", "env:features", "env:segments"]


def test_what_a_client_was_delivered_it_writes_for_the_other_one(
    server: RedisServer, writer: str, reader: str, tmp_path: Path
) -> None:
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"flags": FLAGS, "segments": SEGMENTS}))
    run(writer, server, None, [["deliver"]], file)
    read = run(reader, server, None, [])
    assert read["initialized"] is True
    assert sorted(read["features"]) == sorted(FLAGS)
    assert {key: read["segments"][key]["included"] for key in ("members",)} == {"members": ["u"]}
    assert read == run(writer, server, None, [])


def test_old_data_of_the_other_one_is_replaced_as_a_whole(server: RedisServer, writer: str, reader: str) -> None:
    run(writer, server, None, STEPS)
    found = run(reader, server, None, [["init", {"new": flag("new", 1)}, {}]])
    assert (found["features"], found["segments"]) == ({"new": flag("new", 1)}, {})
    assert run(writer, server, None, []) == found
