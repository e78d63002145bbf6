"""Flask: the extension, its request, templates, decorator and commands."""

from __future__ import annotations

import html
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, render_template_string, request, stream_with_context
from flask.testing import FlaskClient

import ldclient
from ldclient import Config, Context
from ldclient.flask import EXTENSION_NAME, FeatureFlags, UnknownFlagError, is_active_feature, request_flags
from ldclient.integrations import TestData

Make = Callable[..., Flask]


def new_app(**settings: Any) -> Flask:
    app = Flask("shop")
    app.config.update(TESTING=True, **settings)
    flags = FeatureFlags()

    @flags.user_loader
    def user() -> dict[str, Any] | None:
        return {"key": request.args["user"]} if "user" in request.args else None

    flags.init_app(app)
    return app


def page(app: Flask, template: str) -> None:
    app.add_url_rule("/page", "page", lambda: render_template_string(template))


@pytest.fixture
def app(source: TestData) -> Flask:
    return new_app()


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    return app.test_client()


def text(browser: FlaskClient, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200, answer.text
    return answer.text


# The request


def test_module_functions_are_for_the_user_of_the_request(app: Flask, browser: FlaskClient) -> None:
    app.add_url_rule("/", "home", lambda: str(ldclient.variation("new-ui", "nobody")))
    assert text(browser, "/?user=ann") == "True"
    assert text(browser, "/?user=bob") == "False"
    assert text(browser, "/") == "nobody"


def test_a_request_sees_the_flags_of_one_moment(app: Flask, browser: FlaskClient, source: TestData) -> None:
    @app.route("/")
    def home() -> str:
        first = ldclient.variation("colour", "")
        source.update(source.flag("colour").value_for_all("blue"))
        assert ldclient.get().variation("colour", {"key": "ann"}, "") == "blue"
        shown = render_template_string("{{ variation('colour') }}")
        return f"{first} {ldclient.variation('colour', '')} {shown}"

    assert text(browser, "/?user=ann") == "red red red"
    assert text(browser, "/?user=ann") == "blue blue blue"


def test_the_user_is_loaded_at_the_first_evaluation_and_once(source: TestData) -> None:
    app, loads = Flask("shop"), []
    flags = FeatureFlags(app)

    @flags.user_loader
    def user() -> Context:
        loads.append(request.path)
        return Context.create("ann")

    app.add_url_rule("/none", "none", lambda: "")
    app.add_url_rule("/two", "two", lambda: f"{flags.variation('new-ui')}{ldclient.variation('new-ui')}")
    text(app.test_client(), "/none")
    assert text(app.test_client(), "/two") == "TrueTrue"
    assert loads == ["/two"]


def test_a_loader_may_itself_ask_for_a_flag(source: TestData) -> None:
    app = Flask("shop")
    flags = FeatureFlags(app)

    @flags.user_loader
    def user() -> dict[str, str]:
        assert flags.variation("colour", "nobody yet") == "nobody yet"
        return {"key": "ann"}

    app.add_url_rule("/", "home", lambda: flags.variation("colour", "x"))
    assert text(app.test_client(), "/") == "red"


def test_a_user_who_logs_in_during_the_request_counts_from_then_on(app: Flask, browser: FlaskClient) -> None:
    @app.route("/")
    def home() -> str:
        before = ldclient.variation("new-ui", None)
        request_flags().user = {"key": "ann"}
        return f"{before} {ldclient.variation('new-ui', None)}"

    assert text(browser, "/?user=bob") == "False True"


def test_a_loader_that_raises_costs_the_user_and_not_the_page(
    source: TestData, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("shop")
    flags = FeatureFlags(app)
    flags.user_loader(lambda: {}["secret-session-key"])
    app.add_url_rule("/", "home", lambda: str(ldclient.variation_detail("colour", "default").reason["errorKind"]))
    for _ in range(2):
        assert text(app.test_client(), "/") == "USER_NOT_SPECIFIED"
    (said,) = [record.getMessage() for record in caplog.records if "user loader" in record.getMessage()]
    assert "KeyError" in said
    assert "test_flask.py" in said
    assert "secret" not in said


def test_without_a_loader_the_log_says_once_how_to_give_one(source: TestData, caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("shop")
    FeatureFlags(app)
    app.add_url_rule("/", "home", lambda: ldclient.variation("colour", "default"))
    for _ in range(2):
        assert text(app.test_client(), "/") == "default"
    assert sum("@flags.user_loader" in record.getMessage() for record in caplog.records) == 1


def test_without_a_loader_the_user_of_the_block_around_the_request_counts(source: TestData) -> None:
    app = Flask("shop")
    FeatureFlags(app)
    app.add_url_rule("/", "home", lambda: str(ldclient.variation("new-ui", None)))
    with ldclient.use({"key": "ann"}):
        assert text(app.test_client(), "/") == "True"


def test_the_loaders_user_wins_over_the_block_around_the_request_and_a_block_inside_wins_over_both(
    app: Flask, browser: FlaskClient
) -> None:
    @app.route("/")
    def home() -> str:
        seen = [ldclient.variation("new-ui", None)]
        with ldclient.use({"key": "bob"}):
            seen.append(ldclient.variation("new-ui", None))
        return str([*seen, ldclient.variation("new-ui", None)])

    with ldclient.use({"key": "bob"}):
        assert text(browser, "/?user=ann") == "[True, False, True]"


def test_requests_under_one_application_context_do_not_share_their_user(app: Flask, browser: FlaskClient) -> None:
    app.add_url_rule("/", "home", lambda: str(ldclient.variation("new-ui", None)))
    with app.app_context():
        assert [text(browser, f"/?user={name}") for name in ("ann", "bob")] == ["True", "False"]


def test_a_stream_still_has_the_user_and_the_view(app: Flask, browser: FlaskClient, source: TestData) -> None:
    @app.route("/")
    def home() -> Any:
        def parts() -> Iterator[str]:
            yield str(ldclient.variation("colour", ""))
            source.update(source.flag("colour").value_for_all("blue"))
            yield str(ldclient.variation("colour", ""))

        return app.response_class(stream_with_context(parts()))

    assert text(browser, "/?user=ann") == "redred"


def test_a_test_request_context_has_a_user_too(app: Flask) -> None:
    with app.test_request_context("/?user=ann"):
        assert ldclient.variation("new-ui", None) is True
        assert request_flags().is_active("new-ui")
    assert ldclient.variation("new-ui", "nobody") == "nobody"


def test_threads_serve_requests_side_by_side(app: Flask) -> None:
    both = threading.Barrier(2, timeout=10)

    @app.route("/")
    def home() -> str:
        first = ldclient.variation("new-ui", None)
        both.wait()
        return f"{first}{ldclient.variation('new-ui', None)}"

    seen: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda name=name: seen.update({name: text(app.test_client(), f"/?user={name}")}))
        for name in ("ann", "bob")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == {"ann": "TrueTrue", "bob": "FalseFalse"}


def test_track_is_for_the_user_of_the_request(source: TestData) -> None:
    from ldclient.hook import Hook, Metadata, TrackSeriesContext

    heard: list[tuple[str, str]] = []

    class Hearing(Hook):
        metadata = Metadata("hearing")

        def after_track(self, series: TrackSeriesContext) -> None:
            heard.append((series.key, series.context.key))

    app = new_app(LDCLIENT_CONFIG=Config("k", update_processor_class=source, send_events=False, hooks=[Hearing()]))
    app.add_url_rule("/", "home", lambda: str(request_flags().track("bought") or ldclient.track("sold")))
    text(app.test_client(), "/?user=ann")
    assert heard == [("bought", "ann"), ("sold", "ann")]
    app.extensions[EXTENSION_NAME].ask().close()


# Settings


def test_settings_configure_the_shared_client() -> None:
    app = new_app(LDCLIENT_SDK_KEY="sdk-key", LDCLIENT_URI="http://127.0.0.1:1", LDCLIENT_OFFLINE=True)
    with app.app_context():
        client = app.extensions[EXTENSION_NAME].extension.client()
    assert client is ldclient.get()
    assert client.is_offline()
    assert client._config.base_uri == "http://127.0.0.1:1"


def test_a_second_application_with_another_key_has_a_client_of_its_own() -> None:
    first, second = (new_app(LDCLIENT_SDK_KEY=key, LDCLIENT_OFFLINE=True) for key in ("one", "two"))
    again = new_app(LDCLIENT_SDK_KEY="one", LDCLIENT_OFFLINE=True)
    clients = [app.extensions[EXTENSION_NAME].ask() for app in (first, second, again)]
    assert [client.get_sdk_key() for client in clients] == ["one", "two", "one"]
    assert clients[0] is clients[2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"LDCLIENT_SDKKEY": "x"}, "there is no setting LDCLIENT_SDKKEY; did you mean LDCLIENT_SDK_KEY?"),
        ({"LDCLIENT_CONFIG": "x"}, "LDCLIENT_CONFIG: expected an ldclient.Config, got str"),
        ({"LDCLIENT_CONFIG": Config("x"), "LDCLIENT_OFFLINE": True}, "LDCLIENT_OFFLINE belongs into it"),
        ({"LDCLIENT_POLL_INTERVAL": "often"}, "LDCLIENT_POLL_INTERVAL"),
        ({"LDCLIENT_URI": "localhost:8030"}, "https:// or http://"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"LDCLIENT|http") as raised:
        new_app(**settings)
    assert said in str(raised.value)


def test_the_extension_keeps_no_application() -> None:
    flags = FeatureFlags()
    flags.init_app(Flask("one"))
    assert not any(isinstance(value, Flask) for value in vars(flags).values())


def test_without_flask_the_import_says_what_to_install() -> None:
    program = "import sys; sys.modules['flask'] = None\ntry:\n import ldclient.flask\nexcept ImportError as e: print(e)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "pip install 'ldclient-rs[flask]'" in ran.stdout


# Templates


def test_the_template_test_and_the_global(app: Flask, browser: FlaskClient) -> None:
    page(app, "{% if 'new-ui' is active_feature %}new{% else %}old{% endif %} {{ variation('colour', 'none') }}")
    assert text(browser, "/page?user=ann") == "new red"
    assert text(browser, "/page?user=bob") == "old red"
    assert text(browser, "/page") == "old none"


def test_an_unknown_flag_in_a_template_shows_its_default(app: Flask, browser: FlaskClient) -> None:
    page(app, "{% if 'typo' is active_feature %}new{% else %}old{% endif %} {{ variation('typo', 'none') }}")
    assert text(browser, "/page?user=ann") == "old none"


def test_an_unknown_flag_in_a_template_raises_in_strict_mode(source: TestData) -> None:
    app = new_app(LDCLIENT_STRICT=True)
    page(app, "{{ variation(request.args['flag'], 'none') }}")
    assert text(app.test_client(), "/page?user=ann&flag=colour") == "red"
    with pytest.raises(UnknownFlagError, match="typo"):
        app.test_client().get("/page?user=ann&flag=typo")


def test_without_key_and_config_a_page_is_shown_and_the_log_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()
    page(app, "{{ variation('colour', 'none') }} {{ 'new-ui' is active_feature }} {{ flags_bootstrap() }}")
    assert text(app.test_client(), "/page?user=ann").startswith("none False {")
    assert any("ldclient.set_config(Config(sdk_key=" in record.getMessage() for record in caplog.records)


def test_a_template_outside_every_application_context_is_not_broken(app: Flask) -> None:
    template = app.jinja_env.from_string("{{ variation('colour', 'none') }}{{ flags_bootstrap() }}")
    assert template.render().startswith("none{")


def test_the_bootstrap_is_what_the_javascript_sdk_starts_from(source: TestData) -> None:
    flag = source.flag("new-ui")._build(5) | {"clientSideAvailability": {"usingEnvironmentId": True}}
    config = Config("sdk-key", update_processor_class=source, send_events=False, private_attributes=["/address/street"])
    app = Flask("shop")
    app.config["LDCLIENT_CONFIG"] = config
    flags = FeatureFlags(app)
    secret = Context.builder("ann").set("name", "</script>").set("score", 7).private("score")
    flags.user_loader(lambda: secret.set("address", {"street": "x", "town": "y"}).build())
    page(app, "<script>start = {{ flags_bootstrap() }}</script>")
    client = app.extensions[EXTENSION_NAME].ask()
    client._apply(json.dumps(flag), "features", "new-ui")
    shown = text(app.test_client(), "/page").removeprefix("<script>start = ").removesuffix("</script>")
    assert not set("<>&'") & set(shown)
    assert html.unescape(shown) == shown
    start = json.loads(shown)
    assert start["context"] == {"kind": "user", "key": "ann", "name": "</script>", "address": {"town": "y"}}
    assert start["flags"]["new-ui"] is True
    assert start["flags"]["$valid"] is True
    assert "colour" not in start["flags"], "the service does not let browsers see it"
    assert start["hash"] == client.secure_mode_hash({"key": "ann"})


def test_the_bootstrap_of_nobody_is_empty(app: Flask, browser: FlaskClient) -> None:
    page(app, "{{ flags_bootstrap() }}")
    nothing = {"context": None, "flags": {"$flagsState": {}, "$valid": False}, "hash": None}
    assert json.loads(text(browser, "/page")) == nothing


# The decorator


def test_a_view_whose_flag_is_off_is_not_there(app: Flask, browser: FlaskClient) -> None:
    @app.route("/new")
    @is_active_feature("new-ui")
    def new() -> str:
        return "new"

    assert text(browser, "/new?user=ann") == "new"
    assert browser.get("/new?user=bob").status_code == 404


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"redirect_to": "/elsewhere"}, "/elsewhere"),
        ({"redirect": "old"}, "/old"),
        ({"redirect_to": "/elsewhere", "redirect": "old"}, "/old"),
    ],
)
def test_a_view_whose_flag_is_off_redirects(
    app: Flask, browser: FlaskClient, options: dict[str, str], place: str
) -> None:
    app.add_url_rule("/old", "old", lambda: "old")
    app.add_url_rule("/new", "new", is_active_feature("new-ui", **options)(lambda: "new"))
    answer = browser.get("/new?user=bob")
    assert (answer.status_code, answer.location) == (302, place)


def test_an_alternative_view_gets_the_same_arguments(app: Flask, browser: FlaskClient) -> None:
    @app.route("/item/<name>")
    @is_active_feature("new-ui", alternative=lambda name: f"old {name}")
    def item(name: str) -> str:
        return f"new {name}"

    assert text(browser, "/item/x?user=ann") == "new x"
    assert text(browser, "/item/x?user=bob") == "old x"


def test_a_coroutine_view_can_be_decorated(app: Flask, browser: FlaskClient) -> None:
    @app.route("/new")
    @is_active_feature("new-ui")
    async def new() -> str:
        return str(ldclient.variation("new-ui", None))

    assert text(browser, "/new?user=ann") == "True"


# The commands


def test_the_commands_list_and_explain(app: Flask) -> None:
    commands = app.test_cli_runner()
    listed = commands.invoke(args=["flags", "list"])
    assert listed.exit_code == 0, listed.output
    assert [line.split()[:3] for line in listed.output.splitlines()] == [
        ["FLAG", "STATE", "VALUE"],
        ["colour", "on", '"red"'],
        ["new-ui", "on", "false"],
    ]
    explained = commands.invoke(args=["flags", "explain", "new-ui", "ann"])
    assert explained.exit_code == 0, explained.output
    assert "value      true (variation 0)" in explained.output
    assert "because    the user is targeted" in explained.output
    assert 'yes target of variation 0: 1 key of kind user; the user\'s is "ann"' in explained.output
    as_json = commands.invoke(args=["flags", "list", "--user", '{"kind": "org", "key": "x"}'])
    assert as_json.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain", "new-u", "ann"], "There is no feature flag with the key 'new-u'. Did you mean 'new-ui'?"),
        (["explain", "new-ui", "{bad"], "the user is no JSON object"),
        (["explain", "new-ui", "{}"], "nobody can be evaluated for that user"),
    ],
)
def test_a_command_says_what_is_wrong(app: Flask, arguments: list[str], said: str) -> None:
    ran = app.test_cli_runner().invoke(args=["flags", *arguments])
    assert ran.exit_code != 0
    assert said in ran.output


def test_a_command_without_a_configured_client_says_what_to_do() -> None:
    ran = new_app().test_cli_runner().invoke(args=["flags", "list"])
    assert ran.exit_code == 1
    assert "ldclient.set_config" in ran.output
