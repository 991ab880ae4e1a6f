"""`agent people …`: who talks to the agent, what is kept of them, and forgetting them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from agent.cli.change import ChangeOptions, confirm
from agent.cli.options import As, Group, Json, Reason, Yes, author, operating
from agent.cli.output import show_json, show_table, tell
from agent.cli.run import WELL, run

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.lifecycle.people import EarlierTexts, PeopleAdmin
    from storage.migrate.stores import OpenStores

app = typer.Typer(
    cls=Group,
    help="People: what is kept of them, a copy for them, and forgetting them.",
    no_args_is_help=True,
)

Person = Annotated[
    str,
    typer.Argument(help="An account, as in discord:80351110224678912, or an id."),
]
Count = Annotated[int, typer.Option("--count", min=1, max=10_000, help="At most.")]


def _counted(messages: int) -> str:
    return "one message" if messages == 1 else f"{messages:,} messages"


@app.command("list")
def list_(count: Count = 50, as_json: Json = False) -> None:
    """Show people, the newest first."""

    async def show(settings: Settings) -> int:
        async with _open_admin(settings) as (admin, _):
            views = await admin.list(count)
        if as_json:
            show_json([asdict(view) for view in views])
        elif views:
            rows = [
                (view.id, f"{view.since:%Y-%m-%d}", view.accounts) for view in views
            ]
            show_table(("PERSON", "SINCE", "ACCOUNTS"), rows)
        else:
            typer.echo("Nobody has written yet.")

        return WELL

    run(show)


@app.command()
def show(person: Person, as_json: Json = False) -> None:
    """Show one person: accounts, how many messages, and whether training is allowed."""

    async def look(settings: Settings) -> int:
        async with _open_admin(settings) as (admin, _):
            view = await admin.show(person)
        if as_json:
            show_json(asdict(view))
        else:
            allowed = "allowed" if view.consent else "not allowed"
            tell(f"{view.id}: {view.accounts}")
            tell(f"Since {view.since:%Y-%m-%d}, {_counted(view.messages)} kept.")
            tell(f"Use for training: {allowed}.")

        return WELL

    run(look)


@app.command()
def block(
    person: Person, as_: As = None, reason: Reason = None, as_json: Json = False
) -> None:
    """Pass over what a person writes, on all their accounts."""
    _set_blocked(person, as_, reason, blocked=True, as_json=as_json)


@app.command()
def unblock(
    person: Person, as_: As = None, reason: Reason = None, as_json: Json = False
) -> None:
    """Hear a person again, on all their accounts."""
    _set_blocked(person, as_, reason, blocked=False, as_json=as_json)


def _set_blocked(
    person: str, as_: str | None, reason: str | None, *, blocked: bool, as_json: bool
) -> None:
    async def change(settings: Settings) -> int:
        from storage.people.blocking import BlockAdmin

        by = author(settings, as_, reason)
        async with _open_admin(settings) as (_, stores):
            admin = BlockAdmin(stores.database, stores.pipe)
            view = await admin.set(person, by, blocked=blocked)
        if as_json:
            show_json(asdict(view))
        else:
            tell(f"Accounts: {', '.join(view.accounts)}.")
            tell(f"Blocked: {', '.join(view.blocked) or 'none'}.")

        return WELL

    run(change)


@app.command()
def texts(
    person: Person, as_: As = None, reason: Reason = None, as_json: Json = False
) -> None:
    """Show what edited and deleted messages said before, and the prompts of answers. Audited.

    Kept where the flag keep_earlier_texts is on.
    """

    async def look(settings: Settings) -> int:
        by = author(settings, as_, reason)
        async with _open_admin(settings) as (admin, _):
            found = await admin.earlier(person, by)
        if as_json:
            show_json(asdict(found))
        elif not found.texts and not found.prompts:
            typer.echo("Nothing earlier is kept of this person.")
        else:
            _show_texts(found)

        return WELL

    run(look)


def _show_texts(found: EarlierTexts) -> None:
    changed = [
        ("before", f"{one['changed']:%Y-%m-%d %H:%M}", one["channel"], one["text"])
        for one in found.texts
    ]
    prompts = [
        ("prompt", f"{one['until']:%Y-%m-%d %H:%M}", one["answers"], one["prompt"])
        for one in found.prompts
    ]
    show_table(("WHAT", "UNTIL", "WHERE OR ANSWERS", "TEXT"), [*changed, *prompts])


@app.command()
def erase(
    person: Person,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Forget a person: their words, accounts and settings, everywhere. There is no way back."""
    options = ChangeOptions(as_, reason, as_json, yes)

    async def work(settings: Settings) -> int:
        by = author(settings, as_, reason)
        async with _open_admin(settings) as (admin, stores):
            view = await admin.show(person)
            confirm(
                f"This erases everything of {view.accounts}: {_counted(view.messages)}, "
                "the answers to them, and all settings. It cannot come back. Do it?",
                options,
            )
            erasure = await admin.erase(person, by)
            messages = await _to_the_end(settings, stores, quiet=as_json)
        if as_json:
            show_json({"erasure": erasure, "messages": messages})
        else:
            tell(f"Erased with answers: {_counted(messages)}. Receipt: {erasure}.")

        return WELL

    run(work)


@app.command()
def erasures(as_json: Json = False) -> None:
    """Show erasures, those under way and those that are done."""

    async def look(settings: Settings) -> int:
        async with _open_admin(settings) as (admin, _):
            views = await admin.erasures()
        if as_json:
            show_json([asdict(view) for view in views])
        elif views:
            rows = [
                (v.id, f"{v.requested_at:%Y-%m-%d %H:%M}", v.step, v.messages)
                for v in views
            ]
            show_table(("ERASURE", "ASKED", "STEP", "MESSAGES"), rows)
        else:
            typer.echo("Nobody was erased yet.")

        return WELL

    run(look)


@app.command()
def export(
    person: Person,
    folder: Annotated[Path, typer.Argument(help="A folder for the two files.")],
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Write all that is kept of a person as JSON and as text, to be handed to them."""

    async def work(settings: Settings) -> int:
        by = author(settings, as_, reason)
        async with _open_admin(settings) as (admin, _):
            view = await admin.show(person)
            with await admin.export(str(view.id), by) as file:
                files = file.write_to(folder)
        if as_json:
            show_json({"person": view.id, "files": files})
        else:
            tell(f"Wrote {' and '.join(map(str, files))}.")

        return WELL

    run(work)


async def _to_the_end(settings: Settings, stores: OpenStores, *, quiet: bool) -> int:
    """Works at erasures until there is none left. Other instances help, if any run."""
    import asyncio

    from storage.lifecycle.erasure import Stores, work
    from storage.lifecycle.receipts import note

    lifecycle = Stores(stores.database, stores.pipe, settings.agent_home)
    step, messages = "", 0
    while progress := await work(lifecycle):
        messages = max(messages, progress.messages)
        if progress.step != step and not quiet:
            tell(f"{progress.step} …", err=True)
        step = progress.step
        if not progress.moved:
            await asyncio.sleep(1)

    await note(
        stores.database, settings.backup_dir or settings.agent_home / "backups"
    )

    return messages


@asynccontextmanager
async def _open_admin(
    settings: Settings,
) -> AsyncIterator[tuple[PeopleAdmin, OpenStores]]:
    from storage.lifecycle.people import PeopleAdmin

    async with operating(settings) as (stores, _):
        yield PeopleAdmin(stores.database), stores
