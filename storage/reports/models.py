"""What operators named: models for channels and by flags, and experiments."""

from __future__ import annotations

from sqlalchemy import text

from storage.postgres import Database
from storage.reports import STATEMENTS


async def models_named(database: Database) -> list[str]:
    """Each once, sorted; what is no `provider:model` is left out."""
    async with database.engine.connect() as connection:
        rows = await connection.execute(text(STATEMENTS["models_named"]))

        return sorted(row.model for row in rows if ":" in row.model)


async def started_experiments(database: Database) -> list[str]:
    """Those that run or ran, the last one first."""
    async with database.engine.connect() as connection:
        rows = await connection.scalars(text(STATEMENTS["started_experiments"]))

        return [str(name) for name in rows]
