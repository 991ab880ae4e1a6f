"""Redis behind one rule: it may be slow, empty or gone, and nobody waits long to find out.

All commands that are ready in the same tick of the event loop travel in one write.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from agent import metrics
from agent.core.errors import ConfigurationError
from storage.connecting.batch import Batch
from storage.connecting.redis_connection import (
    Command,
    Exchange,
    Nowhere,
    RedisConnection,
    connection_class,
)
from storage.connecting.redis_url import RedisUrl, read_redis_url
from storage.connecting.urls import UnreadableUrl

DEADLINE_SECONDS = 0.05
"""For one round trip."""

FAILURES = 3
REST_SECONDS = 1.0
"""After so many failures in a row, Redis is not asked for this long."""

log = structlog.get_logger()


class RedisPipe:
    """Sends commands without ever raising: no answer is an answer (None)."""

    def __init__(
        self,
        connection: Exchange,
        client: Redis,
        *,
        deadline: float = DEADLINE_SECONDS,
        trouble: str = "",
        usable: bool = True,
    ) -> None:
        """`trouble` is a sentence on REDIS_URL, if anything is odd with it; not `usable`:
        it leads nowhere.
        """
        self.trouble = trouble
        self.usable = usable
        self.client = client
        """For use outside turns: it raises, and waits for seconds."""
        self._connection = connection
        self.round_trips = 0
        self._deadline = deadline
        self._failures = 0
        self._rests_until = 0.0
        self._batch: Batch[Sequence[Command], list[Any] | None] = Batch(
            self._send_all
        )

    @property
    def available(self) -> bool:
        """False while Redis is left alone after failures in a row, and always where its URL
        leads nowhere.
        """
        return self.usable and time.monotonic() >= self._rests_until

    async def send(self, *commands: Command) -> list[Any] | None:
        """The replies in order; a command that failed has an exception as its reply. None:
        no answer in time, or whatever else went wrong.
        """
        if not self.available:
            return None

        try:
            return await self._batch.submit(commands)
        # whatever it is: no message is lost to what only makes it fast
        except Exception as error:
            log.exception("Redis was not asked", error=type(error).__name__)
            self._note_failure()
            return None

    async def _send_all(
        self, groups: Sequence[Sequence[Command]]
    ) -> list[list[Any] | None]:
        self.round_trips += 1
        metrics.redis_round_trips.add()
        commands = [command for group in groups for command in group]
        try:
            async with asyncio.timeout(self._deadline):
                replies = await self._connection.exchange(commands)
        except (RedisError, OSError, TimeoutError):
            self._note_failure()
            return [None] * len(groups)

        self._failures = 0
        rest = iter(replies)

        return [[next(rest) for _ in group] for group in groups]

    def _note_failure(self) -> None:
        self._failures += 1
        metrics.redis_failures.add()
        if self._failures >= FAILURES:
            self._rests_until = time.monotonic() + REST_SECONDS


@asynccontextmanager
async def open_redis(
    url: str,
    *,
    deadline: float = DEADLINE_SECONDS,
) -> AsyncIterator[RedisPipe]:
    """Connects when first used. With a URL that cannot be used it is as if Redis were away:
    see `RedisPipe.trouble`.

    `deadline`: seconds for a round trip, after which it did not happen.
    """
    trouble, where = "", None
    try:
        where = read_redis_url(url)
    except UnreadableUrl as error:
        trouble = f"REDIS_URL {error.reason}."
    else:
        if where.passed_over:
            trouble = (
                "REDIS_URL has what nobody knows, and it is passed over: "
                f"{', '.join(where.passed_over)}."
            )
    client = _client(where)
    connection = Nowhere() if where is None else RedisConnection(where)
    try:
        yield RedisPipe(
            connection,
            client,
            deadline=deadline,
            trouble=trouble,
            usable=where is not None,
        )
    finally:
        await connection.close()
        await client.aclose()
        await client.connection_pool.disconnect()


def _client(where: RedisUrl | None) -> Redis:
    if where is None:
        return Redis(
            connection_pool=ConnectionPool(
                connection_class=_NoConnection, retry=Retry(NoBackoff(), 0)
            )
        )

    pool = BlockingConnectionPool(
        connection_class=connection_class(where),
        max_connections=50,
        socket_connect_timeout=5,
        socket_timeout=5.0,
        health_check_interval=30,
        **where.options,
    )
    return Redis(connection_pool=pool)


class _NoConnection(AbstractConnection):
    """To nowhere."""

    async def _connect(self) -> None:
        raise RedisConnectionError("REDIS_URL cannot be used")

    def repr_pieces(self) -> list[tuple[str, str]]:
        return []

    def _host_error(self) -> str:
        return "nowhere"


async def greet(pipe: RedisPipe) -> None:
    """Tries Redis once. Being away, or an odd URL, is an ordinary day and one warning.

    Raises ConfigurationError for a wrong password.
    """
    if pipe.trouble:
        log.warning(
            pipe.trouble
            if pipe.usable
            else f"going on without Redis, slower: {pipe.trouble}"
        )
    if not pipe.usable:
        return
    try:
        await try_redis(pipe)
    except AuthenticationError:
        raise ConfigurationError(
            "Redis refused the password. Correct REDIS_URL."
        ) from None
    except (RedisError, OSError) as error:
        log.warning(f"going on without Redis, slower: {trouble_of(error)}")


async def try_redis(pipe: RedisPipe) -> None:
    """Does once what turns do, with keys that are gone after a second. Raises redis-py's
    errors, OSError.
    """
    async with pipe.client.pipeline(transaction=False) as tries:
        tries.execute_command("SET", "session:agent:try", "1", "EX", "1")
        tries.execute_command(
            "EVAL", "return redis.call('TTL', KEYS[1])", "1", "rate:agent:try"
        )
        tries.execute_command("PUBLISH", "agent:try", "")
        await tries.execute()


def trouble_of(error: Exception) -> str:
    """What an error of Redis means for the person who runs the agent. It goes on without
    it, slower.
    """
    for kind, sentence in _TROUBLES:
        if isinstance(error, kind):
            return sentence
    if any(
        isinstance(each, ssl.SSLError)
        for each in (error, error.__cause__, error.__context__)
    ):
        return "TLS to Redis failed. Check rediss:// and the ssl_… parameters of REDIS_URL."

    return "Redis does not answer. Start it, or correct REDIS_URL."


_TROUBLES: tuple[tuple[type[Exception], str], ...] = (
    (
        NoPermissionError,
        "Redis does not permit this to its user. Let it use all keys and channels: ~* &* +@all.",
    ),
    (
        ReadOnlyError,
        "This Redis is a read-only replica. Point REDIS_URL at its primary.",
    ),
    (
        OutOfMemoryError,
        "Redis is full and refuses to write. Set its maxmemory-policy to allkeys-lru.",
    ),
    (
        ResponseError,
        "Redis refuses what is asked of it. Check the database's number in "
        "REDIS_URL, and its version (7).",
    ),
)
