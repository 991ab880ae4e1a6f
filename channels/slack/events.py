"""Slack's events and commands as Inbound, acknowledged only when they are durable."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from slack_bolt.async_app import AsyncAck
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from agent.core.errors import StoreUnavailable
from agent.core.messages import Address, Deleted, Edited, Inbound, Reacted, Said
from agent.ports import Accept
from channels.fields import mapping, required, text
from channels.reactions import thumb_of_name
from channels.slack.directory import Directory, Threads
from channels.slack.incoming import content
from channels.slack.incoming.above import MessagesAbove
from channels.slack.incoming.bolt import Listener, bolt_app, not_taken
from channels.slack.incoming.buttons import pressed
from channels.slack.incoming.payloads import (
    address_of,
    as_command,
    deleted,
    is_direct,
    kind_of,
    said_by_command,
    within,
)
from channels.slack.sign_in import Identity
from channels.slack.text import mentioned, readable, without_mention
from channels.unreadable import READING, UnreadableEvents, storable

SPOKEN = ("", "file_share", "me_message", "thread_broadcast")
"""Subtypes of messages that people write. Slack itself writes the others."""

SWITCHED_OFF = "Commands are switched off here; just write to me."


class SlackEvents:
    """Takes Slack's events and commands in."""

    def __init__(
        self,
        *,
        me: Identity,
        accept: Accept,
        people: Directory,
        threads: Threads,
        above: MessagesAbove,
        slash_commands: Callable[[], bool],
        opened: Callable[[Mapping[str, Any]], None],
        response_urls: MutableMapping[UUID, str],
        unreadable: UnreadableEvents,
    ) -> None:
        """`opened` is called with events of a person who opens the agent's window.

        `response_urls` gets, by turn, where a slash command is answered. Each is a secret,
        so it is not stored.
        """
        self._me = me
        self._not_people = ("", me.user, "USLACKBOT")
        self._accept = accept
        self._people = people
        self._threads = threads
        self.above = above
        self._slash_commands = slash_commands
        self._opened = opened
        self._response_urls = response_urls
        self._unreadable = unreadable
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._app = bolt_app(
            me, self._listeners, self._command, self._press, self._failed
        )

    async def take(
        self,
        body: Mapping[str, Any],
        request: Callable[[], AsyncBoltRequest],
    ) -> BoltResponse:
        """Status 200: durable, or not readable: acknowledge. 503: do not.

        `request` makes Bolt's request of this body.
        """
        try:
            response = await self._app.async_dispatch(request())
        except READING as error:  # Bolt's own: it reads more than is needed here
            response = await self._without_bolt(body, error)

        if response.status == 404:  # nothing here listens to it
            return BoltResponse(status=200)

        return response

    async def take_envelope(
        self, payload: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The same for an envelope of Socket Mode. What it returns goes with the
        acknowledgement; None: do not acknowledge.
        """
        body = dict(payload)
        response = await self.take(
            body,
            partial(AsyncBoltRequest, mode="socket_mode", body=body),
        )
        if response.status != 200:
            return None

        return {"text": response.body} if response.body else {}

    async def _without_bolt(
        self,
        body: Mapping[str, Any],
        error: Exception,
    ) -> BoltResponse:
        """An event is taken all the same; everything else that Bolt cannot read is passed over."""
        event = dict(mapping(body, "event"))
        kind = text(event, "type")
        take = next(
            (
                take
                for names, take in self._listeners.items()
                if re.match(names, kind)
            ),
            None,
        )
        if take is None:
            self._unreadable.passed_over(body.get("type"), error)
            return BoltResponse(status=200)

        try:
            with self._unreadable.reading(kind):
                await take(event)
        except Exception as failure:
            return not_taken(failure)

        return BoltResponse(status=200)

    @property
    def _listeners(self) -> Mapping[str, Listener]:
        """By the names of the events."""
        return {
            "^(message|app_mention)$": self._message,
            "^(assistant_thread_started|app_home_opened)$": self._open,
            "^reaction_(added|removed)$": self._reaction,
        }

    async def _failed(self, error: Exception, body: dict[str, Any]) -> BoltResponse:
        if isinstance(error, READING):
            return await self._without_bolt(body, error)

        return not_taken(error)

    async def _store(self, inbound: Inbound) -> None:
        try:
            await self._accept(inbound)
        except READING as error:  # a fault of ours: the event itself was read
            raise StoreUnavailable(type(error).__name__) from error

    async def _open(self, event: dict[str, Any]) -> None:
        with self._unreadable.reading(event.get("type")):
            self._opened(event)

    async def _message(self, event: dict[str, Any]) -> None:
        await self.message(event)

    async def message(self, event: Mapping[str, Any]) -> None:
        """A message, an edit or a deletion. Raises what `accept` raises, ApiError or
        RateLimited.
        """
        lock = self._locks.setdefault(str(event.get("channel")), asyncio.Lock())
        async with lock:  # no message overtakes one that waits for a look-up
            inbound = None
            with self._unreadable.reading(event.get("subtype") or "message"):
                inbound = storable(await self._inbound(event))

            if inbound is not None:
                await self.above.take(inbound, self._store)

    async def _inbound(self, event: Mapping[str, Any]) -> Inbound | None:
        subtype = kind_of(event)
        if subtype == "message_changed":
            return await self._edit(event)
        if subtype == "message_deleted":
            return await self._deletion(event)
        if subtype not in SPOKEN or not await self._addressed(event):
            return None

        return await self._said(event)

    async def _edit(self, event: Mapping[str, Any]) -> Edited | None:
        after, before = within(event, "message"), within(event, "previous_message")
        # Slack reports previews and counted replies as changes, too.
        if content.shown(after) == content.shown(before):
            return None
        if not (await self._addressed(before) or await self._addressed(after)):
            return None

        message = await self._said(after)
        return await self.above.kept(message.edited(message.text))

    async def _deletion(self, event: Mapping[str, Any]) -> Deleted | None:
        before = within(event, "previous_message")
        if not before.get("ts") or not await self._addressed(before):
            return None

        return deleted(before, self._me.team)

    async def _addressed(self, event: Mapping[str, Any]) -> bool:
        """Whether a person says this to the agent: in a direct message, with a mention, or in
        a thread that the agent takes part in.
        """
        if text(event, "bot_id") or text(event, "user") in self._not_people:
            return False

        to = mentioned(content.words(event))
        if (
            is_direct(event)
            or event.get("type") == "app_mention"
            or self._me.user in to
        ):
            return True

        thread = text(event, "thread_ts")
        # A message that mentions other people is for them.
        if not thread or thread == event.get("ts") or to:
            return False

        if event.get("parent_user_id") == self._me.user:
            return True

        chat = required(event, "channel")
        return await self._threads.taken_part(self._me, chat, thread)

    async def _said(self, event: Mapping[str, Any]) -> Said:
        direct = is_direct(event)
        address = address_of(event, self._me.team)
        user = address.extra["user"]
        is_first = bool(address.thread) and self._threads.joined(
            address.chat, address.thread, address.message
        )

        spoken = without_mention(content.words(event), self._me.user)
        shown = content.around(event, spoken)
        names = await self._people.names(mentioned(shown))

        return Said(
            address=address,
            message_id=address.message,
            user_id=user,
            text=as_command(readable(shown, names)),
            username=None if direct else await self._people.name(user),
            direct=direct,
            more_follows=is_first and address.thread != address.message,
        )

    async def _reaction(self, event: dict[str, Any]) -> None:
        name = f"votes in {mapping(event, 'item').get('channel')}"
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with (
            lock
        ):  # in order; no message waits while the answer is searched for
            inbound = None
            with self._unreadable.reading("reaction"):
                inbound = storable(await self._vote(event))

            if inbound is not None:
                await self._store(inbound)

    async def _vote(self, event: Mapping[str, Any]) -> Reacted | None:
        """A person's thumb on a message of the agent. Slack does not name the message's thread."""
        item = mapping(event, "item")
        user = required(event, "user")
        thumb = thumb_of_name(required(event, "reaction"))
        if thumb is None or text(item, "type") != "message":
            return None
        if user in self._not_people:
            return None
        if event.get("item_user") not in (None, self._me.user):
            return None

        person = await self._people.person(user)
        if person.bot:
            return None

        chat, direct = required(item, "channel"), is_direct(item)

        return Reacted(
            address=Address("slack", chat),
            message_id=required(item, "ts"),
            user_id=user,
            thumb=thumb,
            username=None if direct else person.name or None,
            direct=direct,
            taken_back=event["type"] == "reaction_removed",
        )

    # --- slash commands ---

    async def _command(self, ack: AsyncAck, command: dict[str, Any]) -> None:
        if not self._slash_commands():
            await ack(SWITCHED_OFF)
            return

        inbound = None
        with self._unreadable.reading("command"):
            inbound = storable(said_by_command(command, self._me.team))

        if inbound is not None:
            if url := text(command, "response_url"):
                self._response_urls[inbound.turn_id] = url

            await self._store(inbound)
        await ack()

    async def _press(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """A button under a message of ours."""
        inbound = None
        with self._unreadable.reading("press"):
            inbound = storable(pressed(body, self._me.team))

        if inbound is not None:
            await self._store(inbound)
        await ack()
