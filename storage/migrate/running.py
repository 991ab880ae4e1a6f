"""Runs migrations: all of a command in one transaction, and one command at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import asyncpg

from agent.core.errors import SchemaError
from agent.core.imports import import_plainly
from storage.connecting.connection import Connection, Driver
from storage.connecting.postgres_errors import driver_error, sentence_of
from storage.migrate.sql import STATEMENTS
from storage.postgres import connect

if TYPE_CHECKING:
    import sqlalchemy
    from alembic.config import Config
    from sqlalchemy.ext.asyncio import AsyncConnection

ITSELF = "agent"
"""Who migrates where nobody asked: a start with an embedded store, or with --migrate."""

LOCK_SECONDS = 10
"""How long a migration waits for a table. Everybody else who wants it waits behind it."""

MIGRATION_LOCK = 7_061_206_101
"""A number that nothing else locks: one instance migrates, the others wait."""

_HELD = (
    "Somebody holds a table that it changes: a long report, a backup, or an open "
    "transaction. Wait for its end, or end it, and try again."
)

_NOT_THE_OWNER = (
    "Only the owner of the tables can change them. "
    "Run this with the DATABASE_URL of the owner."
)

_TAKEN = (
    asyncpg.DuplicateTableError,
    asyncpg.DuplicateColumnError,
    asyncpg.DuplicateObjectError,
    asyncpg.DuplicateFunctionError,
)


async def upgrade(
    database_url: str, revision: str = "head", *, actor: str = ITSELF
) -> None:
    """Migrates up. Safe when several instances start at once: one migrates, the others wait.

    Raises SchemaError.
    """
    async with migrating(database_url) as connection:
        await run_migrations(connection, "upgrade", revision, actor)


async def downgrade(database_url: str, revision: str, *, actor: str = ITSELF) -> None:
    """Migrates down to a revision (`base` removes everything), without a question.

    Raises SchemaError. `storage.migrate.guarded` is for people.
    """
    async with migrating(database_url) as connection:
        await run_migrations(connection, "downgrade", revision, actor)


class MigrationConnection(Connection):
    """The connection of a migration, which Alembic uses, too."""

    def __init__(self, driver: Driver, alembics: AsyncConnection) -> None:
        super().__init__(driver)
        self.alembics = alembics


@asynccontextmanager
async def sqlalchemy_connection(database_url: str) -> AsyncIterator[AsyncConnection]:
    """What Alembic works with. No statement has a deadline."""
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        "postgresql+asyncpg://",
        hide_parameters=True,
        async_creator=lambda: connect(database_url, None),
    )
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


@asynccontextmanager
async def migrating(
    database_url: str, *, keep: bool = True
) -> AsyncIterator[MigrationConnection]:
    """A transaction in which nobody else migrates. Unless `keep`, it is taken back in the end.

    Raises SchemaError.
    """
    from sqlalchemy.exc import DBAPIError

    try:
        async with sqlalchemy_connection(database_url) as alembics:
            await alembics.exec_driver_sql("SELECT 1")  # begins the transaction
            raw = await alembics.get_raw_connection()
            driver = cast("Driver", raw.driver_connection)
            connection = MigrationConnection(driver, alembics)
            await _prepare(connection)
            yield connection
            await (alembics.commit() if keep else alembics.rollback())
    except (DBAPIError, asyncpg.PostgresError) as error:
        if sentence := _sentence(error):
            raise SchemaError(f"The schema was not changed. {sentence}") from error
        raise


async def _prepare(connection: Connection) -> None:
    first = STATEMENTS["wait_for_other_migrations"]
    await connection.execute(first, {"lock": MIGRATION_LOCK})
    # only now: others may migrate for longer than a table may be waited for
    limit = {"milliseconds": str(1000 * LOCK_SECONDS)}
    await connection.execute(STATEMENTS["limit_waiting"], limit)


async def run_migrations(
    connection: MigrationConnection, command_name: str, revision: str, actor: str
) -> None:
    """Runs Alembic's `upgrade` or `downgrade` in this transaction, as this actor."""
    config = alembic_config()
    from alembic import command

    config.attributes["actor"] = actor

    def run(passed: sqlalchemy.Connection) -> None:
        config.attributes["connection"] = passed
        getattr(command, command_name)(config, revision)

    await connection.alembics.run_sync(run)


def alembic_config() -> Config:
    """Alembic's settings: where the migrations are."""
    import_plainly("alembic")
    from alembic.config import Config

    config = Config()
    folder = Path(__file__).parents[2] / "migrations"
    # % stands for a variable there
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("recursive_version_locations", "true")

    return config


def _sentence(error: Exception) -> str | None:
    own = driver_error(error)
    if isinstance(own, asyncpg.LockNotAvailableError):
        return _HELD
    if isinstance(own, asyncpg.InsufficientPrivilegeError):
        return _NOT_THE_OWNER
    if isinstance(own, _TAKEN):
        # names of tables, columns and functions; no values
        name = str(own).partition("\n")[0].rstrip(".")
        return f"Somebody else made what it makes: {name}. Give the agent a database of its own."

    return sentence_of(error)
