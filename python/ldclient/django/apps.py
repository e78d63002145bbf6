"""The Django app. What it reads from the settings is ``configuration``'s question."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks
from django.core.signals import setting_changed

__all__ = ["FlagsConfig"]


class FlagsConfig(AppConfig):
    """Feature flags."""

    name = "ldclient.django"
    label = "ldclient"
    verbose_name = "Feature flags"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers the checks, and gives the settings to the client, which starts at the first evaluation."""
        from . import configuration
        from .checks import check_settings

        checks.register(check_settings)
        setting_changed.connect(configuration.forget, dispatch_uid="ldclient")
        configuration.configure()
