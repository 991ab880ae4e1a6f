"""One moment of the database, for one report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
) -> AsyncIterator[Connection]:
    """A connection that reads, and sees one moment.

    `deadline`: in seconds, of all that is done with it; None: none. Raises StoreUnavailable.
    """
    try:
        async with bounded(deadline), _reading(url) as connection:
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
async def _reading(url: str) -> AsyncIterator[Connection]:
    """Without a rollback, which a server that hangs would never answer."""
    connection = await connect(url, None)
    try:
        moment = connection.transaction(isolation="repeatable_read", readonly=True)
        await moment.start()
        yield connection
        await moment.commit()
    finally:
        with suppress(*GONE):
            await connection.close(timeout=CLOSE_SECONDS)
