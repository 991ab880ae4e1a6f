"""Discord for the conformance suite: the real channel and discord.py against the server on
loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from agent.core.messages import Inbound
from agent.ports import Accept, LastAccepted
from channels.discord.channel import Discord
from channels.discord.reply import LIMIT
from channels.pacing import Governor, Rate
from tests.conformance.driver import Place
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.values import Limit


class _Remembering(Discord):
    """Notes what was accepted, as the store does for the port LastAccepted."""

    notes: dict[str, str]

    async def run(self, accept: Accept) -> None:
        async def noting(inbound: Inbound) -> bool:
            taken = await accept(inbound)
            self.notes[inbound.address.chat] = inbound.message_id
            return taken

        await super().run(noting)


class DiscordDriver:
    """Set `last_accepted` before `channel()` to have the store asked instead of the
    driver's own notes.

    Discord's gateway has no acknowledgement, so `unacknowledged` counts commands without a
    first response.
    """

    name = "discord"
    limit = LIMIT

    def __init__(self) -> None:
        self.server = DiscordServer()
        self.last_accepted: LastAccepted | None = None
        self.slash_commands: Callable[[], bool] = lambda: True
        self._notes: dict[str, str] = {}

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        async with self.server:
            yield

    def channel(self) -> Discord:
        channel = _Remembering(
            token=self.server.token,
            api_url=self.server.api_url,
            governor=Governor(bot=Rate(50, 1)),
            last_accepted=self.last_accepted or self._last_accepted,
            slash_commands=self.slash_commands,
            identify_pause=0,
        )
        channel.notes = self._notes
        return channel

    async def _last_accepted(self, channel: str) -> Mapping[str, str]:
        return dict(self._notes)

    def direct(self, user: str) -> Place:
        return Place(self.server.state.add_direct(user))

    def group(self, name: str) -> Place:
        return Place(self.server.state.add_channel(name), direct=False)

    def thread(self, group: Place, name: str) -> Place:
        """A thread is a channel of its own on Discord."""
        return Place(self.server.state.add_thread(group.chat, name), direct=False)

    async def say(
        self,
        place: Place,
        text: str,
        *,
        user: str = "ada",
        mention: bool = False,
        deliver: int = 1,
    ) -> str:
        state = self.server.state
        content = f"<@{state.bot['id']}> {text}" if mention else text
        message = state.say(place.chat, content, user=user)
        for _ in range(deliver - 1):
            await self.redeliver(message["id"])

        return str(message["id"])

    async def redeliver(self, message: str) -> None:
        self.server.state.tell("MESSAGE_CREATE", self.server.state.find(message))

    async def edit(self, message: str, text: str) -> None:
        self.server.state.edit(message, text)

    async def command(
        self,
        place: Place,
        name: str,
        argument: str = "",
        *,
        user: str = "ada",
    ) -> None:
        self.server.use_command(place.chat, name, argument, user=user)

    def screen(self, place: Place) -> Sequence[str]:
        return self.server.screen(place.chat)

    def revisions(self, place: Place) -> int:
        return self.server.state.revisions[place.chat]

    def typing(self, place: Place) -> int:
        """A deferred command shows "is thinking" by itself."""
        deferred = [
            i
            for i in self.server.state.interactions.values()
            if i.channel == place.chat and i.message is not None
        ]
        return self.server.state.typing[place.chat] + len(deferred)

    def limit_chat(
        self,
        place: Place,
        *,
        retry_after: float,
        times: int,
    ) -> None:
        self.server.faults.limits[place.chat] = Limit(retry_after, times)

    def fail_next(self, place: Place, *, times: int = 1) -> None:
        self.server.faults.failures[place.chat] = times

    def early_calls(self) -> int:
        return self.server.faults.early

    def unacknowledged(self) -> int:
        return sum(
            1
            for use in self.server.state.interactions.values()
            if use.acknowledged_at is None
        )
