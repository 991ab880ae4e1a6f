"""Laps: each contender for a second, in turn, so that a noisy moment hits all alike."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import pstats
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import unquote

import asyncpg
from redis.asyncio import Redis

from agent.cli.run import spare_collections
from storage.migrate import upgrade
from tests.benchmarks.compare.contenders import (
    WINDOW,
    Contender,
    StoreUrls,
    Turn,
)
from tests.benchmarks.compare.processes import family_cpu, own_cpu
from tests.support.servers import Postgres, Valkey, running

SETTLE_SECONDS = 0.2
"""Between two laps: what a contender does after its turns is its own."""

WARM_TURNS = WINDOW // 2
"""Turns of each conversation before the first lap: then its window is full."""

COUNTED_TURNS = 20
"""Turns of each conversation in which calls are counted."""

COUNTED_CONVERSATIONS = 16


@dataclass(frozen=True, slots=True)
class Lap:
    """What one contender did in one lap."""

    contender: str
    conversations: int
    turns: int
    seconds: float
    p50: float
    """Seconds."""
    p99: float
    client: float
    """Seconds of CPU; the next two as well."""
    postgres: float
    redis: float
    statements: int
    commits: int
    commands: int
    """Of Redis."""
    round: str = ""
    """Laps of the same round ran one after the other."""

    @property
    def rate(self) -> float:
        """Turns per second."""
        return self.turns / self.seconds


class Stores:
    """The two servers, and what they count."""

    def __init__(
        self, postgres: Postgres, valkey: Valkey, probe: asyncpg.Connection
    ) -> None:
        self._postgres = postgres
        self._probe = probe
        self._redis = Redis.from_url(valkey.url)
        self._redis_pid = valkey.pid
        self.urls = StoreUrls(
            postgres.url("benchmark"),
            valkey.url,
            str(postgres.folder),
            unquote(valkey.url.removeprefix("unix://")),
        )

    async def reset(self) -> None:
        """Counts begin at zero."""
        await self._probe.execute("SELECT pg_stat_statements_reset()")
        await self._redis.config_resetstat()

    async def counts(self) -> tuple[int, int]:
        """Statements, and commands of Redis, since the last reset."""
        statements = await self._probe.fetchval(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements"
            " WHERE toplevel AND query NOT LIKE '%pg_stat_%'"
            " AND query !~ '^(BEGIN|COMMIT|ROLLBACK)'"
        )
        stats = await self._redis.info("stats")

        return int(statements), int(stats["total_commands_processed"])

    async def commits(self) -> int:
        """Transactions that wrote something, ever."""
        newest = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        return int(await self._probe.fetchval(newest))

    def cpu(self) -> tuple[float, float]:
        """Seconds of CPU of Postgres and of Redis."""
        return family_cpu(self._postgres.pid), family_cpu(self._redis_pid)

    async def close(self) -> None:
        await self._redis.aclose()
        await self._probe.close()


@asynccontextmanager
async def open_stores() -> AsyncIterator[Stores]:
    """Postgres that keeps what it commits, and Redis with its log, as in production."""
    with (
        running(Postgres(fsync="on", full_page_writes="on")) as postgres,
        running(Valkey("--appendonly", "yes", "--appendfsync", "everysec")) as valkey,
    ):
        await postgres.execute("CREATE DATABASE benchmark")
        url = postgres.url("benchmark")
        await upgrade(url)
        probe = await asyncpg.connect(url)
        await probe.execute("CREATE EXTENSION pg_stat_statements")
        stores = Stores(postgres, valkey, probe)
        try:
            yield stores
        finally:
            await stores.close()


@asynccontextmanager
async def opened(
    contenders: Sequence[Contender], stores: Stores
) -> AsyncIterator[Mapping[str, Turn]]:
    """The turns of those that can be opened, by name."""
    async with AsyncExitStack() as stack:
        turns: dict[str, Turn] = {}
        for contender in contenders:
            try:
                entering = contender.open(stores.urls)
            except ImportError as error:
                print(f"{contender.name} is left out: {error}", flush=True)
            else:
                turns[contender.name] = await stack.enter_async_context(entering)

        yield turns


async def warm(turn: Turn, conversations: int) -> None:
    """Fills the windows."""

    async def talk(chat: str) -> None:
        for _ in range(WARM_TURNS):
            await turn(chat, "hello there")

    await asyncio.gather(*map(talk, chats(conversations)))


async def lap(
    name: str, turn: Turn, conversations: int, seconds: float, stores: Stores
) -> Lap:
    """One lap: everybody talks without a pause."""
    latencies: list[float] = []
    await stores.reset()
    commits, before = await stores.commits(), stores.cpu()
    gc.collect()
    client, began = own_cpu(), time.perf_counter()

    async def talk(chat: str) -> None:
        while (started := time.perf_counter()) < began + seconds:
            await turn(chat, "hello there")
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*map(talk, chats(conversations)))
    took, client = time.perf_counter() - began, own_cpu() - client
    await asyncio.sleep(SETTLE_SECONDS)
    postgres, redis = (
        now - then for now, then in zip(stores.cpu(), before, strict=True)
    )
    statements, commands = await stores.counts()

    return Lap(
        name,
        conversations,
        len(latencies),
        took,
        statistics.median(latencies),
        statistics.quantiles(latencies, n=100)[98],
        client,
        postgres,
        redis,
        statements,
        await stores.commits() - commits,
        commands,
    )


async def calls_per_turn(turn: Turn) -> float:
    """Calls of Python and C functions, as the interpreter's own profiler counts them."""

    async def talk(chat: str) -> None:
        for _ in range(COUNTED_TURNS):
            await turn(chat, "hello there")

    await warm(turn, COUNTED_CONVERSATIONS)
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        await asyncio.gather(*map(talk, chats(COUNTED_CONVERSATIONS)))
    finally:
        profiler.disable()
    total: int = pstats.Stats(profiler).total_calls  # type: ignore[attr-defined]

    return total / (COUNTED_TURNS * COUNTED_CONVERSATIONS)


def chats(conversations: int) -> list[str]:
    """Their names; those of another number of conversations are others."""
    return [f"{conversations}:{number}" for number in range(conversations)]


Report = Callable[[Lap], None]


async def race(
    turns: Mapping[str, Turn],
    conversations: int,
    *,
    laps: int,
    seconds: float,
    stores: Stores,
    report: Report,
) -> None:
    """So many laps of each; every round begins with another one."""
    for turn in turns.values():
        await warm(turn, conversations)

    spare_collections()  # as a long-lived process of ours does, for all alike
    names, started = list(turns), time.time()
    for number in range(laps):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            ran = await lap(name, turns[name], conversations, seconds, stores)
            report(replace(ran, round=f"{started:.0f} {number}"))
