"""The page of flags in Django's admin: who may see it, what it shows, and that it changes nothing."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings

import ldclient
from ldclient.django import configuration
from ldclient.integrations import TestData

PAGE = "/admin/ldclient/flag/"


@pytest.fixture(autouse=True)
def _project(django_project: None, database: None) -> Iterator[None]:
    configuration.forget(setting="LDCLIENT")
    with override_settings(LDCLIENT={}):
        yield
    configuration.forget(setting="LDCLIENT")


@pytest.fixture
def staff() -> Client:
    user, _ = User.objects.get_or_create(username="staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_flag", content_type__app_label="ldclient"))
    client = Client()
    client.force_login(user)
    return client


def cells(page: Any) -> list[list[str]]:
    rows = re.findall(r"<tr[^>]*>\s*<th scope=\"row\" class=\"field-key\">(.*?)</tr>", page.content.decode(), re.DOTALL)
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in re.split(r"</t[hd]>", row)][:4] for row in rows]


def test_staff_with_the_permission_see_all_flags(staff: Client, source: TestData) -> None:
    source.update(source.flag("old-flag").on(False))
    page = staff.get(PAGE)
    assert page.status_code == 200
    assert cells(page) == [
        ["colour", "on", "&quot;red&quot;", "no target and no rule matches"],
        ["new-ui", "on", "false", "no target and no rule matches"],
        ["old-flag", "off", "false", "the flag is off"],
    ]
    assert b"3 flags" in page.content
    assert PAGE in staff.get("/admin/").content.decode()


def test_staff_without_the_permission_and_everybody_else_do_not(source: TestData) -> None:
    user, _ = User.objects.get_or_create(username="other", is_staff=True)
    other = Client()
    other.force_login(user)
    assert other.get(PAGE).status_code == 403
    assert Client().get(PAGE).status_code == 302
    assert PAGE not in other.get("/admin/").content.decode()


def test_a_part_of_a_key_finds_flags(staff: Client, source: TestData) -> None:
    assert [row[0] for row in cells(staff.get(PAGE, {"q": "NEW"}))] == ["new-ui"]
    assert "contains “<b>”" not in staff.get(PAGE, {"q": "<b>"}).content.decode()


def test_an_evaluation_is_explained_for_a_user(staff: Client, source: TestData) -> None:
    page = staff.get(PAGE, {"user": "ann", "flag": "new-ui"}).content.decode()
    explained = dict(re.findall(r"<th scope=\"row\">(\w+)</th><td>(.*?)</td>", page))
    assert json.loads(html.unescape(explained.pop("User"))) == {"kind": "user", "key": "ann"}
    assert explained == {
        "Flag": "new-ui (version 1)",
        "State": "on",
        "Value": "true (variation 0)",
        "Because": "the user is targeted",
    }


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"user": "{bad", "flag": "new-ui"}, "The user is no JSON object"),
        ({"user": '{"kind": "org"}'}, "Nobody can be evaluated for that user"),
        ({"user": "ann", "flag": "new-u"}, "Did you mean &#x27;new-ui&#x27;?"),
        ({"flag": "new-ui"}, "Name a user"),
    ],
)
def test_what_cannot_be_explained_is_told(staff: Client, source: TestData, query: dict[str, str], said: str) -> None:
    page = staff.get(PAGE, query)
    assert page.status_code == 200
    assert said in page.content.decode()


def test_the_links_of_the_table_explain_a_flag(staff: Client, source: TestData) -> None:
    page = staff.get(PAGE, {"q": "new"}).content.decode()
    (link,) = re.findall(r'class="field-key"><a href="([^"]+)"', page)
    assert "because" in staff.get(PAGE + html.unescape(link)).content.decode().lower()


def test_without_a_client_the_page_says_what_to_do(staff: Client) -> None:
    page = staff.get(PAGE)
    assert page.status_code == 200
    assert "ldclient.set_config" in page.content.decode()


def test_the_page_records_no_event_and_changes_nothing(staff: Client, source: TestData) -> None:
    from ldclient import Config
    from ldclient.hook import Hook, Metadata

    class Raising(Hook):
        metadata = Metadata("raising")

        def before_evaluation(self, *_: Any) -> Any:
            raise AssertionError

    ldclient._reset_client()
    ldclient.config = None
    ldclient.set_config(Config("k", update_processor_class=source, send_events=False, hooks=[Raising()]))
    assert staff.get(PAGE, {"user": "ann", "flag": "new-ui"}).status_code == 200
    assert staff.get(f"{PAGE}add/").status_code == 404
    assert staff.get(f"{PAGE}new-ui/change/").status_code == 404
