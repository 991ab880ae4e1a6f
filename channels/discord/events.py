"""What people say on Discord, handed to the core in order, once it is durable and not before."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, cast

import aiohttp
import structlog

from agent.core.errors import DeliveryError, StoreUnavailable
from agent.core.messages import Deleted, Edited, Inbound, Said
from agent.ports import Accept, LastAccepted
from channels.discord.interaction import (
    DEFERRED,
    CommandUse,
    command_use,
    respond,
    switched_off,
)
from channels.discord.message import read_message, read_reaction
from channels.discord.ordering import ChatQueues
from channels.discord.rest import Rest
from channels.discord.sdk import discord
from channels.pacing import RateLimited

CHATS = 50  # caught up with at a start, the latest first
MESSAGES = 300  # fetched for a chat, the oldest first
REMEMBERED = 5_000  # messages whose edits and deletions are passed on
COMMAND_DEADLINE = 2.5  # seconds; Discord waits 3 for a first response

log = structlog.get_logger()


class DiscordEvents:
    """Listens to a gateway. While the store is away messages wait in their chat's lane, and
    are asked for again at the next start."""

    def __init__(
        self,
        *,
        accept: Accept,
        rest: Rest,
        last_accepted: LastAccepted | None,
        slash_commands: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._accept = accept
        self._rest = rest
        self._last_accepted = last_accepted
        self._slash_commands = slash_commands
        self._clock = clock
        self._sleep = sleep
        self._lanes = ChatQueues(self._catch_up_from_memory)
        self._recent: OrderedDict[tuple[str, str], Deleted] = OrderedDict()
        self._newest: OrderedDict[str, str] = (
            OrderedDict()
        )  # chat -> last accepted message
        self._client: discord.Client | None = None
        self._looking_back: asyncio.Task[None] | None = None

    def connected(self, client: discord.Client) -> None:
        """A new session: what was said since the last accepted message comes before what is
        said now.
        """
        self._client = client
        if self._last_accepted is None:
            return
        self._lanes.hold()
        if self._looking_back:
            self._looking_back.cancel()
        self._looking_back = asyncio.create_task(self._look_back(self._last_accepted))

    def said(self, message: discord.Message) -> None:
        """A message, as the gateway tells it."""
        if said := read_message(message, self._me):
            self._put(said, said.deleted())

    def edited(self, message: discord.Message) -> None:
        """An edit counts if the message is, or was, meant for the agent."""
        known = (str(message.channel.id), str(message.id)) in self._recent
        if said := read_message(message, self._me, known=known):
            self._put(said.edited(said.text), said.deleted())

    def deleted(self, chat: str, message: str) -> None:
        """Discord tells only ids; of the many deletions in a server those count that the
        agent has heard.
        """
        if known := self._recent.get((chat, message)):
            self._put(known, known)

    def reacted(self, reaction: discord.RawReactionActionEvent, *, given: bool) -> None:
        """A thumb, given or taken away. In a lane of its own: no message waits for the
        search of an answer.
        """
        if inbound := read_reaction(reaction, self._me, given=given):
            self._lanes.put(
                f"votes in {inbound.address.chat}", partial(self._take, inbound)
            )

    def used(self, interaction: discord.Interaction) -> None:
        """A command, if Discord sends them here."""
        if interaction.type is discord.InteractionType.application_command:
            use = _read_interaction(interaction)
            late = self._clock() + COMMAND_DEADLINE
            self._lanes.put(use.inbound.address.chat, partial(self._use, use, late))

    async def close(self) -> None:
        """Stops taking in."""
        if self._looking_back:
            self._looking_back.cancel()
            await asyncio.gather(self._looking_back, return_exceptions=True)
        await self._lanes.close()

    @property
    def _me(self) -> discord.abc.Snowflake:
        assert (
            self._client is not None and self._client.user is not None
        )  # READY comes first
        return self._client.user

    def _put(self, inbound: Said | Edited | Deleted, deletion: Deleted) -> None:
        self._remember(deletion)
        self._lanes.put(inbound.address.chat, partial(self._take, inbound))

    def _remember(self, deletion: Deleted) -> None:
        """What will be passed on if it is deleted. Ids only: the text is not kept here."""
        key = (deletion.address.chat, deletion.message_id)
        self._recent[key] = deletion
        self._recent.move_to_end(key)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    async def _take(self, inbound: Inbound) -> None:
        """Returns once the message is durable, however long that takes."""
        for pause in backoff(8.0):
            try:
                await self._accept(inbound)
                break
            except StoreUnavailable:
                await self._sleep(pause)
        if isinstance(inbound, Said):
            self._newest[inbound.address.chat] = inbound.message_id
            self._newest.move_to_end(inbound.address.chat)
            if len(self._newest) > REMEMBERED:
                self._newest.popitem(last=False)

    async def _use(self, use: CommandUse, late: float) -> None:
        """Deferred only once durable; otherwise Discord tells the person that nobody answered."""
        if self._clock() > late:
            return
        try:
            if not self._slash_commands():
                await respond(self._rest, use.id, use.token, switched_off())
                return
            await self._accept(use.inbound)
            await respond(self._rest, use.id, use.token, {"type": DEFERRED})
        except (StoreUnavailable, DeliveryError, RateLimited) as error:
            log.warning("discord command not acknowledged", reason=type(error).__name__)

    async def _look_back(self, last_accepted: LastAccepted) -> None:
        for pause in backoff(8.0):
            try:
                last = await last_accepted("discord")
                break
            except StoreUnavailable:
                await self._sleep(pause)
        latest = sorted(last.items(), key=lambda item: int(item[1]), reverse=True)[
            :CHATS
        ]
        for chat, message in latest:
            self._lanes.put_first(chat, partial(self._catch_up, chat, message))
        self._lanes.release()

    async def _catch_up_from_memory(self, chat: str) -> None:
        if chat in self._newest:
            await self._catch_up(chat, self._newest[chat])

    async def _catch_up(self, chat: str, after: str) -> None:
        """Takes in what was said since that message. The core knows which of it is new."""
        for pause in list(zip(range(5), backoff(8.0), strict=False)):
            try:
                return await self._fetch(chat, after)
            except (discord.Forbidden, discord.NotFound):
                return None  # the chat is gone, or the agent was removed from it
            except (
                discord.HTTPException,
                aiohttp.ClientError,
                TimeoutError,
                OSError,
            ) as error:
                log.warning(
                    "discord chat not caught up with yet",
                    chat=chat,
                    error=type(error).__name__,
                )
                await self._sleep(pause[1])
        return None

    async def _fetch(self, chat: str, after: str) -> None:
        assert self._client is not None
        channel: Any = self._client.get_channel(
            int(chat)
        ) or await self._client.fetch_channel(int(chat))
        since = discord.Object(int(after))
        async for message in channel.history(
            limit=MESSAGES, after=since, oldest_first=True
        ):
            if said := read_message(message, self._me):
                self._remember(said.deleted())
                await self._take(said)


def _read_interaction(interaction: discord.Interaction) -> CommandUse:
    return command_use(
        id=str(interaction.id),
        token=interaction.token,
        application=str(interaction.application_id),
        chat=str(interaction.channel_id),
        user=str(interaction.user.id),
        username=interaction.user.display_name,
        direct=interaction.guild_id is None,
        data=cast("dict[str, Any]", interaction.data),
    )


def backoff(at_most: float) -> Iterator[float]:
    """Pauses in seconds without end, growing to `at_most`, each between half and all of itself."""
    pause = 0.25
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311  spreads retries, guards nothing
        pause = min(at_most, pause * 2)
