"""The schema's version: asked at every start without Alembic, changed with it."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from sqlalchemy import Connection, text

from agent.core.errors import SchemaError
from storage.postgres import connect, open_database

HEAD = "0007"
"""The newest migration; a test compares it with the folder."""

_LOCK = 7_061_206_101
"""A number that nothing else locks: one instance migrates, the others wait."""


async def current_revision(url: str) -> str | None:
    """The schema's revision, or None for an empty database."""
    connection = await connect(url)
    try:
        revision: str | None = await connection.fetchval(
            "SELECT version_num FROM alembic_version"
        )
        return revision
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()


async def check_schema(url: str) -> None:
    """Raises SchemaError, which names the command to run, for any other schema version."""
    revision = await current_revision(url)
    if revision == HEAD:
        return

    if revision is not None and revision > HEAD:
        raise SchemaError(
            f"The database's schema ({revision}) is newer than this version knows "
            f"({HEAD}). Install a newer version."
        )

    found = f"is at {revision}" if revision else "is empty"
    raise SchemaError(
        f"The database's schema {found}, this version needs {HEAD}. Run: agent db upgrade"
    )


async def upgrade(database_url: str, revision: str = "head") -> None:
    """Migrates up. Safe when several instances start at once: one migrates, the others wait."""
    await _run(database_url, "upgrade", revision)


async def downgrade(database_url: str, revision: str) -> None:
    """Migrates down to a revision (`base` removes everything)."""
    await _run(database_url, "downgrade", revision)


async def differences(database_url: str) -> list[str]:
    """What differs between the tables in the code and in the database; empty when they agree."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from storage.tables import Base

    def compare(connection: Connection) -> list[str]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": _not_a_partition}
        )
        return [
            str(difference) for difference in compare_metadata(context, Base.metadata)
        ]

    async with (
        open_database(database_url) as database,
        database.engine.connect() as connection,
    ):
        return await connection.run_sync(compare)


def _not_a_partition(
    name: str | None,
    kind: str,
    _parents: object,
) -> bool:
    return not (kind == "table" and name is not None and name.startswith("messages_"))


async def _run(
    database_url: str,
    command_name: str,
    revision: str,
) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent.parent / "migrations")
    )

    def run(connection: Connection) -> None:
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK}
        )
        config.attributes["connection"] = connection
        getattr(command, command_name)(config, revision)

    async with (
        open_database(database_url, statement_seconds=None) as database,
        database.engine.begin() as connection,
    ):
        await connection.run_sync(run)
