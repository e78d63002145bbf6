"""Runs worlds through whichever `ldclient` its interpreter has, ours or the reference; driven over pipes by run.py.

It reads one JSON line a world (generator.py tells what is in it) and writes one: the answers of all calls and the events
that arrived, in a form that is the same for both packages if what they did is the same. After the last world comes one
line with what was counted. Only the public API is used, except that the reference's operators are wrapped to count
them and its data model is asked which items it refuses.
"""

from __future__ import annotations

import base64
import contextlib
import faulthandler
import gzip
import hashlib
import json
import logging
import sys
import tempfile
import threading
from collections import Counter
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from generator import EVALUATIONS

from ldclient import Context
from ldclient.client import LDClient
from ldclient.config import BigSegmentsConfig, Config
from ldclient.integrations import Files
from ldclient.interfaces import BigSegmentStore, BigSegmentStoreMetadata, FeatureStore
from ldclient.migrations import Operation, Origin, Stage
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

MALFORMED = {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}
DEADLINE = 50.0  # seconds for one world
Json = Any


def text(value: Json) -> str:
    """As text, because True, 1 and 1.0 are equal in Python."""
    return json.dumps(value, sort_keys=True)


class Sink:
    """A loopback service that keeps the events it is sent."""

    def __init__(self) -> None:
        self._events: list[Json] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sink._events.extend(json.loads(body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(HTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                pass  # A client that ends its connection is no fault.

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True).start()

    def take(self) -> list[Json]:
        events, self._events = self._events, []
        return events


class FailingStore(FeatureStore):
    """A store that once was filled and cannot be read."""

    initialized = True

    def get(self, *_: object) -> Any:
        raise OSError("the store is down")

    all = get

    def init(self, *_: object) -> None:
        pass

    upsert = delete = init


def big_segments(store: Json) -> BigSegmentsConfig:
    members = {
        base64.b64encode(hashlib.sha256(key.encode()).digest()).decode(): said for key, said in store["members"].items()
    }
    status = store["status"]

    class Store(BigSegmentStore):
        def get_metadata(self) -> Any:
            return BigSegmentStoreMetadata(0 if status == "STALE" else 2**53)

        def get_membership(self, context_hash: str) -> Any:
            if status == "STORE_ERROR":
                raise OSError("the store is down")
            return members.get(context_hash)

        def stop(self) -> None:
            pass

    return BigSegmentsConfig(store=Store())


def decided(reason: Json, key: str, refused: set[str]) -> Json:
    """What the reference would answer if it kept malformed flags."""
    return MALFORMED if key in refused and reason.get("errorKind") == "FLAG_NOT_FOUND" else reason


class Worker:
    def __init__(self, reference: bool, folder: str) -> None:
        self._reference = reference
        self._file = Path(folder, "flags.json")
        self._sink = Sink()
        self.counts: Counter[str] = Counter()

    def run(self, world: Json) -> Json:
        data = {kind: dict(world[kind]) for kind in ("flags", "segments")}
        refused = self.refuse(data) if self._reference else set()
        # Half of the contexts go into calls as the dicts that they are, where the package takes them.
        contexts = [
            plain if not self._reference and number % 2 and plain.get("kind") is not None else Context.from_dict(plain)
            for number, plain in enumerate(world["contexts"])
        ]
        with self.client(world, data) as client:
            answers = [self.answer(client, contexts, call, refused) for call in world["calls"]]
        events = [self.normal(event, refused) for event in self._sink.take()]
        if world["source"] == "nothing" and not all(Context.from_dict(plain).valid for plain in world["contexts"]):
            # The reference counts an evaluation for nobody as long as it has no flags, and never afterwards.
            events = [event for event in events if event["kind"] != "summary"]
        self.counts["events"] += len(events)
        self.counts.update(f"event {event['kind']}" for event in events)
        return {"answers": answers, "events": [text(event) for event in events]}

    def normal(self, event: Json, refused: set[str]) -> Json:
        """Without dates, without the orders that mean nothing, and with what 2.11 decides about malformed flags."""
        for name in ("creationDate", "startDate", "endDate"):
            if name in event:
                assert isinstance(event[name], int), event
                assert event[name] > 0, event
                event[name] = "a date"
        for feature in event.get("features", {}).values():
            feature["contextKinds"].sort()
            feature["counters"].sort(key=text)
        context = event.get("context", {})
        for part in [context, *(part for part in context.values() if isinstance(part, dict))]:
            if isinstance(part.get("_meta"), dict) and "redactedAttributes" in part["_meta"]:
                part["_meta"]["redactedAttributes"].sort()
        for measurement in event.get("measurements", []):
            if measurement["key"] == "latency_ms":
                measurement["values"] = sorted(measurement["values"])
        evaluation = event.get("evaluation", {})
        if "reason" in evaluation:
            evaluation["reason"] = decided(evaluation["reason"], evaluation["key"], refused)
        return event

    def refuse(self, data: Json) -> set[str]:
        """Takes out what the reference would refuse the whole payload for. Ours counts that flag alone as malformed."""
        refused = set()
        for name, kind in (("flags", FEATURES), ("segments", SEGMENTS)):
            for key, item in list(data[name].items()):
                try:
                    kind.decode(item)
                except ValueError:
                    del data[name][key]
                    if name == "flags":
                        refused.add(key)
        return refused

    @contextlib.contextmanager
    def client(self, world: Json, data: Json) -> Any:
        source = world["source"]
        options: dict[str, Any] = {
            **world["config"],
            "sdk_key": "sdk-key",
            "events_uri": self._sink.address,
            "events_max_pending": 100_000,
            "flush_interval": 3600,
            "diagnostic_opt_out": True,
        }
        if source == "offline":
            options["offline"] = True
        elif source == "failing store":
            options.update(use_ldd=True, feature_store=FailingStore())
        else:
            self._file.write_text(json.dumps(data) if source == "file" else "no JSON", encoding="utf-8")
            options["update_processor_class"] = Files.new_data_source(paths=[str(self._file)])
        if world["bigSegments"] is not None:
            options["big_segments"] = big_segments(world["bigSegments"])
        client = LDClient(Config(**options), start_wait=0 if source == "nothing" else 10)
        try:
            yield client
        finally:
            client.close()

    def answer(self, client: LDClient, contexts: list[Any], call: list[Json], refused: set[str]) -> str:
        name, number, *arguments = call
        context = contexts[number]
        self.counts["evaluations"] += name in EVALUATIONS
        if name == "variation_detail":
            detail = client.variation_detail(arguments[0], context, arguments[1])
            reason = decided(detail.reason, arguments[0], refused)
            self.count(reason)
            return text([detail.value, detail.variation_index, reason])
        if name == "variation":
            return text(client.variation(arguments[0], context, arguments[1]))
        if name == "track":
            return text(client.track(arguments[0], context, arguments[1], arguments[2]))
        if name == "identify":
            return text(client.identify(context))
        if name == "all_flags_state":
            self.counts["flag states"] += 1
            state = client.all_flags_state(context, **arguments[0]).to_json_dict()
            for key in refused:
                state.get("$flagsState", {}).pop(key, None)
                state.pop(key, None)
            return text(state)
        assert name == "migration", name
        stage, tracker = client.migration_variation(arguments[0], context, Stage.from_str(arguments[1]))
        tracker.operation(Operation.READ if arguments[2] == "read" else Operation.WRITE)
        tracker.invoked(Origin.OLD).latency(Origin.OLD, timedelta(milliseconds=3))
        if number % 2:
            tracker.invoked(Origin.NEW).error(Origin.NEW)
        event = tracker.build()
        if not isinstance(event, str):
            self.count(event.detail.reason)
        client.track_migration_op(tracker)
        return text(stage.value)

    def count(self, reason: Json) -> None:
        kind = reason["kind"]
        self.counts[f"reason {kind}"] += 1
        if kind == "ERROR":
            self.counts[f"error kind {reason['errorKind']}"] += 1
        if reason.get("inExperiment"):
            self.counts[f"reason {kind}, in an experiment"] += 1
        if "bigSegmentsStatus" in reason:
            self.counts[f"big segments {reason['bigSegmentsStatus']}"] += 1


def count_operators(counts: Counter[str]) -> None:
    """Counts each use of an operator of the reference by its result."""
    from ldclient.impl import operators
    from ldclient.impl.evaluator import Evaluator

    def counted(name: str, operator: Any) -> Any:
        true, false = f"operator {name}: true", f"operator {name}: false"

        def count(*arguments: Any) -> Any:
            result = operator(*arguments)
            counts[true if result else false] += 1
            return result

        return count

    for name, operator in list(operators.ops.items()):
        operators.ops[name] = counted(name, operator)
    operators.ops["other"] = counted("other", lambda *_: False)
    Evaluator._segment_matches_context = counted("segmentMatch", Evaluator._segment_matches_context)


def main() -> None:
    reference = sys.argv[1] == "reference"
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(reference, folder)
        if reference:
            count_operators(worker.counts)
        for line in sys.stdin:
            if line == "\n":
                break
            # Whoever hangs says where, and ends.
            faulthandler.dump_traceback_later(DEADLINE, exit=True)
            print(json.dumps(worker.run(json.loads(line))), flush=True)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(worker.counts), flush=True)


if __name__ == "__main__":
    main()
