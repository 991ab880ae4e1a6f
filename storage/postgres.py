"""Postgres: a pool of connections for what operators do, pinned ones for turns."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog

from agent.core.errors import StoreUnavailable
from storage.connecting.connection import Driver
from storage.connecting.postgres import (
    BY_INDEX,
    STATEMENT_SECONDS,
    WALK_INDEXES,
    Pool,
    connect,
    lent,
    lent_in_transaction,
    make_pool,
)
from storage.connecting.postgres_errors import AGAIN, CONTENT, GONE, sentence_of
from storage.connecting.postgres_url import CONNECT_SECONDS, read_postgres_url

__all__ = [
    "AGAIN",
    "BY_INDEX",
    "CONNECT_SECONDS",
    "CONTENT",
    "GONE",
    "STATEMENT_SECONDS",
    "WALK_INDEXES",
    "connect",
]

RETRY_SECONDS = 6.0
"""How long a turn's statement is retried while Postgres is away."""

LEASE_SECONDS = 5.0
"""Another instance takes over a claim that was not renewed for this long."""

PLANNERS: Sequence[Mapping[str, str]] = (BY_INDEX, WALK_INDEXES, {})
"""What the statements of turns ask of the planner."""

TURN_CONNECTIONS = 14
"""How many pinned connections an instance has; a test counts them."""

CLOSING_SECONDS = 2.0
"""How long a process that leaves waits for what is stored beside turns."""

POOL_SIZE = 20
MAX_OVERFLOW = 10

log = structlog.get_logger()


def columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """A list for each column, as a statement takes many rows; at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]


def _begin(planner: Mapping[str, str]) -> str:
    """One round trip that opens a transaction with these settings."""
    return "; ".join(
        [
            "BEGIN",
            *(f"SET LOCAL {name} = '{value}'" for name, value in planner.items()),
        ]
    )


def _given_up(error: Exception) -> StoreUnavailable:
    """What a statement ends with that was tried for long enough."""
    problem = sentence_of(error)
    if problem is None and isinstance(error, GONE):
        return StoreUnavailable()

    problem = problem or f"Postgres refuses a statement ({type(error).__name__})."
    log.warning(f"statement given up: {problem}", error=type(error).__name__)

    return StoreUnavailable(StoreUnavailable.UNWELL, problem=problem)


class PinnedConnection:
    """One pinned connection for one kind of statement, so that it stays prepared.

    asyncpg's pool resets a session at each release, which costs more than the statement itself.
    """

    def __init__(self, url: str, planner: Mapping[str, str]) -> None:
        self._url = url
        self.planner = planner
        self.users = 1
        """How many kinds of statement go over it."""
        pooled = bool(planner) and read_postgres_url(url).pooled
        self._begin = _begin(planner) if pooled else ""
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    async def fetch(
        self,
        sql: str,
        *args: Any,
        retry: float = RETRY_SECONDS,
    ) -> list[asyncpg.Record]:
        """Runs one statement that may safely run twice: it is repeated when the connection
        breaks under it.

        Raises StoreUnavailable when Postgres stays away for `retry` seconds.
        """
        deadline = asyncio.get_running_loop().time() + retry
        pause = 0.02

        async with self._lock:
            while not self._closed:
                try:
                    return await self._fetch_once(sql, *args)
                # ValueError: arguments that asyncpg cannot encode
                except (*CONTENT, ValueError):
                    raise
                # PostgresError: also cancelled, no permission, not the schema we know
                except (*GONE, asyncpg.PostgresError) as error:
                    if isinstance(error, GONE):
                        self._drop()
                    if asyncio.get_running_loop().time() + pause > deadline:
                        raise _given_up(error) from error

                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.5)

        raise StoreUnavailable

    async def _fetch_once(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, planner=self.planner)
        if self._closed:
            raise asyncpg.InterfaceError("closed while a statement was under way")

        try:
            return await self._fetch_planned(self._connection, sql, *args)
        except BaseException as error:
            # cancelled or timed out: the connection's state is unknown
            if not isinstance(error, asyncpg.PostgresError):
                self._drop()
            raise

    async def _fetch_planned(
        self, connection: asyncpg.Connection[asyncpg.Record], sql: str, *args: Any
    ) -> list[asyncpg.Record]:
        """Behind a pooler the planner's settings hold for one transaction only: three round
        trips more.
        """
        if not self._begin:
            return await connection.fetch(sql, *args)

        await connection.execute(self._begin)
        try:
            rows = await connection.fetch(sql, *args)
        except asyncpg.PostgresError:
            await connection.execute("ROLLBACK")
            raise
        await connection.execute("COMMIT")

        return rows

    def close(self) -> None:
        """For good: a statement still under way fails, and makes no new connection."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        """The next statement makes a new connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


class Database:
    """The way to one Postgres database."""

    def __init__(
        self,
        url: str,
        pool: Pool,
        turn_connections: int = TURN_CONNECTIONS,
    ) -> None:
        self.url = url
        self.pool = pool
        self._turn_connections = turn_connections
        self._lines: list[PinnedConnection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def connection(self) -> AbstractAsyncContextManager[Driver]:
        """One of the pool, for a moment. Raises what the driver raises."""
        return lent(self.pool)

    def transaction(self) -> AbstractAsyncContextManager[Driver]:
        """The same in a transaction."""
        return lent_in_transaction(self.pool)

    def line(self, planner: Mapping[str, str] = BY_INDEX) -> PinnedConnection:
        """A pinned connection, made when first used and closed with the database.

        A new one, or, when there are as many as may be, one with the same planner: its
        statements then wait for each other.
        """
        alike = [line for line in self._lines if line.planner == planner]
        if not alike or len(self._lines) + self._unseen() < self._turn_connections:
            line = PinnedConnection(self.url, planner)
            self._lines.append(line)
            return line

        shared = min(alike, key=lambda line: line.users)
        shared.users += 1

        return shared

    def _unseen(self) -> int:
        """How many kinds of planner have no connection yet, and must have one."""
        seen = [line.planner for line in self._lines]

        return sum(planner not in seen for planner in PLANNERS)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs what no turn waits for; `close` does, for a moment."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSING_SECONDS)
        for line in self._lines:
            line.close()
        with suppress(asyncpg.InterfaceError):  # nobody used it
            self.pool.terminate()


@asynccontextmanager
async def open_database(
    url: str,
    *,
    statement_seconds: float | None = STATEMENT_SECONDS,
    pool_size: int = POOL_SIZE,
    max_overflow: int = MAX_OVERFLOW,
    turn_connections: int = TURN_CONNECTIONS,
) -> AsyncIterator[Database]:
    """Opens nothing yet: connections are made when first used."""

    pool = make_pool(url, statement_seconds, pool_size + max_overflow)
    database = Database(url, pool, turn_connections)
    try:
        yield database
    finally:
        await database.close()
