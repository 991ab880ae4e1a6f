"""`agent flags about` and `stale`: who looks after a flag, and which ones nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.control.flag_options import Name, open_admin, proposal
from agent.cli.options import As, Expect, Json, Reason
from agent.cli.output import show_json, show_table
from agent.cli.run import WELL, run
from agent.control.about import About
from agent.core.errors import Rejected
from agent.core.remedies import Amend

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.control.flags import Changed, FlagAdmin, FlagView

Owner = Annotated[
    str | None,
    typer.Option("--owner", help="A person or a team that looks after it."),
]
Tag = Annotated[
    list[str] | None, typer.Option("--tag", help="A word; may be repeated.")
]
Days = Annotated[
    int, typer.Option("--days", min=1, max=3650, help="For how long at least.")
]


def is_kept(view: FlagView, owner: str | None, tags: list[str] | None) -> bool:
    """Whether a list for this owner and with all of these tags has the flag."""
    if owner is not None and view.owner != owner:
        return False

    return set(tags or ()) <= set(view.tags)


def about(
    name: Name,
    owner: Owner = None,
    tag: Tag = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Forget owner and tags.")
    ] = False,
    as_: As = None,
    reason: Reason = None,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Say who looks after a flag, and give it tags; what is not named stays."""
    from agent.cli.control.flags_view import show_changed

    if not clear and owner is None and not tag:
        raise Rejected(
            "There is nothing to set.", Amend("add", ("owner", "tag", "clear"))
        )

    async def propose(admin: FlagAdmin, by: Author) -> Proposal[Changed]:
        view = await admin.get(name)
        kept = About() if clear else About(view.owner, view.tags)
        said = About(owner or kept.owner, tuple(tag or kept.tags))

        return await proposal(
            admin,
            name,
            lambda version: admin.describe(name, said, by, expected=version),
            None,
        )

    options = ChangeOptions(as_, reason, as_json, expect=expect)
    run_change(open_admin, propose, show_changed, options)


def stale(days: Days = 30, as_json: Json = False) -> None:
    """Show flags that nobody asked for, or that were the same for everybody, for 30 days."""

    async def show(settings: Settings) -> int:
        async with open_admin(settings) as admin:
            found = await admin.stale(days)
        if as_json:
            show_json([asdict(one) for one in found])
        elif found:
            rows = [
                (
                    one.name,
                    one.owner or "-",
                    f"{one.since.astimezone():%Y-%m-%d}",
                    one.why,
                )
                for one in found
            ]
            show_table(("FLAG", "OWNER", "SINCE", "WHY"), rows)
        else:
            typer.echo(f"No flag is stale by what was noted in {days} days.")

        return WELL

    run(show)
