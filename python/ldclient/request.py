"""The flags of one request: :class:`RequestFlags`, what every framework's door makes and hands to its application.

1. The user is asked for at the first evaluation and once a request: a request that asks for no flag loads no user.
2. All evaluations of a request read one view of the flags, which is made at the first of them.
3. A loader that raises, or that nobody gave, costs the user and not the request: evaluations have nobody then
   (``USER_NOT_SPECIFIED``), and one line in the log says what to do.
4. What a template asks never raises. In strict mode, which tests and debugging use, all of this raises instead.
"""

from __future__ import annotations

import _thread

from . import ambient, logs

# `typing` takes longer to import than this whole package; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from ._ldclient import _User
    from ._pinned import PinnedClient
    from .ambient import Frame, ScopeFrame
    from .client import LDClient
    from .evaluation import EvaluationDetail, FeatureFlagsState

__all__ = ["RequestFlags", "UnknownFlagError"]


class UnknownFlagError(LookupError):
    """A flag that does not exist was asked for in strict mode.

    :param key: the flag
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"there is no feature flag with the key {self.key!r}"


class RequestFlags:
    """The flags of one request: whom they are for, and one view of them that no change alters meanwhile.

    :param load: called without arguments for the user, at most once; None: nobody gave a loader. Then the user is that
        of the block around the request, if there is one
    :param ask: returns the client to ask; default the shared one
    :param strict: raise what would otherwise only be logged; default False
    :param advice: what the log says when there is no loader

    In a ``with`` block it is what ``ldclient.variation`` and its kin ask. Any thread of the request may use it.

    >>> from ldclient import Config, LDClient, variation
    >>> client = LDClient(Config(offline=True))
    >>> with RequestFlags(lambda: {"key": "aa0ceb"}, ask=lambda: client) as flags:
    ...     flags.variation("new-ui", False), variation("new-ui", False)
    (False, False)
    """

    __slots__ = ("_advice", "_ask", "_load", "_once", "_view", "began_in", "strict")

    def __init__(
        self,
        load: Callable[[], _User | None] | None,
        *,
        ask: Callable[[], LDClient] = ambient.shared_client,
        strict: bool = False,
        advice: str = "",
    ) -> None:
        self._load = load
        self._ask = ask
        self._advice = advice
        self.strict = strict
        # What was made once: "user", "view", and who is loading. `setdefault` is atomic.
        self._once: dict[str, Any] = {}
        self._view: PinnedClient | None = None
        # The block around the request.
        self.began_in: Frame | ScopeFrame | None = None

    @property
    def user(self) -> _User | None:
        """Whom flags are evaluated for; None for nobody. Assign it when somebody logs in during the request."""
        once = self._once
        try:
            user: _User | None = once["user"]
        except KeyError:
            return self._load_user()
        return user

    @user.setter
    def user(self, user: _User | None) -> None:
        self._once["user"] = user

    def client(self) -> LDClient | PinnedClient:
        """Returns the view that evaluates the flags of this request.

        :raises RuntimeError: neither a key nor a Config was given
        """
        view = self._view
        if view is None:
            view = self._view = self._once.setdefault("view", self._ask().pinned())
        return view

    def variation(self, key: str, default: Any = None) -> Any:
        """Returns the flag's value for the request's user.

        :param key: the flag
        :param default: what is returned when the flag has no value for the user; default None
        :raises RuntimeError: neither a key nor a Config was given
        :raises UnknownFlagError: in strict mode, when there is no such flag
        """
        if self.strict:
            return self.variation_detail(key, default).value
        return self.client().variation(key, self.user, default)

    def variation_detail(self, key: str, default: Any = None) -> EvaluationDetail[Any]:
        """Returns the value with the reason. Takes and raises what :meth:`variation` does."""
        detail = self.client().variation_detail(key, self.user, default)
        if self.strict and detail.reason.get("errorKind") == "FLAG_NOT_FOUND":
            raise UnknownFlagError(key)
        return detail

    def is_active(self, key: str, default: bool = False) -> bool:
        """Tells whether the flag's value is true in Python's sense. Takes and raises what :meth:`variation` does."""
        return bool(self.variation(key, default))

    def shown(self, key: str, default: Any = None) -> Any:
        """Returns what :meth:`variation` does, for a template: never raises, except in strict mode."""
        try:
            return self.variation(key, default)
        except UnknownFlagError:
            raise
        except Exception as error:
            if self.strict:
                raise
            contained(f"Feature flag {key!r} was not evaluated, its default is shown", error)
            return default

    def track(self, name: str, data: Any = None, metric_value: float | None = None) -> None:
        """Records that the request's user did something.

        :param name: the event
        :param data: what to send with it; any value that JSON has
        :param metric_value: a number for a metric
        :raises RuntimeError: neither a key nor a Config was given
        """
        user = self.user
        self.client().track(name, ambient.anonymous_user() if user is None else user, data, metric_value)

    def all_flags_state(self, *, client_side_only: bool = False, with_reasons: bool = False) -> FeatureFlagsState:
        """Returns all flags for the request's user.

        :param client_side_only: only flags that client-side SDKs may see; default False
        :param with_reasons: with the reason of each; default False
        :raises RuntimeError: neither a key nor a Config was given
        """
        return self.client().all_flags_state(self.user, client_side_only, with_reasons)

    def bootstrap(self, *, client_side_only: bool = True, with_reasons: bool = False) -> str:
        """Returns what the JavaScript SDK starts from, as JSON that may stand in a ``<script>`` element.

        :param client_side_only: only flags that client-side SDKs may see; default True
        :param with_reasons: with the reason of each; default False
        :return: an object with ``context`` (without private attributes), ``flags`` and ``hash`` (for secure mode; null
            without an SDK key). Without a user, and when something fails, the three are null, ``{"$valid": false}`` and
            null. Never raises, except in strict mode
        """
        from ._bootstrap import NOTHING, bootstrap

        try:
            return bootstrap(self.client(), self.user, client_side_only, with_reasons)
        except Exception as error:
            if self.strict:
                raise
            contained("The flags for the JavaScript SDK were left out of a page", error)
            return NOTHING

    def end(self) -> None:
        """Lets go of the user loader at the end of the request, and with it of what it keeps. Never raises."""
        self._load, self._advice = None, ""

    def __enter__(self) -> RequestFlags:
        ambient._frame.set(ambient.ScopeFrame(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ambient.leave()

    def _load_user(self) -> _User | None:
        once, load = self._once, self._load
        if load is None:
            around = self.began_in
            if around is not None:
                return around.scope.user if isinstance(around, ambient.ScopeFrame) else around.user
            if self.strict:
                raise LookupError(self._advice)
            say_once(self._advice)
            return None
        me = _thread.get_ident()
        if once.get("loading") == me:
            # The loader itself evaluates flags.
            return None
        once["loading"] = me
        user: _User | None = None
        try:
            user = load()
        except Exception as error:
            if self.strict:
                raise
            contained(
                f"The user loader {name_of(load)} raised, so flags are evaluated for nobody in that request. "
                "Return None from it where there is no user",
                error,
            )
        finally:
            once.pop("loading", None)
        found: _User | None = once.setdefault("user", user)
        return found


# What was said already, so that a page that is asked for a thousand times a second says it once.
_said: set[str] = set()


def say_once(message: str) -> None:
    """Logs a warning, the first time in this process."""
    if message and message not in _said:
        _said.add(message)
        logs.logger().warning("%s", message)


def contained(what: str, error: BaseException) -> None:
    """Logs what an exception cost, the first time it comes from that place. Its text is left out: it may tell a secret."""
    from ._hooks import describe

    # What neither key nor Config costs is explained by its own words, which hold no secret.
    why = str(error) if isinstance(error, RuntimeError) and "set_config" in str(error) else describe(error)
    message = f"{what}: {why}."
    if message not in _said:
        _said.add(message)
        logs.logger().error("%s", message)


def name_of(function: Any) -> str:
    """What a user calls a function."""
    function = getattr(function, "func", function)
    # What calls a coroutine function (of asgiref's).
    function = getattr(function, "awaitable", function)
    return str(getattr(function, "__qualname__", type(function).__qualname__))
