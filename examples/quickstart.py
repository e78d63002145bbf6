"""The calls of LaunchDarkly's Python SDK reference, typed as it shows them.

Against the development server (no account needed), in two terminals:

    python -m ldclient serve examples/flags.json
    LD_BASE_URI=http://127.0.0.1:8030 python examples/quickstart.py

Against LaunchDarkly itself: leave LD_BASE_URI out and set LD_SDK_KEY to your key.
"""

import json
import os

import ldclient
from ldclient import Config

# Getting started. Nothing connects yet: the first ldclient.get() does.
ldclient.sdk_key = os.environ.get("LD_SDK_KEY", "YOUR_SDK_KEY")

# Customizing your client: only needed when something other than LaunchDarkly answers.
uri = os.environ.get("LD_BASE_URI")
if uri:
    ldclient.config = Config(base_uri=uri, stream_uri=uri, events_uri=uri)

# Users are dictionaries; the key is the only attribute that must be there.
user = {
    "key": "aa0ceb",
    "firstName": "Ernestina",
    "lastName": "Evans",
    "email": "",
    "custom": {
        "groups": ["Google", "Microsoft"],
    },
}
visitor = {"key": "5d41402abc4b2a76", "anonymous": True}

# Variation: the last argument is what you get when the flag cannot be decided.
show_feature = ldclient.get().variation("your.feature.key", user, False)
print("your.feature.key for Ernestina:  ", show_feature)
print("your.feature.key for a visitor:  ", ldclient.get().variation("your.feature.key", visitor, False))
print("no.such.flag, default 'fallback':", ldclient.get().variation("no.such.flag", user, "fallback"))

# Variation with the reason for it.
for key in ("your.feature.key", "new-checkout", "gift-wrapping", "old-banner"):
    detail = ldclient.get().variation_detail(key, user, None)
    print(f"{key} is {json.dumps(detail.value)} because {json.dumps(detail.reason)}")

# All flags: for example to bootstrap a front end.
print("all flags:", json.dumps(ldclient.get().all_flags(user), indent=2))

# Track: what a user did, with data if there is any. The second form is the one printed in the reference.
ldclient.get().track("Signed up", user)
ldclient.get().track("Completed purchase", {"price": 320})
ldclient.get().track("Completed purchase", user, {"price": 320})

# Identify: makes a user known before the first variation.
ldclient.get().identify({"key": "b1946ac9", "firstName": "Ada"})

# Secure mode: what the JavaScript SDK wants as its hash.
print("secure mode hash:", ldclient.get().secure_mode_hash(user))

# Flush: events leave by themselves every few seconds; in a short script, ask for it.
ldclient.get().flush()

# Close: sends what is left and releases everything. Long-running applications need not call it.
ldclient.get().close()
