"""What every big segment store has to do; part of :mod:`ldclient.testing.stores`."""

from __future__ import annotations

import base64
import hashlib
from abc import abstractmethod

from ._checks import closing, fails, same, skip

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from typing import Any

    from ..interfaces import BigSegmentStore

__all__ = ["BigSegmentStoreContract"]


def _hash_of(context_key: str) -> str:
    return base64.b64encode(hashlib.sha256(context_key.encode()).digest()).decode()


class BigSegmentStoreContract:
    """What every :class:`ldclient.interfaces.BigSegmentStore` has to do.

    A store only reads. The tests need somebody who writes, as the relay that fills the database does: override
    ``write_time`` and ``write_membership``.
    """

    prefix = "contract"
    """Whose data the tests clear and write; they use this text with a ``2`` behind it, too."""

    has_prefixes = True
    """Whether stores of two prefixes see different data."""

    @abstractmethod
    def make_store(self, prefix: str) -> BigSegmentStore:
        """Returns a new store of this prefix. It is stopped at the end of the test."""
        raise NotImplementedError(f"{type(self).__name__}.make_store(prefix) is to return a new store")

    @abstractmethod
    def clear(self, prefix: str) -> None:
        """Deletes all that stores of this prefix hold."""
        raise NotImplementedError(f"{type(self).__name__}.clear(prefix) is to delete what stores of a prefix hold")

    @abstractmethod
    def write_time(self, prefix: str, last_up_to_date: int) -> None:
        """Writes when the data was last brought up to date, in milliseconds since 1970."""
        raise NotImplementedError(f"{type(self).__name__}.write_time(prefix, time) is to write the time of an update")

    @abstractmethod
    def write_membership(
        self, prefix: str, context_hash: str, included: Iterable[str], excluded: Iterable[str]
    ) -> None:
        """Writes the references of the segments that a context is included in, and excluded from. Either may be empty."""
        raise NotImplementedError(f"{type(self).__name__}.write_membership(...) is to write the segments of a context")

    def make_unavailable_store(self) -> BigSegmentStore | None:
        """Returns a store whose database cannot be reached, which it notices within seconds; None if there is no such
        thing."""
        return None

    def test_an_empty_store_was_never_brought_up_to_date(self) -> None:
        with self._cleared() as store:
            metadata: Any = store.get_metadata()
            same(metadata and metadata.last_up_to_date, None, "last_up_to_date", "None: there never was an update.")

    def test_the_time_of_the_last_update_is_in_milliseconds_and_read_anew_each_time(self) -> None:
        with self._cleared() as store:
            for time in (1_760_000_000_000, 1_760_000_000_001):
                self.write_time(self.prefix, time)
                rule = "Milliseconds since 1970, asked for at each call."
                same(store.get_metadata().last_up_to_date, time, "last_up_to_date", rule)

    def test_nothing_is_known_of_a_context_that_nobody_wrote(self) -> None:
        with self._cleared() as store:
            self.write_membership(self.prefix, _hash_of("another"), ["s.g1"], [])
            found = store.get_membership(_hash_of("u"))
            same(found or None, None, "get_membership() of a context that no segment names", "None, or an empty dict.")

    def test_included_is_true_and_excluded_is_false(self) -> None:
        for included, excluded in ((["s.g1", "t.g2"], ["u.g1"]), (["s.g1"], []), ([], ["s.g1"])):
            expected = {**dict.fromkeys(excluded, False), **dict.fromkeys(included, True)}
            with self._cleared() as store:
                self.write_membership(self.prefix, _hash_of("u"), included, excluded)
                found = store.get_membership(_hash_of("u"))
                same(found, expected, "get_membership()", "Included segments are True, excluded ones False.")

    def test_a_segment_that_includes_and_excludes_a_context_includes_it(self) -> None:
        with self._cleared() as store:
            self.write_membership(self.prefix, _hash_of("u"), ["both.g1"], ["both.g1", "out.g1"])
            found = store.get_membership(_hash_of("u"))
            same(found, {"both.g1": True, "out.g1": False}, "get_membership()", "Included wins.")

    def test_references_are_text_of_any_kind(self) -> None:
        with self._cleared() as store:
            references = ["a.b-c.g1", "été.g2", "with space.g1", "☃.g10"]
            self.write_membership(self.prefix, _hash_of("ключ ☃"), references, [])
            found = store.get_membership(_hash_of("ключ ☃"))
            same(found, dict.fromkeys(references, True), "get_membership()", "References are text, not bytes.")

    def test_prefixes_keep_data_apart(self) -> None:
        if not self.has_prefixes:
            skip("has_prefixes is False: there is one set of data")
        with self._cleared() as store, closing(self.make_store(self.prefix + "2"), "stop") as other:
            self.write_time(self.prefix, 5)
            self.write_membership(self.prefix, _hash_of("u"), ["s.g1"], [])
            rule = "Stores of two prefixes know nothing of each other, also if one prefix begins with the other one."
            same(store.get_membership(_hash_of("u")), {"s.g1": True}, "get_membership()", rule)
            same(other.get_membership(_hash_of("u")) or None, None, "get_membership() of the other prefix", rule)
            metadata: Any = other.get_metadata()
            same(metadata and metadata.last_up_to_date, None, "last_up_to_date of the other prefix", rule)

    def test_a_store_without_its_database_says_so(self) -> None:
        made = self.make_unavailable_store()
        if made is None:
            skip("make_unavailable_store() is not overridden: there is no outage to be had")
        with closing(made, "stop") as store:
            rule = "An empty answer would take everybody out of their segments: an outage must raise an Exception."
            fails(store.get_metadata, "get_metadata()", rule)
            fails(lambda: store.get_membership(_hash_of("u")), "get_membership()", rule)

    def test_stopping_twice_does_no_harm(self) -> None:
        with self._cleared() as store:
            store.get_metadata()
            store.stop()
            store.stop()

    def test_a_client_finds_the_segments_of_a_context(self) -> None:
        from .. import Config, LDClient
        from ..config import BigSegmentsConfig
        from ..feature_store import InMemoryFeatureStore
        from ..versioned_data_kind import FEATURES, SEGMENTS

        clause = {"attribute": "", "op": "segmentMatch", "values": ["s"]}
        switch: dict[str, Any] = {"on": True, "variations": [False, True], "fallthrough": {"variation": 0}}
        flag = {"key": "f", "version": 1, **switch, "rules": [{"id": "r", "variation": 1, "clauses": [clause]}]}
        flags = InMemoryFeatureStore()
        segment = {"key": "s", "version": 1, "unbounded": True, "generation": 2}
        flags.init({FEATURES: {"f": flag}, SEGMENTS: {"s": segment}})
        with self._cleared() as store:
            # Not in this century.
            self.write_time(self.prefix, 4_102_444_800_000)
            self.write_membership(self.prefix, _hash_of("u"), ["s.g2"], [])
            options: dict[str, Any] = {"feature_store": flags, "big_segments": BigSegmentsConfig(store)}
            with LDClient(Config("sdk-key", use_ldd=True, send_events=False, **options), 10) as client:
                for key, expected in (("u", True), ("nobody", False)):
                    detail = client.variation_detail("f", {"key": key}, None)
                    told = (detail.value, detail.reason.get("bigSegmentsStatus"))
                    same(told, (expected, "HEALTHY"), f"(value, status) for the context {key!r}", "Clients ask it so.")

    def _cleared(self) -> AbstractContextManager[BigSegmentStore]:
        for more in ("", "2"):
            self.clear(self.prefix + more)
        return closing(self.make_store(self.prefix), "stop")
