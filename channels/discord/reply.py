"""One answer on its way to a Discord channel.

It is placed early, edited as it grows, and split where a message is full.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from agent.core.errors import DeliveryError
from agent.core.messages import Address, Placed
from agent.core.words.buttons import is_same, under_last
from channels.discord.interaction import InteractionAnswer
from channels.discord.reading.sent import (
    BotMessages,
    LostSends,
    beginning,
    edited,
    message_of,
    near,
    new_message,
    without_quote,
)
from channels.discord.rest import UNKNOWN_MESSAGE, LastingRefusal, Refusal, Rest
from channels.discord.text import pieces_of
from channels.pacing import Governor
from channels.unseen import UnseenSends

LIMIT = 2000
"""Characters of one message, counted here in UTF-16 units, of which there are never fewer."""

EDIT_INTERVAL = 1.2
"""Seconds between two edits of an answer: a channel takes about 5 edits in 5 seconds."""

TYPING_INTERVAL = 8.0
"""Seconds. Discord shows typing for 10."""

MAX_TYPING_RENEWALS = 15
"""Two minutes: nobody waits longer for a model's first word."""

REPEAT = "*(You may have seen this already.)*\n"
PART = "*(A part of this answer may stand above.)*\n"

Send = Callable[[], Awaitable[str]]
Call = Callable[[str, Send], Awaitable[str | None]]


class DiscordReply:
    """Shows and finishes one answer. Another process can rebuild it from `placed`.

    The first send of each piece carries a nonce made of the turn, by which Discord recognises
    a repeated send for some minutes. Older sends are looked for in the channel's history.
    """

    def __init__(
        self,
        *,
        rest: Rest,
        governor: Governor,
        address: Address,
        placed: Placed | None,
        turn: UUID,
        repeat: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest = rest
        self._governor = governor
        self._address = address
        self._chat = address.thread or address.chat
        self._turn = turn
        self._ids: list[str] = list(placed.ids) if placed else []
        self._shown: list[str] = [""] * len(self._ids)  # "": not known
        self._interaction = InteractionAnswer.of(address, rest)
        self._may_repeat = repeat and not self._ids
        # An instance may have died before it recorded what it placed.
        self._pending = placed is not None and placed.pending and not self._ids
        self._lost = LostSends(address, clock)
        self._earlier = BotMessages()
        self._unseen = UnseenSends()
        self._others: set[str] = set()
        """Messages that may be a part of this answer. The nonce tells while it is known."""
        self._label = ""
        self._clock = clock
        self._next_edit = 0.0
        self._typing: asyncio.Task[None] | None = None

    @property
    def drafts_stand(self) -> bool:
        """Drafts are messages here."""
        return True

    async def show(self, text: str) -> Placed | None:
        """The answer so far. Skipped when an edit would come too early. Never raises."""
        if not text.strip():
            await self._show_typing()
        elif self._clock() >= self._next_edit:
            self._stop_typing()
            self._next_edit = self._clock() + EDIT_INTERVAL

            # `finish` meets the same refusal and reports it.
            with suppress(DeliveryError):
                if await self._is_clear():
                    pieces = pieces_of(text, LIMIT, growing=True)
                    await self._draw(under_last(pieces, text), self._draft)

        return Placed(tuple(self._ids)) if self._ids else None

    async def finish(self, text: str) -> Placed:
        """The whole answer. Raises DeliveryError, or Undeliverable when it will never arrive."""
        self._stop_typing()
        if self._may_repeat or self._pending or self._lost:
            await self._recognise(text)

        pieces = pieces_of(self._label + text, LIMIT)
        await self._draw(under_last(pieces, text), self._final)
        if self._others and self._others.isdisjoint(self._ids):
            # The nonce brought back none of them, so that nobody knows what they are.
            self._label = PART
            pieces = pieces_of(self._label + text, LIMIT)
            await self._draw(under_last(pieces, text), self._final)
        await self._remove_surplus(len(pieces))

        return Placed(tuple(self._ids))

    async def _draft(self, route: str, send: Send) -> str | None:
        return await self._governor.draft(self._chat, route, send)

    async def _final(self, route: str, send: Send) -> str | None:
        return await self._governor.final(self._chat, route, send)

    async def _draw(self, pieces: Sequence[str], call: Call) -> None:
        """Makes the messages show the pieces, editing only those that differ. Stops when a
        call is dropped.
        """
        for at, piece in enumerate(pieces):
            exists = at < len(self._ids)
            if exists and is_same(self._shown[at], piece):
                continue

            if exists:
                self._shown[at] = ""  # an interrupted edit may or may not arrive

            route = "edit" if exists else "send"
            message = await call(route, partial(self._put, at, piece))
            if message is None:
                return

            self._ids[at:] = [message, *self._ids[at + 1 :]]
            self._shown[at:] = [piece, *self._shown[at + 1 :]]

    async def _put(self, at: int, piece: str) -> str:
        if at == 0 and self._interaction:
            message = await self._interaction.put(edited(piece))
            if message:
                return message

            # Its 15 minutes are over; the channel itself remains.
            self._interaction = None

        if at >= len(self._ids):
            return await self._send(at, piece)

        try:
            return await self._edit(self._ids[at], piece)
        except Refusal as refusal:
            if refusal.code != UNKNOWN_MESSAGE:
                raise

            # Somebody deleted it, but the answer is still owed.
            return await self._send(at, piece, again="+")

    async def _send(self, at: int, piece: str, again: str = "") -> str:
        body = new_message(self._address, self._turn, at, piece, again)
        sent = await self._post(at, body)
        # Discord knew the nonce: this is an earlier state of the same message.
        if sent["content"].strip() != piece.strip():
            return await self._edit(sent["id"], piece)

        return str(sent["id"])

    async def _post(self, at: int, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Remembers what may have arrived: Discord knows a nonce for a few minutes only."""
        try:
            sent = message_of(await self._call("POST", "", body))
        except LastingRefusal as refusal:
            if not (plain := without_quote(body, refusal.code)):
                raise
            return await self._post(at, plain)
        except (DeliveryError, asyncio.CancelledError) as error:
            self._lost.add(at, body["content"])
            if not isinstance(error, Refusal) or error.may_have_arrived:
                self._unseen.add()
            raise

        self._lost.settle(at)

        return sent

    async def _edit(self, message: str, piece: str) -> str:
        sent = message_of(await self._call("PATCH", f"/{message}", edited(piece)))
        return str(sent["id"])

    async def _call(self, method: str, tail: str, body: object = None) -> Any:
        path = f"/channels/{self._chat}/messages{tail}"
        return await self._rest.call(
            method, path, body, bucket=f"{method} {self._chat}"
        )

    async def _remove_surplus(self, wanted: int) -> None:
        """Deletes messages of a draft that was longer than the answer."""
        for message in self._ids[wanted:]:
            await self._final("delete", partial(self._delete, message))

        del self._ids[wanted:], self._shown[wanted:]

    async def _delete(self, message: str) -> str:
        try:
            await self._call("DELETE", f"/{message}")
        except Refusal as refusal:
            if refusal.code != UNKNOWN_MESSAGE:
                raise

        return message

    async def _is_clear(self) -> bool:
        """Whether a draft may be shown, once it is known what may stand there."""
        is_pending = self._pending and not self._interaction
        if not is_pending and not self._lost:
            return True

        found = await self._governor.draft(self._chat, "history", self._history)
        if found is None:
            return False

        self._adopt_lost(found)
        if is_pending:
            self._pending = False
            self._others = near(found, self._address)

        return True

    async def _recognise(self, text: str) -> None:
        """Finds an earlier send that was not recorded; else a label says what may be.

        Raises DeliveryError when Discord cannot say for now.
        """
        if self._lost or (not self._interaction and self._address.message):
            try:
                found = await self._governor.final(
                    self._chat, "history", self._history
                )
            except LastingRefusal:
                self._unseen.check()
                self._label = self._warning()
            else:
                self._adopt_lost(found)
                self._adopt(text, found)

        self._may_repeat = self._pending = False

    def _warning(self) -> str:
        """What the answer begins with where the agent may not look."""
        if self._may_repeat:
            return REPEAT
        if self._pending:
            return PART

        return REPEAT if self._lost.are_old else self._label

    def _adopt_lost(self, found: list[Mapping[str, Any]]) -> None:
        """Goes on with sends that arrived, though Discord's reply was lost."""
        for at, message in self._lost.take(found, self._ids):
            self._ids[at : at + 1] = [message["id"]]
            self._shown[at : at + 1] = [message["content"]]

        self._unseen.clear()

    def _adopt(self, text: str, found: list[Mapping[str, Any]]) -> None:
        """Goes on with the messages with which this text begins."""
        if not self._may_repeat and not self._pending:
            return

        for piece in pieces_of(text, LIMIT)[len(self._ids) :]:
            earlier = beginning(piece, found)
            if earlier is None:
                break

            found.remove(earlier)
            self._ids.append(earlier["id"])
            self._shown.append(earlier["content"])

        if self._pending:
            self._others = near(found, self._address)

    async def _history(self) -> list[Mapping[str, Any]]:
        """What bots wrote here after the question, oldest first."""
        after = self._address.message or next(iter(self._ids), "")

        return await self._earlier.read(after, partial(self._call, "GET"))

    async def _show_typing(self) -> None:
        if self._ids or self._interaction or self._typing:
            return  # something better is there already
        await self._type_once()
        self._typing = asyncio.create_task(self._keep_typing())

    async def _keep_typing(self) -> None:
        for _ in range(MAX_TYPING_RENEWALS):
            await asyncio.sleep(TYPING_INTERVAL)
            await self._type_once()

    async def _type_once(self) -> None:
        # The answer meets the same refusal and reports it.
        with suppress(DeliveryError):
            await self._draft("typing", self._type)

    async def _type(self) -> str:
        path = f"/channels/{self._chat}/typing"
        await self._rest.call("POST", path, bucket=f"typing {self._chat}")
        return ""

    def _stop_typing(self) -> None:
        if self._typing:
            self._typing.cancel()
