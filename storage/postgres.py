"""Postgres: SQLAlchemy's engine for what operators do, pinned driver connections for turns."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agent.core.errors import ConfigurationError, ServerAway, StoreUnavailable

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 10.0

RETRY_SECONDS = 6.0
"""How long a turn's statement is retried while Postgres is away."""

LEASE_SECONDS = 5.0
"""Another instance takes over a claim that was not renewed for this long."""

GONE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    TimeoutError,
)
"""The server (away, read-only, its disk full), not the statement: worth another try."""

AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

CONTENT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""The values of this one statement: a retry is no use, but other values may be accepted."""

log = structlog.get_logger()

BY_INDEX = {
    "plan_cache_mode": "force_generic_plan",
    **dict.fromkeys(
        (
            "enable_seqscan",
            "enable_bitmapscan",
            "enable_hashjoin",
            "enable_mergejoin",
        ),
        "off",
    ),
}
"""For the turn's statements, which look up few rows among many, even if the statistics of a
young table say otherwise.
"""

WALK_INDEXES = {**BY_INDEX, "enable_sort": "off"}
"""For reading windows: walks the index and stops.

Statistics describe the average conversation. In one of 100,000 messages the planner would
read and sort all of them to find the last twenty. Not for statements that lock in order: to
avoid sorting a few rows, they would walk the index of all conversations.
"""


async def connect(
    url: str,
    statement_seconds: float | None = STATEMENT_SECONDS,
    planner: Mapping[str, str] = MappingProxyType({}),
) -> asyncpg.Connection[asyncpg.Record]:
    """A driver connection; `sslmode` and friends are read from the URL as libpq reads them."""
    return await asyncpg.connect(
        url,
        timeout=CONNECT_SECONDS,
        command_timeout=statement_seconds,
        server_settings={
            "application_name": "simple-ai-agent",
            "jit": "off",
            **planner,
        },
    )


def columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """A list for each column, as a statement takes many rows; at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]


class PinnedConnection:
    """One pinned connection for one kind of statement, so that it stays prepared.

    asyncpg's pool resets a session at each release, which costs more than the statement itself.
    """

    def __init__(self, url: str, planner: Mapping[str, str]) -> None:
        self._url = url
        self._planner = planner
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
                        if not isinstance(error, GONE):
                            log.warning(
                                "statement given up",
                                error=type(error).__name__,
                                sqlstate=error.sqlstate,
                            )
                        raise StoreUnavailable(StoreUnavailable.__doc__) from error

                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.5)

        raise StoreUnavailable(StoreUnavailable.__doc__)

    async def _fetch_once(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, planner=self._planner)
        if self._closed:
            raise asyncpg.InterfaceError("closed while a statement was under way")

        try:
            return await self._connection.fetch(sql, *args)
        except BaseException as error:
            # cancelled or timed out: the connection's state is unknown
            if not isinstance(error, asyncpg.PostgresError):
                self._drop()
            raise

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

    def __init__(self, url: str, engine: AsyncEngine) -> None:
        self.url = url
        self.engine = engine
        self._lines: list[PinnedConnection] = []

    def line(self, planner: Mapping[str, str] = BY_INDEX) -> PinnedConnection:
        """A new pinned connection, made when first used and closed with the database."""
        line = PinnedConnection(self.url, planner)
        self._lines.append(line)
        return line

    async def close(self) -> None:
        for line in self._lines:
            line.close()
        await self.engine.dispose()


@asynccontextmanager
async def open_database(
    url: str,
    *,
    statement_seconds: float | None = STATEMENT_SECONDS,
) -> AsyncIterator[Database]:
    """Opens nothing yet: connections are made when first used (pool 20 + 10, pre-ping,
    recycled hourly).
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        hide_parameters=True,  # they hold what people said, and errors are logged
        async_creator=lambda: connect(url, statement_seconds),
        pool_size=20,
        max_overflow=10,
        pool_pre_ping=True,
        pool_recycle=3600,
    )
    database = Database(url, engine)
    try:
        yield database
    finally:
        await database.close()


async def check_connection(
    url: str, setting: str = "DATABASE_URL", *, replica: bool = False
) -> None:
    """Tries to connect; only a `replica` may be read-only. Raises ConfigurationError: one
    sentence with the setting.
    """
    connection = await _connected(url, setting)
    try:
        read_only = await connection.fetchval(
            "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
        )
        version = int(await connection.fetchval("SHOW server_version_num"))
    finally:
        with suppress(*GONE):
            await connection.close(timeout=CONNECT_SECONDS)

    if read_only and not replica:
        raise ConfigurationError(
            f"This Postgres is read-only. Point {setting} at the primary."
        )
    if version < 150000:
        raise ConfigurationError(
            f"Postgres {version // 10000} is too old; 15 or later is needed. Correct {setting}."
        )


async def _connected(url: str, setting: str) -> asyncpg.Connection[asyncpg.Record]:
    """A connection, or ConfigurationError with what to correct."""
    try:
        return await connect(url)
    except (
        asyncpg.InvalidPasswordError,
        asyncpg.InvalidAuthorizationSpecificationError,
    ):
        raise ConfigurationError(
            f"Postgres refused user or password. Correct {setting}."
        ) from None
    except asyncpg.InvalidCatalogNameError:
        raise ConfigurationError(
            f"This database does not exist. Create it or correct {setting}."
        ) from None
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"TLS to Postgres failed. Check sslmode in {setting}."
        ) from error
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        raise ConfigurationError(
            f"{setting} is not a Postgres URL. It looks like "
            "postgresql://user:password@host:5432/name."
        ) from error
    except GONE as error:
        raise ServerAway(
            f"No Postgres answers there. Start it, or correct host and port in {setting}."
        ) from error
