"""What one chat's penalty costs the others: `uv run python -m tests.benchmarks.penalty [--rounds 10]`.

On each platform's server twenty people ask at once, round after round; in every second round one more chat is under the
platform's rate limit. Both kinds of rounds run in turn, so that a noisy moment hits both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import time
from collections.abc import Callable

import structlog

from storage.migrate import upgrade
from tests.conformance.driver import Driver, Place
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.conformance.stage import Stage
from tests.servers import Postgres, Valkey, running

PEOPLE = 20
LOOK = 0.002
DRIVERS: tuple[Callable[[], Driver], ...] = (DiscordDriver, TelegramDriver, SlackDriver)


async def asked(stage: Stage, place: Place, user: str) -> float:
    """Seconds from a person's message to its whole answer."""
    began = time.perf_counter()
    await stage.driver.say(place, f"to {user}", user=user)
    while f"re: to {user}" not in stage.screen(place):
        await asyncio.sleep(LOOK)
    return time.perf_counter() - began


async def one_round(stage: Stage, number: int, *, penalty: bool) -> list[float]:
    if penalty:
        slow = stage.driver.direct(f"slow{number:04}")
        stage.driver.limit_chat(slow, retry_after=1.0, times=1)
        await stage.driver.say(slow, "to the slow one", user=f"slow{number:04}")
    names = [f"round{number:04}person{person:02}" for person in range(PEOPLE)]
    times = await asyncio.gather(*(asked(stage, stage.driver.direct(name), name) for name in names))
    await stage.settled()
    return list(times)


async def measure(database_url: str, redis_url: str, driver: Driver, rounds: int) -> None:
    times: dict[bool, list[float]] = {False: [], True: []}
    stage = Stage(database_url, redis_url, [driver], lease=5.0, beat=1.0)
    async with driver.start(), stage.agent():
        await one_round(stage, 0, penalty=False)  # warm up
        for number in range(1, 2 * rounds + 1):
            times[number % 2 == 0] += await one_round(stage, number, penalty=number % 2 == 0)
    without, under = (statistics.quantiles(times[penalty], n=100)[98] for penalty in (False, True))
    print(
        f"{driver.name:>9}: p99 of the others {without * 1000:.0f} ms without, {under * 1000:.0f} ms beside a penalty "
        f"(ratio {under / without:.2f}); early calls {driver.early_calls()}",
        flush=True,
    )


async def main(rounds: int) -> None:
    with running(Postgres()) as postgres, running(Valkey()) as valkey:
        for make in DRIVERS:
            driver = make()
            await postgres.execute(f"CREATE DATABASE {driver.name}")
            await upgrade(postgres.url(driver.name))
            await measure(postgres.url(driver.name), valkey.url, driver, rounds)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    asyncio.run(main(parser.parse_args().rounds))
