"""Messages from Discord, handed to the core in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from typing import Any, cast

import aiohttp
import structlog
from cachetools import LRUCache

from agent.core.backoff import backoff
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

CHATS = 50
"""Chats that a new session catches up with, the latest first."""

MESSAGES = 300
"""Messages fetched for one chat, the oldest first."""

REMEMBERED = 5_000
"""Messages whose edits and deletions are passed on."""

ATTEMPTS = 5
"""Attempts to fetch one chat's messages."""

COMMAND_DEADLINE = 2.5
"""Seconds. Discord waits 3 for a first response."""

log = structlog.get_logger()


class DiscordEvents:
    """Passes on what a gateway reports.

    While the store is away, messages wait in their chat's queue. Those not stored are
    fetched again at the next start.
    """

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
        self._queues = ChatQueues(self._catch_up_from_memory)
        self._recent: LRUCache[tuple[str, str], Deleted] = LRUCache(REMEMBERED)
        self._newest: LRUCache[str, str] = LRUCache(
            REMEMBERED
        )  # last accepted, by chat
        self._client: discord.Client | None = None
        self._catching_up: asyncio.Task[None] | None = None

    def connected(self, client: discord.Client) -> None:
        """A new session. Messages since the last accepted one go before new messages."""
        self._client = client
        if self._last_accepted is None:
            return

        self._queues.hold()
        if self._catching_up:
            self._catching_up.cancel()

        self._catching_up = asyncio.create_task(
            self._catch_up_all(self._last_accepted)
        )

    def said(self, message: discord.Message) -> None:
        """A new message."""
        if inbound := read_message(message, self._me):
            self._put(inbound, inbound.deleted())

    def edited(self, message: discord.Message) -> None:
        """An edit counts if the message is, or was, meant for the agent."""
        known = (str(message.channel.id), str(message.id)) in self._recent
        if inbound := read_message(message, self._me, known=known):
            self._put(inbound.edited(inbound.text), inbound.deleted())

    def deleted(self, chat: str, message: str) -> None:
        """Discord gives only ids, and of every message in a server. Those that the agent
        took in count.
        """
        if known := self._recent.get((chat, message)):
            self._put(known, known)

    def reacted(
        self, reaction: discord.RawReactionActionEvent, *, given: bool
    ) -> None:
        """A thumb, given or taken back.

        It has a queue of its own, so that no message waits while the answer is searched for.
        """
        if inbound := read_reaction(reaction, self._me, given=given):
            self._queues.put(
                f"votes in {inbound.address.chat}", partial(self._take, inbound)
            )

    def used(self, interaction: discord.Interaction) -> None:
        """A command, where Discord sends commands over the gateway."""
        if interaction.type is discord.InteractionType.application_command:
            use = _read_interaction(interaction)
            late = self._clock() + COMMAND_DEADLINE
            self._queues.put(use.inbound.address.chat, partial(self._use, use, late))

    async def close(self) -> None:
        """Stops taking messages in."""
        if self._catching_up:
            self._catching_up.cancel()
            await asyncio.gather(self._catching_up, return_exceptions=True)

        await self._queues.close()

    @property
    def _me(self) -> discord.abc.Snowflake:
        # The event READY comes first and sets both.
        assert self._client is not None and self._client.user is not None
        return self._client.user

    def _put(self, inbound: Said | Edited | Deleted, deletion: Deleted) -> None:
        self._remember(deletion)
        self._queues.put(inbound.address.chat, partial(self._take, inbound))

    def _remember(self, deletion: Deleted) -> None:
        """Keeps what to pass on if this message is deleted. It holds ids, not the text."""
        self._recent[deletion.address.chat, deletion.message_id] = deletion

    async def _take(self, inbound: Inbound) -> None:
        """Returns once the message is durable, however long that takes."""
        for pause in backoff(0.25, 8.0, spread=True):
            try:
                await self._accept(inbound)
                break
            except StoreUnavailable:
                await self._sleep(pause)

        if isinstance(inbound, Said):
            self._newest[inbound.address.chat] = inbound.message_id

    async def _use(self, use: CommandUse, late: float) -> None:
        """Defers once the command is durable. Without that, Discord shows that nobody answered."""
        if self._clock() > late:
            return

        try:
            if not self._slash_commands():
                await respond(self._rest, use.id, use.token, switched_off())
                return

            await self._accept(use.inbound)
            await respond(self._rest, use.id, use.token, {"type": DEFERRED})
        except (StoreUnavailable, DeliveryError, RateLimited) as error:
            log.warning(
                "discord command not acknowledged", reason=type(error).__name__
            )

    async def _catch_up_all(self, last_accepted: LastAccepted) -> None:
        for pause in backoff(0.25, 8.0, spread=True):
            try:
                last = await last_accepted("discord")
                break
            except StoreUnavailable:
                await self._sleep(pause)

        latest = sorted(last.items(), key=lambda item: int(item[1]), reverse=True)
        for chat, message in latest[:CHATS]:
            self._queues.put_first(chat, partial(self._catch_up, chat, message))

        self._queues.release()

    async def _catch_up_from_memory(self, chat: str) -> None:
        if chat in self._newest:
            await self._catch_up(chat, self._newest[chat])

    async def _catch_up(self, chat: str, after: str) -> None:
        """Takes in every message since that one. The core recognises those it has."""
        for pause in islice(backoff(0.25, 8.0, spread=True), ATTEMPTS):
            try:
                await self._fetch(chat, after)
                return
            except (discord.Forbidden, discord.NotFound):
                return  # the chat is gone, or the agent was removed from it
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
                await self._sleep(pause)

    async def _fetch(self, chat: str, after: str) -> None:
        assert self._client is not None
        channel: Any = self._client.get_channel(int(chat))
        if channel is None:
            channel = await self._client.fetch_channel(int(chat))

        since = discord.Object(int(after))
        history = channel.history(limit=MESSAGES, after=since, oldest_first=True)

        async for message in history:
            if inbound := read_message(message, self._me):
                self._remember(inbound.deleted())
                await self._take(inbound)


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
