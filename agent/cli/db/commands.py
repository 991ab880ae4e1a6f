"""`agent db …`: the schema of the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.change import ChangeOptions
from agent.cli.options import As, Group, Json, Reason, Yes, author
from agent.cli.output import show_json, tell
from agent.cli.run import NOT_WELL, WELL, Command, run
from agent.core.text import did_you_mean

if TYPE_CHECKING:
    from agent.settings import Settings

Force = Annotated[
    bool, typer.Option("--force", help="Do it although instances are running.")
]
NoBackup = Annotated[
    bool, typer.Option("--no-backup", help="Make no backup of what goes.")
]

app = typer.Typer(cls=Group, help="The schema of the database.", no_args_is_help=True)


@app.command()
def upgrade(
    revision: Annotated[
        str, typer.Argument(help="A migration; default: the newest.")
    ] = "head",
    as_: As = None,
    as_json: Json = False,
) -> None:
    """Bring the schema up to date. Safe when several instances start at once."""
    run(_upgrading(revision, as_, as_json=as_json))


def _no_option(context: typer.Context, revision: str) -> str:
    """A step such as -1 looks like an option, so options that are unknown come here, too."""
    if not revision.startswith("--"):
        return revision

    names = [name for option in context.command.params for name in option.opts]
    hint = did_you_mean(revision, [name for name in names if name.startswith("--")])
    raise typer.BadParameter(f"No such option: {revision}.{hint}")


@app.command(context_settings={"ignore_unknown_options": True})
def downgrade(
    revision: Annotated[
        str,
        typer.Argument(
            help="A migration, -1 for one back; `base` removes everything.",
            callback=_no_option,
        ),
    ],
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    force: Force = False,
    no_backup: NoBackup = False,
    as_json: Json = False,
) -> None:
    """Take the schema back to an earlier migration. Says first which data goes, and asks."""
    from agent.cli.db.guarded import Guards, downgrading

    options = ChangeOptions(as_, reason, as_json, yes)
    run(downgrading(revision, Guards(options, force, backup=not no_backup)))


@app.command()
def reset(
    confirm: Annotated[
        str | None,
        typer.Option(help="The database's name, instead of being asked for it."),
    ] = None,
    as_: As = None,
    reason: Reason = None,
    force: Force = False,
    no_backup: NoBackup = False,
    as_json: Json = False,
) -> None:
    """Remove all data of the agent and make its tables again. Asks for the database's name."""
    from agent.cli.db.guarded import Guards, resetting

    options = ChangeOptions(as_, reason, as_json)
    run(resetting(confirm, Guards(options, force, backup=not no_backup)))


@app.command()
def move(
    to: Annotated[
        str,
        typer.Option(
            help="URL of an empty database, or `embedded` for the store in AGENT_HOME."
        ),
    ],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", help="The same of what is moved; default: the store in use."
        ),
    ] = None,
    programs: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the Postgres that made the embedded store, if it is not found."
        ),
    ] = None,
    write_env: Annotated[
        bool, typer.Option("--write-env", help="Name the new store in .env.")
    ] = False,
    as_: As = None,
    as_json: Json = False,
) -> None:
    """Move everything to a server, back, or to the embedded Postgres' next version.

    All rows are compared. The old store is kept. Stop all instances first.
    """
    from agent.cli.db.move import MoveOptions, moving

    run(moving(MoveOptions(to, from_, programs, write_env, as_, as_json)))


@app.command()
def seed(
    people: Annotated[int, typer.Option(min=1, help="Accounts.")] = 100,
    messages: Annotated[
        int, typer.Option(min=2, help="Theirs, and the answers to them.")
    ] = 10_000,
    months: Annotated[int, typer.Option(min=1, max=120, help="Back from now.")] = 3,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove all that this command ever made.")
    ] = False,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make up people and their messages, to try reports and to measure. They are marked."""
    from agent.cli.db.seed import cleaning, seeding

    options = ChangeOptions(as_, reason, as_json, yes)
    if clean:
        run(cleaning(options, force=force))

    run(seeding(people, messages, months, options, force=force))


@app.command()
def status(as_json: Json = False) -> None:
    """Show which migrations are applied. Exit status 1 when they are not those of this version."""
    from agent.cli.db.status import status

    run(lambda settings: status(settings, as_json=as_json))


@app.command()
def check(as_json: Json = False) -> None:
    """Compare tables with the code. Exit status 1 when they differ."""
    run(lambda settings: _check(settings, as_json=as_json))


def _upgrading(revision: str, by: str | None, *, as_json: bool) -> Command:
    async def work(settings: Settings) -> int:
        from agent.operations.connect import reach_postgres
        from storage import migrate
        from storage.migrate.revisions import BASE, target_of

        actor = author(settings, by, None).name
        async with reach_postgres(settings) as postgres:
            before = await migrate.current_revision(postgres.url)
            target = target_of(revision, before, "upgrade")
            if (before or BASE) != target:
                if postgres.found:
                    postgres.found.check_may_create()
                await migrate.upgrade(postgres.url, target, actor=actor)
            reached = await migrate.current_revision(postgres.url)

        if as_json:
            show_json({"schema": reached, "needed": migrate.HEAD})
        else:
            tell(f"schema {reached or 'empty'}")

        return WELL

    return work


async def _check(settings: Settings, *, as_json: bool) -> int:
    from agent.operations.connect import reach_postgres
    from storage import migrate
    from storage.migrate.revisions import check_known

    async with reach_postgres(settings) as postgres:
        revision = await migrate.current_revision(postgres.url)
        check_known(revision)
        differences = (
            await migrate.differences(postgres.url)
            if revision == migrate.HEAD
            else [_behind(revision, migrate.HEAD)]
        )

    if as_json:
        show_json({"well": not differences, "differences": differences})
    else:
        compared = "tables and code " + ("differ" if differences else "agree")
        verdict = [compared] if revision == migrate.HEAD else []
        tell("\n".join([*differences, *verdict]))

    return NOT_WELL if differences else WELL


def _behind(revision: str | None, needed: str) -> str:
    found = (
        f"The schema is at {revision}, this version needs {needed}."
        if revision
        else "No migration is applied to this database."
    )

    return f"{found} Run: agent db upgrade"
