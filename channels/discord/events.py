"""Messages from Discord, handed to the core in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from types import MappingProxyType

import aiohttp
import structlog
from cachetools import LRUCache
from msgspec.structs import replace

from agent.core.background import backoff, end
from agent.core.errors import DeliveryError, StoreUnavailable
from agent.core.messages import Deleted, Edited, Inbound, Said
from agent.ports import Accept, LastAccepted
from channels.discord.gateway import Gateway
from channels.discord.interaction import (
    TYPING,
    CommandUse,
    offer_choices,
    respond,
    switched_off,
    use_of,
)
from channels.discord.ordering import ChatQueues
from channels.discord.reading.answered import with_answered
from channels.discord.reading.content import content_of
from channels.discord.reading.fields import (
    Payload,
    digits,
    identity,
    number,
    record,
)
from channels.discord.reading.history import messages_since
from channels.discord.reading.message import read_message, read_reaction, written_at
from channels.discord.reading.places import Place, Places
from channels.discord.rest import Rest
from channels.discord.sdk import discord
from channels.pacing import RateLimited
from channels.services import ModelNames, no_names
from channels.unreadable import UnreadableEvents, storable

CHATS = 50
"""Chats that a new session catches up with, the latest first."""

MENTION_SECONDS = 86_400.0
"""A mention that an edit adds counts for this long. Turns are remembered for 30 days, so an
older message might be taken for a new one.
"""

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
        unreadable: UnreadableEvents,
        model_names: ModelNames = no_names,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._accept = accept
        self._rest = rest
        self._last_accepted = last_accepted
        self._slash_commands = slash_commands
        self._unreadable = unreadable
        self._model_names = model_names
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._queues = ChatQueues(self._catch_up_from_memory)
        self._recent: LRUCache[tuple[str, str], Deleted] = LRUCache(REMEMBERED)
        # last accepted, by chat
        self._newest: LRUCache[str, str] = LRUCache(REMEMBERED)
        self._places = Places()
        self._readers: dict[str, Callable[[Payload], None]] = {
            "MESSAGE_CREATE": self._said,
            "MESSAGE_UPDATE": self._edited,
            "MESSAGE_DELETE": self._deleted,
            "MESSAGE_DELETE_BULK": self._deleted,
            "MESSAGE_REACTION_ADD": partial(self._reacted, given=True),
            "MESSAGE_REACTION_REMOVE": partial(self._reacted, given=False),
            "INTERACTION_CREATE": self._used,
        }
        self._client: Gateway | None = None
        self._catching_up: asyncio.Task[None] | None = None

    def connected(self, client: Gateway) -> None:
        """A new session. Messages since the last accepted one go before new messages."""
        self._client = client
        self._places.me = client.me
        if self._last_accepted is None:
            return

        self._queues.hold()
        if self._catching_up:
            self._catching_up.cancel()

        self._catching_up = asyncio.create_task(
            self._catch_up_all(self._last_accepted)
        )

    def received(self, kind: str, data: object) -> None:
        """One event. What cannot be read of it is passed over."""
        with self._unreadable.reading(kind):
            event = record(data)
            if reader := self._readers.get(kind):
                reader(event)
            else:
                self._places.learn(kind, event)

    def _said(self, event: Payload) -> None:
        if inbound := read_message(event, self._places):
            self._put(inbound, inbound.deleted(), event)

    def _edited(self, event: Payload) -> None:
        """An edit counts if the message is, or was, meant for the agent.

        One that was not meant for it before is new to the core. The same holds for every
        message after a restart; then the core recognises those it has.
        """
        # Without a time and a text, only the preview of a link was added.
        texts = event.get("edited_timestamp"), event.get("content")
        if not texts[0] or not all(isinstance(text, str) for text in texts):
            return

        known = (digits(event, "channel_id"), digits(event, "id")) in self._recent
        if inbound := read_message(event, self._places, known=known):
            if not known and self._is_recent(inbound.message_id):
                self._put(inbound, inbound.deleted(), event)

            self._put(inbound.edited(inbound.text), inbound.deleted(), event)

    def _is_recent(self, message: str) -> bool:
        return self._now() - written_at(message) < MENTION_SECONDS

    def _deleted(self, event: Payload) -> None:
        """Discord gives only ids, and of every message in a server. Those that the agent
        took in count.
        """
        ids = event.get("ids")
        for id in ids if isinstance(ids, list) else [event.get("id")]:
            known = self._recent.get((digits(event, "channel_id"), identity(id)))
            if known:
                self._put(known, known)

    def _reacted(
        self,
        event: Payload,
        *,
        given: bool,
    ) -> None:
        """A thumb, given or taken back.

        It has a queue of its own, so that no message waits while the answer is searched for.
        """
        if inbound := read_reaction(event, self._places, given=given):
            self._queues.put(
                f"votes in {inbound.address.chat}", partial(self._take, inbound)
            )

    def _used(self, event: Payload) -> None:
        """A command, where Discord sends commands over the gateway."""
        if number(event, "type") == TYPING:
            offer = partial(offer_choices, self._rest, event, self._model_names)
            self._queues.put(f"typed in {digits(event, 'channel_id')}", offer)
        elif use := use_of(event):
            storable(use.inbound)
            late = self._clock() + COMMAND_DEADLINE
            self._queues.put(use.inbound.address.chat, partial(self._use, use, late))

    async def close(self) -> None:
        """Stops taking messages in."""
        if self._catching_up:
            await end({self._catching_up})

        await self._queues.close()

    def _put(
        self,
        inbound: Said | Edited | Deleted,
        deletion: Deleted,
        event: Payload = MappingProxyType({}),
    ) -> None:
        self._remember(deletion)
        self._queues.put(
            inbound.address.chat, partial(self._take_whole, inbound, event)
        )

    def _remember(self, deletion: Deleted) -> None:
        """Keeps what to pass on if this message is deleted. It holds ids, not the text."""
        self._recent[deletion.address.chat, deletion.message_id] = deletion

    async def _take_whole(
        self, inbound: Said | Edited | Deleted, event: Payload
    ) -> None:
        """Takes it with the message that it answers."""
        whole = await with_answered(event, self._ask_message)
        if whole is not event and not isinstance(inbound, Deleted):
            inbound = replace(inbound, text=content_of(whole, self._places))

        await self._take(inbound)

    async def _ask_message(self, chat: str, message: str) -> object:
        assert self._client is not None
        return await self._client.http.get_message(chat, message)

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
            if not use.is_press and not self._slash_commands():
                await respond(self._rest, use.id, use.token, switched_off())
                return

            heard = await self._accept(use.inbound)
            await respond(self._rest, use.id, use.token, use.response(heard=heard))
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

        latest = sorted(last.items(), key=_latest, reverse=True)
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
            except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
                log.warning(
                    "discord chat not caught up with yet",
                    error=type(error).__name__,
                )
                await self._sleep(pause)

    async def _fetch(self, chat: str, after: str) -> None:
        """Messages that cannot be read are passed over, one by one."""
        assert self._client is not None
        place = self._places.known(chat) or await self._ask_place(chat)

        async for message in messages_since(self._client.http, chat, after):
            await self._take_again(message, place)

    async def _ask_place(self, chat: str) -> Place:
        assert self._client is not None
        channel = record(await self._client.http.get_channel(chat))
        self._places.note({**channel, "id": chat})

        return self._places.known(chat) or Place()

    async def _take_again(self, message: Payload, place: Place) -> None:
        inbound = None
        with self._unreadable.reading("MESSAGE_CREATE"):
            inbound = read_message(message, self._places, place=place)

        if inbound is not None:
            self._remember(inbound.deleted())
            await self._take_whole(inbound, message)


def _latest(last: tuple[str, str]) -> int:
    return int(identity(last[1]) or 0)
