"""Flags that a test makes itself: :class:`TestData`. Starts no thread and opens no connection.

Names and behaviour are those of launchdarkly-server-sdk 9.20.
"""

from __future__ import annotations

import os

from ..interfaces import UpdateProcessor

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any
    from weakref import ref

    from ..client import LDClient
    from ..config import Config
    from ..interfaces import FeatureStore

__all__ = ["FlagBuilder", "FlagRuleBuilder", "TestData"]

TRUE_VARIATION_INDEX = 0
FALSE_VARIATION_INDEX = 1

_USER = "user"


class TestData:
    """Flags for tests, which can change at any time. Give it to ``Config(update_processor_class=...)``.

    Any number of clients may use the same one; each hears of every change before ``update`` returns. Every method may
    be called from any thread.

    >>> from ldclient import Config, LDClient
    >>> td = TestData.data_source()
    >>> _ = td.update(td.flag("new-search").variation_for_all(False).variation_for_user("ann", True))
    >>> with LDClient(Config("any-key", update_processor_class=td, send_events=False)) as client:
    ...     client.variation("new-search", {"key": "ann"}, None), client.variation("new-search", {"key": "bob"}, None)
    (True, False)
    """

    # No class of tests, whatever pytest thinks of its name.
    __test__ = False

    def __init__(self) -> None:
        self._builders: dict[str, FlagBuilder] = {}
        self._flags: dict[str, dict[str, Any]] = {}
        self._clients: list[ref[LDClient]] = []
        self._processors: list[_Processor] = []
        self._locks: dict[int, threading.Lock] = {}

    @staticmethod
    def data_source() -> TestData:
        """Returns a new source without flags."""
        return TestData()

    def flag(self, key: str) -> FlagBuilder:
        """Returns a builder of a flag; give it to :meth:`update`.

        :param key: the flag's key
        :return: a copy of what was given to ``update`` last, else a boolean flag that is on, with True for everybody
            and False when off
        """
        builder = self._builders.get(key)
        return FlagBuilder(key).boolean_flag() if builder is None else builder._copy()

    def update(self, flag_builder: FlagBuilder) -> TestData:
        """Adds or replaces a flag, here and in all clients; what is done to the builder later has no effect.

        :param flag_builder: the flag
        :return: this object
        :raises TypeError: a variation or a value to match is nothing that JSON has; nothing is changed then
        :raises ValueError: the same, for a number that is not finite
        """
        key = flag_builder._key
        with self._lock():
            known = self._flags.get(key)
            flag = flag_builder._build(1 if known is None else known["version"] + 1)
            text = _json(flag)
            self._flags[key] = flag
            self._builders[key] = flag_builder._copy()
            # Under the lock: a client takes versions in order, and begins with what is known then.
            for client in self._open_clients():
                client._apply(text, "features", key)
            processors = list(self._processors)
        for processor in processors:
            processor.upsert(flag)
        return self

    def __call__(self, config: Config, store: FeatureStore, ready: threading.Event) -> UpdateProcessor:  # noqa: ARG002
        """Returns a data source that writes to a store; for those who wrap this one in an update processor."""
        return _Processor(self, store, ready)

    def _attach(self, client: LDClient) -> None:
        """Gives the client all flags, and from now on every change, until it is closed or nobody holds it."""
        from weakref import ref

        with self._lock():
            client._apply(_json({"flags": self._flags, "segments": {}}))
            self._clients.append(ref(client))

    def _open_clients(self) -> list[LDClient]:
        found = [(reference, reference()) for reference in self._clients]
        alive = [(reference, client) for reference, client in found if client is not None and not client.is_closed()]
        self._clients[:] = [reference for reference, _ in alive]
        return [client for _, client in alive]

    def _lock(self) -> threading.Lock:
        # One for each process: an inherited one may be held for ever.
        pid = os.getpid()
        lock = self._locks.get(pid)
        if lock is None:
            import threading

            lock = self._locks.setdefault(pid, threading.Lock())
        return lock


class _Processor(UpdateProcessor):
    """Writes the flags of a TestData to a store."""

    def __init__(self, test_data: TestData, store: FeatureStore, ready: threading.Event) -> None:
        self._test_data = test_data
        self._store = store
        self._ready = ready

    def start(self) -> None:
        from ..versioned_data_kind import FEATURES, SEGMENTS

        with self._test_data._lock():
            flags = dict(self._test_data._flags)
            self._test_data._processors.append(self)
        self._store.init({FEATURES: flags, SEGMENTS: {}})
        self._ready.set()

    def stop(self) -> None:
        with self._test_data._lock():
            if self in self._test_data._processors:
                self._test_data._processors.remove(self)

    def initialized(self) -> bool:
        return self._ready.is_set()

    def upsert(self, flag: dict[str, Any]) -> None:
        from ..versioned_data_kind import FEATURES

        self._store.upsert(FEATURES, flag)


class FlagBuilder:
    """Describes a flag for :meth:`TestData.update`. Get one from :meth:`TestData.flag`.

    Wherever a variation is asked for, it is the index of one, or True or False, which makes the flag a boolean one.

    :param key: the flag's key
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._on = True
        self._variations: list[Any] = []
        self._off_variation: int | None = None
        self._fallthrough_variation: int | None = None
        # Kind of context -> variation -> keys.
        self._targets: dict[str, dict[int, set[str]]] = {}
        self._rules: list[FlagRuleBuilder] = []

    def on(self, on: bool) -> FlagBuilder:
        """Says whether targets and rules are asked at all; if not, the off variation is served."""
        self._on = on
        return self

    def fallthrough_variation(self, variation: bool | int) -> FlagBuilder:
        """Says what is served to those whom no target and no rule matches."""
        self._fallthrough_variation = self._index(variation)
        return self

    def off_variation(self, variation: bool | int) -> FlagBuilder:
        """Says what is served when the flag is off."""
        self._off_variation = self._index(variation)
        return self

    def boolean_flag(self) -> FlagBuilder:
        """Makes it a flag with the variations True, which is served, and False, when off; unless it has those two."""
        variations = self._variations
        if len(variations) == 2 and variations[0] is True and variations[1] is False:
            return self
        self.variations(True, False)
        self._fallthrough_variation = TRUE_VARIATION_INDEX
        self._off_variation = FALSE_VARIATION_INDEX
        return self

    def variations(self, *variations: Any) -> FlagBuilder:
        """Says which values the flag has: any that JSON has.

        >>> flag = TestData.data_source().flag("colour").variations("red", "green", "blue")
        """
        self._variations = list(variations)
        return self

    def variation_for_all(self, variation: bool | int) -> FlagBuilder:
        """Serves this variation to everybody: turns the flag on and removes targets and rules."""
        index = self._index(variation)
        return self.clear_rules().clear_targets().on(True).fallthrough_variation(index)

    def value_for_all(self, value: Any) -> FlagBuilder:
        """Serves this value to everybody: makes it the only variation, and removes targets and rules."""
        return self.variations(value).variation_for_all(0)

    def variation_for_user(self, user_key: str, variation: bool | int) -> FlagBuilder:
        """Serves this variation to one user while the flag is on."""
        return self.variation_for_key(_USER, user_key, variation)

    def variation_for_key(self, context_kind: str, context_key: str, variation: bool | int) -> FlagBuilder:
        """Serves this variation to one context while the flag is on.

        :param context_kind: its kind
        :param context_key: its key
        :param variation: the variation; an index that the flag does not have only ends what was said of this context
        """
        wanted = self._index(variation)
        targets = self._targets.setdefault(context_kind, {})
        for index in range(len(self._variations)):
            if index == wanted:
                targets.setdefault(index, set()).add(context_key)
            elif index in targets:
                targets[index].discard(context_key)
        return self

    def if_match(self, attribute: str, *values: Any) -> FlagRuleBuilder:
        """Begins a rule for users whose attribute is one of these values.

        >>> flag = TestData.data_source().flag("f").if_match("country", "gb", "ie").then_return(True)
        """
        return self.if_match_context(_USER, attribute, *values)

    def if_match_context(self, context_kind: str, attribute: str, *values: Any) -> FlagRuleBuilder:
        """Begins a rule for contexts of this kind whose attribute is one of these values."""
        return FlagRuleBuilder(self).and_match_context(context_kind, attribute, *values)

    def if_not_match(self, attribute: str, *values: Any) -> FlagRuleBuilder:
        """Begins a rule for users who have the attribute, with none of these values."""
        return self.if_not_match_context(_USER, attribute, *values)

    def if_not_match_context(self, context_kind: str, attribute: str, *values: Any) -> FlagRuleBuilder:
        """Begins a rule for contexts of this kind that have the attribute, with none of these values."""
        return FlagRuleBuilder(self).and_not_match_context(context_kind, attribute, *values)

    def clear_rules(self) -> FlagBuilder:
        """Removes all rules."""
        self._rules = []
        return self

    def clear_targets(self) -> FlagBuilder:
        """Removes what was said of single contexts."""
        self._targets = {}
        return self

    def _index(self, variation: bool | int) -> int:
        if isinstance(variation, bool):
            self.boolean_flag()
            return TRUE_VARIATION_INDEX if variation else FALSE_VARIATION_INDEX
        return variation

    def _copy(self) -> FlagBuilder:
        copy = FlagBuilder(self._key)
        copy._on = self._on
        copy._variations = list(self._variations)
        copy._off_variation = self._off_variation
        copy._fallthrough_variation = self._fallthrough_variation
        copy._targets = {
            kind: {index: set(keys) for index, keys in targets.items()} for kind, targets in self._targets.items()
        }
        copy._rules = list(self._rules)
        return copy

    def _build(self, version: int) -> dict[str, Any]:
        """Returns the flag in the form in which the service has it."""
        targets, context_targets = [], []
        for kind, by_variation in self._targets.items():
            for index, keys in by_variation.items():
                target = {"variation": index, "values": sorted(keys)}
                if kind == _USER:
                    # The second list has the order of all kinds, the first one the keys of users.
                    targets.append(target)
                    context_targets.append({"contextKind": kind, "variation": index, "values": []})
                else:
                    context_targets.append({"contextKind": kind, **target})
        return {
            "key": self._key,
            "version": version,
            "on": self._on,
            "variations": list(self._variations),
            "prerequisites": [],
            "salt": "",
            "offVariation": self._off_variation,
            "fallthrough": {"variation": self._fallthrough_variation},
            "targets": targets,
            "contextTargets": context_targets,
            "rules": [rule._build(f"rule{index}") for index, rule in enumerate(self._rules)],
        }


class FlagRuleBuilder:
    """Describes a rule: all its conditions must hold. Begun by ``if_match`` and its kin, ended by :meth:`then_return`.

    :param flag_builder: the flag that gets the rule
    """

    def __init__(self, flag_builder: FlagBuilder) -> None:
        self._flag_builder = flag_builder
        self._clauses: list[dict[str, Any]] = []
        self._variation: int | None = None

    def and_match(self, attribute: str, *values: Any) -> FlagRuleBuilder:
        """Adds: the user's attribute is one of these values."""
        return self.and_match_context(_USER, attribute, *values)

    def and_match_context(self, context_kind: str, attribute: str, *values: Any) -> FlagRuleBuilder:
        """Adds: the attribute of the context of this kind is one of these values."""
        return self._and(context_kind, attribute, values, False)

    def and_not_match(self, attribute: str, *values: Any) -> FlagRuleBuilder:
        """Adds: the user has the attribute, with none of these values."""
        return self.and_not_match_context(_USER, attribute, *values)

    def and_not_match_context(self, context_kind: str, attribute: str, *values: Any) -> FlagRuleBuilder:
        """Adds: the context of this kind has the attribute, with none of these values."""
        return self._and(context_kind, attribute, values, True)

    def then_return(self, variation: bool | int) -> FlagBuilder:
        """Ends the rule with the variation that it serves, and returns the flag's builder."""
        self._variation = self._flag_builder._index(variation)
        self._flag_builder._rules.append(self)
        return self._flag_builder

    def _and(self, kind: str, attribute: str, values: tuple[Any, ...], negate: bool) -> FlagRuleBuilder:
        clause = {"contextKind": kind, "attribute": attribute, "op": "in", "values": list(values), "negate": negate}
        self._clauses.append(clause)
        return self

    def _build(self, identity: str) -> dict[str, Any]:
        return {"id": identity, "variation": self._variation, "clauses": list(self._clauses)}


def _json(data: object) -> str:
    import json

    return json.dumps(data, allow_nan=False)
