"""What one chat's penalty costs the others: `uv run python -m tests.benchmarks.penalty
[--seconds 120] [--only slack]`.

On each platform's server twenty people talk to the agent, each at a pace of their own.
Every few seconds the platform begins, or ceases, to refuse whatever is sent to one more
chat. Both kinds of phases alternate, so that a noisy moment hits both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from storage.migrate import upgrade
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.driver import Driver
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.support.servers import Postgres, Valkey, running

PEOPLE = 20
PHASE = 3.0  # seconds
REST = (0.7, 1.7)  # seconds between an answer and the person's next message
LOOK = 0.002
DRIVERS: tuple[Callable[[], Driver], ...] = (
    DiscordDriver,
    TelegramDriver,
    SlackDriver,
)


@dataclass
class Talk:
    """Twenty people and one more. `waits`: seconds from a message to its whole answer, by
    whether a penalty stood.
    """

    harness: ChannelHarness
    until: float
    penalty: bool = False
    waits: dict[bool, list[float]] = field(
        default_factory=lambda: {False: [], True: []}
    )

    async def person(self, name: str, chance: random.Random) -> None:
        """Somebody who goes on talking."""
        place, said = self.harness.driver.direct(name), 0
        await asyncio.sleep(chance.uniform(*REST))
        while time.monotonic() < self.until:
            said += 1
            began, penalty = time.perf_counter(), self.penalty
            await self.harness.driver.say(place, f"{name} says {said}", user=name)
            while len(self.harness.screen(place)) < said:
                await asyncio.sleep(LOOK)
            if penalty is self.penalty:  # else both phases had their share in it
                self.waits[penalty].append(time.perf_counter() - began)
            await asyncio.sleep(chance.uniform(*REST))

    async def one_more(self) -> None:
        """The chat that is refused in every second phase; it talks in both."""
        place, said = self.harness.driver.direct("onemore"), 0
        while time.monotonic() < self.until:
            said += 1
            ends = time.monotonic() + PHASE
            if self.penalty:
                self.harness.driver.limit_chat(
                    place, retry_after=1.0, times=int(PHASE)
                )
            await self.harness.driver.say(
                place, f"onemore says {said}", user="onemore"
            )
            await asyncio.sleep(ends - time.monotonic())
            while len(self.harness.screen(place)) < said:
                await asyncio.sleep(LOOK)
            self.penalty = not self.penalty


async def measure(
    database_url: str, redis_url: str, driver: Driver, seconds: float
) -> None:
    """Prints the figures of one platform."""
    harness = ChannelHarness(database_url, redis_url, [driver], lease=5.0, beat=1.0)
    async with driver.start(), harness.agent():
        talk = Talk(harness, time.monotonic() + seconds)
        people = (
            talk.person(f"person{number:02}", random.Random(number))
            for number in range(PEOPLE)
        )
        await asyncio.gather(talk.one_more(), *people)
        await harness.settled()
    free, beside = (
        statistics.quantiles(talk.waits[penalty], n=100) for penalty in (False, True)
    )
    shown = "  ".join(
        f"p{p} {free[p - 1] * 1000:.1f} -> {beside[p - 1] * 1000:.1f} ms "
        f"({beside[p - 1] / free[p - 1]:.2f})"
        for p in (50, 90, 99)
    )
    counts = " + ".join(str(len(waits)) for waits in talk.waits.values())
    print(
        f"{driver.name:>9}: {shown}  of {counts} answers; early calls {driver.early_calls()}",
        flush=True,
    )


async def main(seconds: float, only: str | None) -> None:
    """All platforms, one after the other."""
    with running(Postgres()) as postgres, running(Valkey()) as valkey:
        for driver in (make() for make in DRIVERS):
            if only not in (None, driver.name):
                continue
            await postgres.execute(f"CREATE DATABASE {driver.name}")
            await upgrade(postgres.url(driver.name))
            await measure(postgres.url(driver.name), valkey.url, driver, seconds)


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="for each platform"
    )
    parser.add_argument("--only", help="one platform's name")
    given = parser.parse_args()
    asyncio.run(main(given.seconds, given.only))
