"""Whether reports are read from the replica, and why not if they are not."""

from __future__ import annotations

import asyncio

import asyncpg
import structlog
from cachetools import TTLCache
from msgspec import Struct

from agent.core.errors import ConfigurationError
from agent.settings import Settings
from storage.connecting.postgres import connect
from storage.connecting.postgres_errors import GONE
from storage.connecting.requirements import check_connection
from storage.reports import STATEMENTS

MAX_LAG_SECONDS = 60.0
"""A replica that is further behind is not read."""

ASK_SECONDS = 2.0
"""A replica that does not say within this time how it is counts as away."""

PASSED_OVER_SECONDS = 15.0
"""So long nobody asks again a replica that was of no use."""

AWAY = (
    "The replica does not answer. Start it, or correct host and port in "
    "DATABASE_REPLICA_URL."
)

log = structlog.get_logger()

_passed_over: TTLCache[str, str] = TTLCache(8, PASSED_OVER_SECONDS)
"""Why, by address."""


class Place(Struct, frozen=True):
    """Where a report is read."""

    url: str
    notice: str = ""
    """Why it is the main database and not the replica, as sentences for operators."""


async def place_of(settings: Settings, main: str) -> Place:
    """The replica, if there is one of use; else the main database. It never waits for long."""
    if settings.database_replica_url is None:
        return Place(main)

    replica = settings.database_replica_url.get_secret_value()
    reason = _passed_over.get(replica, "")
    if not reason:
        url, reason = await _asked(replica)
    if not reason:
        return Place(url)

    if replica not in _passed_over:
        log.warning(f"reports are read from the main database: {reason}")
        _passed_over[replica] = reason

    return Place(main, f"{reason} The main database was read instead.")


async def _asked(replica: str) -> tuple[str, str]:
    """Its address as it is to be used, or why it is of no use."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            found = await check_connection(
                replica, "DATABASE_REPLICA_URL", replica=True
            )
            lag = await replica_lag(found.url)
    except ConfigurationError as error:
        return "", error.sentence
    except GONE:
        return "", AWAY
    except asyncpg.PostgresError as error:
        return "", f"The replica refuses to be asked ({type(error).__name__})."

    if lag > MAX_LAG_SECONDS:
        return "", f"The replica is {lag:.0f} s behind."

    return found.url, ""


async def replica_lag(url: str) -> float:
    """Seconds that a replica is behind. Raises what the driver raises."""
    connection = await connect(url, ASK_SECONDS)
    try:
        return float(await connection.fetchval(STATEMENTS["replica_lag"]))
    finally:
        await connection.close(timeout=ASK_SECONDS)
