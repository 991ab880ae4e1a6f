"""What the agent does for its tables by itself: next months' partitions, turns, days and reservations past their use,
dead instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from storage.postgres import GONE, Database
from storage.statements import STATEMENTS

HOUR = 3600.0
MONTHS_AHEAD = 3
TURNS_KEPT_DAYS = 30
PRUNED_AT_ONCE = 5000
BUDGET_DAYS_KEPT = 90

log = structlog.get_logger()


@asynccontextmanager
async def housekeeping(database: Database) -> AsyncIterator[None]:
    """Tidies now and then each hour, as long as the context lasts."""
    task = asyncio.create_task(_tidy_for_ever(database))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _tidy_for_ever(database: Database) -> None:
    while True:
        try:
            await tidy(database)
        except (SQLAlchemyError, *GONE) as error:
            log.warning("housekeeping failed; it is tried again in an hour", error=type(error).__name__)
        await asyncio.sleep(HOUR)


async def tidy(database: Database) -> None:
    """Safe on several instances at once."""
    async with database.engine.begin() as connection:
        await connection.execute(text("SELECT make_message_partitions(:months)"), {"months": MONTHS_AHEAD})
    async with database.engine.begin() as connection:
        await connection.execute(text(STATEMENTS["prune"]), {"days": TURNS_KEPT_DAYS, "most": PRUNED_AT_ONCE})
        await connection.execute(text(STATEMENTS["bury"]))
    async with database.engine.begin() as connection:
        await connection.execute(text(STATEMENTS["fold"]))
        await connection.execute(text(STATEMENTS["prune_days"]), {"days": BUDGET_DAYS_KEPT})


async def stray_messages(database: Database) -> int:
    """Messages in the default partition: a month had no partition of its own, and an operator must look."""
    async with database.engine.connect() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM messages_default")) or 0)
