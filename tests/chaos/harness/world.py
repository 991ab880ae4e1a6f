"""Everything that a run stands on: stores, platforms, a model, agents, and a link to each
of them.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from storage.migrate import upgrade
from tests.chaos.harness.link import Link, by_port, by_socket, linked
from tests.chaos.harness.model import Oracle, oracle
from tests.chaos.harness.people import (
    Chat,
    People,
    chats_on,
    connections_of,
    is_acknowledged,
)
from tests.chaos.harness.processes import Instance, Machine, Nursery, machine
from tests.chaos.harness.serve import HASTE
from tests.conformance.driver import Driver
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.support.platforms.slack import APP_TOKEN, BOT_TOKEN, SlackServer
from tests.support.servers import Postgres, Valkey, running

LOOK_SECONDS = 0.05
READY_SECONDS = 60.0
REDELIVER_SECONDS = 1.0  # Slack's three seconds, shorter
# that a model may take: a hung one is found out sooner than with the default of 20
FIRST_BYTE_SECONDS = 5.0


@dataclass(frozen=True)
class World:
    """All of it, running. Use `world`."""

    postgres: Postgres
    valkey: Valkey
    drivers: Sequence[Driver]
    model: Oracle
    machine: Machine
    people: People
    links: Mapping[
        str, Link
    ]  # "postgres", "redis", "model", and for each platform its API and "<name> events"
    locks: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )
    haste: float = (
        1.0  # how many times faster than real ones the clocks of agents are
    )

    @property
    def instances(self) -> Sequence[Instance]:
        """The agents."""
        return self.machine.instances

    @property
    def chats(self) -> Sequence[Chat]:
        """Where people write."""
        return self.people.chats

    def lines_to(self, *platforms: str) -> list[str]:
        """The names of all links to these platforms."""
        return [name for name in self.links if name.split()[0] in platforms]

    @asynccontextmanager
    async def alone(self, *names: str) -> AsyncIterator[None]:
        """Inside, no other fault touches what has these names."""
        async with AsyncExitStack() as stack:
            for name in sorted(names):
                await stack.enter_async_context(self.locks[name])
            yield

    async def wait(self, dice: random.Random, least: float, most: float) -> None:
        """For some time between these seconds of the agents' clocks."""
        await asyncio.sleep(dice.uniform(least, most) / self.haste)

    def heal(self) -> None:
        """Nothing goes wrong from now on."""
        for link in self.links.values():
            link.heal()
        for instance in self.instances:
            instance.thaw()
        self.model.hangs = False

    async def ready(self) -> None:
        """Returns when an agent listens on every platform and all warm-up messages are answered."""
        await self.until(
            lambda: all(connections_of(driver) for driver in self.drivers),
            READY_SECONDS,
        )
        for chat in self.chats:
            await self.people.say(chat)
        if not await self.settled(READY_SECONDS):
            raise TimeoutError("Not even the first messages were answered.")

    async def until(self, holds: Callable[[], object], seconds: float) -> None:
        """Returns when it holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(LOOK_SECONDS)

    async def settled(self, seconds: float) -> bool:
        """Whether within this time all that was said is stored and closed."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            if (
                all(map(is_acknowledged, self.people.said))
                and await self._nothing_open()
            ):
                return True
            await asyncio.sleep(2 * LOOK_SECONDS)
        return False

    async def _nothing_open(self) -> bool:
        rows = await self.fetch("SELECT state = 'open' AS open FROM turns")
        return len(rows) >= len(self.people.said) and not any(
            row["open"] for row in rows
        )

    async def fetch(self, sql: str) -> list[asyncpg.Record]:
        """Asks Postgres, past its link."""
        connection = await asyncpg.connect(self.postgres.url("agent"), timeout=30)
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()


@asynccontextmanager
async def world(
    nursery: Nursery,
    *,
    instances: int = 1,
    direct: int = 1,
    changes: Sequence[str] = (),
) -> AsyncIterator[World]:
    """A world with so many agents and direct chats on each platform, in which everybody has
    been answered once.

    `changes` are names of `tests.chaos.harness.serve.CHANGES`.
    """
    async with AsyncExitStack() as stack:
        postgres, valkey = (
            stack.enter_context(running(Postgres())),
            stack.enter_context(running(Valkey())),
        )
        await postgres.execute("CREATE DATABASE agent")
        await upgrade(postgres.url("agent"))
        drivers = await _platforms(stack)
        model = await stack.enter_async_context(oracle())
        links = await _links(stack, postgres, valkey, drivers, model)
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-chaos-"))
        )
        agents = await stack.enter_async_context(
            machine(nursery, folder, _settings(drivers, links), changes)
        )
        haste = max((HASTE[name] for name in changes if name in HASTE), default=1.0)
        model.killer = agents.kill
        made = World(
            postgres,
            valkey,
            drivers,
            model,
            agents,
            People(chats_on(drivers, direct)),
            links,
            haste=haste,
        )
        for _ in range(instances):
            agents.add()
        await made.ready()
        yield made


async def _platforms(stack: AsyncExitStack) -> list[Driver]:
    slack = SlackDriver()
    slack._server = SlackServer(redeliver_after=REDELIVER_SECONDS)
    drivers: list[Driver] = [DiscordDriver(), TelegramDriver(), slack]
    for driver in drivers:
        await stack.enter_async_context(driver.start())
    return drivers


async def _links(
    stack: AsyncExitStack,
    postgres: Postgres,
    valkey: Valkey,
    drivers: Sequence[Driver],
    model: Oracle,
) -> dict[str, Link]:
    async def line(target: Any) -> Link:
        return await stack.enter_async_context(linked(target))

    links = {
        "postgres": await line(by_socket(postgres.folder / ".s.PGSQL.5432")),
        "redis": await line(by_socket(valkey.folder / "valkey.sock")),
        "model": await line(by_port(model.port)),
    }
    for driver in drivers:
        port = _port(driver)
        links[driver.name] = await line(by_port(port))
        links[f"{driver.name} events"] = await line(by_port(port))
        _send_events_by(driver, links[f"{driver.name} events"])
    return links


def _port(driver: Driver) -> int:
    """Where this platform's server listens."""
    if isinstance(driver, DiscordDriver):
        address = driver.server.api_url.removesuffix("/api/v10")
    elif isinstance(driver, SlackDriver):
        address = driver.server.root
    else:
        assert isinstance(driver, TelegramDriver)
        address = driver._server.url
    return int(address.rpartition(":")[2])


def _send_events_by(driver: Driver, link: Link) -> None:
    """Tells agents to open their sockets there. Telegram has none: its events come by the API."""
    if isinstance(driver, DiscordDriver):
        driver.server.gateway.url = f"ws://127.0.0.1:{link.port}/gateway"
    elif isinstance(driver, SlackDriver):
        driver.server.root = f"127.0.0.1:{link.port}"


def _settings(drivers: Sequence[Driver], links: Mapping[str, Link]) -> dict[str, str]:
    """What an agent is told: everything it talks to is behind a link."""
    base = {name: f"127.0.0.1:{link.port}" for name, link in links.items()}
    settings = {
        "DATABASE_URL": f"postgresql://postgres@{base['postgres']}/agent?sslmode=disable",
        "REDIS_URL": f"redis://{base['redis']}/0",
        "HTTP_PORT": "0",
        "OPENAI_BASE_URL": f"http://{base['model']}/v1",
        "DEFAULT_MODEL": "openai:test",
        "MODEL_FIRST_BYTE_TIMEOUT": str(FIRST_BYTE_SECONDS),
        "LOG_LEVEL": "info",
        "LOG_FORMAT": "json",
        "DISCORD_API_URL": f"http://{base['discord']}/api/v10",
        "TELEGRAM_API_URL": f"http://{base['telegram']}",
        "SLACK_API_URL": f"http://{base['slack']}/api/",
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
    }
    for driver in drivers:
        if isinstance(driver, DiscordDriver):
            settings["DISCORD_TOKEN"] = driver.server.token
        elif isinstance(driver, TelegramDriver):
            settings["TELEGRAM_TOKEN"] = driver._server.token
    return settings
