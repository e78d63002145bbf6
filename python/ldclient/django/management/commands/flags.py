"""``manage.py flags list`` and ``manage.py flags explain``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...._listing import explanation, rows, table, user_of, why_empty
from ... import configuration

__all__ = ["Command"]


class Command(BaseCommand):
    """Looks at the feature flags."""

    help = "Look at the feature flags of this project."
    requires_system_checks: Any = ()

    def add_arguments(self, parser: Any) -> None:
        """Adds the subcommands."""
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="list|explain")
        lister = commands.add_parser("list", help="all flags with what they serve a user")
        lister.add_argument("--user", help="a user's key, or a user or context as a JSON object (default: anonymous)")
        explain = commands.add_parser("explain", help="what a flag serves a user, and why")
        explain.add_argument("key", help="the flag")
        explain.add_argument("user", help="a user's key, or a user or context as a JSON object")

    def handle(self, *_: Any, **options: Any) -> None:
        """Runs a subcommand.

        :raises CommandError: there is no client, no such flag, or the user cannot be read
        """
        try:
            client = configuration.current().ask()
            user = None if options["user"] is None else user_of(options["user"])
            if options["subcommand"] == "list":
                found = rows(client, user)
                if not found:
                    raise CommandError(why_empty(client))
                lines = list(table(found))
            else:
                lines = list(explanation(client, options["key"], user))
        except (LookupError, RuntimeError, ValueError) as error:
            raise CommandError(str(error)) from None
        for line in lines:
            self.stdout.write(line)
