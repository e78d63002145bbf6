"""Types that a caller sees, checked by mypy and pyright and never run: an answer has the type of its default."""

from typing import Any

from typing_extensions import assert_type

import ldclient
from ldclient import Config, Context, LDClient
from ldclient.evaluation import EvaluationDetail
from ldclient.explanation import ExplainedFlag, Explanation

client = LDClient(Config(sdk_key="sdk-key", offline=True))
context = Context.builder("user-key").kind("user").set("plan", "gold").build()
user = {"key": "user-key", "custom": {"groups": ["Google"]}}

# Each type of default.
assert_type(client.variation("flag", context, False), bool)
assert_type(client.variation("flag", context, "off"), str)
assert_type(client.variation("flag", context, 5), int)
assert_type(client.variation("flag", user, 1.5), float)
assert_type(client.variation("flag", user, []), list[Any])
assert_type(client.variation("flag", user, ["a"]), list[Any])
assert_type(client.variation("flag", user, {}), dict[str, Any])
assert_type(client.variation("flag", user, {"a": 1}), dict[str, Any])
assert_type(client.variation("flag", user, None), Any)
assert_type(client.variation("flag", user), Any)
assert_type(client.variation("flag"), Any)


def wide(default: str | None) -> str | None:
    return client.variation("flag", user, default)


# Each way to name user and default.
assert_type(client.variation("flag", user=user, default=False), bool)
assert_type(client.variation("flag", context=context, default="off"), str)
assert_type(client.variation(key="flag", context=None, default=5), int)
assert_type(client.variation("flag", default=1.5, user=None), float)

# The reason comes with a value of that type.
assert_type(client.variation_detail("flag", context, False), EvaluationDetail[bool])
assert_type(client.variation_detail("flag", user, "off").value, str)
assert_type(client.variation_detail("flag", user=user, default=5).value, int)
assert_type(client.variation_detail("flag", user, {}).value, dict[str, Any])
assert_type(client.variation_detail("flag", user).value, Any)

# The siblings say it in their names.
assert_type(client.bool_variation("flag", user), bool)
assert_type(client.int_variation("flag", user, 5), int)
assert_type(client.float_variation("flag", user, 5), float)
assert_type(client.str_variation("flag", user, "off"), str)
assert_type(client.str_variation("flag", user), str | None)
assert_type(client.json_variation("flag", user, {}), Any)

# The module's functions, with the ambient user and with one that is named.
assert_type(ldclient.variation("flag", False), bool)
assert_type(ldclient.variation("flag", "off"), str)
assert_type(ldclient.variation("flag", default=5), int)
assert_type(ldclient.variation("flag", user, False), bool)
assert_type(ldclient.variation("flag", user, {}), dict[str, Any])
assert_type(ldclient.variation("flag"), Any)
assert_type(ldclient.variation_detail("flag", False), EvaluationDetail[bool])
assert_type(ldclient.variation_detail("flag", user, "off").value, str)
with ldclient.use(user), ldclient.pinned() as view:
    assert_type(view.variation("flag", user, False), bool)

# Why a flag serves what it serves.
explanation = client.explain("flag", user)
assert_type(explanation, Explanation)
assert_type(view.explain("flag", user=context).flag, ExplainedFlag | None)
if explanation.flag is not None:
    assert_type(explanation.flag["rules"][0]["clauses"][0]["matched"], bool | None)
    rollout = explanation.flag["fallthrough"]["rollout"]
    assert rollout is not None
    assert_type(rollout["shares"][0]["chosen"], bool | None)

# What is no user and no default of a sibling is refused.
client.variation("flag", 5, False)  # type: ignore[call-overload]  # pyright: ignore
client.int_variation("flag", user, "5")  # type: ignore[call-overload]  # pyright: ignore
