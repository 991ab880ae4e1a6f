"""A core that only remembers: what a channel hands on, and when it may acknowledge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound, Said
from agent.ports import Channel
from channels.pacing import Governor
from channels.telegram.channel import Telegram
from tests.support.inbound import text_of
from tests.support.platforms.telegram.server import TelegramServer

PATIENCE = 10.0  # seconds that a test waits for what must happen


class Inbox:
    """Its `accept` keeps messages, or refuses them while `down`; `gate` holds it back while
    it is not set.
    """

    def __init__(self) -> None:
        self.got: list[Inbound] = []
        self.down = False
        self.refused = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def accept(self, inbound: Inbound) -> bool:
        """As `agent.ports.Accept`; a message that is known already is not kept twice."""
        await self.gate.wait()
        if self.down:
            self.refused += 1
            raise StoreUnavailable

        if not isinstance(inbound, Said) or inbound not in self.got:
            self.got.append(inbound)

        return True

    @property
    def texts(self) -> list[str]:
        """What was said, in order of acceptance."""
        return [text_of(inbound) for inbound in self.got]

    async def until(self, count: int) -> list[Inbound]:
        """The messages, once there are this many."""
        await until(lambda: len(self.got) >= count)
        return self.got


async def until(condition: Callable[[], bool]) -> None:
    """Returns when it holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def listening(
    channel: Channel, inbox: Inbox
) -> AsyncIterator[asyncio.Task[None]]:
    """The channel, running; stopped at the end."""
    task = asyncio.create_task(channel.run(inbox.accept))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def channel(
    server: TelegramServer,
    *,
    token: str | None = None,
    public_url: str | None = None,
    slash_commands: Callable[[], bool] = lambda: True,
) -> Telegram:
    """The channel, signed in to this server and in a hurry."""
    return Telegram(
        token=token or server.token,
        api_url=server.url,
        governor=Governor(),
        public_url=public_url,
        slash_commands=slash_commands,
        retry=0.01,
        check=0.01,
    )
