"""The customer's document: each of its code blocks typed as it stands there, and each statement it makes.

The text of a block is executed verbatim; only where it would go to LaunchDarkly itself does a configuration with the
stand-in's address come before it.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from typing import Any

import pytest

import ldclient
from ldclient import Config
from stand_in import StandIn, constant_flag

USER_BLOCK = """
user = {
  "key": "aa0ceb",
  "firstName": "Ernestina",
  "lastName": "Evans",
  "email": "",
  "custom": {
    "groups": ["Google", "Microsoft"]
  }
}
"""


def typed(text: str, **names: Any) -> dict[str, Any]:
    """Types a block; gives the names that it can see afterwards."""
    names = {"ldclient": ldclient, "Config": Config, **names}
    exec(text, names)
    return names


def answer(expression: str, **names: Any) -> Any:
    """Types an expression and gives what the prompt would show."""
    return eval(expression, {"ldclient": ldclient, "Config": Config, **names})


@pytest.fixture
def user() -> dict[str, Any]:
    """The document's user."""
    typed_user: dict[str, Any] = typed(USER_BLOCK)["user"]
    return typed_user


def connect(service: StandIn, **options: Any) -> None:
    """The document's first block, with a configuration that names the stand-in."""
    typed('ldclient.sdk_key = "YOUR_SDK_KEY"')
    uri = service.uri
    ldclient.config = Config(base_uri=uri, stream_uri=uri, events_uri=uri, **options)


def who(event: dict[str, Any]) -> str | None:
    """The key of the user that an event is about."""
    if "contextKeys" in event:
        return event["contextKeys"].get("user")  # type: ignore[no-any-return]
    return event.get("context", {}).get("key")  # type: ignore[no-any-return]


def rule_on(attribute: str, value: Any) -> dict[str, Any]:
    """A flag that is true for users whose attribute has the value, and false for all others."""
    clause = {"attribute": attribute, "op": "in", "values": [value], "negate": False}
    return constant_flag(
        "your.feature.key",
        None,
        variations=[True, False],
        rules=[{"id": "r", "clauses": [clause], "variation": 0}],
        fallthrough={"variation": 1},
        offVariation=1,
    )


# --- Getting started ---


def test_the_key_set_on_the_module_is_the_one_the_service_sees(service: StandIn) -> None:
    connect(service)
    assert answer("ldclient.get()").is_initialized()
    assert service.requests_to("/all")[0].headers["Authorization"] == "YOUR_SDK_KEY"


def test_key_and_configuration_may_come_in_either_order(service: StandIn, user: dict[str, Any]) -> None:
    ldclient.config = Config(base_uri=service.uri, stream_uri=service.uri, events_uri=service.uri)
    ldclient.sdk_key = "YOUR_SDK_KEY"
    assert answer('ldclient.get().variation("your.feature.key", user, False)', user=user) is True
    assert service.requests_to("/all")[0].headers["Authorization"] == "YOUR_SDK_KEY"


def test_get_gives_the_same_client_each_time_and_connects_once(service: StandIn) -> None:
    connect(service)
    assert ldclient.get() is ldclient.get()
    assert len(service.requests_to("/all")) == 1


# --- Customizing your client ---


def test_the_positional_config_sets_both_time_outs_and_leaves_the_address() -> None:
    typed("ldclient.config = Config('', 1, 2)")
    config = ldclient.config
    assert config.base_uri == "https://app.launchdarkly.com"
    assert config.stream_base_uri == "https://stream.launchdarkly.com"
    assert (config.http.connect_timeout, config.http.read_timeout) == (1, 2)


def test_the_positional_config_takes_an_address_too(service: StandIn, user: dict[str, Any]) -> None:
    ldclient.config = Config(service.uri, 1, 2, stream_uri=service.uri, events_uri=service.uri)
    ldclient.sdk_key = "YOUR_SDK_KEY"
    assert ldclient.config.base_uri == service.uri
    assert ldclient.get().variation("your.feature.key", user, False) is True


# --- Users ---


def test_the_documents_user_is_taken_as_it_is_and_left_as_it_was(service: StandIn, user: dict[str, Any]) -> None:
    before = copy.deepcopy(user)
    service.put(rule_on("groups", "Microsoft"))
    connect(service)
    assert ldclient.get().variation("your.feature.key", user, False) is True
    assert user == before
    ldclient.get().flush()
    context = service.wait_for_event("index")["context"]
    assert context == {
        "kind": "user",
        "key": "aa0ceb",
        "firstName": "Ernestina",
        "lastName": "Evans",
        "email": "",
        "groups": ["Google", "Microsoft"],
    }


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("key", "aa0ceb"),
        ("ip", "192.0.2.1"),
        ("firstName", "Ernestina"),
        ("lastName", "Evans"),
        ("country", "FR"),
        ("email", "e@example.com"),
        ("avatar", "https://example.com/a.png"),
        ("name", "Ernestina Evans"),
        ("anonymous", True),
    ],
)
def test_every_built_in_attribute_can_be_targeted(service: StandIn, attribute: str, value: Any) -> None:
    service.put(rule_on(attribute, value))
    connect(service)
    with_it = {"key": "aa0ceb", attribute: value}
    without_it = {"key": "someone-else"}
    assert ldclient.get().variation("your.feature.key", with_it, None) is True
    assert ldclient.get().variation("your.feature.key", without_it, None) is False


@pytest.mark.parametrize(
    ("given", "wanted", "matches"),
    [
        ("text", "text", True),
        (True, True, True),
        (False, False, True),
        (3, 3, True),
        (2.5, 2.5, True),
        (3, "3", False),
        (["a", "b"], "b", True),
        ([1, 2], 2, True),
        ([False, True], True, True),
        (["a", "b"], "c", False),
    ],
)
def test_custom_values_are_text_booleans_numbers_or_lists_of_them(
    service: StandIn, given: Any, wanted: Any, matches: bool
) -> None:
    service.put(rule_on("plan", wanted))
    connect(service)
    assert ldclient.get().variation("your.feature.key", {"key": "k", "custom": {"plan": given}}, None) is matches


def test_anonymous_users_work_like_others_and_are_reported_as_anonymous(service: StandIn) -> None:
    connect(service)
    user = typed('user = {"key":"aa0ceb", "anonymous": True}')["user"]
    assert answer('ldclient.get().variation("your.feature.key", user, False)', user=user) is True
    ldclient.get().flush()
    assert service.wait_for_event("index")["context"] == {"kind": "user", "key": "aa0ceb", "anonymous": True}


# --- Variation ---


def test_variation_answers_what_the_service_says(service: StandIn, user: dict[str, Any]) -> None:
    connect(service)
    assert answer('ldclient.get().variation("your.feature.key", user, False)', user=user) is True


def test_variation_follows_a_change(service: StandIn, user: dict[str, Any]) -> None:
    connect(service)
    assert ldclient.get().variation("your.feature.key", user, False) is True
    service.wait_for_streams(1)
    service.put(constant_flag("your.feature.key", "changed"))
    deadline = time.monotonic() + 10
    while ldclient.get().variation("your.feature.key", user, False) != "changed":
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_default_is_for_errors_only(service: StandIn, user: dict[str, Any]) -> None:
    service.put(constant_flag("your.feature.key", False))
    connect(service)
    client = ldclient.get()
    assert client.variation("your.feature.key", user, "default") is False
    assert client.variation("no.such.flag", user, "default") == "default"
    assert client.variation("your.feature.key", {"firstName": "Ernestina"}, "default") == "default"
    assert client.variation("your.feature.key", {"key": None}, "default") == "default"
    assert client.variation("your.feature.key", None, "default") == "default"
    assert client.variation_detail("your.feature.key", {}, "default").reason["errorKind"] == "USER_NOT_SPECIFIED"
    assert client.variation_detail("no.such.flag", user, "default").reason["errorKind"] == "FLAG_NOT_FOUND"


def test_variation_creates_the_user_once_and_counts_every_call(service: StandIn, user: dict[str, Any]) -> None:
    connect(service, flush_interval=3600)
    for _ in range(5):
        ldclient.get().variation("your.feature.key", user, False)
    ldclient.get().close()
    assert [who(event) for event in service.events_of("index")] == ["aa0ceb"]
    assert service.counted("your.feature.key") == {0: 5}


# --- All flags ---


def test_all_flags_is_a_dictionary_of_values_that_can_bootstrap_a_front_end(
    service: StandIn, user: dict[str, Any]
) -> None:
    service.put(constant_flag("limits", {"max": [1, 2]}))
    service.put(constant_flag("nothing", None, on=False, offVariation=None))
    connect(service)
    flags = answer("ldclient.get().all_flags(user)", user=user)
    assert flags == {"your.feature.key": True, "limits": {"max": [1, 2]}, "nothing": None}
    assert json.loads(json.dumps(flags)) == flags


# --- Track ---


def test_track_records_what_a_user_did(service: StandIn, user: dict[str, Any]) -> None:
    connect(service)
    typed('ldclient.get().track("Signed up", user)', user=user)
    ldclient.get().flush()
    event = service.wait_for_event("custom")
    assert (event["key"], who(event)) == ("Signed up", "aa0ceb")
    assert "data" not in event


def test_track_as_the_document_prints_it_is_recorded_with_its_data(service: StandIn) -> None:
    connect(service)
    typed('ldclient.get().track("Completed purchase", {"price": 320})')
    ldclient.get().flush()
    event = service.wait_for_event("custom")
    assert (event["key"], event["data"]) == ("Completed purchase", {"price": 320})


def test_track_takes_a_user_and_data(service: StandIn, user: dict[str, Any]) -> None:
    connect(service)
    ldclient.get().track("Completed purchase", user, {"price": 320})
    ldclient.get().flush()
    event = service.wait_for_event("custom")
    assert (event["key"], event["data"], who(event)) == ("Completed purchase", {"price": 320}, "aa0ceb")


# --- Identify ---


def test_identify_makes_a_user_known_without_a_variation(service: StandIn, user: dict[str, Any]) -> None:
    connect(service)
    typed("ldclient.get().identify(user)", user=user)
    ldclient.get().flush()
    context = service.wait_for_event("identify")["context"]
    assert (context["key"], context["firstName"]) == ("aa0ceb", "Ernestina")


# --- Secure mode hash ---


def test_secure_mode_hash_is_the_hmac_of_the_users_key(service: StandIn, user: dict[str, Any]) -> None:
    connect(service)
    expected = "fe8c37f6484ca8906c344af027d299bde492d3b343057e89b1ca2452e732b14e"
    assert answer("ldclient.get().secure_mode_hash(user)", user=user) == expected
    assert ldclient.get().secure_mode_hash({}) == ""


# --- Offline mode ---


@pytest.mark.parametrize("lines", [(0, 1), (1, 0)], ids=["as printed", "key first"])
def test_offline_mode_always_gives_the_default(user: dict[str, Any], lines: tuple[int, int]) -> None:
    block = ["ldclient.config = Config(offline = True)", 'ldclient.sdk_key = "YOUR_SDK_KEY"']
    started = time.monotonic()
    for line in lines:
        typed(block[line])
    assert answer('ldclient.get().variation("any.feature.flag", user, False)', user=user) is False
    assert ldclient.get().is_offline()
    assert time.monotonic() - started < 1.0


def test_offline_mode_makes_no_remote_call(service: StandIn, user: dict[str, Any]) -> None:
    connect(service, offline=True)
    client = ldclient.get()
    assert client.variation("your.feature.key", user, False) is False
    client.track("Signed up", user)
    client.identify(user)
    client.flush()
    assert client.all_flags(user) is None
    client.close()
    assert service.requests == []


# --- Flush ---


def test_events_wait_in_their_buffer_until_flush(service: StandIn, user: dict[str, Any]) -> None:
    connect(service, flush_interval=3600)
    ldclient.get().track("Signed up", user)
    ldclient.get().identify({"key": "b1946ac9"})
    assert service.events == []
    typed("ldclient.get().flush()")
    assert service.wait_for_event("custom")["key"] == "Signed up"
    assert who(service.wait_for_event("identify")) == "b1946ac9"


def test_the_flush_interval_is_configurable(service: StandIn, user: dict[str, Any]) -> None:
    connect(service, flush_interval=0.05)
    ldclient.get().track("Signed up", user)
    assert service.wait_for_event("custom", timeout=3)["key"] == "Signed up"


def test_flush_works_at_the_prompt(service: StandIn) -> None:
    lines = [
        "import ldclient",
        "from ldclient import Config",
        'ldclient.sdk_key = "YOUR_SDK_KEY"',
        f"uri = {service.uri!r}",
        "ldclient.config = Config(base_uri=uri, stream_uri=uri, events_uri=uri, flush_interval=3600)",
        'ldclient.get().variation("your.feature.key", {"key": "aa0ceb"}, False)',
        'ldclient.get().track("Signed up", {"key": "aa0ceb"})',
        "ldclient.get().flush()",
    ]
    prompt = subprocess.Popen(
        [sys.executable, "-q", "-i", "-u"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert prompt.stdin is not None
        prompt.stdin.write("\n".join([*lines, ""]))
        prompt.stdin.flush()
        # The prompt is still open: it was flush() that sent this, not the end of the program.
        assert who(service.wait_for_event("custom", timeout=20)) == "aa0ceb"
        assert prompt.poll() is None
        output, errors = prompt.communicate("exit()\n", timeout=20)
        assert prompt.returncode == 0
        assert "True" in output.split()
        assert "Traceback" not in errors
    finally:
        if prompt.poll() is None:
            prompt.kill()
            prompt.communicate()


# --- Close ---


def test_close_delivers_what_is_left_and_ends_the_connection(service: StandIn, user: dict[str, Any]) -> None:
    connect(service, flush_interval=3600)
    ldclient.get().track("Signed up", user)
    service.wait_for_streams(1)
    typed("ldclient.get().close()")
    assert [event["key"] for event in service.events_of("custom")] == ["Signed up"]
    service.wait_for_streams(0)


def test_close_may_be_called_twice_and_later_calls_do_no_harm(service: StandIn, user: dict[str, Any]) -> None:
    connect(service)
    client = ldclient.get()
    client.close()
    client.close()
    client.variation("your.feature.key", user, False)
    client.track("Signed up", user)
    client.flush()
