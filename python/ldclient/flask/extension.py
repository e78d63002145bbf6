"""The extension: :class:`FeatureFlags`. It keeps no application; what belongs to one is in ``app.extensions``.

What belongs to a request is in the request's own environment: it is right wherever Flask's context is, in a stream, in a
test's request context, and when a test holds an application context over many requests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, current_app, has_app_context, has_request_context, request
from markupsafe import Markup

from .. import ambient
from .._settings import client_for, config_from
from ..request import RequestFlags, contained
from .chain import (
    AppConfigFlagHandler,
    ClientFlagHandler,
    Handler,
    NoFeatureFlagFound,
    StopCheckingFeatureFlags,
    log,
    missing_feature,
)
from .commands import flags_group

if TYPE_CHECKING:
    from .._ldclient import _User
    from ..client import LDClient

__all__ = [
    "EXTENSION_NAME",
    "FEATURE_FLAGS_CONFIG",
    "RAISE_ERROR_ON_MISSING_FEATURES",
    "FeatureFlag",
    "FeatureFlags",
    "extension_of",
    "request_flags",
]

EXTENSION_NAME = "FeatureFlags"
FEATURE_FLAGS_CONFIG = "FEATURE_FLAGS"
RAISE_ERROR_ON_MISSING_FEATURES = "RAISE_ERROR_ON_MISSING_FEATURES"

_PREFIX = "LDCLIENT_"
_REQUEST_KEY = "ldclient.flask"
_NO_LOADER = (
    "Flags are evaluated for nobody, because no user loader was given: "
    "decorate a function that returns the request's user with @flags.user_loader."
)

_Loader = TypeVar("_Loader", bound="Callable[[], Any]")


class _State:
    """What one application has of the extension."""

    __slots__ = ("ask", "extension", "has_client", "strict")

    def __init__(self, extension: FeatureFlags, ask: Callable[[], LDClient], has_client: bool, strict: bool) -> None:
        self.extension = extension
        self.ask = ask
        self.has_client = has_client
        self.strict = strict


class FeatureFlags:
    """The Flask extension.

    :param app: the application, or None to call :meth:`init_app` later, for any number of applications
    :raises ValueError: a setting is unknown or wrong

    Settings in ``app.config``: ``LDCLIENT_SDK_KEY``, ``LDCLIENT_OFFLINE``, ``LDCLIENT_URI`` (of a development server or
    relay) and every other option of ``Config`` after the prefix; or ``LDCLIENT_CONFIG``, a Config. With none of them the
    shared client is asked, ``ldclient.get()``. ``LDCLIENT_START_WAIT``: how many seconds the first evaluation waits for
    flags. ``LDCLIENT_STRICT``: raise for unknown flags and failing user loaders; default False.

    A handler of one's own, :meth:`add_handler`, decides :meth:`check`, ``is_active`` and the template test together with
    ``FEATURE_FLAGS`` in ``app.config`` and the flags of the service, in this order. ``variation`` asks the service alone.
    """

    JINJA_TEST_NAME = "active_feature"

    def __init__(self, app: Flask | None = None) -> None:
        self.handlers: list[Handler] = [AppConfigFlagHandler, ClientFlagHandler]
        self._loader: Callable[[], _User | None] | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Adds the extension to an application: template test and globals, commands, and one view a request.

        :raises ValueError: a setting is unknown or wrong
        """
        app.config.setdefault(FEATURE_FLAGS_CONFIG, {})
        app.config.setdefault(RAISE_ERROR_ON_MISSING_FEATURES, False)
        settings = {
            name.removeprefix(_PREFIX): value
            for name, value in app.config.items()
            if name.startswith(_PREFIX) and value is not None
        }
        strict = bool(settings.pop("STRICT", False))
        config = config_from(settings, _PREFIX, ("STRICT",))
        ask = client_for(config, settings.get("START_WAIT"))
        app.extensions[EXTENSION_NAME] = app.extensions["ldclient"] = _State(self, ask, config is not None, strict)
        app.add_template_test(self.check, self.JINJA_TEST_NAME)
        app.add_template_global(_shown, "variation")
        app.add_template_global(_bootstrap, "flags_bootstrap")
        app.cli.add_command(flags_group)
        app.before_request(_begin)
        if _find not in ambient.finders:
            ambient.finders.append(_find)

    def user_loader(self, load: _Loader) -> _Loader:
        """Registers the function that returns a request's user: a dict, a Context, or None for nobody.

        :param load: called without arguments inside the request, at its first evaluation, at most once
        :return: the same function, so that this is a decorator
        """
        self._loader = load
        return load

    def client(self, app: Flask | None = None) -> LDClient:
        """Returns the client of an application, default the current one.

        :raises RuntimeError: neither a key nor a Config was given
        """
        return _state_of(current_app if app is None else app).ask()

    def has_client(self, app: Any) -> bool:
        """Tells whether the application's settings configure a client."""
        return _state_of(app).has_client

    def variation(self, key: str, default: Any = None) -> Any:
        """Returns the flag's value for the request's user; what :meth:`ldclient.request.RequestFlags.variation` does."""
        return request_flags().variation(key, default)

    def track(self, name: str, data: Any = None, metric_value: float | None = None) -> None:
        """Records that the request's user did something."""
        request_flags().track(name, data, metric_value)

    def add_handler(self, function: Handler) -> None:
        """Adds a handler to the end of the chain.

        :param function: called with the feature's name; see the module ``ldclient.flask.chain``
        """
        self.handlers.append(function)

    def remove_handler(self, function: Handler) -> None:
        """Removes a handler; one that is not there is no error."""
        if function in self.handlers:
            self.handlers.remove(function)

    def clear_handlers(self) -> None:
        """Removes all handlers; then every feature is off, and unknown."""
        self.handlers.clear()

    def check(self, feature: str) -> bool:
        """Asks the handlers whether a feature is active.

        :raises KeyError: no handler knows it, ``app.debug`` and ``RAISE_ERROR_ON_MISSING_FEATURES`` are on
        :raises UnknownFlagError: no handler knows it, and ``LDCLIENT_STRICT`` is on
        """
        found = False
        for handler in self.handlers:
            try:
                if handler(feature):
                    return True
            except StopCheckingFeatureFlags:
                return False
            except NoFeatureFlagFound:
                continue
            found = True
        if not found:
            self._missing(feature)
        return False

    def _missing(self, feature: str) -> None:
        from ..request import UnknownFlagError

        if has_app_context():
            if current_app.debug and current_app.config.get(RAISE_ERROR_ON_MISSING_FEATURES):
                raise KeyError(f"No handler knows a feature flag {feature!r}")
            state = current_app.extensions.get(EXTENSION_NAME)
            if state is not None and state.strict:
                raise UnknownFlagError(feature)
        log.info("No handler knows a feature flag %r; it counts as off.", feature)
        missing_feature.send(self, feature=feature)


FeatureFlag = FeatureFlags


def extension_of(app: Any) -> FeatureFlags:
    """Returns the extension of an application.

    :raises AssertionError: the application has none
    """
    return _state_of(app).extension


def request_flags() -> RequestFlags:
    """Returns the flags of the current request: its user, and one view of the flags.

    :raises AssertionError: the application lacks the extension
    :raises RuntimeError: there is no application context

    Outside a request, in a command for example, every call returns new ones, which have no user.
    """
    state = _state_of(current_app)
    if not has_request_context():
        return RequestFlags(lambda: None, ask=state.ask, strict=state.strict)
    found: RequestFlags | None = request.environ.get(_REQUEST_KEY)
    return _made(state) if found is None else found


def _state_of(app: Any) -> _State:
    state = app.extensions.get(EXTENSION_NAME)
    assert isinstance(state, _State), (
        "This application has no feature flags: call FeatureFlags(app), or flags.init_app(app), where it is made."
    )
    return state


def _made(state: _State) -> RequestFlags:
    made = RequestFlags(state.extension._loader, ask=state.ask, strict=state.strict, advice=_NO_LOADER)
    found: RequestFlags = request.environ.setdefault(_REQUEST_KEY, made)
    return found


def _begin() -> None:
    """Notes the block that a request began in: what is entered later is further in."""
    _made(_state_of(current_app)).began_in = ambient._frame.get()


def _find(entered: Any) -> RequestFlags | None:
    """Tells the module's functions of the request that they are called in."""
    if not has_request_context():
        return None
    flags: RequestFlags | None = request.environ.get(_REQUEST_KEY)
    if flags is None:
        state = current_app.extensions.get(EXTENSION_NAME)
        if not isinstance(state, _State):
            return None
        flags = _made(state)
    return flags if entered is None or entered is flags.began_in else None


def _flags_to_show() -> RequestFlags | None:
    try:
        return request_flags()
    except Exception as error:
        contained("A template asked for a flag where there is no application with feature flags", error)
        return None


def _shown(key: str, default: Any = None) -> Any:
    """``{{ variation('key', 'default') }}``: never raises, except in strict mode."""
    flags = _flags_to_show()
    return default if flags is None else flags.shown(key, default)


def _bootstrap(client_side_only: bool = True, with_reasons: bool = False) -> Markup:
    """``<script>const start = {{ flags_bootstrap() }}</script>``"""
    from .._bootstrap import NOTHING

    flags = _flags_to_show()
    if flags is None:
        return Markup(NOTHING)
    # Escaped already, for a script element and for quotes.
    return Markup(flags.bootstrap(client_side_only=client_side_only, with_reasons=with_reasons))
