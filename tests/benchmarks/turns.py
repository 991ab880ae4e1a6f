"""What a turn costs: `uv run python -m tests.benchmarks.turns [--rows 5000000] [--seconds 5]`.

Real Postgres (fsync on) and Valkey on this machine, a model that answers at once, a
platform that takes everything. Machines are noisy: compare ratios within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import structlog

from storage.conversation import STATEMENTS
from storage.migrate import upgrade
from storage.postgres import WALK_INDEXES, connect
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.servers import Postgres, Valkey, running

CONVERSATIONS = (1, 64, 256)
BUDGETED = 64


@asynccontextmanager
async def stores() -> AsyncIterator[tuple[str, str]]:
    with (
        running(Postgres(fsync="on", full_page_writes="on")) as postgres,
        running(Valkey()) as valkey,
    ):
        await postgres.execute("CREATE DATABASE benchmark")
        url = postgres.url("benchmark")
        await upgrade(url)
        yield url, valkey.url


async def turns_per_second(
    world: EngineHarness,
    agent: Instance,
    probe: asyncpg.Connection,
    people: int,
    seconds: float,
) -> str:
    latencies: list[float] = []
    chats = [f"{people} people, {number}" for number in range(people)]
    for chat in chats:
        await world.ask(agent, "warm up", chat=chat)
    await probe.execute("SELECT pg_stat_statements_reset(), pg_stat_reset()")
    until = time.perf_counter() + seconds
    cpu = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])

    async def talk(chat: str) -> None:
        while (started := time.perf_counter()) < until:
            await world.ask(agent, "hello there", chat=chat)
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*map(talk, chats))
    cpu = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - cpu
    calls = await probe.fetchval(
        "SELECT sum(calls) FROM pg_stat_statements"
        " WHERE query ~ '/\\* (accept|answer|done|placed|load|reserve|settle) \\*/'"
    )
    turns = len(latencies)
    return (
        f"{people:>4} conversations: {turns / seconds:>6.0f} turns/s   "
        f"p50 {statistics.median(latencies) * 1000:>6.2f} ms   "
        f"p99 {statistics.quantiles(latencies, n=100)[98] * 1000:>6.2f} ms   "
        f"{cpu / turns * 1000:.3f} ms CPU/turn   "
        f"{float(calls) / turns:.3f} statements/turn"
    )


async def set_budgets(probe: asyncpg.Connection) -> None:
    """So large that they bind every turn and refuse none."""
    await probe.execute(
        "INSERT INTO budgets (scope, subject, tokens)"
        " SELECT scope, '*', 10^12 FROM unnest('{person,channel}'::text[]) scope;"
        "UPDATE control_epoch SET epoch = epoch + 1"
    )


async def fill(probe: asyncpg.Connection, rows: int) -> UUID:
    """Spreads rows over conversations of 100 messages; one of them gets 100,000."""
    people = max(rows // 100, 1)
    await probe.execute(
        "INSERT INTO users (id, person_id, channel_type, channel_user_id)"
        " SELECT gen_random_uuid(), gen_random_uuid(), 'b', n::text FROM "
        "generate_series(1, $1::int) n",
        people,
        timeout=None,
    )
    await probe.execute(
        "INSERT INTO conversations (id, user_id, channel_type, chat_id, started_at, last_activity,"
        " version, asked, answered)"
        " SELECT gen_random_uuid(), id, 'b', channel_user_id, now() - interval "
        "'1 day', now() + interval '1 hour',"
        " 200, 200, 200"
        " FROM users WHERE channel_type = 'b'",
        timeout=None,
    )
    for part in range(100):
        await probe.execute(
            'INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content)'
            " SELECT id, now() + make_interval(secs => $1::int), $1::int, "
            "gen_random_uuid(), 'user', repeat('x', 100)"
            " FROM conversations WHERE channel_type = 'b'",
            part,
            timeout=None,
        )
    long: UUID = await probe.fetchval(
        "SELECT id FROM conversations WHERE channel_type = 'b' LIMIT 1"
    )
    await probe.execute(
        'INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content)'
        " SELECT $1, now() + make_interval(secs => 200 + n / 1000.0), 200 + n, "
        "gen_random_uuid(), 'user', 'hello'"
        " FROM generate_series(1, 100000) n",
        long,
        timeout=None,
    )
    await probe.execute("VACUUM ANALYZE", timeout=None)
    return long


async def window_times(
    probe: asyncpg.Connection, conversations: dict[str, UUID]
) -> list[str]:
    """Interleaved, so that a noisy moment hits all alike."""
    for name, value in WALK_INDEXES.items():
        await probe.execute(f"SET {name} = {value}")
    statement = await probe.prepare(STATEMENTS["load"])
    times: dict[str, list[float]] = {name: [] for name in conversations}
    for _ in range(500):
        for name, conversation in conversations.items():
            started = time.perf_counter()
            await statement.fetch([conversation], 20)
            times[name].append(time.perf_counter() - started)
    return [
        f"window of {name}: {statistics.median(t) * 1000:.3f} ms"
        for name, t in times.items()
    ]


async def main(rows: int, seconds: float) -> None:
    async with stores() as (database_url, redis_url):
        probe = await connect(database_url, None)
        await probe.execute("CREATE EXTENSION pg_stat_statements")
        world = EngineHarness(database_url, redis_url)
        async with world.instance() as agent:
            for people in CONVERSATIONS:
                print(
                    await turns_per_second(world, agent, probe, people, seconds),
                    flush=True,
                )
            await set_budgets(probe)
            await agent.ports.control_updates.observe(0)
            print("with a budget for each person and channel:")
            print(
                await turns_per_second(world, agent, probe, BUDGETED, seconds),
                flush=True,
            )
            await probe.execute(
                "DELETE FROM budgets; UPDATE control_epoch SET epoch = epoch + 1"
            )
        short = await probe.fetchval(
            "SELECT id FROM conversations WHERE version >= 20 LIMIT 1"
        )
        print(
            *await window_times(probe, {"a conversation in a small table": short}),
            sep="\n",
            flush=True,
        )
        await probe.close()
        probe = await connect(database_url, None)
        long = await fill(probe, rows)
        total = await probe.fetchval("SELECT count(*) FROM messages", timeout=None)
        usual = await probe.fetchval(
            "SELECT id FROM conversations WHERE channel_type = 'b' AND id <> $1 LIMIT 1",
            long,
        )
        print(f"{total:,} messages in the table:")
        print(
            *await window_times(
                probe, {"100 messages": usual, "100,000 messages": long}
            ),
            sep="\n",
            flush=True,
        )
        async with world.instance() as agent:
            print(
                await turns_per_second(world, agent, probe, 64, seconds), flush=True
            )
        await probe.close()


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    try:
        import uvloop

        uvloop.run(main(given.rows, given.seconds))
    except ImportError:
        asyncio.run(main(given.rows, given.seconds))
