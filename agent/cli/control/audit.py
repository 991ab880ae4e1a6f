"""`agent audit …`: who changed what, and whether the log is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from agent.cli.options import Group, Json, operating
from agent.cli.output import show_json, tell
from agent.cli.run import NOT_WELL, WELL, run

if TYPE_CHECKING:
    from agent.settings import Settings

app = typer.Typer(
    cls=Group,
    help="The audit log: every change, in a chain of hashes.",
    no_args_is_help=True,
)

Subject = Annotated[
    str | None,
    typer.Option("--subject", help="Only about this, such as flag:replies."),
]
Actor = Annotated[str | None, typer.Option("--actor", help="Only by this operator.")]
Count = Annotated[int, typer.Option("--most", min=1, help="Entries to show.")]
Head = Annotated[
    str | None,
    typer.Option(
        "--head",
        help="A hash that an earlier verify showed; it must still be in the chain.",
    ),
]


@app.command("list")
def list_(
    subject: Subject = None,
    actor: Actor = None,
    maximum: Count = 50,
    as_json: Json = False,
) -> None:
    """Show the log, newest first."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.flags_view import show_entries
        from storage.control.audit import list_entries

        async with operating(settings) as (stores, _):
            found = await list_entries(
                stores.database, subject=subject, actor=actor, limit=maximum
            )
        show_entries(found, as_json=as_json)

        return WELL

    run(show)


@app.command()
def verify(head: Head = None, as_json: Json = False) -> None:
    """Compute the chain again. Exit status 1 when something was changed, removed or added."""

    async def check(settings: Settings) -> int:
        from storage.control.audit import verify

        async with operating(settings) as (stores, _):
            verdict = await verify(stores.database, head)
        if as_json:
            show_json({"well": not verdict.troubles, **asdict(verdict)})
        else:
            whole = f"{verdict.count} entries, all as they were written."
            tell("\n".join(verdict.troubles) or whole)
            tell(f"head {verdict.head}")

        return NOT_WELL if verdict.troubles else WELL

    run(check)
