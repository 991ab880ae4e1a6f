"""How busy, large and healthy the stores are, as they say themselves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
from msgspec import Struct
from redis.exceptions import RedisError

from storage.postgres import connect
from storage.redis import RedisPipe
from storage.reports import STATEMENTS

BLOCKED_SECONDS = 1.0
"""A session that waits for a lock for longer is blocked. A turn's wait takes milliseconds."""

SLOW_COMMANDS = 10
"""So many of Redis' slow commands are shown."""


class TableLoad(Struct, frozen=True):
    """One table or partition."""

    name: str
    bytes: int
    index_bytes: int
    rows: int
    """As the statistics count them."""
    dead: int
    vacuumed_at: datetime | None


class IndexLoad(Struct, frozen=True):
    """One index. `scans` since the statistics were last reset."""

    name: str
    table: str
    bytes: int
    scans: int
    needed: bool
    """It keeps something unique."""


class ReplicaLoad(Struct, frozen=True):
    """One standby and how far it is behind, in time and in bytes of the log."""

    name: str
    seconds: float
    bytes: int | None
    """None: this user may not see it."""


class PostgresLoad(Struct, frozen=True):
    """One database and its server."""

    connections: Mapping[str, int]
    """By state."""
    maximum: int
    bytes: int
    blocked: int
    """Sessions that wait for a lock."""
    oldest_transaction: float
    """Seconds."""
    clock_ahead: float
    """Seconds by which the server's clock is ahead of this machine's, after half a round trip."""
    statistics_age: float
    """Seconds since counting began, at least."""
    tables: Sequence[TableLoad]
    indexes: Sequence[IndexLoad]
    replicas: Sequence[ReplicaLoad]


class SlowCommand(Struct, frozen=True):
    """One of Redis' slow commands; its arguments may hold what people said."""

    command: str
    milliseconds: float


class RedisLoad(Struct, frozen=True):
    """One Redis since its start."""

    hits: int
    misses: int
    memory: int
    max_memory: int
    """0: no bound."""
    policy: str
    evicted: int
    slow_count: int
    slow: Sequence[SlowCommand]

    @property
    def hit_rate(self) -> float | None:
        """Share of reads that found something; None: nothing was read."""
        reads = self.hits + self.misses

        return self.hits / reads if reads else None


class QueryLoad(Struct, frozen=True):
    """What pg_stat_statements knows of one named statement; times in milliseconds."""

    name: str
    calls: int
    total_ms: float
    mean_ms: float
    max_ms: float
    rows: int
    blocks_read: int


@asynccontextmanager
async def _connected(
    url: str,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def postgres_load(url: str) -> PostgresLoad:
    """Raises what the driver raises."""
    async with _connected(url) as connection:
        asked = time.time()
        server = await connection.fetchrow(STATEMENTS["server_load"], BLOCKED_SECONDS)
        answered = time.time()
        assert server is not None

        return PostgresLoad(
            connections={
                row["state"]: row["count"]
                for row in await connection.fetch(STATEMENTS["connections"])
            },
            maximum=server["maximum"],
            bytes=server["bytes"],
            blocked=server["blocked"],
            oldest_transaction=server["oldest_transaction"],
            clock_ahead=_ahead(server["now"].timestamp(), asked, answered),
            statistics_age=server["statistics_age"],
            tables=[
                TableLoad(**row)
                for row in await connection.fetch(STATEMENTS["table_load"])
            ],
            indexes=[
                IndexLoad(**row)
                for row in await connection.fetch(STATEMENTS["index_load"])
            ],
            replicas=[
                ReplicaLoad(**row)
                for row in await connection.fetch(STATEMENTS["replicas"])
            ],
        )


def _ahead(there: float, asked: float, answered: float) -> float:
    """By how much a clock that was read between two moments is ahead, at least; 0 inside."""
    if asked <= there <= answered:
        return 0.0

    return there - answered if there > answered else there - asked


async def redis_load(pipe: RedisPipe) -> RedisLoad | None:
    """None: Redis does not answer, or refuses."""
    try:
        info = await pipe.client.info()
        entries = await pipe.client.slowlog_get(SLOW_COMMANDS)
        count = int(await pipe.client.slowlog_len())
    except (RedisError, OSError):
        return None

    return RedisLoad(
        hits=int(info.get("keyspace_hits", 0)),
        misses=int(info.get("keyspace_misses", 0)),
        memory=int(info.get("used_memory", 0)),
        max_memory=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "unknown")),
        evicted=int(info.get("evicted_keys", 0)),
        slow_count=count,
        slow=[
            SlowCommand(_verb(entry["command"]), entry["duration"] / 1000)
            for entry in entries
        ],
    )


def _verb(command: bytes | str) -> str:
    text = command.decode(errors="replace") if isinstance(command, bytes) else command

    return text.split(" ", 1)[0][:20]


async def query_load(url: str, limit: int) -> list[QueryLoad] | None:
    """The named statements that took longest together; None: pg_stat_statements is not installed.

    Raises what the driver raises.
    """
    async with _connected(url) as connection:
        if not await connection.fetchval(STATEMENTS["queries_known"]):
            return None

        return [
            QueryLoad(**row)
            for row in await connection.fetch(STATEMENTS["queries"], limit)
        ]
