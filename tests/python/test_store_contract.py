"""The contracts of stores that the package ships: good stores pass them, and each of their tests fails for some bad one.

Which of our own stores keep them is told beside the tests of those: DynamoDB and Consul in test_stores.py, Redis in
test_redis.py.
"""

from __future__ import annotations

import io
import json
import threading
import time
import unittest
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from ldclient.feature_store import CacheConfig, InMemoryFeatureStore
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.interfaces import BigSegmentStore, BigSegmentStoreMetadata, FeatureStore, FeatureStoreCore
from ldclient.testing.stores import BigSegmentStoreContract, FeatureStoreContract, FeatureStoreCoreContract
from ldclient.versioned_data_kind import FEATURES, SEGMENTS


class TestInMemory(FeatureStoreContract, unittest.TestCase):
    is_shared = False
    has_prefixes = False

    def make_store(self, prefix: str) -> FeatureStore:  # noqa: ARG002
        return InMemoryFeatureStore()


# A good store, and what may be wrong with one


class Database:
    """Text by prefix, kind and key; the kind '$inited' says who was filled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rows: defaultdict[str, defaultdict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))


def nothing() -> None:
    """Does not interrupt."""


class Core(FeatureStoreCore):
    def __init__(self, database: Database | None, prefix: str, interrupt: Callable[[], None] = nothing) -> None:
        self.database, self.prefix, self.interrupt = database, prefix, interrupt
        self.closed = False

    @property
    def rows(self) -> defaultdict[str, dict[str, str]]:
        if self.database is None:
            raise ConnectionError("there is no database")
        return self.database.rows[self.prefix]

    def init_internal(self, all_data: Any) -> None:
        rows = self.rows
        for kind in (FEATURES, SEGMENTS):
            rows[kind.namespace] = {key: json.dumps(item) for key, item in all_data.get(kind, {}).items()}
        rows["$inited"] = {"": ""}

    def get_internal(self, kind: Any, key: str) -> Any:
        text = self.rows[kind.namespace].get(key)
        return None if text is None else json.loads(text)

    def get_all_internal(self, kind: Any) -> Any:
        return {key: json.loads(text) for key, text in list(self.rows[kind.namespace].items())}

    def upsert_internal(self, kind: Any, item: Any) -> Any:
        rows, key = self.rows[kind.namespace], item["key"]
        while True:
            before = rows.get(key)
            if before is not None and json.loads(before)["version"] >= item["version"]:
                return json.loads(before)
            self.interrupt()
            assert self.database is not None
            with self.database.lock:
                if rows.get(key) is before:
                    rows[key] = json.dumps(item)
                    return item

    def initialized_internal(self) -> bool:
        return bool(self.rows["$inited"])

    def is_available(self) -> bool:
        return self.database is not None

    def close(self) -> None:
        self.closed = True


class Wrapper(CachingStoreWrapper):
    """What a store does that is no core, so that it can be wrong."""

    core: type[Core] = Core

    def __init__(self, *made_of: Any) -> None:
        super().__init__(self.core(*made_of), CacheConfig.disabled())


def contract_of(store: type[Wrapper]) -> type[unittest.TestCase]:
    database = Database()

    class Contract(FeatureStoreCoreContract, unittest.TestCase):
        def make_core(self, prefix: str) -> FeatureStoreCore:
            return store.core(database, prefix)

        def make_store(self, prefix: str) -> FeatureStore:
            return store(database, prefix)

        def clear(self, prefix: str) -> None:
            database.rows.pop(prefix, None)

        def make_unavailable_store(self) -> FeatureStore:
            return store(None, "")

        def make_interrupted_store(self, prefix: str, interrupt: Callable[[], None]) -> FeatureStore:
            return store(database, prefix, interrupt)

    return Contract


def failing(contract: type[unittest.TestCase], names: list[str]) -> dict[str, str]:
    """Runs tests as unittest does; returns those that failed, and why."""
    result = unittest.TextTestRunner(io.StringIO()).run(unittest.TestSuite(contract(name) for name in names))
    assert result.testsRun == len(names)
    assert not result.skipped
    return {test.id().rpartition(".")[2]: why for test, why in result.failures + result.errors}


def names_of(contract: type) -> list[str]:
    return [name for name in dir(contract) if name.startswith("test_")]


class FilledFromTheStart(Core):
    def initialized_internal(self) -> bool:
        return self.database is not None


class FilledByFlags(Core):
    def initialized_internal(self) -> bool:
        return bool(self.rows["features"])


class RemembersThatNothingIsThere(Core):
    known: bool | None = None

    def initialized_internal(self) -> bool:
        if self.known is None:
            self.known = super().initialized_internal()
        return self.known


class OneKind(Core):
    def init_internal(self, all_data: Any) -> None:
        super().init_internal({FEATURES: {**all_data[FEATURES], **all_data[SEGMENTS]}, SEGMENTS: {}})
        self.rows["segments"] = self.rows["features"]


class InitAdds(Core):
    def init_internal(self, all_data: Any) -> None:
        for kind, items in all_data.items():
            self.rows[kind.namespace].update({key: json.dumps(item) for key, item in items.items()})
        self.rows["$inited"] = {"": ""}


class OneRequestOnly(Core):
    def init_internal(self, all_data: Any) -> None:
        super().init_internal({kind: dict(list(items.items())[:100]) for kind, items in all_data.items()})


class RaisesForNothing(Core):
    def get_internal(self, kind: Any, key: str) -> Any:
        return json.loads(self.rows[kind.namespace][key])


class KnownMembersOnly(Core):
    def get_internal(self, kind: Any, key: str) -> Any:
        item = super().get_internal(kind, key)
        return item and {name: value for name, value in item.items() if " " not in name}


class Escapes(Core):
    def upsert_internal(self, kind: Any, item: Any) -> Any:
        written = super().upsert_internal(kind, {**item, "key": item["key"].replace("%20", " ").replace("☃", "?")})
        return {**written, "key": item["key"]}


class ComparesAsText(Core):
    def upsert_internal(self, kind: Any, item: Any) -> Any:
        old = self.get_internal(kind, item["key"])
        if old and str(old["version"]) >= str(item["version"]):
            return old
        return super().upsert_internal(kind, item)


class AlwaysWrites(Core):
    def upsert_internal(self, kind: Any, item: Any) -> Any:
        self.rows[kind.namespace][item["key"]] = json.dumps(item)
        return item


class OnlyWhatIsThere(Core):
    def upsert_internal(self, kind: Any, item: Any) -> Any:
        return super().upsert_internal(kind, item) if self.get_internal(kind, item["key"]) else item


class SmallNumbers(Core):
    def upsert_internal(self, kind: Any, item: Any) -> Any:
        return super().upsert_internal(kind, {**item, "version": item["version"] % 2**32})


class ForgetsDeletions(Core):
    def upsert_internal(self, kind: Any, item: Any) -> Any:
        written = super().upsert_internal(kind, item)
        if written.get("deleted"):
            del self.rows[kind.namespace][item["key"]]
        return written

    def get_all_internal(self, kind: Any) -> Any:
        return {key: item for key, item in super().get_all_internal(kind).items() if not item.get("deleted")}


class DeletesWhateverTheVersion(Core):
    def upsert_internal(self, kind: Any, item: Any) -> Any:
        if item.get("deleted"):
            self.rows[kind.namespace].pop(item["key"], None)
        return super().upsert_internal(kind, item)


class ReturnsWhatItWasGiven(Core):
    def upsert_internal(self, kind: Any, item: Any) -> Any:
        super().upsert_internal(kind, item)
        return item


class OwnData(Core):
    def __init__(self, database: Database | None, prefix: str, interrupt: Callable[[], None] = nothing) -> None:
        super().__init__(database and Database(), prefix, interrupt)


class OnePrefix(Core):
    def __init__(self, database: Database | None, prefix: str, interrupt: Callable[[], None] = nothing) -> None:
        super().__init__(database, prefix.rstrip("2"), interrupt)


class LooksThenWrites(Core):
    """Whoever has the lowest version writes when the others have done so."""

    def upsert_internal(self, kind: Any, item: Any) -> Any:
        rows, key = self.rows[kind.namespace], item["key"]
        old = self.get_internal(kind, key)
        if old and old["version"] >= item["version"]:
            return old
        self.interrupt()
        end = time.monotonic() + (0.3 if item["version"] == 1 else 0)
        while time.monotonic() < end:
            before = rows.get(key)
            time.sleep(0.05)
            if before is not None and rows.get(key) is before:
                break
        rows[key] = json.dumps(item)
        return item


class AnswersWithoutDatabase(Core):
    @property
    def rows(self) -> defaultdict[str, dict[str, str]]:
        return defaultdict(dict) if self.database is None else super().rows


class NeverAvailable(Core):
    def is_available(self) -> bool:
        return False


class ClosesOnce(Core):
    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        super().close()


class NotJson(Core):
    def get_all_internal(self, kind: Any) -> Any:
        return {key: {**item, "variations": {object()}} for key, item in super().get_all_internal(kind).items()}

    def get_internal(self, kind: Any, key: str) -> Any:
        item = super().get_internal(kind, key)
        return item and {**item, "variations": {object()}}


class NoCallback(Wrapper):
    def get(self, kind: Any, key: str, callback: Any = None) -> Any:  # noqa: ARG002
        return super().get(kind, key)


class ShowsMarks(Wrapper):
    def get(self, kind: Any, key: str, callback: Any = lambda item: item) -> Any:
        return callback(self._core.get_internal(kind, key))


class WritesIntoWhatItWasGiven(Wrapper):
    def upsert(self, kind: Any, encoded_item: Any) -> None:
        encoded_item["written"] = True
        super().upsert(kind, encoded_item)


class SaysItIsThere(Wrapper):
    def is_available(self) -> bool:
        return True


DEFECTS: list[tuple[type[Core | Wrapper], list[str]]] = [
    (FilledFromTheStart, ["test_a_store_that_nobody_filled_is_not_initialized"]),
    (FilledByFlags, ["test_init_without_items_initializes_too", "test_an_update_alone_does_not_initialize"]),
    (RemembersThatNothingIsThere, ["test_a_core_asks_anew_whether_it_was_filled"]),
    (OneKind, ["test_init_keeps_each_kind_apart"]),
    (InitAdds, ["test_init_replaces_everything_whatever_the_versions"]),
    (OneRequestOnly, ["test_init_writes_more_items_than_fit_into_one_request"]),
    (RaisesForNothing, ["test_what_is_not_there_is_none"]),
    (NoCallback, ["test_callbacks_are_given_what_was_found"]),
    (KnownMembersOnly, ["test_items_come_back_as_they_were"]),
    (WritesIntoWhatItWasGiven, ["test_what_is_handed_in_is_not_changed"]),
    (Escapes, ["test_keys_of_every_kind_name_their_own_item"]),
    (ComparesAsText, ["test_a_newer_version_replaces_an_older_one_and_nothing_else"]),
    (
        AlwaysWrites,
        [
            "test_the_same_or_an_older_version_changes_nothing",
            "test_a_deletion_that_comes_late_is_ignored",
            "test_what_was_never_there_can_be_deleted",
        ],
    ),
    (OnlyWhatIsThere, ["test_a_new_item_is_added"]),
    (SmallNumbers, ["test_versions_may_be_times_in_milliseconds"]),
    (
        ForgetsDeletions,
        [
            "test_a_deletion_hides_the_item_and_outlives_late_updates",
            "test_what_was_never_there_can_be_deleted",
            "test_a_core_returns_the_marks_of_deletions",
        ],
    ),
    (ShowsMarks, ["test_a_deletion_hides_the_item_and_outlives_late_updates"]),
    (AlwaysWrites, ["test_the_mark_of_a_deletion_may_come_as_an_item"]),
    (DeletesWhateverTheVersion, ["test_a_deletion_that_comes_late_is_ignored"]),
    (ReturnsWhatItWasGiven, ["test_an_update_returns_what_is_there_afterwards"]),
    (OwnData, ["test_what_one_store_writes_another_one_reads", "test_a_core_asks_anew_whether_it_was_filled"]),
    (OnePrefix, ["test_prefixes_keep_data_apart"]),
    (
        LooksThenWrites,
        [
            "test_of_many_who_write_at_once_the_newest_version_wins",
            "test_what_others_wrote_between_the_look_and_the_writing_counts",
        ],
    ),
    (AnswersWithoutDatabase, ["test_a_store_without_its_database_says_so"]),
    (SaysItIsThere, ["test_a_store_without_its_database_says_so"]),
    (NeverAvailable, ["test_a_store_that_works_is_available"]),
    (ClosesOnce, ["test_closing_twice_does_no_harm"]),
    (NotJson, ["test_a_client_answers_from_what_it_holds"]),
]


def test_a_good_store_keeps_the_contract() -> None:
    contract = contract_of(Wrapper)
    assert failing(contract, names_of(contract)) == {}


@pytest.mark.parametrize(("defect", "names"), DEFECTS, ids=[defect.__name__ for defect, _ in DEFECTS])
def test_a_bad_store_breaks_the_contract_with_words_that_say_why(
    defect: type[Core | Wrapper], names: list[str]
) -> None:
    made = defect if issubclass(defect, Wrapper) else type("Bad", (Wrapper,), {"core": defect})
    failed = failing(contract_of(made), names)
    assert sorted(failed) == sorted(names)


def test_every_test_of_the_contract_can_fail() -> None:
    assert {name for _, names in DEFECTS for name in names} == set(names_of(FeatureStoreCoreContract))


def test_what_a_contract_needs_and_does_not_get_is_said_by_name() -> None:
    for contract, name, needs in (
        (FeatureStoreContract, "test_a_new_item_is_added", "make_store"),
        (FeatureStoreCoreContract, "test_a_new_item_is_added", "make_core"),
        (FeatureStoreCoreContract, "test_a_core_returns_the_marks_of_deletions", "make_core"),
        (BigSegmentStoreContract, "test_stopping_twice_does_no_harm", "make_store"),
    ):
        made: type[Any] = type("Mine", (contract, unittest.TestCase), {"clear": lambda *_: None})
        assert f"Mine.{needs}(prefix) is to return" in failing(made, [name])[name]
    for contract in (FeatureStoreContract, BigSegmentStoreContract):
        made = type("Mine", (contract, unittest.TestCase), {})
        assert "Mine.clear(prefix) is to delete" in next(iter(failing(made, names_of(made)[-1:]).values()))


# Big segments


class Segments(BigSegmentStore):
    def __init__(self, data: dict[str, dict[str, Any]] | None, prefix: str) -> None:
        self.data, self.prefix, self.stops = data, prefix, 0

    def rows(self) -> dict[str, Any]:
        if self.data is None:
            raise ConnectionError("there is no database")
        return self.data.setdefault(self.prefix, {})

    def get_metadata(self) -> BigSegmentStoreMetadata:
        return BigSegmentStoreMetadata(self.rows().get("time"))

    def get_membership(self, context_hash: str) -> dict[str, bool] | None:
        included, excluded = self.rows().get(context_hash, ((), ()))
        return {**dict.fromkeys(excluded, False), **dict.fromkeys(included, True)} or None

    def stop(self) -> None:
        self.stops += 1


def segments_contract_of(store: type[Segments]) -> type[unittest.TestCase]:
    data: dict[str, dict[str, Any]] = {}

    class Contract(BigSegmentStoreContract, unittest.TestCase):
        def make_store(self, prefix: str) -> BigSegmentStore:
            return store(data, prefix)

        def clear(self, prefix: str) -> None:
            data.pop(prefix, None)

        def write_time(self, prefix: str, last_up_to_date: int) -> None:
            data.setdefault(prefix, {})["time"] = last_up_to_date

        def write_membership(self, prefix: str, context_hash: str, included: Any, excluded: Any) -> None:
            data.setdefault(prefix, {})[context_hash] = (list(included), list(excluded))

        def make_unavailable_store(self) -> BigSegmentStore:
            return store(None, "")

    return Contract


class ZeroIsNever(Segments):
    def get_metadata(self) -> BigSegmentStoreMetadata:
        return BigSegmentStoreMetadata(self.rows().get("time") or 0)


class InSeconds(Segments):
    def get_metadata(self) -> BigSegmentStoreMetadata:
        return BigSegmentStoreMetadata((self.rows().get("time") or 0) // 1000)


class Everybody(Segments):
    def get_membership(self, context_hash: str) -> dict[str, bool] | None:
        return super().get_membership(context_hash) or {"s.g1": True}


class IncludedOnly(Segments):
    def get_membership(self, context_hash: str) -> dict[str, bool] | None:
        return {key: True for key, value in (super().get_membership(context_hash) or {}).items() if value}


class ExcludedWins(Segments):
    def get_membership(self, context_hash: str) -> dict[str, bool] | None:
        included, excluded = self.rows().get(context_hash, ((), ()))
        return {**dict.fromkeys(included, True), **dict.fromkeys(excluded, False)} or None


class Bytes(Segments):
    def get_membership(self, context_hash: str) -> Any:
        return {key.encode(): value for key, value in (super().get_membership(context_hash) or {}).items()}


class OneSetOfData(Segments):
    def rows(self) -> dict[str, Any]:
        self.prefix = self.prefix.rstrip("2")
        return super().rows()


class EmptyWithoutDatabase(Segments):
    def rows(self) -> dict[str, Any]:
        return {} if self.data is None else super().rows()


class StopsOnce(Segments):
    def stop(self) -> None:
        super().stop()
        if self.stops > 1:
            raise RuntimeError("stopped already")


SEGMENT_DEFECTS: list[tuple[type[Segments], str]] = [
    (ZeroIsNever, "test_an_empty_store_was_never_brought_up_to_date"),
    (InSeconds, "test_the_time_of_the_last_update_is_in_milliseconds_and_read_anew_each_time"),
    (Everybody, "test_nothing_is_known_of_a_context_that_nobody_wrote"),
    (IncludedOnly, "test_included_is_true_and_excluded_is_false"),
    (ExcludedWins, "test_a_segment_that_includes_and_excludes_a_context_includes_it"),
    (Bytes, "test_references_are_text_of_any_kind"),
    (OneSetOfData, "test_prefixes_keep_data_apart"),
    (EmptyWithoutDatabase, "test_a_store_without_its_database_says_so"),
    (StopsOnce, "test_stopping_twice_does_no_harm"),
    (Bytes, "test_a_client_finds_the_segments_of_a_context"),
]


def test_a_good_big_segment_store_keeps_the_contract() -> None:
    contract = segments_contract_of(Segments)
    assert failing(contract, names_of(contract)) == {}


@pytest.mark.parametrize(("defect", "name"), SEGMENT_DEFECTS, ids=[defect.__name__ for defect, _ in SEGMENT_DEFECTS])
def test_a_bad_big_segment_store_breaks_the_contract(defect: type[Segments], name: str) -> None:
    assert list(failing(segments_contract_of(defect), [name])) == [name]


def test_every_test_of_the_contract_of_big_segments_can_fail() -> None:
    assert {name for _, name in SEGMENT_DEFECTS} == set(names_of(BigSegmentStoreContract))
