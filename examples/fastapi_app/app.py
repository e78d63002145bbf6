"""A shop in FastAPI. Against the development server (no account needed), in two terminals:

    python -m ldclient serve examples/flags.json
    LD_BASE_URI=http://127.0.0.1:8030 uvicorn --app-dir examples/fastapi_app app:app

Then http://127.0.0.1:8000/checkout?user=demo-account. Change a flag in flags.json: the next answer shows it.
"""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException

import ldclient
from ldclient import Config
from ldclient.asgi import FlagsMiddleware, flags_for
from ldclient.request import RequestFlags

uri = os.environ.get("LD_BASE_URI")
uris = {"base_uri": uri, "stream_uri": uri, "events_uri": uri} if uri else {}  # without: LaunchDarkly itself
ldclient.config = Config(os.environ.get("LD_SDK_KEY", "any-key"), **uris)


async def current_user(user: str = ""):
    """Whom flags are for; usually whoever the token belongs to."""
    return {"key": user} if user else {"key": "visitor", "anonymous": True}


Flags = Annotated[RequestFlags, Depends(flags_for(current_user))]

app = FastAPI()
app.add_middleware(FlagsMiddleware)


@app.get("/")
async def home(flags: Flags):
    return {"checkout": flags.variation("new-checkout", "classic"), "beta": flags.is_active("your.feature.key")}


@app.get("/checkout")
async def checkout(flags: Flags):
    # Two reads in one request never disagree, even if somebody flips the flag in between.
    first = flags.variation("new-checkout", "classic")
    return {"first": first, "second": ldclient.variation("new-checkout", "classic"), "worker": os.getpid()}


@app.get("/beta")
async def beta(flags: Flags):
    if not flags.is_active("your.feature.key"):
        raise HTTPException(404)
    return "the beta"


@app.post("/buy")
async def buy(price: float, flags: Flags):
    flags.track("Completed purchase", {"price": price})
    return "thank you"
