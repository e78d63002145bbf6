"""Django: settings and checks, the middleware, template tags, view guards and commands. The admin has its own tests."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from typing import Any
from weakref import ref

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.http import HttpResponse
from django.template import Context as TemplateContext
from django.template import Template, TemplateSyntaxError
from django.test import AsyncClient, Client, RequestFactory, override_settings
from shop import urls

import ldclient
from ldclient import Config
from ldclient.django import UnknownFlagError, configuration, flag_required, request_flags, set_user
from ldclient.django.checks import check_settings
from ldclient.django.middleware import FlagsMiddleware
from ldclient.integrations import TestData


def user_of(request: Any) -> dict[str, str] | None:
    return {"key": request.GET["user"]} if "user" in request.GET else None


async def user_later(request: Any) -> dict[str, str] | None:
    return user_of(request)


def broken(request: Any) -> Any:
    raise KeyError("secret")


async def broken_later(request: Any) -> Any:
    raise KeyError("secret")


@pytest.fixture(autouse=True)
def _project(django_project: None) -> Iterator[None]:
    configuration.forget(setting="LDCLIENT")
    urls.meanwhile.clear()
    with override_settings(LDCLIENT={"USER_LOADER": user_of}):
        yield
    configuration.forget(setting="LDCLIENT")


def text(path: str, **headers: Any) -> str:
    answer = Client().get(path, **headers)
    assert answer.status_code == 200, answer.content
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


async def text_later(path: str) -> str:
    answer = await AsyncClient().get(path)
    assert answer.status_code == 200, answer.content
    if not answer.streaming:
        return str(answer.content.decode())
    parts = [part async for part in answer] if answer.is_async else list(answer)
    return b"".join(parts).decode()


def run(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(asyncio.wait_for(coroutine, 30))


def turn_blue(source: TestData) -> None:
    urls.meanwhile.append(lambda: source.update(source.flag("colour").value_for_all("blue")))


# The request


@pytest.mark.parametrize("loader", [user_of, user_later, "shop.users.user_of"])
@pytest.mark.parametrize("path", ["/", "/later"])
def test_module_functions_are_for_the_user_of_the_request(source: TestData, loader: Any, path: str) -> None:
    with override_settings(LDCLIENT={"USER_LOADER": loader}):
        assert text(f"{path}?user=ann") == "True red red"
        assert text(f"{path}?user=bob") == "False red red"
        assert text(path) == "None None None"
        assert run(text_later(f"{path}?user=ann")) == "True red red"
        assert run(text_later(f"{path}?user=bob")) == "False red red"


@pytest.mark.parametrize("path", ["/", "/later"])
def test_a_request_sees_the_flags_of_one_moment(source: TestData, path: str) -> None:
    turn_blue(source)
    assert text(f"{path}?user=ann") == "True red red"
    assert text(f"{path}?user=ann") == "True blue blue"


def test_a_request_sees_the_flags_of_one_moment_in_an_async_stack(source: TestData) -> None:
    turn_blue(source)
    assert run(text_later("/later?user=ann")) == "True red red"
    assert run(text_later("/?user=ann")) == "True blue blue"


def test_a_stream_still_has_the_user_and_the_view(source: TestData) -> None:
    turn_blue(source)
    assert text("/stream?user=ann") == "redred"


def test_an_asynchronous_stream_still_has_the_user_and_the_view(source: TestData) -> None:
    turn_blue(source)
    assert run(text_later("/stream-later?user=ann")) == "redred"
    assert ldclient.ambient.current() is None


def test_a_file_is_answered_as_django_does(source: TestData) -> None:
    answer = FlagsMiddleware(urls.file)(RequestFactory().get("/file"))
    assert answer.file_to_stream is not None, "a server may send it without Python"
    assert b"".join(answer.streaming_content).startswith(b'"""Its pages.')
    answer.close()


@pytest.mark.parametrize("loader", [broken, broken_later])
def test_a_loader_that_raises_costs_the_user_and_not_the_page(
    source: TestData, loader: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(LDCLIENT={"USER_LOADER": loader}):
        assert text("/") == run(text_later("/later")) == "None None None"
    said = {record.getMessage() for record in caplog.records if "user loader" in record.getMessage()}
    assert all("KeyError" in line and "broken" in line and "secret" not in line for line in said)
    assert 1 <= len(said) <= 2


@pytest.mark.parametrize("loader", [broken, broken_later])
def test_in_strict_mode_a_loader_that_raises_raises(source: TestData, loader: Any) -> None:
    with override_settings(LDCLIENT={"USER_LOADER": loader, "STRICT": True}):
        with pytest.raises(KeyError):
            text("/")
        with pytest.raises(KeyError):
            run(text_later("/later"))


def test_threads_serve_requests_side_by_side(source: TestData) -> None:
    both = threading.Barrier(2, timeout=10)
    urls.meanwhile.append(both.wait)
    seen: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda name=name: seen.update({name: text(f"/?user={name}")}))  # type: ignore[misc]
        for name in ("ann", "bob")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == {"ann": "True red red", "bob": "False red red"}


def test_nothing_of_a_request_is_left_to_the_garbage_collector(source: TestData) -> None:
    gc.collect()
    gc.disable()
    try:
        for view in (urls.home, lambda _: HttpResponse()):
            request = RequestFactory().get("/?user=ann")
            watched = ref(request)
            FlagsMiddleware(view)(request)
            del request
            assert watched() is None
    finally:
        gc.enable()


# The default user


@pytest.mark.usefixtures("database")
def test_by_default_a_user_is_who_is_logged_in() -> None:
    from django.contrib.auth.models import AnonymousUser, User

    factory = RequestFactory()
    with override_settings(LDCLIENT={}):
        request = factory.get("/")
        request.user = User(pk=7, username="ann", email="ann@example.org")
        assert request_flags(request).user == {"key": "7"}
        request = factory.get("/")
        request.user = AnonymousUser()
        assert request_flags(request).user == {"key": "anonymous", "anonymous": True}
        request = factory.get("/")
        request.session = type("Session", (), {"session_key": "very-secret"})()
        user = request_flags(request).user
        assert user is not None
        assert user["anonymous"] is True
        assert len(user["key"]) == 32
        assert "secret" not in user["key"]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("path", ["/", "/later"])
def test_who_is_logged_in_is_known_in_coroutines_too(source: TestData, path: str) -> None:
    from django.contrib.auth.models import User

    ann = User.objects.create_user(f"ann{path}")
    source.update(source.flag("new-ui").variation_for_user(str(ann.pk), True))
    with override_settings(LDCLIENT={}):
        client = Client()
        client.force_login(ann)
        assert client.get(path).content == b"True red red"
        later = AsyncClient()
        later.force_login(ann)

        async def get() -> Any:
            return await later.get(path)

        assert run(get()).content == b"True red red"


# Views


def test_a_view_whose_flag_is_off_is_not_there(source: TestData) -> None:
    for path in ("/new", "/class"):
        assert text(f"{path}?user=ann") == "new"
        assert Client().get(f"{path}?user=bob").status_code == 404


def test_a_view_whose_flag_is_off_redirects(source: TestData) -> None:
    for path in ("/or-home", "/class-later"):
        answer = Client().get(f"{path}?user=bob")
        assert (answer.status_code, answer["Location"]) == (302, "/")
        assert text(f"{path}?user=ann") == "new"


def test_an_alternative_view_gets_the_same_arguments(source: TestData) -> None:
    assert text("/item/x?user=ann") == "new x"
    assert text("/item/x?user=bob") == "old x"


def test_a_coroutine_view_can_be_guarded(source: TestData) -> None:
    async def status(path: str) -> int:
        return int((await AsyncClient().get(path)).status_code)

    for path in ("/new-later", "/class-later", "/new-later-or-home"):
        assert run(text_later(f"{path}?user=ann")).startswith("new")
    assert text("/new-later?user=ann") == "new True"
    assert run(status("/new-later?user=bob")) == 404
    assert run(status("/class-later?user=bob")) == 302
    assert run(text_later("/new-later-or-home?user=bob")) == "False red red"


def test_a_class_without_a_flag_is_told_so(source: TestData) -> None:
    with pytest.raises(TypeError, match="Nameless names no flag"):
        Client().get("/nameless")


def test_a_view_can_be_tested_with_a_request_factory(source: TestData) -> None:
    @flag_required("new-ui", alternative=lambda _: HttpResponse("old"))
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"new {request_flags(request).variation('colour', None)}")

    factory = RequestFactory()
    assert view(set_user(factory.get("/"), {"key": "ann"})).content == b"new red"
    assert view(set_user(factory.get("/"), {"key": "bob"})).content == b"old"
    assert view(factory.get("/?user=ann")).content == b"new red", "the loader works, too"


# Templates


def shown(template: str, user: str | None = "ann", **context: Any) -> str:
    request = RequestFactory().get("/", {} if user is None else {"user": user})
    return Template("{% load flags %}" + template).render(TemplateContext({"request": request, **context}))


def test_the_tags(source: TestData) -> None:
    both = '{% flag "new-ui" %}new{% else %}old{% endflag %} {% variation "colour" "none" %}'
    assert shown(both) == "new red"
    assert shown(both, "bob") == "old red"
    assert shown(both, None) == "old none"
    assert shown('[{% flag "new-ui" %}new{% endflag %}]', "bob") == "[]"
    assert shown("{% flag name %}new{% endflag %}", name="new-ui") == "new"
    assert shown('{% variation "colour" as it %}{{ it|upper }}') == "RED"


def test_values_are_escaped(source: TestData) -> None:
    source.update(source.flag("colour").value_for_all("<b>"))
    assert shown('{% variation "colour" %}') == "&lt;b&gt;"


def test_tags_in_a_page_are_for_the_user_of_the_request(source: TestData) -> None:
    template = '{% load flags %}{% flag "new-ui" %}new{% else %}old{% endflag %}'
    assert Client().get("/page", {"template": template, "user": "ann"}).content == b"new"
    assert Client().get("/page", {"template": template, "user": "bob"}).content == b"old"


def test_a_block_inside_the_request_counts_in_templates(source: TestData) -> None:
    with ldclient.use({"key": "bob"}):
        assert shown('{% flag "new-ui" %}new{% else %}old{% endflag %}') == "old"


def test_an_unknown_flag_shows_its_default_and_raises_in_strict_mode(source: TestData) -> None:
    template = '{% flag "typo" %}new{% else %}old{% endflag %} {% variation "typo" "none" %}'
    assert shown(template) == "old none"
    assert shown('{% flag "typo" True %}new{% else %}old{% endflag %}') == "new"
    with override_settings(LDCLIENT={"USER_LOADER": user_of, "STRICT": True}):
        assert shown('{% variation "colour" %}') == "red"
        with pytest.raises(UnknownFlagError, match="typo"):
            shown(template)


def test_without_a_request_the_default_is_shown_and_the_log_says_why(
    source: TestData, caplog: pytest.LogCaptureFixture
) -> None:
    template = Template('{% load flags %}{% variation "colour" "none" %}{% flags_bootstrap %}')
    assert template.render(TemplateContext({})).startswith("none{")
    assert any("render it with the request" in record.getMessage() for record in caplog.records)
    with ldclient.use({"key": "ann"}):
        assert template.render(TemplateContext({})).startswith("red{")
    with override_settings(LDCLIENT={"STRICT": True}), pytest.raises(LookupError, match="no request"):
        template.render(TemplateContext({}))


def test_without_key_and_config_a_page_is_shown_and_the_log_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    assert shown('{% variation "colour" "none" %}') == "none"
    assert any("ldclient.set_config(Config(sdk_key=" in record.getMessage() for record in caplog.records)


def test_a_tag_without_a_key_is_refused_with_an_example() -> None:
    with pytest.raises(TemplateSyntaxError, match=r'{% flag "key" %}'):
        Template("{% load flags %}{% flag %}{% endflag %}")


def test_the_bootstrap_may_stand_in_a_script(source: TestData) -> None:
    name = "</script><b>"
    with override_settings(LDCLIENT={"USER_LOADER": lambda _: {"key": "ann", "name": name}}):
        told = shown("{% flags_bootstrap client_side_only=False %}")
    assert "<" not in told
    start = json.loads(told)
    assert start["context"] == {"kind": "user", "key": "ann", "name": name}
    assert start["flags"]["colour"] == "red"
    assert start["hash"] == ldclient.get().secure_mode_hash({"key": "ann"})


# Settings


def test_settings_configure_the_shared_client() -> None:
    with override_settings(LDCLIENT={"SDK_KEY": "sdk-key", "OFFLINE": True, "START_WAIT": 1}):
        client = configuration.current().ask()
        assert client is ldclient.get()
        assert client.is_offline()
        assert client.get_sdk_key() == "sdk-key"
        assert ldclient.start_wait == 1
    ldclient.start_wait = 5


def ids(**settings: Any) -> dict[str, str]:
    with override_settings(**settings):
        return {str(message.id): f"{message.msg} {message.hint}" for message in check_settings()}


def test_right_settings_pass_the_checks() -> None:
    assert ids(LDCLIENT={"SDK_KEY": "x"}) == ids(LDCLIENT={"CONFIG": Config("x", offline=True)}) == {}
    with override_settings(LDCLIENT={"OFFLINE": True}):
        call_command("check", stdout=StringIO())


@pytest.mark.parametrize(
    ("section", "identity", "said"),
    [
        ("x", "ldclient.E001", "LDCLIENT is no dictionary but of type str"),
        ({"SDKKEY": "x"}, "ldclient.E002", "did you mean"),
        ({"SDK_KEY": "x", "POLL_INTERVAL": "often"}, "ldclient.E002", "POLL_INTERVAL"),
        ({"OFFLINE": True, "USER_LOADER": "no.such"}, "ldclient.E003", "No module named 'no'"),
        ({"OFFLINE": True, "USER_LOADER": 7}, "ldclient.E003", "neither a function nor"),
        ({}, "ldclient.W001", "SDK_KEY"),
    ],
)
def test_wrong_settings_are_found_by_the_checks_and_break_no_page(section: Any, identity: str, said: str) -> None:
    found = ids(LDCLIENT=section)
    assert said in found[identity]
    with override_settings(LDCLIENT=section):
        assert shown('{% variation "colour" "none" %}') == "none"
        if "E" in identity:
            with pytest.raises(SystemCheckError):
                call_command("check", stdout=StringIO(), stderr=StringIO())


def test_a_missing_middleware_and_a_missing_loader_are_warned_of(
    source: TestData, caplog: pytest.LogCaptureFixture
) -> None:
    assert "FlagsMiddleware" in ids(LDCLIENT={"OFFLINE": True}, MIDDLEWARE=[])["ldclient.W002"]
    apps = ["django.contrib.contenttypes", "ldclient.django"]
    with override_settings(INSTALLED_APPS=apps, LDCLIENT={}):
        assert "USER_LOADER" in ids(LDCLIENT={"OFFLINE": True})["ldclient.W003"]
        shown('{% variation "colour" "none" %}')
    assert any('LDCLIENT["USER_LOADER"]' in record.getMessage() for record in caplog.records)


def test_without_django_the_import_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['django'] = None\ntry:\n import ldclient.django\nexcept ImportError as e: print(e)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "pip install 'ldclient-rs[django]'" in ran.stdout


def test_no_migration_is_ever_wanted() -> None:
    out = StringIO()
    call_command("makemigrations", "--check", "--dry-run", stdout=out)
    assert "No changes detected" in out.getvalue()


# Commands


def command(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("flags", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_the_commands_list_and_explain(source: TestData) -> None:
    assert [line.split()[:3] for line in command("list", "--user", "ann")] == [
        ["FLAG", "STATE", "VALUE"],
        ["colour", "on", '"red"'],
        ["new-ui", "on", "true"],
    ]
    source.update(source.flag("new-ui").on(False))
    explained = command("explain", "new-ui", '{"key": "ann"}')
    assert "state      off" in explained
    assert "because    the flag is off" in explained


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain", "new-u", "ann"], "Did you mean 'new-ui'"),
        (["list", "--user", "{bad"], "no JSON object"),
    ],
)
def test_a_command_says_what_is_wrong(source: TestData, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        command(*arguments)


def test_a_command_without_flags_says_why() -> None:
    with pytest.raises(CommandError, match=r"ldclient\.set_config"):
        command("list")
    ldclient.set_config(Config(offline=True))
    with pytest.raises(CommandError, match="offline"):
        command("list")
