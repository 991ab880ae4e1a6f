"""Where a scenario runs: platforms with people, a scripted model, real stores,
and agents that may crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from agent.app import wire
from agent.conversation.engine import Engine
from agent.core.completion import Prompt, Usage
from agent.core.errors import ModelError
from agent.core.messages import Inbound, Overlap
from agent.core.options import Options
from agent.ports import Accept, Channel, Deliveries, Ports
from channels.services import ChannelServices
from storage.conversation import STATEMENTS
from storage.limits.noted import Noted
from storage.postgres import Database, connect, open_database
from storage.redis import open_redis
from tests.conformance.driver import Driver, Place
from tests.conformance.platform_extras import connections
from tests.support.engine_harness import MODEL, Script, crash

DEADLINE = 20.0
LOOK = 0.005
"""Seconds between two looks at the platforms' servers, which have no common signal."""

_APPLIED = """
SELECT bool_and(epoch = (SELECT epoch FROM control_epoch))
FROM instances
WHERE seen_at > now() - interval '30 seconds'
"""

LastWords = Callable[[Deliveries], Deliveries]


class Speaker(Script):
    """A script that can also wait before its first word, and hang forever on one message."""

    def __init__(self) -> None:
        super().__init__()
        self.hesitates = False
        self.hangs_on: str | None = None

    async def stream(self, model: str, prompt: Prompt) -> AsyncGenerator[str | Usage]:
        self.prompts.append(prompt)
        self.asked.append(model)
        if self.hangs_on is not None and self.hangs_on in prompt.messages[-1][1]:
            self.started.set()
            await asyncio.Event().wait()

        text = self.said(prompt)
        first, space, rest = ("", "", text) if self.hesitates else text.partition(" ")
        if first:
            yield first

        self.started.set()
        await self.go_on.wait()
        if self.error is not None:
            raise ModelError(self.error)

        for piece in _pieces(space + rest):
            yield piece

        yield Usage(model, 10, 5)


def _pieces(text: str, size: int = 40) -> list[str]:
    """As models stream: a few words at a time."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def _has_new_connection(driver: Driver, known: int) -> bool:
    return connections(driver) != known


@dataclass
class Agent:
    """One running instance: its channels and its engine."""

    engine: Engine
    ports: Ports
    database: Database
    offered: int = 0  # messages that its channels handed over
    accepted: int = 0  # … and that were durable
    crashed: bool = False
    # Called with each durable message.
    watch: Callable[[Inbound], None] = lambda inbound: None
    _runs: list[asyncio.Task[None]] = field(default_factory=list)

    def listen(self, channel: Channel) -> None:
        """Takes messages in from now on."""
        self._runs.append(
            asyncio.create_task(channel.run(self._counted(self.engine.accept)))
        )

    def _counted(self, accept: Accept) -> Accept:
        async def counted(inbound: Inbound) -> bool:
            self.offered += 1
            taken = await accept(inbound)
            self.accepted += 1
            self.watch(inbound)

            return taken

        return counted

    async def hush(self) -> None:
        """Takes no more messages in; those it has are still answered."""
        for run in self._runs:
            run.cancel()

        await asyncio.gather(*self._runs, return_exceptions=True)
        self._runs.clear()

    async def crash(self) -> None:
        """Ends as after kill -9: nothing more is stored, handed back or said."""
        self.crashed = True
        for run in self._runs:
            run.cancel()

        await crash(self.engine)
        # Cancelled only once: after a second cancellation they do not close.
        await asyncio.gather(*self._runs, return_exceptions=True)
        self._runs.clear()


@dataclass
class ChannelHarness:
    """Everything one scenario needs. Leases are short, so that a take-over is quick."""

    database_url: str
    redis_url: str
    drivers: list[Driver]
    model: Speaker = field(default_factory=Speaker)
    lease: float = 1.5
    beat: float = 0.1
    running: list[Agent] = field(default_factory=list)

    @property
    def driver(self) -> Driver:
        """The platform, where there is only one."""
        return self.drivers[0]

    @asynccontextmanager
    async def agent(
        self, *, last_words: LastWords | None = None, near: bool = True
    ) -> AsyncIterator[Agent]:
        """An instance on all platforms, connected. At the end it stops in good order,
        unless it crashed.

        `near` is False where the platforms' servers run in another process, which then
        waits by itself.
        """
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(
                open_database(self.database_url)
            )
            pipe = await stack.enter_async_context(open_redis(self.redis_url))
            ports = await wire(
                database,
                pipe,
                self.model,
                self.channels,
                noted=Noted(),
                instance=uuid7(),
                lease=self.lease,
            )
            if last_words is not None:
                ports = replace(ports, deliveries=last_words(ports.deliveries))

            options = Options(
                MODEL,
                beat_seconds=self.beat,
                lease_seconds=self.lease,
                drain_seconds=2.0,
            )
            agent = Agent(await Engine(ports, options).__aenter__(), ports, database)

            try:
                await self._connect(agent, [*ports.channels.values()], near=near)
                self.running.append(agent)
                yield agent
            finally:
                self.running = [other for other in self.running if other is not agent]
                await agent.hush()
                if not agent.crashed:
                    await agent.engine.stop()

    def channels(self, services: ChannelServices) -> list[Channel]:
        """What an instance of these services connects to the platforms."""
        for driver in self.drivers:
            if hasattr(driver, "last_accepted"):
                driver.last_accepted = self._last_accepted

            if hasattr(driver, "slash_commands"):
                driver.slash_commands = partial(services.slash_commands, driver.name)

        return [driver.channel() for driver in self.drivers]

    async def _connect(
        self,
        agent: Agent,
        channels: list[Channel],
        *,
        near: bool,
    ) -> None:
        """Waits for platforms that do not repeat what a client missed."""
        before = [connections(driver) if near else None for driver in self.drivers]
        for channel in channels:
            agent.listen(channel)

        for driver, known in zip(self.drivers, before, strict=True):
            if known is not None:
                await self.until(partial(_has_new_connection, driver, known))

    async def until(
        self, condition: Callable[[], object], deadline: float = DEADLINE
    ) -> None:
        """Returns once the condition holds. Raises TimeoutError."""
        async with asyncio.timeout(deadline):
            while not condition():
                await asyncio.sleep(LOOK)

    def screen(self, place: Place, driver: Driver | None = None) -> list[str]:
        """What the agent's messages say, oldest first."""
        return list((driver or self.driver).screen(place))

    async def shows(
        self, place: Place, *texts: str, driver: Driver | None = None
    ) -> None:
        """The agent's messages become exactly these."""
        with suppress(TimeoutError):
            await self.until(lambda: self.screen(place, driver) == list(texts))

        assert list(texts) == self.screen(place, driver)

    async def settled(self) -> None:
        """Returns once every stored message is answered and delivered."""
        async with asyncio.timeout(DEADLINE):
            while await self.value("SELECT count(*) FROM turns WHERE state = 'open'"):
                await asyncio.sleep(LOOK)

    async def ask(self, place: Place, text: str, **options: Any) -> str:
        """A person writes, and the answer has come. Returns the message's id."""
        known = await self.value("SELECT count(*) FROM turns")
        message = await self.driver.say(place, text, **options)
        async with asyncio.timeout(DEADLINE):
            while await self.value("SELECT count(*) FROM turns") == known:
                await asyncio.sleep(LOOK)

        await self.settled()

        return message

    async def applied(self) -> None:
        """Returns once every running instance has reported that it applies all that operators
        changed.
        """
        async with asyncio.timeout(DEADLINE):
            while not await self.value(_APPLIED):
                await asyncio.sleep(LOOK)

    def asked(self, number: int = -1) -> list[str]:
        """The texts of a prompt."""
        return [text for _, text in self.model.prompts[number].messages]

    async def value(self, sql: str, *arguments: object) -> Any:
        """One value from the database."""
        return await self._with_connection(
            lambda connection: connection.fetchval(sql, *arguments)
        )

    async def until_value(self, sql: str, expected: object) -> None:
        """Returns once the database says so."""
        async with asyncio.timeout(DEADLINE):
            while await self.value(sql) != expected:
                await asyncio.sleep(LOOK)

    async def set_overlap(self, overlap: Overlap) -> None:
        """What happens to messages during an answer, on all channels; call it before agents
        start.
        """
        for driver in self.drivers:
            await self.value(
                "INSERT INTO channel_configs (id, channel_type, settings)"
                " VALUES (gen_random_uuid(), $1, jsonb_build_object('overlap', $2::text))",
                driver.name,
                overlap.value,
            )

    async def _last_accepted(self, channel: str) -> Mapping[str, str]:
        rows = await self._with_connection(
            lambda connection: connection.fetch(
                STATEMENTS["last_accepted"], channel, 7, 50
            )
        )
        return {row["chat_id"]: row["platform_message_id"] for row in rows}

    async def _with_connection(
        self, ask: Callable[[asyncpg.Connection[asyncpg.Record]], Any]
    ) -> Any:
        connection = await connect(self.database_url)
        try:
            return await ask(connection)
        finally:
            await connection.close()
