"""One moment of the database, for one report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import TypeAlias

import asyncpg

from agent.core.errors import StoreUnavailable
from storage.connecting.postgres_errors import sentence_of
from storage.postgres import AGAIN, GONE, connect
from storage.reports.reading.bounded import DEADLINE, bounded

CLOSE_SECONDS = 1.0
"""For the server to hear that a statement is cancelled, and that nobody listens any more."""

BROKEN_OFF = "Postgres cannot be reached, or broke the report off. Try again."

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def snapshot(
    url: str,
    deadline: float | None = DEADLINE,
    planner: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Connection]:
    """A connection that reads, and sees one moment.

    `deadline`: in seconds, of all that is done with it; None: none. `planner`: settings, also
    behind a pooler. Raises StoreUnavailable.
    """
    try:
        async with bounded(deadline), _reading(url, planner) as connection:
            yield connection
    # a replica cancels queries that keep it from applying changes
    except (*GONE, *AGAIN, asyncpg.QueryCanceledError) as error:
        raise StoreUnavailable(BROKEN_OFF) from error
    except asyncpg.PostgresError as error:
        problem = sentence_of(error)
        if problem is None:
            raise
        raise StoreUnavailable(problem, problem=problem) from error


@asynccontextmanager
async def _reading(
    url: str,
    planner: Mapping[str, str],
) -> AsyncIterator[Connection]:
    """Without a rollback, which a server that hangs would never answer."""
    connection = await connect(url, None)
    try:
        moment = connection.transaction(isolation="repeatable_read", readonly=True)
        await moment.start()
        if planner:
            await connection.execute(_settings(planner))
        yield connection
        await moment.commit()
    finally:
        with suppress(*GONE):
            await connection.close(timeout=CLOSE_SECONDS)


def _settings(planner: Mapping[str, str]) -> str:
    """For this transaction only."""
    return "; ".join(
        f"SET LOCAL {name} = '{value}'" for name, value in planner.items()
    )
