"""Moving house: all of a database into an empty one, while nobody writes.

The moments at which it can die: until the target is whole and in its place, the source is as
it was. Then, in the last step, the source closes what was open there, so that only one of
the two answers it. A death right before that step leaves both with what was open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import ConfigurationError
from storage.backup import STATEMENTS
from storage.backup.content import named
from storage.backup.create import Progress, create_backup
from storage.backup.failures import told
from storage.backup.manifest import Backup, Manifest
from storage.backup.places import hidden_folder
from storage.backup.restore import restore
from storage.backup.scratch import watched_postgres
from storage.connecting.postgres import connect
from storage.control.credentials import new_key
from storage.embedded.replacing import put_in_place
from storage.postgres import LEASE_SECONDS

Source = AbstractAsyncContextManager[str]
"""A database that is reached inside, by its URL."""

Deliver = Callable[[Backup], Awaitable[Path | None]]
"""Fills the target and makes it the one that is used. Returns where an older one is kept."""

_UNMOVED = "Nothing was moved; the old store is as it was."
_UNCLOSED = (
    "All was moved, but the old store did not close what was open there: do not start the "
    "agent on it again."
)
_HELD = (
    "Somebody holds a table of the old store: a long report, a backup, or an open "
    f"transaction. Wait for its end, or end it, and try again. {_UNMOVED}"
)
_NOT_THE_OWNER = (
    "Only the owner of the tables can move them: run this with the DATABASE_URL of the "
    f"owner. {_UNMOVED}"
)


class Moved(Struct, frozen=True):
    """What came to its new place, each row of it compared."""

    manifest: Manifest
    kept: Path | None = None
    """Where the embedded store is that stood in the target's place."""


async def move_to_server(
    source: Source, target: str, scratch: Path, *, progress: Progress
) -> Moved:
    """Into the empty database of a server. Raises ConfigurationError."""

    async def deliver(copy: Backup) -> None:
        await restore(target, copy, resume=True, progress=progress)

    async with source as url:
        return await _move(url, scratch, deliver, progress)


async def move_to_embedded(
    source: Source, folder: Path, *, progress: Progress
) -> Moved:
    """From a server into the embedded store in `folder`, which nobody else uses.

    Raises ConfigurationError.
    """
    with hidden_folder(folder) as hidden:

        async def deliver(copy: Backup) -> Path | None:
            await _fill_new(hidden, copy, progress)
            return put_in_place(hidden / "data", folder)

        async with source as url:
            return await _move(url, folder, deliver, progress)


async def renew_embedded(
    source: Source, folder: Path, *, progress: Progress
) -> Moved:
    """From the embedded store in `folder` into one that the newest Postgres here makes.

    The old one never starts again by itself, so nothing is closed in it. Raises
    ConfigurationError.
    """
    with hidden_folder(folder) as hidden:

        async def deliver(copy: Backup) -> None:
            await _fill_new(hidden, copy, progress)

        async with source as url:
            moved = await _move(url, folder, deliver, progress, closes=False)

        with told(folder, _UNMOVED):
            return replace(moved, kept=put_in_place(hidden / "data", folder))


async def _fill_new(hidden: Path, copy: Backup, progress: Progress) -> None:
    """Makes a cluster in a hidden folder, fills it, and stops its server."""
    async with watched_postgres(hidden) as url:
        await restore(url, copy, resume=True, own_connections=1, progress=progress)


async def _move(
    source: str,
    scratch: Path,
    deliver: Deliver,
    progress: Progress,
    *,
    closes: bool = True,
) -> Moved:
    """The copy on the way is under a key that only this process knows."""
    with told(scratch, _UNMOVED):
        async with _held_still(source) as connection:
            with hidden_folder(scratch) as hidden:
                copy = await create_backup(
                    source, hidden / "copy", secrets=[new_key()], progress=progress
                )
                kept = await deliver(copy)

            if closes:
                with told(scratch, _UNCLOSED):
                    await connection.execute(STATEMENTS["close_open_turns"])
                    await connection.execute("COMMIT")

    return Moved(copy.manifest, kept)


@asynccontextmanager
async def _held_still(
    url: str,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A transaction inside which nobody writes to the database; it has no end of its own.

    Raises ConfigurationError, also when an instance of the agent is alive.
    """
    connection = await connect(url, statement_seconds=None)
    try:
        await connection.execute(STATEMENTS["begin_move"])
        tables = await connection.fetch(STATEMENTS["tables_of_schema"])
        names = [table["name"] for table in tables]
        if "alembic_version" not in names:
            raise ConfigurationError(
                "There is nothing to move: the database's schema is empty."
            )

        await _lock(connection, names)
        if "instances" in names:
            await _check_nobody_lives(connection)

        yield connection
    finally:
        await connection.close(timeout=1)


async def _lock(
    connection: asyncpg.Connection[asyncpg.Record], names: list[str]
) -> None:
    """Others may read on, and `pg_dump` does."""
    try:
        await connection.execute(
            f"LOCK TABLE {', '.join(map(named, names))} IN SHARE MODE"
        )
    except asyncpg.LockNotAvailableError as error:
        raise ConfigurationError(_HELD) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(_NOT_THE_OWNER) from error


async def _check_nobody_lives(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    alive = await connection.fetchval(STATEMENTS["instances_alive"], LEASE_SECONDS)
    if alive:
        raise ConfigurationError(
            f"Running now: {alive}. Stop them first, and move then. {_UNMOVED}"
        )
