"""`agent db …`: the schema of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import Json
from agent.cli.output import show_json
from agent.cli.run import NOT_WELL, WELL, Command, run
from agent.core.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.settings import Settings

_EMPTY = "the schema is empty: run agent db upgrade"

app = typer.Typer(help="The schema of the database.", no_args_is_help=True)


@app.command()
def upgrade(
    revision: Annotated[
        str, typer.Argument(help="A migration; default: the newest.")
    ] = "head",
    as_json: Json = False,
) -> None:
    """Bring the schema up to date. Safe when several instances start at once."""
    run(_moving("upgrade", revision, as_json=as_json))


@app.command()
def downgrade(
    revision: Annotated[
        str, typer.Argument(help="A migration; `base` removes everything.")
    ],
    as_json: Json = False,
) -> None:
    """Take the schema back to an earlier migration, with the data that only later ones can hold."""
    run(_moving("downgrade", revision, as_json=as_json))


@app.command()
def status(as_json: Json = False) -> None:
    """Show the schema's migration. Exit status 1 when it is not the one this version needs."""
    run(lambda settings: _status(settings, as_json=as_json))


@app.command()
def check(as_json: Json = False) -> None:
    """Compare tables with the code. Exit status 1 when they differ."""
    run(lambda settings: _check(settings, as_json=as_json))


def _moving(direction: str, revision: str, *, as_json: bool) -> Command:
    async def move(settings: Settings) -> int:
        from alembic.util import CommandError

        from agent.operations.connect import reach_postgres
        from storage import migrate

        async with reach_postgres(settings) as postgres:
            before = await migrate.current_revision(postgres.url)
            if direction == "upgrade" and before != migrate.HEAD and postgres.found:
                postgres.found.check_may_create()
            if direction == "downgrade" and before is None and revision != "base":
                raise ConfigurationError(
                    "The schema is empty: there is nothing to take back."
                )
            try:
                await getattr(migrate, direction)(postgres.url, revision)
            except CommandError as error:
                raise ConfigurationError(
                    f"There is no way to a migration {revision!r}: name one of "
                    "migrations/versions, or base."
                ) from error
            reached = await migrate.current_revision(postgres.url)
        if as_json:
            show_json({"schema": reached, "needed": migrate.HEAD})
        else:
            typer.echo(f"schema {reached or 'empty'}")
        return WELL

    return move


async def _status(settings: Settings, *, as_json: bool) -> int:
    from agent.operations.connect import reach_postgres
    from storage import migrate

    async with reach_postgres(settings) as postgres:
        revision = await migrate.current_revision(postgres.url)
    if as_json:
        show_json(
            {
                "well": revision == migrate.HEAD,
                "schema": revision,
                "needed": migrate.HEAD,
            }
        )
    else:
        typer.echo(f"schema {revision or 'empty'}, needed {migrate.HEAD}")
    return WELL if revision == migrate.HEAD else NOT_WELL


async def _check(settings: Settings, *, as_json: bool) -> int:
    from agent.operations.connect import reach_postgres
    from storage import migrate

    async with reach_postgres(settings) as postgres:
        revision = await migrate.current_revision(postgres.url)
        differences = (
            await migrate.differences(postgres.url) if revision else [_EMPTY]
        )
    if as_json:
        show_json({"well": not differences, "differences": differences})
    else:
        typer.echo(
            "\n".join(
                [
                    *differences,
                    "tables and code " + ("differ" if differences else "agree"),
                ]
            )
        )
    return NOT_WELL if differences else WELL
