"""The real channel on the server, with a core that only notes what it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound, Placed, Reacted
from channels.discord.channel import Discord
from channels.discord.reply import DiscordReply
from channels.pacing import Governor, Rate
from tests.support.inbound import text_of
from tests.support.platforms.discord.server import DiscordServer


class Core:
    """Stands for the engine: `accepted` in order, one entry a message, as the store would
    have it.
    """

    def __init__(self, server: DiscordServer) -> None:
        self.server = server
        self.accepted: list[Inbound] = []
        self._names: set[tuple[object, ...]] = set()
        self.offered = 0
        self.down = 0  # the next offers that find no store
        self.blocked: dict[
            str, asyncio.Event
        ] = {}  # chat -> until when its messages wait

    @property
    def texts(self) -> list[str]:
        return [text_of(inbound) for inbound in self.accepted]

    async def accept(self, inbound: Inbound) -> bool:
        self.offered += 1
        self.server.heard.set()

        try:
            if gate := self.blocked.get(inbound.address.chat):
                await gate.wait()

            if self.down:
                self.down -= 1
                raise StoreUnavailable

            if len(self._names) != len(self.accepted):  # a test removed some
                self._names = set(map(_name, self.accepted))
            if _name(inbound) not in self._names:
                self._names.add(_name(inbound))
                self.accepted.append(inbound)

            return True
        finally:
            self.server.heard.set()

    async def last_accepted(self, channel: str) -> Mapping[str, str]:
        return {inbound.address.chat: inbound.message_id for inbound in self.accepted}


def _name(inbound: Inbound) -> tuple[object, ...]:
    """What tells it from the others: the same message said again has the same name."""
    taken_back = isinstance(inbound, Reacted) and inbound.taken_back
    return (inbound.address.chat, inbound.message_id, type(inbound), taken_back)


def make_channel(server: DiscordServer, **options: Any) -> Discord:
    """A channel signed in to the server."""
    settings = {
        "token": server.token,
        "governor": Governor(bot=Rate(50, 1)),
        "identify_pause": 0,
    }
    return Discord(
        **{
            **settings,
            "api_url": server.api_url,
            **options,
        }
    )


@asynccontextmanager
async def running(channel: Discord, core: Core) -> AsyncIterator[asyncio.Task[None]]:
    """The channel taking messages in, connected."""
    sessions = core.server.gateway.identified
    task = asyncio.create_task(channel.run(core.accept))

    try:
        await core.server.until(
            lambda: task.done() or core.server.gateway.identified > sessions
        )
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def reply_to(
    channel: Discord, inbound: Inbound, placed: Placed | None = None, **options: Any
) -> DiscordReply:
    """The answer to this message."""
    return channel.reply(inbound.address, placed, [inbound.turn_id], **options)
