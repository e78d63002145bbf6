"""A shop in Django, in one file. Against the development server (no account needed), in two terminals:

    python -m ldclient serve examples/flags.json
    LD_BASE_URI=http://127.0.0.1:8030 python examples/django_app/shop.py runserver

Then http://127.0.0.1:8000/?user=demo-account, and `python examples/django_app/shop.py flags list`. Change a flag in
flags.json: the next page shows it. In production: gunicorn --chdir examples/django_app shop:application, or
uvicorn --app-dir examples/django_app shop:asgi
"""

import os
import sys

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse
from django.template import engines
from django.urls import path

import ldclient
from ldclient.django import flag_required


def user(request):
    """Whom flags are for; without a loader it is whoever is logged in."""
    key = request.GET.get("user")
    return {"key": key} if key else {"key": "visitor", "anonymous": True}


settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", "for this example only"),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["ldclient.django"],
    MIDDLEWARE=["ldclient.django.middleware.FlagsMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    LDCLIENT={
        "SDK_KEY": os.environ.get("LD_SDK_KEY", "any-key"),
        "URI": os.environ.get("LD_BASE_URI"),  # None: LaunchDarkly itself
        "USER_LOADER": user,
    },
)

PAGE = """{% load flags %}<!doctype html>
<title>Shop</title>
<h1>{% variation "new-checkout" "classic" %} checkout</h1>
{% flag "your.feature.key" %}<p><a href="/beta">Beta</a></p>{% endflag %}
<script>window.start = {% flags_bootstrap %}</script>
"""


def home(request):
    return HttpResponse(engines["django"].from_string(PAGE).render({}, request))


async def checkout(request):
    # Two reads in one request never disagree, even if somebody flips the flag in between.
    first = ldclient.variation("new-checkout", "classic")
    answer = {"first": first, "second": ldclient.variation("new-checkout", "classic"), "worker": os.getpid()}
    return JsonResponse(answer)


@flag_required("your.feature.key", redirect_to="home")
def beta(request):
    return HttpResponse("the beta")


urlpatterns = [path("", home, name="home"), path("checkout", checkout), path("beta", beta)]

application = get_wsgi_application()
asgi = get_asgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
