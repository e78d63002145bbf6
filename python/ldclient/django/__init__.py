"""Flags in Django: an app with middleware, template tags, view guards, commands, checks and a page in the admin.

In the settings::

    INSTALLED_APPS += ["ldclient.django"]
    MIDDLEWARE += ["ldclient.django.middleware.FlagsMiddleware"]
    LDCLIENT = {"SDK_KEY": os.environ["LAUNCHDARKLY_SDK_KEY"]}

``LDCLIENT`` has every option of ``ldclient.Config`` in upper case, or ``CONFIG``, a Config; ``URI`` of a development
server or relay; ``START_WAIT``, how many seconds the first evaluation waits for flags; ``USER_LOADER``, a function of a
request, or its dotted name, that returns the user (default :func:`request_user`); ``STRICT``, which raises for unknown
flags and failing user loaders.

In a request ``ldclient.variation(key, default)`` and ``ldclient.track(name)`` are for its user, and all evaluations see
the flags of one moment. In templates, after ``{% load flags %}``: ``{% flag "key" %}…{% else %}…{% endflag %}``,
``{% variation "key" "default" %}``, ``{% flags_bootstrap %}``.
"""

from __future__ import annotations

try:
    import django as _django  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "django":
        raise
    raise ModuleNotFoundError(
        "ldclient.django needs Django, which is not installed: pip install 'ldclient-rs[django]'", name="django"
    ) from None

from ..request import RequestFlags, UnknownFlagError
from .requests import request_flags, request_user, set_user
from .views import FlagRequiredMixin, flag_required

__all__ = [
    "FlagRequiredMixin",
    "RequestFlags",
    "UnknownFlagError",
    "flag_required",
    "request_flags",
    "request_user",
    "set_user",
]
