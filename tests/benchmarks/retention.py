"""How long turns wait while a month is dropped: `uv run python -m tests.benchmarks.retention`.

64 conversations talk without a pause; meanwhile a month of `--messages` messages is dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from datetime import UTC, datetime

import structlog

from storage.lifecycle.retention import retain
from storage.migrate import upgrade
from storage.postgres import connect
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.servers import Postgres, Valkey, running
from tests.support.settings import run

PEOPLE = 64

FILL = """
INSERT INTO messages (conversation_id, timestamp, seq, id, role, content)
SELECT md5((n % 20000)::text)::uuid,
       '2020-01-01T00:00Z'::timestamptz + n * interval '1 second', n, gen_random_uuid(), 'user',
       repeat('hello ', 20)
FROM generate_series(1, $1::int) n
"""


async def measure(messages: int, seconds: float) -> None:
    with (
        running(Postgres(fsync="on", full_page_writes="on")) as postgres,
        running(Valkey()) as valkey,
    ):
        async with postgres.database() as url:
            await upgrade(url)
            await run(
                url,
                "CREATE TABLE messages_2020_01 PARTITION OF messages FOR VALUES "
                "FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00')",
            )
            connection = await connect(url, None)  # without a deadline
            await connection.execute(FILL, min(messages, 2_600_000))
            await connection.close()
            world = EngineHarness(url, valkey.url)
            async with world.instance() as agent:
                before = await lap(world, agent, seconds, None)
                during = await lap(world, agent, seconds, url)
    print(f"without: {shown(before)}")
    print(f"a month of {messages} messages is dropped: {shown(during)}")


async def lap(
    world: EngineHarness, agent: Instance, seconds: float, url: str | None
) -> list[float]:
    """Milliseconds of each turn. With `url`, a month is dropped after a second."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def talk(chat: str) -> None:
        while (started := time.perf_counter()) < until:
            await world.ask(agent, "hello there", chat=chat)
            latencies.append((time.perf_counter() - started) * 1000)

    async def drop() -> None:
        await asyncio.sleep(1)
        started = time.perf_counter()
        await retain(agent.database, 400, datetime.now(UTC))
        print(f"dropped after {(time.perf_counter() - started) * 1000:.0f} ms")

    work = [talk(str(number)) for number in range(PEOPLE)]
    await asyncio.gather(*work, *([drop()] if url else []))

    return sorted(latencies)


def shown(latencies: list[float]) -> str:
    count = len(latencies)
    return (
        f"{count} turns, p50 {latencies[count // 2]:.0f} ms, "
        f"p99 {latencies[count * 99 // 100]:.0f} ms, longest {latencies[-1]:.0f} ms"
    )


def main() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.messages, arguments.seconds))


if __name__ == "__main__":
    main()
