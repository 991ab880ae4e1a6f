"""`agent limits …`: how often people may speak. Limits of a channel are set with `agent
channels set`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.options import As, Expect, Group, Json, Reason, operating
from agent.cli.output import show_json, show_table, tell
from agent.cli.run import WELL, run

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.limits.limit_admin import LimitAdmin, LimitChanged, LimitView

app = typer.Typer(
    cls=Group, help="Rate limits: how often people may speak.", no_args_is_help=True
)

Person = Annotated[
    str,
    typer.Argument(help="One human: an account as channel:id, or the person's id."),
]
AnyPerson = Annotated[
    str | None,
    typer.Argument(help="One human, with what they used; default: all limits."),
]
Limit = Annotated[str, typer.Argument(help="20/minute, 500/hour, 5/10s; off: none.")]


@app.command()
def show(person: AnyPerson = None, as_json: Json = False) -> None:
    """Show what holds on each channel and for people with a limit of their own."""

    async def work(settings: Settings) -> int:
        async with _open_admin(settings) as admin:
            views = await (admin.list() if person is None else admin.person(person))
        if as_json:
            show_json([_facts(view) for view in views])
        else:
            headers = ("WHO OR WHERE", "FOR EACH", "LIMIT", "USED NOW", "BY")
            show_table(headers, [_row(view) for view in views])

        return WELL

    run(work)


@app.command("set")
def set_(
    person: Person,
    limit: Limit,
    as_: As = None,
    reason: Reason = None,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Give a person a limit of their own, on all their accounts."""
    _change(person, limit, ChangeOptions(as_, reason, as_json, expect=expect))


@app.command()
def unset(
    person: Person,
    as_: As = None,
    reason: Reason = None,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Take a person's own limit back: the channel's holds again."""
    _change(person, None, ChangeOptions(as_, reason, as_json, expect=expect))


@app.command()
def reset(
    person: Person, as_: As = None, reason: Reason = None, as_json: Json = False
) -> None:
    """Let a person speak again at once."""

    async def propose(admin: LimitAdmin, by: Author) -> Proposal[None]:
        return Proposal(lambda _: admin.reset(person, by))

    def show(_: None, /, *, as_json: bool) -> None:
        if as_json:
            show_json({"person": person, "reset": True})
        else:
            tell(f"{person} may speak again.")

    run_change(_open_admin, propose, show, ChangeOptions(as_, reason, as_json))


def _change(person: str, limit: str | None, options: ChangeOptions) -> None:
    async def propose(admin: LimitAdmin, by: Author) -> Proposal[LimitChanged]:
        return Proposal(
            lambda version: admin.set(person, limit, by, expected=version)
        )

    def show(made: LimitChanged, /, *, as_json: bool) -> None:
        changed = made.before != made.after
        if as_json:
            show_json({"person": person, **asdict(made), "changed": changed})
        elif changed:
            tell(f"{person}: {made.after or 'the limit of the channel holds'}.")
        else:
            tell(f"{person} is so already.")

    run_change(_open_admin, propose, show, options)


def _row(view: LimitView) -> tuple[str, ...]:
    used = "" if view.used is None else str(view.used)
    source = "default" if view.default else "set"

    return view.subject, view.scope, str(view.limit), used, source


def _facts(view: LimitView) -> dict[str, object]:
    return {
        "subject": view.subject,
        "scope": view.scope,
        "limit": str(view.limit),
        "default": view.default,
        "used": view.used,
        "version": view.version,
    }


@asynccontextmanager
async def _open_admin(settings: Settings) -> AsyncIterator[LimitAdmin]:
    from storage.limits.limit_admin import LimitAdmin

    async with operating(settings) as (stores, _):
        yield LimitAdmin(stores.database, stores.pipe)
