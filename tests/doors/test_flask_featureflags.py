"""What Flask-FeatureFlags 0.6 did, under its names: the handler chain, settings, signal and further handlers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask, render_template_string
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import NoResultFound

import ldclient
from ldclient.flask import (
    AppConfigFlagHandler,
    FeatureFlag,
    NoFeatureFlagFound,
    StopCheckingFeatureFlags,
    is_active,
    missing_feature,
)
from ldclient.flask.contrib.inline import InlineFeatureFlag
from ldclient.flask.contrib.sqlalchemy import SQLAlchemyFeatureFlags
from ldclient.integrations import TestData

FLAGS = {"on": True, "off": False, "one": 1, "zero": 0, "text": "no", "ünïcode": True}


@pytest.fixture
def app() -> Flask:
    app = Flask("shop")
    app.config["FEATURE_FLAGS"] = dict(FLAGS)
    return app


@pytest.fixture
def flags(app: Flask) -> FeatureFlag:
    return FeatureFlag(app)


def unknown(feature: str) -> bool:
    raise NoFeatureFlagFound


def stop(feature: str) -> bool:
    raise StopCheckingFeatureFlags


def test_the_truth_of_what_stands_in_the_settings_decides(app: Flask, flags: FeatureFlag) -> None:
    with app.app_context():
        assert {name: flags.check(name) for name in FLAGS} == {name: bool(value) for name, value in FLAGS.items()}
        assert is_active("on")
        assert not is_active("unheard of")


def test_the_template_test_works_for_names_that_are_not_literals(app: Flask, flags: FeatureFlag) -> None:
    with app.app_context():
        template = "{% for name in names %}{{ name is active_feature }} {% endfor %}"
        assert render_template_string(template, names=["on", "off", "ünïcode"]) == "True False True "


def test_settings_have_their_defaults() -> None:
    app = Flask("shop")
    FeatureFlag(app)
    assert app.config["FEATURE_FLAGS"] == {}
    assert app.config["RAISE_ERROR_ON_MISSING_FEATURES"] is False
    assert "FeatureFlags" in app.extensions


def test_outside_an_application_context_everything_is_off_with_a_warning(
    flags: FeatureFlag, caplog: pytest.LogCaptureFixture
) -> None:
    assert is_active("on") is False
    assert [(record.name, record.levelname) for record in caplog.records] == [("flask-featureflags", "WARNING")]


def test_an_application_without_the_extension_is_told_so() -> None:
    with Flask("bare").app_context(), pytest.raises(AssertionError, match=r"FeatureFlags\(app\)"):
        is_active("on")


def test_the_first_truthy_answer_counts(app: Flask, flags: FeatureFlag) -> None:
    asked: list[str] = []
    flags.add_handler(lambda feature: asked.append(feature) or True)
    with app.app_context():
        assert flags.check("on")
        assert asked == []
        assert flags.check("off"), "a falsy answer leaves it to the next handler"
        assert flags.check("unheard of")
    assert asked == ["off", "unheard of"]


def test_a_handler_can_end_the_chain(app: Flask, flags: FeatureFlag) -> None:
    flags.clear_handlers()
    flags.add_handler(stop)
    flags.add_handler(lambda _: True)
    app.debug = app.config["RAISE_ERROR_ON_MISSING_FEATURES"] = True
    with app.app_context():
        assert flags.check("on") is False


def test_other_exceptions_go_to_the_caller(app: Flask, flags: FeatureFlag) -> None:
    flags.add_handler(lambda _: 1 / 0)
    with app.app_context(), pytest.raises(ZeroDivisionError):
        flags.check("off")


def test_a_handler_is_removed_and_one_that_is_not_there_is_no_error(app: Flask, flags: FeatureFlag) -> None:
    flags.remove_handler(unknown)
    flags.remove_handler(AppConfigFlagHandler)
    with app.app_context():
        assert not flags.check("on")


@pytest.mark.parametrize("handlers", [[], [unknown]])
def test_a_feature_that_nobody_knows_raises_in_debugging_when_that_is_wished(
    app: Flask, flags: FeatureFlag, handlers: list[Any]
) -> None:
    flags.clear_handlers()
    for handler in handlers:
        flags.add_handler(handler)
    app.config["RAISE_ERROR_ON_MISSING_FEATURES"] = True
    with app.app_context():
        assert flags.check("x") is False
        app.debug = True
        with pytest.raises(KeyError, match="x"):
            flags.check("x")
        flags.add_handler(lambda _: None)
        assert flags.check("x") is False, "a handler without an opinion knows the feature"


def test_a_feature_that_nobody_knows_is_signalled(
    app: Flask, flags: FeatureFlag, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flask-featureflags")

    def register(sender: FeatureFlag, feature: str) -> None:
        assert sender is flags
        app.config["FEATURE_FLAGS"][feature] = True

    with missing_feature.connected_to(register), app.app_context():
        assert flags.check("new") is False
        assert flags.check("new") is True
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_settings_that_are_no_dictionary_are_a_mistake(app: Flask, flags: FeatureFlag) -> None:
    app.config["FEATURE_FLAGS"] = None
    with app.app_context(), pytest.raises(TypeError):
        flags.check("on")


def test_a_flag_of_the_service_is_asked_after_the_settings(app: Flask, flags: FeatureFlag, source: TestData) -> None:
    app.config["FEATURE_FLAGS"]["colour"] = False
    flags.user_loader(lambda: {"key": "ann"})
    app.debug = app.config["RAISE_ERROR_ON_MISSING_FEATURES"] = True
    with app.test_request_context():
        assert flags.check("new-ui") is True
        assert flags.check("on") is True
        assert flags.check("colour") is True, "off in the settings, and the service serves something"
        with pytest.raises(KeyError):
            flags.check("typo")
    assert ldclient.get().is_initialized()


def test_the_inline_handler_takes_names_as_they_are_written(app: Flask, flags: FeatureFlag) -> None:
    flags.add_handler(InlineFeatureFlag())
    app.config.update(FEATURE_FLAGS_INLINE=True, FEATURE_FLAGS_lower=True)
    with app.app_context():
        assert flags.check("INLINE")
        assert flags.check("lower")
        assert not flags.check("inline")
        with pytest.raises(NoFeatureFlagFound):
            InlineFeatureFlag()("inline")
    assert InlineFeatureFlag()("INLINE") is False


def test_the_sqlalchemy_handler_has_a_model_of_its_own(app: Flask, flags: FeatureFlag) -> None:
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db = SQLAlchemy(app)
    handler = SQLAlchemyFeatureFlags(db)
    flags.add_handler(handler)
    with app.app_context():
        db.create_all()
        db.session.add_all([handler.model(feature="in-db", is_active=True), handler.model(feature="not")])
        db.session.commit()
        assert flags.check("in-db") is True
        assert flags.check("not") is False
        with pytest.raises(NoFeatureFlagFound):
            handler("unheard of")
        db.session.remove()
        db.engine.dispose()


def test_the_sqlalchemy_handler_takes_another_model() -> None:
    class Model:
        @staticmethod
        def check(feature: str) -> bool:
            if feature == "x":
                return True
            raise NoResultFound

    handler = SQLAlchemyFeatureFlags(None, Model)
    assert handler.model is Model
    assert handler("x") is True
    with pytest.raises(NoFeatureFlagFound):
        handler("y")
