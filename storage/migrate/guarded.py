"""What people do to a schema that holds data: only operators, only while nobody needs it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from agent.control.permissions import Permission
from agent.core.errors import Rejected
from agent.core.remedies import Run
from storage.connecting.connection import Connection
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit
from storage.migrate.losses import Loss
from storage.migrate.revisions import BASE
from storage.migrate.running import migrating, run_migrations
from storage.migrate.sql import STATEMENTS
from storage.migrate.version import HEAD
from storage.postgres import LEASE_SECONDS


async def name_of_database(database_url: str) -> str:
    """As Postgres knows it."""
    async with migrating(database_url, keep=False) as connection:
        return str(await connection.scalar(STATEMENTS["database_name"]))


async def check_may_change(
    database_url: str, author: Author, again: Run | None
) -> None:
    """Raises Rejected unless the author may change the schema now.

    `again`: the command that does it although instances are running; None: it was given.
    """
    async with migrating(database_url, keep=False) as connection:
        await guard(connection, author, again)


async def guard(connection: Connection, author: Author, again: Run | None) -> None:
    """The same, within the transaction of the change."""
    there = await _tables(connection, "operators", "instances")
    if "operators" in there:
        await admit(connection, author, Permission.MANAGE)
    if again is None or "instances" not in there:
        return

    if alive := await _beating(connection):
        raise Rejected(
            f"Running now: {', '.join(alive)}. They would fail. Stop them first.",
            again,
        )


async def take_back(
    database_url: str,
    before: str | None,
    revision: str,
    author: Author,
    lost: Sequence[Loss],
    again: Run | None,
) -> bool:
    """Downgrades, with a row in the audit log. Returns whether the log survives it.

    Raises Rejected and SchemaError.
    """
    values = {"schema": revision, "lost": _rows(lost)}
    async with migrating(database_url) as connection:
        await guard(connection, author, again)
        kept = revision != BASE and await _has_log(connection)
        if kept:
            # before the log's own columns may go
            await _record(connection, author, "schema.downgrade", before, values)
        await run_migrations(connection, "downgrade", revision, author.name)

    return kept


async def start_over(
    database_url: str,
    before: str | None,
    author: Author,
    lost: Sequence[Loss],
    again: Run | None,
) -> None:
    """Removes all tables and makes them again. The new audit log begins by saying so.

    Raises Rejected and SchemaError.
    """
    values = {"schema": HEAD, "lost": _rows(lost)}
    async with migrating(database_url) as connection:
        await guard(connection, author, again)
        if before is not None:
            await run_migrations(connection, "downgrade", BASE, author.name)
        await run_migrations(connection, "upgrade", "head", author.name)
        await _record(connection, author, "schema.reset", before, values)


def _rows(lost: Sequence[Loss]) -> dict[str, int]:
    return {loss.table: loss.rows for loss in lost}


async def _record(
    connection: Connection,
    author: Author,
    action: str,
    before: str | None,
    after: Mapping[str, object],
) -> None:
    database = await connection.scalar(STATEMENTS["database_name"])
    await audit.record(
        connection,
        author,
        action,
        f"schema:{database}",
        before=json.dumps({"schema": before}),
        after=json.dumps(after),
        epoch=None,
    )


async def _has_log(connection: Connection) -> bool:
    """Before the chain, the log had other columns."""
    return bool(await _tables(connection, "audit_head"))


async def _tables(connection: Connection, *names: str) -> Collection[str]:
    return await connection.scalars(
        STATEMENTS["tables_there"], {"names": list(names)}
    )


async def _beating(connection: Connection) -> list[str]:
    rows = await connection.execute(STATEMENTS["beating"], {"lease": LEASE_SECONDS})

    return [f"{host} ({pid})" for host, pid in rows]
