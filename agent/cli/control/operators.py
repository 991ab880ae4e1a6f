"""`agent operators …`: who may change what the agent does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.options import As, Group, Json, Reason, Yes, operating
from agent.cli.output import show_json, show_table, tell
from agent.cli.run import WELL, run

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.control.operators import OperatorAdmin, Registration

app = typer.Typer(
    cls=Group,
    help="Operators: who may change flags, channels, limits, budgets and keys; "
    "none registered: everybody.",
    no_args_is_help=True,
)


def _complete(incomplete: str) -> list[str]:
    """Your own name, which is the first to add. Other names would need a query."""
    from agent.cli.options import user_name

    return [name for name in (user_name(),) if name.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(
        help="As --as or AGENT_OPERATOR say it, or the system's user.",
        autocompletion=_complete,
    ),
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show who may make changes."""

    async def show(settings: Settings) -> int:
        async with _open_admin(settings) as admin:
            views = await admin.list()
        if as_json:
            show_json([asdict(view) for view in views])
        elif views:
            rows = [
                (view.name, view.added_at.astimezone().isoformat(" ", "seconds"))
                for view in views
            ]
            show_table(("OPERATOR", "SINCE"), rows)
        else:
            tell(
                "Nobody is registered: whoever can reach the database may change "
                "everything, under any name."
            )

        return WELL

    run(show)


@app.command()
def add(
    name: Name,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Register an operator. From the first one on, only registered operators can make
    changes: begin with yourself.
    """
    _change(name, ChangeOptions(as_, reason, as_json, yes), registered=True)


@app.command()
def remove(
    name: Name,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take an operator back. Without the last one, everybody may make changes again."""
    _change(name, ChangeOptions(as_, reason, as_json, yes), registered=False)


def _change(name: str, options: ChangeOptions, *, registered: bool) -> None:
    async def propose(admin: OperatorAdmin, by: Author) -> Proposal[Registration]:
        agreed = await admin.consequence(name, by, registered=registered)
        change = admin.add if registered else admin.remove

        return Proposal(
            lambda _: change(name, by, agreed=agreed),
            None if agreed is None else f"{agreed} Do it?",
        )

    def show(made: Registration, /, *, as_json: bool) -> None:
        _show(name, made, as_json=as_json)

    run_change(_open_admin, propose, show, options)


def _show(name: str, made: Registration, *, as_json: bool) -> None:
    changed = made.before != made.after
    if as_json:
        show_json({"operator": name, "changed": changed, "operators": made.after})
    elif changed:
        names = ", ".join(made.after) or "none; everybody may make changes"
        tell(f"Operators: {names}.")
    else:
        tell(f"{name} is an operator already.")


@asynccontextmanager
async def _open_admin(settings: Settings) -> AsyncIterator[OperatorAdmin]:
    from storage.control.operators import OperatorAdmin

    async with operating(settings) as (stores, _):
        yield OperatorAdmin(stores.database, stores.pipe)
