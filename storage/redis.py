"""Redis behind one rule: it may be slow, empty or gone, and nobody waits long to find out.

All commands that are ready in the same tick of the event loop travel in one write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from agent import metrics
from agent.core.errors import ConfigurationError
from storage.batch import Batch

DEADLINE_SECONDS = 0.05
"""For one round trip."""

FAILURES = 3
REST_SECONDS = 1.0
"""After so many failures in a row, Redis is not asked for this long."""

Command = tuple[bytes | str | int | float, ...]


class RedisPipe:
    """Sends commands without ever raising: no answer is an answer (None)."""

    def __init__(
        self,
        pipe: Redis,
        client: Redis | None = None,
        *,
        deadline: float = DEADLINE_SECONDS,
    ) -> None:
        self.client = client or pipe
        """For use outside turns: it raises, and waits for seconds."""
        self._pipe = pipe
        self.round_trips = 0
        self._deadline = deadline
        self._failures = 0
        self._rests_until = 0.0
        self._batch: Batch[Sequence[Command], list[Any] | None] = Batch(
            self._send_all
        )

    @property
    def available(self) -> bool:
        """False while Redis is left alone after failures in a row."""
        return time.monotonic() >= self._rests_until

    async def send(self, *commands: Command) -> list[Any] | None:
        """The replies in order; a command that failed has an exception as its reply. None:
        no answer in time.
        """
        if not self.available:
            return None

        return await self._batch.submit(commands)

    async def _send_all(
        self, groups: Sequence[Sequence[Command]]
    ) -> list[list[Any] | None]:
        pipeline = self._pipe.pipeline(transaction=False)
        for group in groups:
            for command in group:
                pipeline.execute_command(*command)

        self.round_trips += 1
        metrics.redis_round_trips.add()
        try:
            async with asyncio.timeout(self._deadline):
                replies = await pipeline.execute(raise_on_error=False)
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
    """Connects when first used. Raises ConfigurationError for a URL that is not Redis's.

    `deadline`: seconds for a round trip, after which it did not happen.
    """
    try:
        client = _client(url, socket_timeout=5.0)
        # The pipe has a deadline of its own for each write; one more for each reply would
        # double its cost.
        pipe = _client(url, socket_timeout=None)
    except ValueError as error:
        raise ConfigurationError(
            "REDIS_URL is not a Redis URL. It looks like redis://host:6379/0."
        ) from error
    try:
        yield RedisPipe(pipe, client, deadline=deadline)
    finally:
        for one in (client, pipe):
            await one.aclose()
            await one.connection_pool.disconnect()


def _client(url: str, *, socket_timeout: float | None) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=50,
        socket_connect_timeout=5,
        socket_timeout=socket_timeout,
        health_check_interval=30,
    )
    return Redis(connection_pool=pool)
