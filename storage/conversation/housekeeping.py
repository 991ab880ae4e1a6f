"""What the agent does for its tables by itself: next months' partitions, turns, days and
reservations past their use, dead instances."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from storage.background import run_in_background
from storage.conversation import STATEMENTS
from storage.postgres import GONE, Database

HOUR = 3600.0
MONTHS_AHEAD = 3
TURNS_KEPT_DAYS = 30
PRUNED_AT_ONCE = 5000
BUDGET_DAYS_KEPT = 90

log = structlog.get_logger()


def housekeeping(database: Database) -> AbstractAsyncContextManager[None]:
    """Tidies now and then each hour, as long as the context lasts."""
    return run_in_background(_tidy_for_ever, database)


async def _tidy_for_ever(database: Database) -> None:
    while True:
        try:
            await tidy(database)
        except (SQLAlchemyError, *GONE) as error:
            log.warning(
                "housekeeping failed; it is tried again in an hour",
                error=type(error).__name__,
            )
        # whatever it is: without partitions for next months everything ends up in one
        except Exception as error:
            log.exception(
                "housekeeping failed; it is tried again in an hour",
                error=type(error).__name__,
            )
        await asyncio.sleep(HOUR)


async def tidy(database: Database) -> None:
    """Safe on several instances at once."""
    async with database.engine.begin() as connection:
        await connection.execute(
            text(STATEMENTS["make_partitions"]), {"months": MONTHS_AHEAD}
        )
    while await _prune(database) == PRUNED_AT_ONCE:
        pass
    async with database.engine.begin() as connection:
        await connection.execute(text(STATEMENTS["bury"]))
        await connection.execute(text(STATEMENTS["fold"]))
        await connection.execute(
            text(STATEMENTS["prune_days"]), {"days": BUDGET_DAYS_KEPT}
        )


async def _prune(database: Database) -> int:
    """Removes some turns past their use. A few in one transaction: nobody waits long behind it."""
    async with database.engine.begin() as connection:
        given = {"days": TURNS_KEPT_DAYS, "limit": PRUNED_AT_ONCE}
        return (await connection.execute(text(STATEMENTS["prune"]), given)).rowcount
