"""Types that a caller sees, checked by mypy and never run: the type of an answer follows the type of the default."""

from typing_extensions import assert_type

from ldclient import Config, Context, LDClient

client = LDClient(Config(sdk_key="sdk-key", offline=True))
context = Context.builder("user-key").kind("user").set("plan", "gold").build()

assert_type(client.variation("flag", context, False), bool)
assert_type(client.variation("flag", context, "off"), str)
assert_type(client.variation("flag", {"key": "user-key"}, 1.5), float)
assert_type(client.variation_detail("flag", context, False).value, bool)
