"""A model without a table, so that the admin has a page of flags and the permission to see it: ``ldclient.view_flag``."""

from __future__ import annotations

from django.db import models

__all__ = ["Flag"]


class Flag(models.Model):
    """A feature flag. There are no rows: flags are the client's."""

    key = models.CharField(max_length=256, primary_key=True)

    class Meta:
        """No table; the one permission is to look."""

        managed = False
        default_permissions = ("view",)
        verbose_name = "feature flag"

    def __str__(self) -> str:
        return str(self.key)
