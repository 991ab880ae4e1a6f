"""Alembic's entry point: it runs on the connection that `storage.migrate` passes, or on
DATABASE_URL for the `alembic` command.
"""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from storage.tables import Base


def migrate(connection: Connection) -> None:
    """Runs the migrations, all in one transaction."""
    context.configure(connection=connection, target_metadata=Base.metadata)

    with context.begin_transaction():
        context.run_migrations()


async def migrate_database_url() -> None:
    """For `alembic upgrade …` by hand: migrates the database that the agent would use."""
    from agent.settings import load_settings
    from storage.postgres import open_database

    url = load_settings().database_url
    if url is None:
        raise SystemExit(
            "DATABASE_URL is not set. Set it, or use `agent db upgrade`."
        )

    async with (
        open_database(url.get_secret_value()) as database,
        database.engine.connect() as connection,
    ):
        await connection.run_sync(migrate)
        await connection.commit()


if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True
    )

    with context.begin_transaction():
        context.run_migrations()
elif (passed := context.config.attributes.get("connection")) is not None:
    migrate(passed)
else:
    asyncio.run(migrate_database_url())
