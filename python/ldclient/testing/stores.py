"""What a store that you wrote has to do, as tests to run against it, under :mod:`unittest` or pytest.

Make a class of the contract and :class:`unittest.TestCase`, and say how a store is made and how its data is cleared::

    class MyStoreTest(FeatureStoreContract, unittest.TestCase):
        def make_store(self, prefix):
            return MyStore("localhost", prefix)

        def clear(self, prefix):
            database("localhost").delete_all(prefix)

Every test begins by clearing the data of ``prefix`` and of ``prefix + "2"``: never name a prefix that is in use. What a
contract cannot try without help (an outage, others that write at the wrong moment) is skipped, with a reason that names
the method to override. How clients use a store is told in :mod:`ldclient.interfaces`.
"""

from __future__ import annotations

import copy
import threading
from abc import abstractmethod

from ..feature_store import CacheConfig
from ..feature_store_helpers import CachingStoreWrapper
from ..versioned_data_kind import FEATURES, SEGMENTS
from ._big_segment_stores import BigSegmentStoreContract
from ._checks import closing, fails, is_true, same, skip

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any

    from ..interfaces import FeatureStore, FeatureStoreCore

__all__ = ["BigSegmentStoreContract", "FeatureStoreContract", "FeatureStoreCoreContract"]

# More than any database takes in one request.
_MANY = 120

_KEYS = ("a.b-c_D9", "a space", "a/slash", "a:colon", "per%20cent", "?#&+=", "été", "☃", "旗", "$inited", "'\"\\")

# Members that a store must leave as they are, whether or not it knows them.
_RICH = {
    "variations": [1, 1.5, -0.25, 9_007_199_254_740_993, None, True, "", "été ☃", [], {}, {"deep": [{"er": None}]}],
    "on": True,
    "salt": "",
    "deleted": False,
    "not of this release": {"a": [1]},
}


def _item(key: str, version: int, **more: Any) -> dict[str, Any]:
    return {"key": key, "version": version, **more}


def _mark(key: str, version: int) -> dict[str, Any]:
    return _item(key, version, deleted=True)


class FeatureStoreContract:
    """What every :class:`ldclient.interfaces.FeatureStore` has to do.

    Turn off the cache of a store that has one: what is written by one store is at once looked for in another.
    """

    prefix = "contract"
    """Whose data the tests clear and write; they use this text with a ``2`` behind it, too."""

    is_shared = True
    """Whether two stores of one prefix see the same data, as those of a database do."""

    has_prefixes = True
    """Whether stores of two prefixes see different data."""

    @abstractmethod
    def make_store(self, prefix: str) -> FeatureStore:
        """Returns a new store of this prefix. It is closed at the end of the test, if it has ``close()``."""
        raise NotImplementedError(f"{type(self).__name__}.make_store(prefix) is to return a new store")

    def clear(self, prefix: str) -> None:  # noqa: ARG002
        """Deletes all that stores of this prefix hold, as if none had ever been there. Does nothing if not overridden,
        which is right where ``is_shared`` is False."""
        if self.is_shared:
            raise NotImplementedError(f"{type(self).__name__}.clear(prefix) is to delete what stores of a prefix hold")

    def make_unavailable_store(self) -> FeatureStore | None:
        """Returns a store whose database cannot be reached, which it notices within seconds; None if there is no such
        thing."""
        return None

    def make_interrupted_store(
        self,
        prefix: str,  # noqa: ARG002
        interrupt: Callable[[], None],  # noqa: ARG002
    ) -> FeatureStore | None:
        """Returns a store that calls ``interrupt()`` in ``upsert`` at the worst moment: it knows by then which version is
        there, and has not written. None if there is no such moment, or no way to be there."""
        return None

    # init

    def test_a_store_that_nobody_filled_is_not_initialized(self) -> None:
        with self._cleared() as store:
            self._is_initialized(store, False, "Nothing was ever written.")

    def test_init_without_items_initializes_too(self) -> None:
        with self._cleared() as store:
            store.init({FEATURES: {}, SEGMENTS: {}})
            with self._open(same_as=store) as another:
                self._is_initialized(another, True, "An environment without flags is one, too.")
            same(store.all(FEATURES), {}, "all(FEATURES)", "Nothing is an empty dict.")

    def test_an_update_alone_does_not_initialize(self) -> None:
        with self._cleared() as store:
            store.upsert(FEATURES, _item("a", 1))
            self._is_initialized(store, False, "One flag is not all flags: only init() marks a store as filled.")

    def test_init_keeps_each_kind_apart(self) -> None:
        with self._cleared() as store:
            flag, segment = _item("same", 1, on=True), _item("same", 2, included=["u"])
            store.init({FEATURES: {"same": flag, "f": _item("f", 1)}, SEGMENTS: {"same": segment}})
            rule = "Flags and segments with the same key are two items."
            self._holds(store, flag, rule)
            self._holds(store, segment, rule, SEGMENTS)
            same(store.all(SEGMENTS), {"same": segment}, "all(SEGMENTS)", rule)

    def test_init_replaces_everything_whatever_the_versions(self) -> None:
        with self._cleared() as store:
            store.init({FEATURES: {"a": _item("a", 9), "b": _item("b", 9)}, SEGMENTS: {"s": _item("s", 9)}})
            store.delete(FEATURES, "gone", 9)
            old = _item("a", 1)
            store.init({FEATURES: {"a": old}, SEGMENTS: {}})
            rule = "init() is the whole truth: what it does not name is no longer there."
            same(store.all(FEATURES), {"a": old}, "all(FEATURES)", rule)
            same(store.all(SEGMENTS), {}, "all(SEGMENTS)", rule)
            again = _item("gone", 1)
            store.upsert(FEATURES, again)
            self._holds(store, again, "init() removes the marks of deletions, too.")

    def test_init_writes_more_items_than_fit_into_one_request(self) -> None:
        with self._cleared() as store:
            flags = {f"flag{number}": _item(f"flag{number}", number, text="x" * 4_000) for number in range(_MANY)}
            for kept in (flags, {key: flags[key] for key in list(flags)[:2]}):
                store.init({FEATURES: kept, SEGMENTS: {}})
                same(len(store.all(FEATURES)), len(kept), "the number of flags", "init() writes each item.")
                same(store.all(FEATURES), kept, "all(FEATURES)", "init() writes each item.")

    # get and all

    def test_what_is_not_there_is_none(self) -> None:
        with self._cleared() as store:
            same(store.get(FEATURES, "a"), None, "get('a') in an empty store", "What is not there is None.")
            same(store.all(FEATURES), {}, "all(FEATURES) in an empty store", "Nothing is an empty dict.")
            store.init({FEATURES: {"b": _item("b", 1)}, SEGMENTS: {}})
            same(store.get(FEATURES, "a"), None, "get('a')", "What is not there is None.")

    def test_callbacks_are_given_what_was_found(self) -> None:
        with self._cleared() as store:
            item = _item("a", 1)
            store.init({FEATURES: {"a": item, "gone": _mark("gone", 1)}, SEGMENTS: {}})
            rule = "The callback's answer is the answer."
            same(store.get(FEATURES, "a", lambda found: [found]), [item], "get('a', callback)", rule)
            same(store.get(FEATURES, "b", lambda found: [found]), [None], "get('b', callback)", rule)
            same(store.get(FEATURES, "gone", lambda found: [found]), [None], "get of a deleted item", rule)
            same(store.all(FEATURES, lambda found: [found]), [{"a": item}], "all(FEATURES, callback)", rule)

    def test_items_come_back_as_they_were(self) -> None:
        with self._cleared() as store:
            first, second = _item("a", 1, **_RICH), _item("b", 2, **_RICH)
            store.init({FEATURES: {"a": copy.deepcopy(first)}, SEGMENTS: {}})
            store.upsert(FEATURES, copy.deepcopy(second))
            rule = "An item is JSON that a store keeps as it is, members that it does not know too."
            self._holds(store, first, rule)
            self._holds(store, second, rule)
            same(store.all(FEATURES), {"a": first, "b": second}, "all(FEATURES)", rule)

    def test_what_is_handed_in_is_not_changed(self) -> None:
        with self._cleared() as store:
            item = _item("a", 2, **_RICH)
            data: dict[Any, dict[str, Any]] = {FEATURES: {"a": _item("a", 1, **_RICH)}, SEGMENTS: {}}
            before = copy.deepcopy((data[FEATURES], item))
            store.init(data)
            store.upsert(FEATURES, item)
            same((data[FEATURES], item), before, "what init() and upsert() were given", "It belongs to the caller.")

    def test_keys_of_every_kind_name_their_own_item(self) -> None:
        with self._cleared() as store:
            half = len(_KEYS) // 2
            items = {key: _item(key, 1, name=key) for key in _KEYS}
            store.init({FEATURES: {key: items[key] for key in _KEYS[:half]}, SEGMENTS: {}})
            for key in _KEYS[half:]:
                store.upsert(FEATURES, items[key])
            for item in items.values():
                self._holds(store, item, "A key is any text.")
            same(store.all(FEATURES), items, "all(FEATURES)", "A key is any text.")

    # upsert and delete

    def test_a_newer_version_replaces_an_older_one_and_nothing_else(self) -> None:
        with self._cleared() as store:
            other, newer = _item("b", 1), _item("a", 10, on=True)
            # As text, 10 comes before 9.
            store.init({FEATURES: {"a": _item("a", 9), "b": other}, SEGMENTS: {"a": _item("a", 1)}})
            store.upsert(FEATURES, newer)
            self._holds(store, newer, "A newer version replaces an older one.")
            self._holds(store, other, "Other items stay as they are.")
            self._holds(store, _item("a", 1), "Other kinds stay as they are.", SEGMENTS)
            self._is_initialized(store, True, "An update takes nothing away.")

    def test_the_same_or_an_older_version_changes_nothing(self) -> None:
        with self._cleared() as store:
            first = _item("a", 10, on=True)
            store.init({FEATURES: {"a": first}, SEGMENTS: {}})
            for version in (10, 9, 1):
                store.upsert(FEATURES, _item("a", version, on=False))
                self._holds(store, first, "Updates may come late: one that is not newer than what is there is ignored.")

    def test_a_new_item_is_added(self) -> None:
        with self._cleared() as store:
            store.init({FEATURES: {}, SEGMENTS: {}})
            for kind in (FEATURES, SEGMENTS):
                item = _item("new", 1, of=kind.namespace)
                store.upsert(kind, item)
                self._holds(store, item, "What is not there yet is added.", kind)

    def test_versions_may_be_times_in_milliseconds(self) -> None:
        with self._cleared() as store:
            for version in (1_760_000_000_000, 1_760_000_000_001):
                store.upsert(FEATURES, _item("a", version))
                self._holds(store, _item("a", version), "A version is a number of up to 2 to the power of 53.")

    def test_a_deletion_hides_the_item_and_outlives_late_updates(self) -> None:
        with self._cleared() as store:
            other, again = _item("b", 1), _item("a", 12)
            store.init({FEATURES: {"a": _item("a", 9), "b": other}, SEGMENTS: {}})
            store.delete(FEATURES, "a", 10)
            rule = "A deleted item is not there."
            same(store.get(FEATURES, "a"), None, "get('a') after its deletion", rule)
            same(store.all(FEATURES), {"b": other}, "all(FEATURES)", rule)
            for version in (9, 10):
                store.upsert(FEATURES, _item("a", version))
                rule = "The mark of a deletion has a version: an update that is not newer is ignored."
                same(store.get(FEATURES, "a"), None, f"get('a') after an update of version {version}", rule)
            store.upsert(FEATURES, again)
            self._holds(store, again, "A newer version makes a deleted item anew.")

    def test_a_deletion_that_comes_late_is_ignored(self) -> None:
        with self._cleared() as store:
            item = _item("a", 10)
            store.init({FEATURES: {"a": item}, SEGMENTS: {}})
            for version in (9, 10):
                store.delete(FEATURES, "a", version)
                self._holds(store, item, "A deletion that is not newer than what is there is ignored.")

    def test_what_was_never_there_can_be_deleted(self) -> None:
        with self._cleared() as store:
            store.delete(SEGMENTS, "a", 2)
            same(store.all(SEGMENTS), {}, "all(SEGMENTS)", "A deleted item is not there.")
            store.upsert(SEGMENTS, _item("a", 1))
            rule = "The deletion may come before the update that it is newer than."
            same(store.get(SEGMENTS, "a"), None, "get('a')", rule)

    def test_the_mark_of_a_deletion_may_come_as_an_item(self) -> None:
        with self._cleared() as store:
            store.init({FEATURES: {"gone": _mark("gone", 5), "a": _item("a", 1)}, SEGMENTS: {}})
            store.upsert(FEATURES, _mark("a", 2))
            same(store.all(FEATURES), {}, "all(FEATURES)", "An item with 'deleted': True is the mark of a deletion.")
            store.upsert(FEATURES, _item("gone", 4))
            same(store.get(FEATURES, "gone"), None, "get('gone')", "A mark in init() has a version, too.")

    # Several stores, several writers

    def test_what_one_store_writes_another_one_reads(self) -> None:
        if not self.is_shared:
            skip("is_shared is False: each store has data of its own")
        with self._cleared() as store, self._open() as reader:
            store.init({FEATURES: {"a": _item("a", 1), "b": _item("b", 1)}, SEGMENTS: {}})
            self._is_initialized(reader, True, "It counts what was written, not who did it.")
            newer = _item("a", 2)
            store.upsert(FEATURES, newer)
            store.delete(FEATURES, "b", 2)
            rule = "Stores of one prefix see the same data; turn off the cache of the store for these tests."
            same(reader.all(FEATURES), {"a": newer}, "all(FEATURES) of another store", rule)
            reader.upsert(FEATURES, _item("b", 1))
            same(store.get(FEATURES, "b"), None, "get('b')", "Versions are compared with what is in the database.")

    def test_prefixes_keep_data_apart(self) -> None:
        if not self.has_prefixes:
            skip("has_prefixes is False: there is one set of data")
        with self._cleared() as store, self._open("2") as other:
            store.init({FEATURES: {"a": _item("a", 5)}, SEGMENTS: {}})
            rule = "Stores of two prefixes know nothing of each other, also if one prefix begins with the other one."
            self._is_initialized(other, False, rule)
            same(other.all(FEATURES), {}, "all(FEATURES) of the other prefix", rule)
            item = _item("a", 1)
            other.init({FEATURES: {"a": item}, SEGMENTS: {}})
            store.init({FEATURES: {}, SEGMENTS: {}})
            same(other.all(FEATURES), {"a": item}, "all(FEATURES) of the other prefix", rule)

    def test_of_many_who_write_at_once_the_newest_version_wins(self) -> None:
        writers, last, failures = 4, 24, []
        with self._cleared() as store:
            store.init({FEATURES: {}, SEGMENTS: {}})

            def write(first: int) -> None:
                with self._open(same_as=store) as own:
                    for version in range(first, last + 1, writers):
                        # A store may give up when others write all the time; clients ask it again, too.
                        for chance in range(20):
                            try:
                                own.upsert(FEATURES, _item("a", version))
                                break
                            except Exception as error:
                                if chance == 19:
                                    failures.append(error)

            threads = [threading.Thread(target=write, args=(first + 1,), daemon=True) for first in range(writers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
                is_true(not thread.is_alive(), "the end of a thread that writes", "A store must not wait for ever.")
            same(failures, [], "what upsert() raised, asked 20 times", "Several may write at a time.")
            rule = "Between reading the version and writing the item nobody else may write."
            self._holds(store, _item("a", last), rule)

    def test_what_others_wrote_between_the_look_and_the_writing_counts(self) -> None:
        newest, middle = _item("a", 3, by="another"), _item("a", 2, by="another")
        for between, expected in ((newest, newest), (middle, _item("a", 3, by="itself"))):
            calls: list[int] = []

            def interrupt(item: dict[str, Any] = between, calls: list[int] = calls) -> None:
                calls.append(1)
                # Only the first time, or it would never end.
                if len(calls) == 1:
                    with self._open() as other:
                        other.upsert(FEATURES, dict(item))

            with self._cleared() as reader:
                reader.init({FEATURES: {"a": _item("a", 1)}, SEGMENTS: {}})
                store = self.make_interrupted_store(self.prefix, interrupt)
                if store is None:
                    skip("make_interrupted_store() is not overridden: nobody can write at the wrong moment")
                with closing(store):
                    store.upsert(FEATURES, _item("a", 3, by="itself"))
                is_true(calls, "the number of interruptions", "make_interrupted_store() is to call interrupt().")
                self._holds(reader, expected, "The version is compared with what is there when the item is written.")

    # Outages and the end

    def test_a_store_that_works_is_available(self) -> None:
        with self._cleared() as store:
            enabled = getattr(store, "is_monitoring_enabled", None)
            if not callable(enabled) or not enabled():
                skip("the store does not report its failures (is_monitoring_enabled)")
            is_available = getattr(store, "is_available", None)
            is_true(callable(is_available), "whether is_available can be called", "Who reports failures has it.")
            is_true(is_available and is_available(), "is_available()", "The database is there, filled or not.")

    def test_a_store_without_its_database_says_so(self) -> None:
        made = self.make_unavailable_store()
        if made is None:
            skip("make_unavailable_store() is not overridden: there is no outage to be had")
        with closing(made) as store:
            is_available = getattr(store, "is_available", None)
            if callable(is_available):
                same(bool(is_available()), False, "is_available()", "It tells, and does not raise, that it is not.")
            rule = "An empty answer would turn all flags off: what cannot be asked or written must raise an Exception."
            fails(lambda: store.get(FEATURES, "a"), "get()", rule)
            fails(lambda: store.all(FEATURES), "all()", rule)
            fails(lambda: store.init({FEATURES: {}, SEGMENTS: {}}), "init()", rule)
            fails(lambda: store.upsert(FEATURES, _item("a", 1)), "upsert()", rule)
            fails(lambda: store.delete(FEATURES, "a", 1), "delete()", rule)

    def test_closing_twice_does_no_harm(self) -> None:
        with self._cleared() as store:
            close = getattr(store, "close", None)
            if not callable(close):
                skip("the store has no close()")
            store.init({FEATURES: {"a": _item("a", 1)}, SEGMENTS: {}})
            close()
            close()
            if self.is_shared:
                with self._open() as another:
                    self._holds(another, _item("a", 1), "What was written stays, and other stores stay open.")

    # In use

    def test_a_client_answers_from_what_it_holds(self) -> None:
        from .. import Config, LDClient

        off = {"on": False, "offVariation": 0}
        with self._cleared() as store:
            flags = {key: _item(key, 1, variations=[f"value of {key}"], **off) for key in ("a", "b")}
            store.init({FEATURES: {**flags, "gone": _mark("gone", 1)}, SEGMENTS: {}})
            config = Config("sdk-key", feature_store=store, use_ldd=True, send_events=False, diagnostic_opt_out=True)
            with LDClient(config, 10) as client:
                rule = "A client in daemon mode answers from the store."
                for key in flags:
                    value = client.variation(key, {"key": "u"}, "the default")
                    same(value, f"value of {key}", f"the value of the flag {key!r}", rule)
                state = client.all_flags_state({"key": "u"}).to_values_map()
                same(sorted(state), sorted(flags), "the keys of the state of all flags", rule)

    def _open(self, more: str = "", same_as: FeatureStore | None = None) -> AbstractContextManager[FeatureStore]:
        """A store on the same data as that one; the same one, where no other has it."""
        if same_as is not None and not self.is_shared:
            return closing(same_as, "")
        return closing(self.make_store(self.prefix + more))

    def _cleared(self) -> AbstractContextManager[FeatureStore]:
        for more in ("", "2"):
            self.clear(self.prefix + more)
        return self._open()

    def _holds(self, store: FeatureStore, item: dict[str, Any], rule: str, kind: Any = FEATURES) -> None:
        same(store.get(kind, item["key"]), item, f"get({kind.namespace}, {item['key']!r})", rule)

    def _is_initialized(self, store: FeatureStore, expected: bool, rule: str) -> None:
        same(bool(store.initialized), expected, "initialized", rule)


class FeatureStoreCoreContract(FeatureStoreContract):
    """What every :class:`ldclient.interfaces.FeatureStoreCore` has to do, by itself and within a
    :class:`ldclient.feature_store_helpers.CachingStoreWrapper`. Override ``make_core`` where the other contract has
    ``make_store``."""

    @abstractmethod
    def make_core(self, prefix: str) -> FeatureStoreCore:
        """Returns a new core of this prefix. It is closed at the end of the test, if it has ``close()``."""
        raise NotImplementedError(f"{type(self).__name__}.make_core(prefix) is to return a new core")

    def make_store(self, prefix: str) -> FeatureStore:
        """Returns a store of a new core, without a cache."""
        return CachingStoreWrapper(self.make_core(prefix), CacheConfig.disabled())

    def make_unavailable_core(self) -> FeatureStoreCore | None:
        """Does for a core what ``make_unavailable_store`` does for a store."""
        return None

    def make_interrupted_core(
        self,
        prefix: str,  # noqa: ARG002
        interrupt: Callable[[], None],  # noqa: ARG002
    ) -> FeatureStoreCore | None:
        """Does for a core what ``make_interrupted_store`` does for a store."""
        return None

    def make_unavailable_store(self) -> FeatureStore | None:
        """Returns a store of a core that has no database."""
        core = self.make_unavailable_core()
        return None if core is None else CachingStoreWrapper(core, CacheConfig.disabled())

    def make_interrupted_store(self, prefix: str, interrupt: Callable[[], None]) -> FeatureStore | None:
        """Returns a store of a core that is interrupted."""
        core = self.make_interrupted_core(prefix, interrupt)
        return None if core is None else CachingStoreWrapper(core, CacheConfig.disabled())

    def test_a_core_returns_the_marks_of_deletions(self) -> None:
        core = self._filled_core({FEATURES: {"a": _item("a", 1), "gone": _mark("gone", 1)}, SEGMENTS: {}})
        with closing(core):
            core.upsert_internal(FEATURES, _mark("a", 2))
            rule = "What marks mean is the wrapper's question; a core returns them as they are."
            for key, version in (("a", 2), ("gone", 1)):
                found: Any = core.get_internal(FEATURES, key) or {}
                told = (bool(found.get("deleted")), found.get("version"))
                same(told, (True, version), f"(deleted, version) of get_internal({key!r})", rule)
            same(sorted(core.get_all_internal(FEATURES)), ["a", "gone"], "the keys of get_all_internal()", rule)

    def test_an_update_returns_what_is_there_afterwards(self) -> None:
        first, newer, late = _item("a", 5), _item("a", 6, on=True), _item("a", 6, on=False)
        core = self._filled_core({FEATURES: {"a": first}, SEGMENTS: {}})
        with closing(core):
            rule = "upsert_internal() returns what is stored afterwards: the wrapper keeps it."
            same(core.upsert_internal(FEATURES, newer), newer, "upsert_internal() of a newer version", rule)
            same(core.upsert_internal(FEATURES, late), newer, "upsert_internal() of the same version", rule)
            same(core.upsert_internal(FEATURES, first), newer, "upsert_internal() of an older version", rule)
            added = _item("b", 1)
            same(core.upsert_internal(FEATURES, added), added, "upsert_internal() of a new item", rule)

    def test_a_core_asks_anew_whether_it_was_filled(self) -> None:
        if not self.is_shared:
            skip("is_shared is False: each store has data of its own")
        self.clear(self.prefix)
        with closing(self.make_core(self.prefix)) as core:
            same(bool(core.initialized_internal()), False, "initialized_internal()", "Nothing was ever written.")
            with closing(self.make_core(self.prefix)) as other:
                other.init_internal({FEATURES: {}, SEGMENTS: {}})
            same(bool(core.initialized_internal()), True, "initialized_internal()", "Another process may fill it.")

    def _filled_core(self, data: Any) -> FeatureStoreCore:
        self.clear(self.prefix)
        core = self.make_core(self.prefix)
        core.init_internal(data)
        return core
