"""What operators set, as one instance of a test sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from agent.control.experiments import Experiment, Variant
from agent.control.flags import MAINTENANCE_MESSAGE
from agent.control.rules import EVERYBODY, Audience, resolve
from storage.control import redis_copy
from storage.control.flags import FlagAdmin
from storage.control.live import RedisControl
from storage.control.targets import RuleTarget
from storage.postgres import connect, open_database
from storage.redis import RedisPipe, open_redis
from tests.support.operators import ADA, experimenter
from tests.support.operators import EVERYBODY as TO_ALL
from tests.support.servers import Postgres

DISCORD = Audience(None, "discord")


@dataclass
class Member:
    """The control of one instance."""

    control: RedisControl
    pipe: RedisPipe

    def says(self, who: Audience = EVERYBODY) -> Any:
        """The value of maintenance_message, as evaluated in the process."""
        state = self.control.state
        return resolve(
            MAINTENANCE_MESSAGE, state.rules_of(MAINTENANCE_MESSAGE.name), who
        ).value

    async def turn(self) -> None:
        """What a turn does: it sees the epoch that Redis has."""
        replies = await self.pipe.send(("HGET", redis_copy.HASH, "_epoch"))
        if replies is not None:
            seen = replies[0]
            await self.control.observe(
                int(seen) if isinstance(seen, bytes) and seen.isdigit() else 0
            )

    async def beat(self, epoch: int) -> None:
        """What a heartbeat does: it sees the epoch that Postgres has."""
        await self.control.observe(epoch)

    @property
    def redis(self) -> Redis:
        return self.pipe.client


@asynccontextmanager
async def member(
    database_url: str,
    redis_url: str,
    file: Path | None = None,
) -> AsyncIterator[Member]:
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        control = RedisControl(database, pipe, file)
        await control.start()
        yield Member(control, pipe)


async def say(
    flags: FlagAdmin,
    text: str,
    target: RuleTarget = TO_ALL,
) -> None:
    await flags.set("maintenance_message", target, text, ADA)


TO_SLACK = Experiment(
    "look",
    "maintenance_message",
    "salt",
    (Variant("one", 1, "tried"), Variant("two", 1, "tried")),
    channels=frozenset({"slack"}),
)
SLACK = Audience(UUID(int=1), "slack")


async def try_out(database_url: str, redis_url: str) -> None:
    """From now on everybody on Slack takes part in an experiment. Two epochs."""
    async with experimenter(database_url, redis_url) as experiments:
        await experiments.create(TO_SLACK, ADA)
        await experiments.start("look", ADA)


async def until(condition: Any, deadline: float = 10.0) -> None:
    async with asyncio.timeout(deadline):
        while not condition():
            await asyncio.sleep(0)


async def prepared(postgres: Postgres) -> str:
    """A database with the newest schema on a server that a test may kill."""
    from storage.migrate import upgrade

    await postgres.execute("CREATE DATABASE agent")
    await upgrade(postgres.url("agent"))

    return postgres.url("agent")


async def untouched(database_url: str) -> tuple[int, int, int]:
    """(rules, audit rows, epoch)"""
    connection = await connect(database_url)
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM feature_flags), (SELECT count(*) FROM "
        "audit_log), epoch FROM control_epoch"
    )
    await connection.close()

    assert row is not None

    return row[0], row[1], row[2]
