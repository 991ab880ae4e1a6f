"""One instance's rate limits over real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from agent.core.limits import Limit
from agent.core.messages import Address, Said
from storage.control.live import RedisControl
from storage.limits.limiter import RedisLimiter
from storage.postgres import Database, open_database
from storage.redis import RedisPipe, open_redis

_ids = count()


def message(
    text: str = "hello",
    *,
    user: str = "ada",
    chat: str = "ada",
) -> Said:
    return Said(Address("test", chat), f"m{next(_ids)}", user, text)


@dataclass
class Member:
    """One instance's limiter, with a clock of its own for what it keeps in memory."""

    limiter: RedisLimiter
    control: RedisControl
    database: Database
    pipe: RedisPipe
    now: list[float]

    async def admits(
        self,
        times: int,
        *,
        user: str = "ada",
        chat: str = "ada",
    ) -> int:
        """How many of so many messages pass, one after the other."""
        return sum(
            [
                await self.limiter.judge(message(user=user, chat=chat)) is None
                for _ in range(times)
            ]
        )


async def redis_time(member: Member) -> float:
    seconds, micros = await member.pipe.client.time()
    return float(seconds) + float(micros) / 1e6


PATIENCE = 10.0
"""Seconds for a round trip: here it is asked what Redis says, not what is done when a busy
machine makes it late.
"""


@asynccontextmanager
async def member(
    database_url: str,
    redis_url: str,
    per_person: Limit | None = None,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[Member]:
    now = [0.0]
    async with (
        open_database(database_url) as database,
        open_redis(redis_url, deadline=PATIENCE) as pipe,
    ):
        control = RedisControl(database, pipe)
        await control.start()
        limiter = RedisLimiter(
            database, pipe, control, per_person, clock or (lambda: now[0])
        )
        yield Member(limiter, control, database, pipe, now)
