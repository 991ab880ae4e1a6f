"""Driver connections to Postgres, as its URL asks for them, and a pool of them for what
operators, commands and reports ask.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import asyncpg

from storage.connecting.connection import Driver
from storage.connecting.postgres_errors import GONE, STALE, PoolInUseError
from storage.connecting.postgres_url import PostgresUrl, Target, read_postgres_url

STATEMENT_SECONDS = 10.0

STATEMENTS_KEPT = 100
"""Prepared ones, for each connection."""

POOL_SECONDS = 30.0
"""How long somebody waits for a connection."""

IDLE_SECONDS = 300.0
"""A connection that nobody used for so long is closed: firewalls forget it soon."""

LEAVING_SECONDS = 1.0
"""Whoever fails or is cancelled waits for the server to take back their work for so long. Then
the connection is ended, and the server takes it back by itself.
"""

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Begun = TypeVar("Begun")

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
    """A driver connection to the first server of the URL that is there and as asked for.

    Behind a pooler, where a session is nobody's, `planner` is not set (see
    `PinnedConnection`), and no statement has a name: the driver sends its two steps without
    a Sync between them, so both come to one session. Raises UnreadableUrl.
    """
    where = read_postgres_url(url)
    failed: Exception = NoSuchServerError()
    for server, target in where.attempts():
        try:
            return await _connect(where, server, target, statement_seconds, planner)
        # OSError: TimeoutError is one, too. DoesNotExist: it hung up
        except (
            asyncpg.CannotConnectNowError,
            asyncpg.ConnectionDoesNotExistError,
            OSError,
        ) as error:
            failed = error
        except asyncpg.TargetServerAttributeNotMatched:
            failed = NoSuchServerError()
        except (*GONE, asyncpg.PostgresError):
            raise
        # whatever the driver makes of its words: none of them is about a statement
        except Exception as error:
            failed = ConnectionError(f"no Postgres ({type(error).__name__})")

    raise failed


class NoSuchServerError(ConnectionError):
    """No server of the URL is what its target_session_attrs asks for."""


async def _connect(
    where: PostgresUrl,
    server: tuple[str, int] | None,
    target: Target,
    statement_seconds: float | None,
    planner: Mapping[str, str],
) -> asyncpg.Connection[asyncpg.Record]:
    host, port = server or (None, None)
    return await asyncpg.connect(
        where.dsn(target),
        host=host,
        port=port,
        user=where.user,
        password=where.password_at(server),
        database=where.database,
        timeout=where.connect_seconds,
        command_timeout=statement_seconds,
        ssl=_system_roots(where.rest) if where.system_roots else None,
        server_settings=dict(where.settings)
        if where.pooled
        else {**where.settings, "jit": "off", **planner},
        statement_cache_size=0 if where.pooled else STATEMENTS_KEPT,
    )


def _system_roots(rest: Mapping[str, str]) -> ssl.SSLContext:
    """Checks certificate and host name by what the system trusts."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    if certificate := rest.get("sslcert"):
        context.load_cert_chain(
            certificate, rest.get("sslkey"), lambda: rest.get("sslpassword", "")
        )
    return context


def make_pool(url: str, statement_seconds: float | None, size: int) -> Pool:
    """Opens nothing yet: connections are made when first used."""

    def connected(*_: Any, **__: Any) -> Coroutine[Any, Any, Any]:
        # what the pool would give is in the URL
        return connect(url, statement_seconds)

    return asyncpg.create_pool(
        min_size=0,
        max_size=size,
        max_inactive_connection_lifetime=IDLE_SECONDS,
        connect=connected,
        init=_read_json,
        reset=_keep,
    )


async def _read_json(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Values of JSON come as what they hold. They are sent as text."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=str, decoder=json.loads
        )


async def _keep(_: object) -> None:
    """What stands in for asyncpg's reset of a session: ours change nothing in theirs."""


@asynccontextmanager
async def lent(pool: Pool) -> AsyncIterator[Driver]:
    """A connection that answered just now, for a moment. Raises what the driver raises."""
    async with _lent(pool, _greeted) as (driver, _):
        yield driver


@asynccontextmanager
async def lent_in_transaction(pool: Pool) -> AsyncIterator[Driver]:
    """The same in a transaction, which is committed in the end, or taken back after an error."""
    async with _lent(pool, _in_transaction) as (driver, work):
        try:
            yield driver
        except BaseException:
            await _take_back(driver, work)
            raise
        try:
            await work.commit()
        except asyncio.CancelledError:
            _end(driver)  # whether the server committed, nobody knows
            raise


@asynccontextmanager
async def _lent(
    pool: Pool, begin: Callable[[Driver], Awaitable[Begun]]
) -> AsyncIterator[tuple[Driver, Begun]]:
    driver, begun = await _acquired(pool, begin)
    try:
        yield driver, begun
    except GONE as error:
        if not isinstance(error, ValueError):  # what asyncpg cannot encode
            _end(driver)
        raise
    finally:
        await _release(pool, driver)


async def _acquired(
    pool: Pool, begin: Callable[[Driver], Awaitable[Begun]]
) -> tuple[Driver, Begun]:
    """A server that was restarted, or a firewall, may have ended connections that nobody used
    meanwhile. The first statement shows it, and may run again.
    """
    await pool  # opened by the first who asks
    # all that wait there, one that somebody gives back, and a new one
    tries = pool.get_idle_size() + 2
    while True:
        tries -= 1
        driver = await _next(pool)
        try:
            return driver, await begin(driver)
        except BaseException as error:
            _end(driver)
            await _release(pool, driver)
            if not (tries and isinstance(error, STALE)):
                raise


async def _next(pool: Pool) -> Driver:
    try:
        return await pool.acquire(timeout=POOL_SECONDS)
    except TimeoutError:
        if pool.get_size() < pool.get_max_size():
            raise  # it was a new one that was waited for
        raise PoolInUseError from None


async def _greeted(driver: Driver) -> None:
    await driver.execute("SELECT 1")


async def _in_transaction(driver: Driver) -> asyncpg.transaction.Transaction:
    work = driver.transaction()
    await work.start()

    return work


async def _take_back(driver: Driver, work: asyncpg.transaction.Transaction) -> None:
    """Whatever happens here, the error that led here is the one to tell."""
    try:
        async with asyncio.timeout(LEAVING_SECONDS):
            await work.rollback()
    except (*GONE, asyncpg.PostgresError):
        _end(driver)
    except asyncio.CancelledError:
        _end(driver)
        raise


async def _release(pool: Pool, driver: Driver) -> None:
    """A connection that is still busy is ended after a moment."""
    with suppress(*GONE):
        await pool.release(driver, timeout=LEAVING_SECONDS)  # type: ignore[arg-type]


def _end(driver: Driver) -> None:
    with suppress(asyncpg.InterfaceError):  # it left the pool by itself
        driver.terminate()
