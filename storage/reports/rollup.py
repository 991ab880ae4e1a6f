"""Sums up what was used, hour by hour, so that reports do not read all messages.

One instance does it at a time. A full hour is closed once no transaction is under way that may
still store a message in it. Each step is idempotent: it replaces whole hours.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import TypeAlias

import asyncpg
import structlog

from agent.core.background import run_in_background
from storage.postgres import AGAIN, GONE, connect
from storage.reports import STATEMENTS

EVERY_SECONDS = 60.0
AT_ONCE = timedelta(days=1)
"""Summed up in one transaction."""

ONCE_MORE = timedelta(hours=2)
"""The last closed hours are summed up again with the next one: a clock may have gone back."""

HOUR = timedelta(hours=1)

PLANNER = {"jit": "off"}
"""Compiling takes longer than counting a day."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

log = structlog.get_logger()


def rollup(database_url: str) -> AbstractAsyncContextManager[None]:
    """Inside, hours are summed up soon after they end."""
    return run_in_background(_keep_forever, database_url)


async def _keep_forever(database_url: str) -> None:
    while True:
        try:
            await sum_up(database_url)
        except (*GONE, *AGAIN) as error:
            log.info("hours were not summed up yet", error=type(error).__name__)
        # whatever it is: a loop that ends would sum up nothing any more
        except Exception as error:
            log.exception(
                "hours were not summed up; it is tried again in a minute",
                error=type(error).__name__,
            )

        await asyncio.sleep(EVERY_SECONDS)


async def sum_up(database_url: str) -> None:
    """Closes all hours that have ended, and counts late votes. Safe on several instances.

    There is no deadline: the first time, all that was ever said is counted. Raises what the
    driver raises.
    """
    connection = await connect(database_url, None, PLANNER)
    try:
        # first: the votes of hours that are summed up below are counted with them
        await _count_late_votes(connection)
        closed = False
        while await _close_some(connection):
            closed = True

        if closed:
            await connection.execute(STATEMENTS["refresh_reports"])
    finally:
        await connection.close()


async def sum_up_again(database_url: str, since: datetime | None = None) -> datetime:
    """Sums up all hours from this one on; None: from the oldest message. Returns the first."""
    connection = await connect(database_url, None, PLANNER)
    try:
        first: datetime = await connection.fetchval(STATEMENTS["sum_up_again"], since)
    finally:
        await connection.close()

    await sum_up(database_url)

    return first


async def note_past_changes(database_url: str, since: datetime | None) -> None:
    """Messages were added to hours since this one, or removed (None: from any hour).

    Until an instance has summed these hours up again, reports read their messages.
    """
    connection = await connect(database_url)
    try:
        reach = await connection.fetchrow(STATEMENTS["report_reach"])
        assert reach is not None
        first = reach["first_hour"] if since is None else since
        await connection.execute(STATEMENTS["sum_up_again"], first)
    finally:
        await connection.close()


async def _close_some(connection: Connection) -> bool:
    """Sums up the next hours in one transaction. False: none was left, or another does it."""
    async with connection.transaction():
        found = await connection.fetchrow(STATEMENTS["hours_to_close"])
        if found is None or found["until"] <= found["counted_until"]:
            return False

        counted: datetime = found["counted_until"]
        until = min(found["until"], counted + AT_ONCE)
        # of older hours some messages may be deleted by now
        since = counted - ONCE_MORE if until == found["until"] else counted
        await connection.execute(STATEMENTS["remove_hours"], since, until)
        await connection.execute(STATEMENTS["sum_up_hours"], since, until)
        await connection.execute(STATEMENTS["note_summed_up"], until)

    return True


async def _count_late_votes(connection: Connection) -> None:
    async with connection.transaction():
        if await connection.fetchrow(STATEMENTS["hours_to_close"]) is None:
            return  # another instance counts them

        for row in await connection.fetch(STATEMENTS["hours_of_late_votes"]):
            hour: datetime = row["hour"]
            await connection.execute(
                STATEMENTS["count_thumbs_again"], hour, hour + HOUR
            )
