"""`agent limits …`: how often people may speak. Limits of a channel are set with `agent
channels set`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import (
    As,
    Expect,
    Json,
    Reason,
    author,
    operating,
    show_json,
    show_table,
)
from agent.cli.run import WELL, run

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.limits.limit_admin import LimitAdmin, LimitView

app = typer.Typer(help="Rate limits: how often people may speak.", no_args_is_help=True)

Person = Annotated[
    str, typer.Argument(help="One human: an account as channel:id, or the person's id.")
]


@app.command()
def show(
    person: Annotated[
        str | None,
        typer.Argument(help="One human, with what they used; default: all limits."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what holds on each channel and for people with a limit of their own."""

    async def work(settings: Settings) -> int:
        async with _desk(settings) as desk:
            views = await (desk.list() if person is None else desk.person(person))
        if as_json:
            show_json([_facts(view) for view in views])
        else:
            rows = [
                (
                    v.subject,
                    v.scope,
                    str(v.limit),
                    _used(v),
                    "default" if v.default else "set",
                )
                for v in views
            ]
            show_table(("WHO OR WHERE", "FOR EACH", "LIMIT", "USED NOW", "BY"), rows)
        return WELL

    run(work)


@app.command("set")
def set_(
    person: Person,
    limit: Annotated[
        str, typer.Argument(help="20/minute, 500/hour, 5/10s; off: none.")
    ],
    as_: As = None,
    reason: Reason = None,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Give a person a limit of their own, on all their accounts."""
    _change(person, limit, as_, reason, expect, as_json=as_json)


@app.command()
def unset(
    person: Person,
    as_: As = None,
    reason: Reason = None,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Take a person's own limit back: the channel's holds again."""
    _change(person, None, as_, reason, expect, as_json=as_json)


@app.command()
def reset(
    person: Person, as_: As = None, reason: Reason = None, as_json: Json = False
) -> None:
    """Let a person speak again at once."""

    async def work(settings: Settings) -> int:
        async with _desk(settings) as desk:
            await desk.reset(person, author(settings, as_, reason))
        if as_json:
            show_json({"person": person, "reset": True})
        else:
            typer.echo(f"{person} may speak again.")
        return WELL

    run(work)


def _change(
    person: str,
    limit: str | None,
    as_: str | None,
    reason: str | None,
    expect: int | None,
    *,
    as_json: bool,
) -> None:
    """`expect`: when somebody changed the limit since that version, nothing is changed
    (exit status 1).
    """

    async def work(settings: Settings) -> int:
        async with _desk(settings) as desk:
            changed = await desk.set(
                person, limit, author(settings, as_, reason), expected=expect
            )
        if as_json:
            show_json(
                {
                    "person": person,
                    **asdict(changed),
                    "changed": changed.before != changed.after,
                }
            )
        elif changed.before == changed.after:
            typer.echo(f"{person} is so already.")
        else:
            typer.echo(
                f"{person}: {changed.after or 'the limit of the channel holds'}."
            )
        return WELL

    run(work)


def _used(view: LimitView) -> str:
    return "" if view.used is None else str(view.used)


def _facts(view: LimitView) -> dict[str, object]:
    facts = {"subject": view.subject, "scope": view.scope, "limit": str(view.limit)}
    return {
        **facts,
        "default": view.default,
        "used": view.used,
        "version": view.version,
    }


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[LimitAdmin]:
    from storage.limits.limit_admin import LimitAdmin

    async with operating(settings) as (stores, _):
        yield LimitAdmin(stores.database, stores.pipe)
