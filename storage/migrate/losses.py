"""What a downgrade would lose. It is tried and taken back, so what is told is what happens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from storage.connecting.connection import Connection
from storage.migrate.running import ITSELF, migrating, run_migrations
from storage.migrate.sql import STATEMENTS

Columns = Mapping[str, Mapping[str, str]]
"""Type by column, by table."""


class Loss(Struct, frozen=True):
    """What one table would lose."""

    table: str
    rows: int
    """Rows that it has now: all of them, or all of them in part."""
    columns: Sequence[str] = ()
    """Those that would go or get another type; empty: the whole table goes."""

    def __str__(self) -> str:
        rows = f"{self.rows:,} {'row' if self.rows == 1 else 'rows'}"
        if not self.columns:
            return f"{self.table} ({rows})"

        return f"{', '.join(self.columns)} of {self.table} ({rows})"


async def losses(database_url: str, revision: str) -> list[Loss]:
    """Of a downgrade to this revision, by table; only tables with rows.

    Holds the tables that would change as long as the trial lasts. Raises SchemaError.
    """
    async with migrating(database_url, keep=False) as connection:
        before = await _columns(connection)
        await run_migrations(connection, "downgrade", revision, ITSELF)
        after = await _columns(connection)

    lost = {
        name: _changed(columns, after.get(name)) for name, columns in before.items()
    }
    # counted in a transaction of its own: nobody waits for the count of a long table
    async with migrating(database_url, keep=False) as connection:
        counted = [
            Loss(name, await _count(connection, name), columns)
            for name, columns in lost.items()
            if columns is not None
        ]

    return [loss for loss in counted if loss.rows]


def _changed(
    before: Mapping[str, str], after: Mapping[str, str] | None
) -> tuple[str, ...] | None:
    """Columns that are not as they were; (): the table is gone. None: nothing is lost."""
    if after is None:
        return ()

    changed = tuple(
        name for name, type_ in before.items() if after.get(name) != type_
    )

    return changed or None


async def _columns(connection: Connection) -> Columns:
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name, column, type_ in await connection.execute(
        STATEMENTS["columns_of_tables"]
    ):
        found[name][column] = type_

    return found


async def _count(connection: Connection, name: str) -> int:
    count = await connection.scalar(STATEMENTS["count_of_table"], {"name": name})

    return int(await connection.scalar(count))
