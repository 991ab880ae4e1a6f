"""How the agent tidies its tables by itself.

It makes next months' partitions, removes old turns, days and reservations, the rows of dead
instances, and sessions and tokens that ended, and notes how far the audit log is.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import asyncpg
import structlog

from agent.core.background import run_in_background
from agent.core.errors import StoreUnavailable
from storage.connecting.postgres_errors import sentence_of
from storage.control.audit import note_head
from storage.control.operators.sessions import forget_ended
from storage.conversation import STATEMENTS
from storage.postgres import GONE, Database
from storage.transaction import transaction

HOUR = 3600.0
MONTHS_AHEAD = 3
TURNS_KEPT_DAYS = 30
PRUNED_AT_ONCE = 5000
BUDGET_DAYS_KEPT = 90
REPLIES_KEPT_SECONDS = 3600
"""No platform delivers a message again later than that."""

log = structlog.get_logger()


def housekeeping(database: Database) -> AbstractAsyncContextManager[None]:
    """Tidies at once and then every hour, as long as the context lasts."""
    return run_in_background(_tidy_forever, database)


async def _tidy_forever(database: Database) -> None:
    while True:
        try:
            await tidy(database)
        except (StoreUnavailable, asyncpg.PostgresError, *GONE) as error:
            log.warning(
                f"housekeeping failed; it is tried again in an hour. {sentence_of(error) or ''}",
                error=type(error).__name__,
            )
        # whatever it is: without next months' partitions all messages end up in one
        except Exception as error:
            log.exception(
                "housekeeping failed; it is tried again in an hour",
                error=type(error).__name__,
            )

        await asyncio.sleep(HOUR)


async def tidy(database: Database) -> None:
    """Does all of it once. Safe on several instances at the same time."""
    async with transaction(database) as connection:
        months = {"months": MONTHS_AHEAD}
        await connection.execute(STATEMENTS["wait_briefly"])
        await connection.execute(STATEMENTS["make_partitions"], months)

    while await _prune(database) == PRUNED_AT_ONCE:
        pass

    while await _forget_replies(database) == PRUNED_AT_ONCE:
        pass

    async with transaction(database) as connection:
        days = {"days": BUDGET_DAYS_KEPT}
        await connection.execute(STATEMENTS["bury"])
        await connection.execute(STATEMENTS["fold"])
        await connection.execute(STATEMENTS["prune_days"], days)

    async with transaction(database) as connection:
        await forget_ended(connection)

    await note_head(database)


async def _prune(database: Database) -> int:
    """Removes some old turns, and returns how many.

    Only a few in one transaction, so that nobody waits long for it.
    """
    values = {"days": TURNS_KEPT_DAYS, "limit": PRUNED_AT_ONCE}
    async with transaction(database) as connection:
        return await connection.count(STATEMENTS["prune"], values)


async def _forget_replies(database: Database) -> int:
    """Blanks some replies of commands, and returns how many."""
    values = {"seconds": REPLIES_KEPT_SECONDS, "limit": PRUNED_AT_ONCE}
    async with transaction(database) as connection:
        return await connection.count(STATEMENTS["forget_replies"], values)
