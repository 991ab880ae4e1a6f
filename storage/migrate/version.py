"""The schema's version, asked at every start without Alembic."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog

from agent.core.errors import SchemaError
from storage.connecting.requirements import (
    check_connection,
    check_rights,
    not_permitted,
)
from storage.migrate.running import upgrade
from storage.postgres import connect

log = structlog.get_logger()

HEAD = "0023"
"""The newest migration; a test compares it with the folder."""


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
        f"The database's schema {found}, this version needs {HEAD}. Run: agent db upgrade."
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
    before = await current_revision(url) if may_upgrade else HEAD
    if before is not None and before < HEAD:
        # it may take long, and the data of others goes with it
        log.warning(f"bringing the database's schema from {before} to {HEAD}")
    if before != HEAD:
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
