"""``flask flags list`` and ``flask flags explain``."""

from __future__ import annotations

from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

from .._listing import explanation, rows, table, user_of, why_empty

__all__ = ["flags_group"]

flags_group = AppGroup("flags", help="Look at the feature flags of this application.")


def _client() -> Any:
    from .extension import extension_of

    try:
        return extension_of(current_app).client()
    except (AssertionError, RuntimeError, ValueError) as error:
        raise click.ClickException(str(error)) from None


def _user(_context: click.Context, _parameter: click.Parameter, text: str | None) -> dict[str, Any] | None:
    try:
        return None if text is None else user_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@flags_group.command("list")
@click.option("--user", callback=_user, help="A user's key, or a user or context as a JSON object.")
def list_flags(user: dict[str, Any] | None) -> None:
    """List all flags with what they serve a user; without --user an anonymous one."""
    client = _client()
    found = rows(client, user)
    if not found:
        raise click.ClickException(why_empty(client))
    for line in table(found):
        click.echo(line)


@flags_group.command("explain")
@click.argument("key")
@click.argument("user", callback=_user)
def explain_flag(key: str, user: dict[str, Any]) -> None:
    """Say what flag KEY serves USER (a key, or a JSON object), and why."""
    client = _client()
    try:
        lines = list(explanation(client, key, user))
    except LookupError as error:
        raise click.ClickException(str(error)) from None
    for line in lines:
        click.echo(line)
