"""The schema's version: asked at every start without Alembic, changed with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from agent.core.errors import SchemaError
from storage.connecting.postgres_errors import sentence_of
from storage.connecting.requirements import (
    check_connection,
    check_rights,
    not_permitted,
)
from storage.postgres import connect, open_database

log = structlog.get_logger()

HEAD = "0012"
"""The newest migration; a test compares it with the folder."""

MIGRATION_LOCK = 7_061_206_101
"""A number that nothing else locks: one instance migrates, the others wait."""


async def current_revision(url: str) -> str | None:
    """The schema's revision, or None for an empty database. Raises SchemaError when it may
    not be read.
    """
    async with _connected(url) as connection:
        return await _revision(connection)


async def check_schema(url: str) -> None:
    """Raises SchemaError with what to do: for any other schema version, or when the agent
    may not write there.
    """
    async with _connected(url) as connection:
        revision = await _revision(connection)
        if revision == HEAD:
            return await check_rights(connection)

    if revision is not None and revision > HEAD:
        raise SchemaError(
            f"The database's schema ({revision}) is newer than this version knows "
            f"({HEAD}). Install a newer version."
        )

    found = f"is at {revision}" if revision else "is empty"
    raise SchemaError(
        f"The database's schema {found}, this version needs {HEAD}. Run: agent db upgrade"
    )


async def check_server(url: str, connections: int, *, may_upgrade: bool) -> str:
    """Asks a server, before the first message, for what will be needed; returns the URL to use.

    `connections`: how many one instance opens at most. What will be missed only later is a
    warning now. Raises ConfigurationError.
    """
    found = await check_connection(url)
    if may_upgrade and await current_revision(found.url) != HEAD:
        found.check_may_create()
    if not found.may_create:
        log.warning(
            f"next months' messages have no table of their own: {found.may_not_create}"
        )
    if crowded := found.crowded(connections):
        log.warning(crowded)

    return found.url


async def match_schema(url: str, *, may_upgrade: bool) -> None:
    """Upgrades the schema, or only checks it. Raises SchemaError."""
    if may_upgrade and await current_revision(url) != HEAD:
        await upgrade(url)

    await check_schema(url)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _revision(connection: asyncpg.Connection[asyncpg.Record]) -> str | None:
    try:
        revision: str | None = await connection.fetchval(
            "SELECT version_num FROM alembic_version"
        )
    except asyncpg.UndefinedTableError:
        return None
    except asyncpg.InsufficientPrivilegeError:
        raise await not_permitted(connection) from None

    return revision


async def upgrade(database_url: str, revision: str = "head") -> None:
    """Migrates up. Safe when several instances start at once: one migrates, the others wait."""
    await _run(database_url, "upgrade", revision)


async def downgrade(database_url: str, revision: str) -> None:
    """Migrates down to a revision (`base` removes everything)."""
    await _run(database_url, "downgrade", revision)


async def differences(database_url: str) -> list[str]:
    """What differs between the tables in the code and in the database, for people; empty
    when they agree.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from storage.tables import Base

    def compare(connection: Connection) -> list[str]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": no_partition}
        )
        return [
            _described(difference)
            for difference in compare_metadata(context, Base.metadata)
        ]

    async with (
        open_database(database_url) as database,
        database.engine.connect() as connection,
    ):
        return await connection.run_sync(compare)


def _described(difference: Any) -> str:
    """Alembic's tuple, or list of tuples for what it calls a modification, as words."""
    kind, *about = difference[0] if isinstance(difference, list) else difference
    verb, _, what = kind.partition("_")
    if verb == "modify":
        _, table, column, *_ = about
        return f"{table}.{column} has another {what.replace('_', ' ')}"

    where = (
        "is missing in the database" if verb == "add" else "is in the database only"
    )
    if what == "column":
        _, table, column = about
        return f"column {table}.{column.name} {where}"

    return f"{what.replace('_', ' ')} {about[0].name} {where}"


def no_partition(name: str | None, kind: str, _parents: object) -> bool:
    """For Alembic's `include_name`: partitions of messages are made by the month, not by
    migrations.
    """
    return not (kind == "table" and name is not None and name.startswith("messages_"))


async def _run(
    database_url: str,
    command_name: str,
    revision: str,
) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = Path(__file__).parent.parent / "migrations"
    config.set_main_option(
        "script_location", str(folder).replace("%", "%%")
    )  # % stands for a variable there

    def run(connection: Connection) -> None:
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK}
        )
        config.attributes["connection"] = connection
        getattr(command, command_name)(config, revision)

    try:
        async with (
            open_database(database_url, statement_seconds=None) as database,
            database.engine.begin() as connection,
        ):
            await connection.run_sync(run)
    except DBAPIError as error:
        if sentence := sentence_of(error):
            raise SchemaError(f"The schema was not changed. {sentence}") from error
        raise
