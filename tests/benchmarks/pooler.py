"""Turns through pgbouncer against turns without: `uv run python -m tests.benchmarks.pooler`.

The same Postgres (fsync on), the same work, laps in turn: a noisy moment hits both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import time

import structlog

from storage.connecting.postgres_url import pooled
from storage.migrate import upgrade
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.pgbouncer import PgBouncer
from tests.support.servers import Postgres, Valkey, running

PEOPLE = (1, 64)
SESSIONS = "20"
"""Of the server that the pooler shares out: its own default."""


async def lap(
    world: EngineHarness, agent: Instance, people: int, seconds: float
) -> tuple[float, float]:
    """Turns each second, and the median turn in milliseconds."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def talk(chat: str) -> None:
        while (started := time.perf_counter()) < until:
            await world.ask(agent, "hello there", chat=chat)
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*(talk(f"{people}, {number}") for number in range(people)))

    return len(latencies) / seconds, statistics.median(latencies) * 1000


async def compare(
    worlds: dict[str, EngineHarness], laps: int, seconds: float
) -> None:
    direct, through = worlds.values()

    async with direct.instance() as one, through.instance() as other:
        agents = dict(zip(worlds, (one, other), strict=True))

        for people in PEOPLE:
            found: dict[str, list[tuple[float, float]]] = {
                name: [] for name in worlds
            }
            for name, agent in agents.items():
                await lap(worlds[name], agent, people, 0.5)  # warm
            for _ in range(laps):
                for name, agent in agents.items():
                    found[name].append(
                        await lap(worlds[name], agent, people, seconds)
                    )

            for name, measured in found.items():
                rates, medians = zip(*measured, strict=True)
                print(
                    f"{people:>3} conversations, {name:<18} "
                    f"{statistics.median(rates):>6.0f} turns/s   "
                    f"p50 {statistics.median(medians):>6.2f} ms",
                    flush=True,
                )


async def main(laps: int, seconds: float) -> None:
    with (
        running(Postgres(fsync="on", full_page_writes="on")) as postgres,
        running(PgBouncer(postgres, default_pool_size=SESSIONS)) as bouncer,
        running(Valkey()) as near,
        running(Valkey()) as far,
    ):
        for name in ("near", "far"):
            await postgres.execute(f"CREATE DATABASE {name}")
            await upgrade(postgres.url(name))

        worlds = {
            "direct": EngineHarness(postgres.url("near"), near.url),
            "through pgbouncer": EngineHarness(pooled(bouncer.url("far")), far.url),
        }
        await compare(worlds, laps, seconds)


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    asyncio.run(main(given.laps, given.seconds))
