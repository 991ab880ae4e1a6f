"""One answer on its way to a Telegram chat: first a draft or edits, then the whole answer."""

from __future__ import annotations

import asyncio
import enum
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar
from uuid import UUID

from cachetools import LRUCache

from agent.core.errors import DeliveryError
from agent.core.messages import Placed
from channels.pacing import Governor
from channels.telegram.api import BotApi
from channels.telegram.buttons import offered
from channels.telegram.errors import (
    Declined,
    MovedError,
    UncertainError,
    UnknownMethodError,
)
from channels.telegram.reading.places import ChatTarget
from channels.telegram.text import LIMIT, Piece, render
from channels.unseen import UnseenSends

T = TypeVar("T")

REPEAT = "(You may have received this before.)\n\n"
PART = "(A part of this answer may stand above.)\n\n"
_ROOM = LIMIT - max(len(REPEAT), len(PART))
"""Characters of a message. The same with and without a label, so that a repeated delivery
splits the text at the same places.
"""

_TYPING = 4.0
"""Seconds. Telegram shows typing for 5: https://core.telegram.org/bots/api#sendchataction"""

_CHATS = 4096  # chats whose last draft is remembered


class Way(enum.IntEnum):
    """How an unfinished answer is shown; the best way is last."""

    NOT = 0  # not at all
    EDITS = 1  # one message, edited
    DRAFTS = 2  # a preview that is no message yet; private chats only


class Streaming:
    """What all answers of a bot share: how each kind of chat streams, and its last draft.

    `direct` and `group` are the minimum seconds between two states of an answer in one chat.
    """

    def __init__(
        self,
        *,
        direct: float,
        group: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ways = {True: Way.DRAFTS, False: Way.EDITS}
        self._intervals = {True: direct, False: group}
        self._clock = clock
        self._shown: LRUCache[str, float] = LRUCache(_CHATS)

    def way(self, to: ChatTarget) -> Way:
        """How to stream in this chat."""
        return self._ways[to.direct]

    def refused(self, to: ChatTarget, way: Way) -> None:
        """Uses the next best way in all chats of this kind from now on."""
        self._ways[to.direct] = min(self._ways[to.direct], Way(way - 1))

    def due(self, to: ChatTarget) -> bool:
        """Whether a new state may be shown in this chat now."""
        since = self._clock() - self._shown.get(to.chat, -math.inf)
        return since >= self._intervals[to.direct]

    def shown(self, to: ChatTarget) -> None:
        """A new state was shown."""
        self._shown[to.chat] = self._clock()

    def now(self) -> float:
        """The clock's time in seconds."""
        return self._clock()


class TelegramReply:
    """Shows one answer. See `agent.ports.Reply`."""

    def __init__(
        self,
        api: BotApi,
        governor: Governor,
        streaming: Streaming,
        to: ChatTarget,
        placed: Placed | None,
        turn: UUID,
        *,
        repeat: bool,
    ) -> None:
        self._api = api
        self._governor = governor
        self._streaming = streaming
        self._to = to
        # Not 0, and the same on every instance.
        self._draft_id = turn.int % (2**31 - 1) + 1
        self._ids = list(placed.ids) if placed else []
        # what is known to stand there
        self._pieces: list[Piece | None] = [None] * len(self._ids)
        self._replaced: list[
            str
        ] = []  # messages that could not be edited and stand elsewhere now
        # What the next message begins with, because nobody can look what stands above it.
        self._label = REPEAT if repeat else PART if placed and placed.pending else ""
        self._labels = _labels(placed)
        """By number of a message: what it begins with, also when it is edited."""
        self._unseen = UnseenSends()
        self._typed = -math.inf
        self._running: asyncio.Task[None] | None = None

    @property
    def drafts_stand(self) -> bool:
        """Whether drafts are messages here; in private chats they are previews that vanish."""
        return bool(self._ids) or self._streaming.way(self._to) is Way.EDITS

    async def show(self, text: str) -> Placed | None:
        """The answer so far. Errors are left to `finish`."""
        if not text.strip():
            await self._unless_refused(self._type())
        elif self._streaming.due(self._to) and (
            self._running is None or self._running.done()
        ):
            way = self._streaming.way(
                self._to
            )  # as it was when `drafts_stand` was read
            # It runs to its end: an interrupted call may place a message that nobody knows.
            self._running = asyncio.create_task(
                self._unless_refused(self._stream(text, way))
            )
            await asyncio.shield(self._running)

        return self._placed()

    async def finish(self, text: str) -> Placed:
        """The whole answer: edits its messages, sends missing ones and deletes the others."""
        if self._running is not None:
            await asyncio.wait([self._running])
        if self._unseen:
            await self._see_telegram()

        pieces = offered(render(text, _ROOM), text)
        await self._draw(pieces, final=True)
        self._replaced += self._ids[len(pieces) :]
        del self._ids[len(pieces) :], self._pieces[len(pieces) :]

        while self._replaced:
            old = self._replaced[-1]
            await self._through(
                "delete", partial(self._api.delete, message=old), final=True
            )
            self._replaced.pop()

        return self._stands()

    async def _see_telegram(self) -> None:
        """A bot cannot look what arrived, only whether replies reach it again."""
        self._unseen.check()
        await self._through("look", lambda _: self._api.me(), final=True)

    def _placed(self) -> Placed | None:
        return self._stands() if self._ids else None

    def _stands(self) -> Placed:
        labels = {str(number): label for number, label in self._labels.items()}

        return Placed(tuple(self._ids), labels)

    async def _unless_refused(self, step: Awaitable[None]) -> None:
        """An unfinished answer may fail: the finished one reports why."""
        with suppress(DeliveryError):
            await step

    async def _type(self) -> None:
        if self._streaming.now() - self._typed >= _TYPING:
            self._typed = self._streaming.now()
            await self._through("typing", self._api.typing)

    async def _stream(self, text: str, way: Way) -> None:
        if self._unseen or way is Way.NOT:
            return  # each draft might be another copy, or none is possible

        pieces = render(text, _ROOM, growing=True)
        if way is Way.DRAFTS and not self._ids:
            # Refused, the next `show` places a message: that is announced first.
            await self._draft(pieces[-1])
        else:
            await self._draw(offered(pieces, text))

    async def _draft(self, piece: Piece) -> None:
        try:
            if await self._through(
                "draft", partial(self._api.draft, draft=self._draft_id, piece=piece)
            ):
                self._streaming.shown(self._to)
        except (UnknownMethodError, Declined) as refusal:
            self._note(refusal, Way.DRAFTS)

    async def _draw(
        self,
        pieces: Sequence[Piece],
        *,
        final: bool = False,
    ) -> None:
        """Makes the messages show `pieces`; of an unfinished answer, as many as the pace allows."""
        for index, piece in enumerate(pieces):
            if index < len(self._ids) and self._pieces[index] == piece:
                continue

            if not await self._put(index, piece, final=final):
                return

            self._pieces[index] = piece
            self._streaming.shown(self._to)

    async def _put(
        self,
        index: int,
        piece: Piece,
        *,
        final: bool,
    ) -> bool:
        """False: not now."""
        if index < len(self._ids):
            edited = await self._edit(index, piece, final=final)
            if edited is not False:
                return edited is True

        return await self._send(index, piece, final=final)

    async def _edit(
        self,
        index: int,
        piece: Piece,
        *,
        final: bool,
    ) -> bool | None:
        """None: not now. False: a final edit of this message is refused."""
        text = piece.labelled(self._labels.get(index, ""))
        edit = partial(self._api.edit, message=self._ids[index], piece=text)
        try:
            return await self._through("edit", edit, final=final)
        except (UnknownMethodError, Declined) as refusal:
            self._note(refusal, Way.EDITS)
            return False if final else None

    async def _send(
        self,
        index: int,
        piece: Piece,
        *,
        final: bool,
    ) -> bool:
        """Sends message number `index`, labelled if it may be a repeat. False: not now."""
        text = piece.labelled(self._label)
        try:
            sent = await self._through(
                "send", partial(self._api.send, piece=text), final=final
            )
        except UncertainError:
            self._label = REPEAT
            self._unseen.add()
            raise

        if sent is None:
            return False

        self._labels.pop(index, None)
        if self._label:
            self._labels[index] = self._label
        self._label = ""
        self._replaced += self._ids[index : index + 1]
        self._ids[index : index + 1] = [sent]
        self._pieces[index : index + 1] = [None]

        return True

    def _note(self, refusal: UnknownMethodError | Declined, way: Way) -> None:
        """A refusal that is not about this chat ends this way for all chats of its kind."""
        if isinstance(refusal, Declined) and refusal.about_this:
            return

        self._streaming.refused(self._to, way)

    async def _through(
        self,
        route: str,
        send: Callable[[ChatTarget], Awaitable[T]],
        *,
        final: bool = False,
    ) -> T | None:
        """Calls through the governor. None: it dropped a draft."""
        through = self._governor.final if final else self._governor.draft
        try:
            return await through(self._to.chat, route, lambda: send(self._to))
        except MovedError as news:
            self._to = self._to.elsewhere(news.chat)

        return await through(self._to.chat, route, lambda: send(self._to))


def _labels(placed: Placed | None) -> dict[int, str]:
    extra = placed.extra if placed else {}
    return {int(number): label for number, label in extra.items()}
