"""`agent operators token …`: with what programs use the API, in the name of an operator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from msgspec.structs import asdict

from agent.cli.options import As, Group, Json, Reason, author, operating
from agent.cli.output import show_json, show_table, tell
from agent.cli.run import WELL, run
from agent.control.permissions import Scope

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.operators.api_tokens import ApiTokens, TokenView

app = typer.Typer(
    cls=Group,
    help="Tokens with which programs use the API (docs/api.md), in your name.",
    no_args_is_help=True,
)

Label = Annotated[
    str, typer.Argument(help="What it is for; the audit log names it with you.")
]
ScopeOption = Annotated[
    Scope,
    typer.Option(
        "--scope", help="read: look; operate: change and read messages; admin: all."
    ),
]
Days = Annotated[
    int,
    typer.Option("--days", min=1, max=366, help="How long it is good."),
]
TokenId = Annotated[UUID, typer.Argument(help="As `list` shows it.")]


@app.command()
def add(
    label: Label,
    scope: ScopeOption = Scope.READ,
    days: Days = 90,
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, this once. It never may more than you may."""

    async def make(settings: Settings) -> int:
        by = author(settings, as_, reason)
        async with _open_tokens(settings) as tokens:
            view, token = await tokens.add(label, scope, by, days=days)
        if as_json:
            show_json(asdict(view) | {"token": token})
        else:
            tell(
                f"Keep it well; it is not shown again. Good until {_day(view.ends_at)}:"
            )
            typer.echo(token)  # not folded: it is copied as one line

        return WELL

    run(make)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all tokens, when each was used last, and when it ends."""

    async def show(settings: Settings) -> int:
        async with _open_tokens(settings) as tokens:
            views = await tokens.list()
        if as_json:
            show_json([asdict(view) for view in views])
        elif views:
            _show(views)
        else:
            tell("There is no token. `agent operators token add LABEL` makes one.")

        return WELL

    run(show)


@app.command()
def revoke(
    token: TokenId, as_: As = None, reason: Reason = None, as_json: Json = False
) -> None:
    """End a token: the next request with it is refused, on every instance."""

    async def end(settings: Settings) -> int:
        by = author(settings, as_, reason)
        async with _open_tokens(settings) as tokens:
            await tokens.revoke(token, by)
        if as_json:
            show_json({"token": token, "revoked": True})
        else:
            tell(f"{token} is revoked.")

        return WELL

    run(end)


def _show(views: Sequence[TokenView]) -> None:
    headers = ("TOKEN", "OPERATOR", "LABEL", "SCOPE", "USED", "ENDS")
    rows = [
        (
            view.id,
            view.operator,
            view.label,
            view.scope.value,
            _day(view.used_at),
            "revoked" if view.revoked_at else _day(view.ends_at),
        )
        for view in views
    ]
    show_table(headers, rows)


def _day(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d}"


@asynccontextmanager
async def _open_tokens(settings: Settings) -> AsyncIterator[ApiTokens]:
    from storage.control.operators.api_tokens import ApiTokens

    async with operating(settings) as (stores, _):
        yield ApiTokens(stores.database)
