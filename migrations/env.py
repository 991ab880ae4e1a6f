"""Alembic's entry point: it runs on the connection that `storage.migrate` passes, or on
DATABASE_URL for the `alembic` command.
"""

from __future__ import annotations

import asyncio
import getpass

from alembic import context
from sqlalchemy import Connection

from storage.migrate import no_partition
from storage.migrate.history import Recorder
from storage.tables import Base


def by_hand() -> str:
    """Who runs the `alembic` command, as the table of applied migrations names it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "alembic"


def migrate(connection: Connection) -> None:
    """Runs the migrations, all in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=no_partition,
        on_version_apply=Recorder(
            context.config.attributes.get("actor") or by_hand()
        ),
    )

    with context.begin_transaction():
        context.run_migrations()


async def migrate_database_url() -> None:
    """For `alembic upgrade …` by hand: migrates the database that the agent would use."""
    from agent.core.errors import ConfigurationError
    from agent.settings import load_settings
    from storage.connecting.requirements import check_connection
    from storage.migrate.running import sqlalchemy_connection

    try:
        url = load_settings().database_url
        if url is None:
            raise ConfigurationError(
                "DATABASE_URL is not set. Set it, or use `agent db upgrade`."
            )
        found = await check_connection(url.get_secret_value())
    except ConfigurationError as error:
        raise SystemExit(error.sentence) from None

    async with sqlalchemy_connection(found.url) as connection:
        await connection.run_sync(migrate)
        await connection.commit()


if context.is_offline_mode():
    # A driver's usual way to write parameters doubles each %, which a script must not have.
    plain = {"paramstyle": "named"}
    context.configure(
        dialect_name="postgresql",
        dialect_opts=plain,
        target_metadata=Base.metadata,
        literal_binds=True,
        on_version_apply=Recorder(by_hand()),
    )

    with context.begin_transaction():
        context.run_migrations()
elif (passed := context.config.attributes.get("connection")) is not None:
    migrate(passed)
else:
    asyncio.run(migrate_database_url())
