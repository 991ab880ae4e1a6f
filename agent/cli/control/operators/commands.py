"""`agent operators …`: who may change what the agent does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.control.operators import tokens
from agent.cli.options import As, Group, Json, Reason, Yes, author, operating
from agent.cli.output import show_json, show_table, tell
from agent.cli.run import WELL, run
from agent.control.permissions import Role
from agent.core.errors import Rejected
from agent.core.remedies import Amend

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.control.operators.admin import OperatorAdmin, Registration

app = typer.Typer(
    cls=Group,
    help="Operators: who may change flags, channels, limits, budgets and keys; "
    "none registered: everybody.",
    no_args_is_help=True,
)
app.add_typer(tokens.app, name="token")


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
                (
                    view.name,
                    view.role.value,
                    "password" if view.signs_in else "-",
                    view.added_at.astimezone().isoformat(" ", "seconds"),
                )
                for view in views
            ]
            show_table(("OPERATOR", "ROLE", "CONSOLE", "SINCE"), rows)
        else:
            tell(
                "Nobody is registered: whoever can reach the database may change "
                "everything, under any name."
            )

        return WELL

    run(show)


RoleOption = Annotated[
    Role | None,
    typer.Option("--role", help="What they may do; admin for somebody new."),
]
Admin = Annotated[
    bool, typer.Option("--admin", help="The same as --role admin --link.")
]
Link = Annotated[
    bool,
    typer.Option(
        "--link", help="Print a one-time link to set a password for the console."
    ),
]


@app.command()
def add(
    name: Name,
    role: RoleOption = None,
    admin: Admin = False,
    link: Link = False,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Register an operator, or give them another role. From the first one on, only
    registered operators can make changes: begin with yourself.
    """
    if admin and role not in (None, Role.ADMIN):
        raise Rejected(
            "One operator has one role.", Amend("choose", ("role", "admin"))
        )

    given = Role.ADMIN if admin else role
    options = ChangeOptions(as_, reason, as_json, yes)

    async def propose(admins: OperatorAdmin, by: Author) -> Proposal[Registration]:
        agreed = await admins.consequence(name, by, registered=True)
        wanted = link or admin

        return Proposal(
            lambda _: admins.add(name, by, role=given, link=wanted, agreed=agreed),
            None if agreed is None else f"{agreed} Do it?",
        )

    _change(name, propose, options)


@app.command()
def link(
    name: Name, as_: As = None, reason: Reason = None, as_json: Json = False
) -> None:
    """Print a one-time link with which an operator sets a password for the console."""

    async def make(settings: Settings) -> int:
        from storage.control.operators.invitations import Invitations

        by = author(settings, as_, reason)
        async with operating(settings) as (stores, _):
            token = await Invitations(stores.database).invite(name, by)
        links = _links(settings, token)
        if as_json:
            show_json({"operator": name, "links": links})
        else:
            _show_links(links)

        return WELL

    run(make)


@app.command()
def remove(
    name: Name,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take an operator back. Without the last one, everybody may make changes again."""

    async def propose(admins: OperatorAdmin, by: Author) -> Proposal[Registration]:
        agreed = await admins.consequence(name, by, registered=False)

        return Proposal(
            lambda _: admins.remove(name, by, agreed=agreed),
            None if agreed is None else f"{agreed} Do it?",
        )

    _change(name, propose, ChangeOptions(as_, reason, as_json, yes))


Propose = Callable[["OperatorAdmin", "Author"], Awaitable[Proposal["Registration"]]]


def _change(name: str, propose: Propose, options: ChangeOptions) -> None:
    found: list[Settings] = []

    def open_admin(
        settings: Settings,
    ) -> AbstractAsyncContextManager[OperatorAdmin]:
        found.append(settings)

        return _open_admin(settings)

    def show(made: Registration, /, *, as_json: bool) -> None:
        links = [] if made.link is None else _links(found[0], made.link)
        _show(name, made, links, as_json=as_json)

    run_change(open_admin, propose, show, options)


def _show(
    name: str, made: Registration, links: Sequence[str], *, as_json: bool
) -> None:
    changed = made.changed
    if as_json:
        more = {"links": links} if links else {}
        show_json(
            {"operator": name, "changed": changed, "operators": made.after, **more}
        )
        return

    if made.before != made.after:
        names = ", ".join(made.after) or "none; everybody may make changes"
        tell(f"Operators: {names}.")
    elif changed:
        tell(f"{name} has the role {made.role} now.")
    else:
        tell(f"{name} is an operator already.")
    _show_links(links)


def _links(settings: Settings, token: str) -> list[str]:
    """Where `agent serve` shows the page: on this machine, and where others reach it."""
    from agent.operations.banner import shown_address

    host = settings.http_host
    near = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    bases = [f"http://{shown_address(near, settings.http_port)}", settings.public_url]

    return [f"{base.rstrip('/')}/link/{token}" for base in bases if base]


def _show_links(links: Sequence[str]) -> None:
    """Not folded: a terminal opens what it shows as one line."""
    if not links:
        return

    tell("Open this link within a day; it works once:")
    for link in links:
        typer.echo(link)


@asynccontextmanager
async def _open_admin(settings: Settings) -> AsyncIterator[OperatorAdmin]:
    from storage.control.operators.admin import OperatorAdmin

    async with operating(settings) as (stores, _):
        yield OperatorAdmin(stores.database, stores.pipe)
