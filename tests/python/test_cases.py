"""Runs ``tests/cases/*.json`` through the public package. ``tests/rust/cases.rs`` tells what the files mean."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ldclient import Config, Context, LDClient
from ldclient.config import BigSegmentsConfig
from ldclient.integrations import Files
from ldclient.interfaces import BigSegmentStore, BigSegmentStoreMetadata

FILES = sorted((Path(__file__).parent.parent / "cases").glob("*.json"))
USER = {"kind": "user", "key": "u"}

Case = dict[str, Any]


def test_there_are_files_of_cases() -> None:
    assert len(FILES) >= 14


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_case_answers_as_expected(path: Path, tmp_path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    failures = []
    ran = 0
    for number, (data, store, cases) in enumerate(groups(document)):
        # Each client has a file of its own, so that none can read another one's.
        data_file = tmp_path / f"{number}.json"
        data_file.write_text(json.dumps(data), encoding="utf-8")
        with client_of(data_file, store) as client:
            for case in cases:
                ran += 1
                expected, answered = case["expect"], answer(client, case)
                # As text, because True, 1 and 1.0 are equal in Python.
                if json.dumps(answered, sort_keys=True) != json.dumps(expected, sort_keys=True):
                    failures.append(f"- {case['name']}\n  expected {expected}\n  answered {answered}")
    assert ran
    assert not failures, f"{len(failures)} of {ran} cases failed:\n" + "\n".join(failures)


def answer(client: LDClient, case: Case) -> dict[str, Any]:
    context = case["user"] if "user" in case else Context.from_dict(case.get("context", USER))
    detail = client.variation_detail(case.get("flag", "flag"), context, case.get("default"))
    explained = client.explain(case.get("flag", "flag"), context)
    served = detail.value if detail.variation_index is not None else None
    assert (explained.value, explained.variation_index, explained.reason) == (
        served,
        detail.variation_index,
        detail.reason,
    )
    assert str(explained).startswith("flag  ")
    return {"value": detail.value, "variation": detail.variation_index, "reason": detail.reason}


def client_of(data_file: Path, store: Case | None) -> LDClient:
    options: dict[str, Any] = {
        "update_processor_class": Files.new_data_source(paths=[str(data_file)]),
        "send_events": False,
    }
    if store is not None:
        options["big_segments"] = big_segments(store)
    return LDClient(Config("sdk-key", **options), 10)


def groups(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Case | None, list[Case]]]:
    """Cases with the data and the big segment store that they share."""
    for case in document.get("cases", []):
        data = {
            kind: {key: complete(key, item) for key, item in {**document.get(kind, {}), **case.get(kind, {})}.items()}
            for kind in ("flags", "segments")
        }
        yield data, case.get("bigSegments"), [case]
    table = [operator_case(row, f"row-{n}") for n, row in enumerate(document.get("operators", []))]
    if table:
        yield {"flags": {key: flag for case in table for key, flag in case["flags"].items()}}, None, table
    for row in document.get("buckets", []):
        for weight in (row[-1], row[-1] + 1):
            case = bucket_case(row, weight)
            yield {"flags": case["flags"]}, None, [case]


def complete(key: str, item: Any) -> Any:
    return {"key": key, "version": 1, **item}


def operator_case(row: list[Any], key: str) -> Case:
    op, value, values, matches = row[:4]
    clause = {"attribute": "value", "op": op, "values": values}
    flag = {
        "on": True,
        "variations": [False, True],
        "fallthrough": {"variation": 0},
        "rules": [{"variation": 1, "clauses": [clause]}],
    }
    reason = {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": None} if matches else {"kind": "FALLTHROUGH"}
    return {
        "name": json.dumps(row),
        "flags": {key: complete(key, flag)},
        "flag": key,
        "context": {**USER, "value": value},
        "expect": {"value": matches, "variation": int(matches), "reason": reason},
    }


def bucket_case(row: list[Any], weight: int) -> Case:
    key, salt, seed, value, bucket = row
    shares = [{"variation": 1, "weight": weight}, {"variation": 0, "weight": 100_000 - weight}]
    rollout = {"contextKind": "user", "bucketBy": "value", "seed": seed, "variations": shares}
    flag = {"on": True, "salt": salt, "variations": [False, True], "fallthrough": {"rollout": rollout}}
    inside = weight > bucket
    return {
        "name": f"{json.dumps(row)} with weight {weight}",
        "flags": {key: complete(key, flag)},
        "flag": key,
        "context": {**USER, "value": value},
        "expect": {"value": inside, "variation": int(inside), "reason": {"kind": "FALLTHROUGH"}},
    }


def big_segments(store: Case) -> Any:
    """A store that knows what the case says, and nothing of anyone else."""
    members = {
        base64.b64encode(hashlib.sha256(key.encode()).digest()).decode(): said for key, said in store["members"].items()
    }
    status = store["status"]

    class Store(BigSegmentStore):
        def get_metadata(self) -> BigSegmentStoreMetadata:
            if status == "STORE_ERROR":
                raise OSError("the store is down")
            return BigSegmentStoreMetadata(0 if status == "STALE" else 2**53)

        def get_membership(self, context_hash: str) -> dict[str, bool] | None:
            if status == "STORE_ERROR":
                raise OSError("the store is down")
            return members.get(context_hash)

        def stop(self) -> None:
            pass

    return BigSegmentsConfig(store=Store())
