"""A crowd on three channels at once: is every message answered, in order, once, and
acknowledged in time?

`uv run python -m tests.benchmarks.crowd --people 1000` prints the figures. The platforms'
servers and their people run in one process; in another the agent, with channels as `agent
serve` makes them (real client libraries, real pace), and a model that answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import msgspec
import structlog

from agent.app import build_channels, configured_channels
from agent.cli.run import spare_collections
from agent.core.messages import Inbound
from agent.ports import Channel
from channels.services import ChannelServices
from storage.migrate import upgrade
from tests.benchmarks.crowd_platforms import (
    Crowd,
    Report,
    addresses,
    come_to,
    patient,
    settings_for,
)
from tests.conformance.channel_harness import Agent, ChannelHarness
from tests.conformance.driver import Driver
from tests.support.inbound import text_of
from tests.support.servers import Postgres, Valkey, running

START_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """How many people write how many messages each, at random moments in so many seconds
    (0: all at once).
    """

    people: int = 1000
    messages: int = 3
    seconds: float = 30.0

    def crowd(self, drivers: Sequence[Driver]) -> Crowd:
        """These people, on these platforms."""
        return Crowd(
            drivers, people=self.people, messages=self.messages, seconds=self.seconds
        )

    def arguments(self) -> list[str]:
        """For the other process."""
        return [f"--{name}={value}" for name, value in asdict(self).items()]


@dataclass(frozen=True)
class Figures:
    """What a run showed. `waits` are seconds from delivery to acknowledgement, the shortest
    first.
    """

    people: int
    messages: int
    wrong: tuple[str, ...]  # people whose screen is not what it should be
    rows: int  # of people's messages in the database
    waits: Sequence[float]
    seconds: float

    def wait(self, share: float) -> float:
        """The wait that this share of all messages did not exceed."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))]

    def __str__(self) -> str:
        p50, p99, worst = (
            1000 * wait for wait in (self.wait(0.5), self.wait(0.99), self.waits[-1])
        )
        return (
            f"{self.people} people, {self.messages} messages in {self.seconds:.1f} s "
            f"({self.messages / self.seconds:.0f} a second)\n"
            f"screens that are wrong: {len(self.wrong)}, rows: {self.rows}, "
            f"acknowledged: {len(self.waits)}\n"
            f"from delivery to acknowledgement: p50 {p50:.0f} ms, p99 {p99:.0f} "
            f"ms, worst {worst:.0f} ms"
        )


@dataclass
class Durable:
    """When each message was stored. Discord's gateway has no acknowledgement: this is what
    counts there.
    """

    at: dict[str, float] = field(default_factory=dict)

    def watch(self, agent: Agent) -> None:
        """Notes what the agent accepts from now on."""
        agent.watch = self._note

    def _note(self, inbound: Inbound) -> None:
        self.at.setdefault(text_of(inbound), time.perf_counter())


async def here(database_url: str, redis_url: str, size: Size) -> Figures:
    """Everything in this process, and the channels in a hurry: a check, not a measurement."""
    drivers = patient()
    harness, durable = (
        ShippedHarness(database_url, redis_url, drivers, lease=30.0, beat=1.0),
        Durable(),
    )
    async with AsyncExitStack() as stack:
        for driver in drivers:
            await stack.enter_async_context(driver.start())
        crowd = size.crowd(drivers)
        durable.watch(await stack.enter_async_context(harness.agent()))
        report = await crowd.talk()
        return await _figures(harness, report, durable)


async def apart(database_url: str, redis_url: str, size: Size) -> Figures:
    """The platforms in a process of their own."""
    drivers = patient()
    harness, durable = (
        ShippedHarness(database_url, redis_url, drivers, lease=30.0, beat=1.0),
        Durable(),
    )
    async with _platforms(size) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            come_to(drivers, msgspec.json.decode(await process.stdout.readline()))
        spare_collections()
        async with harness.agent(near=False) as agent:
            durable.watch(agent)
            report = msgspec.json.decode(await process.stdout.readline(), type=Report)
            return await _figures(harness, report, durable)


class ShippedHarness(ChannelHarness):
    """Channels that keep the platforms' pace, together over Redis. Those of the tests are
    in more of a hurry.
    """

    def channels(self, services: ChannelServices) -> list[Channel]:
        settings = settings_for(self.drivers)
        return build_channels(settings, configured_channels(settings), services)


@asynccontextmanager
async def _platforms(size: Size) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.crowd",
        "--platforms",
        *size.arguments(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 28,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()  # they end with it
        await process.wait()


async def _figures(
    harness: ChannelHarness, report: Report, durable: Durable
) -> Figures:
    await harness.settled()
    rows = await harness.value("SELECT count(*) FROM messages WHERE role = 'user'")
    acknowledged = {**durable.at, **report.acknowledged}
    waits = sorted(
        acknowledged[text] - said
        for text, said in report.said.items()
        if text in acknowledged
    )
    return Figures(
        report.people, len(report.said), report.wrong, rows, waits, report.seconds
    )


async def measure(size: Size) -> Figures:
    """On stores of its own, with fsync as a server has it."""
    with (
        running(Postgres(fsync="on", full_page_writes="on")) as postgres,
        running(Valkey()) as valkey,
    ):
        await upgrade(postgres.url())
        return await apart(postgres.url(), valkey.url, size)


async def platforms(size: Size) -> None:
    """The other process: says where it is, lets people talk once the agent is there,
    reports, ends with its input.
    """
    drivers = patient()
    async with AsyncExitStack() as stack:
        for driver in drivers:
            await stack.enter_async_context(driver.start())
        crowd = size.crowd(drivers)
        _tell(addresses(drivers))
        async with asyncio.timeout(START_S):
            await crowd.agent_there()
        _tell(await crowd.talk())
        await asyncio.to_thread(sys.stdin.read)


def _tell(value: Any) -> None:
    print(msgspec.json.encode(value).decode(), flush=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """On uvloop where there is one, as the agent itself runs."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=Size.people)
    parser.add_argument(
        "--messages", type=int, default=Size.messages, help="of each person"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=Size.seconds,
        help="in which they write; 0: all at once",
    )
    parser.add_argument("--platforms", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
    size = Size(given.people, given.messages, given.seconds)
    if given.platforms:
        run(platforms(size))
    else:
        print(run(measure(size)))


if __name__ == "__main__":
    main()
