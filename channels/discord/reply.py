"""One answer on its way to a Discord channel: placed early, edited as it grows, split where
a message is full."""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from agent.core.errors import DeliveryError
from agent.core.messages import Address, Placed
from channels.discord.interaction import InteractionAnswer
from channels.discord.rest import UNKNOWN_MESSAGE, Refusal, Rest
from channels.pacing import Governor, RateLimited
from channels.splitting import split, tables_as_code, utf16_length

LIMIT = 2000  # characters of a message; counted in UTF-16 units, of which there are never fewer
# seconds between two edits of an answer: a channel takes about 5 edits in 5 seconds
EDIT_INTERVAL = 1.2
TYPING_INTERVAL = 8.0  # seconds; Discord shows typing for 10
TYPING_AT_MOST = (
    15  # renewals, two minutes: nobody waits longer for a model's first word
)

NO_MENTIONS = {"parse": [], "replied_user": False}
REPEAT = "*(You may have seen this already.)*\n"

Call = Callable[[str, Callable[[], Awaitable[str]]], Awaitable[str | None]]


def nonce(turn: UUID, piece: int, again: str = "") -> str:
    """Names one piece of a turn's answer in at most 25 characters, as Discord demands.

    22 characters are the turn's 128 bits in base64; two more hold the number of the piece,
    so pieces past 256 (half a million characters) are not told apart.
    """
    return (
        f"{urlsafe_b64encode(turn.bytes).decode().rstrip('=')}{piece % 256:02x}{again}"
    )


def pieces_of(text: str) -> list[str]:
    """The messages an answer becomes. Never empty: Discord refuses a message of nothing."""
    sound = tables_as_code(text.encode("utf-8", "replace").decode())
    return [
        piece for piece in split(sound, LIMIT, measure=utf16_length) if piece.strip()
    ] or ["…"]


class DiscordReply:
    """Shows and finishes one answer. Holds nothing that another process could not rebuild
    from `placed`.

    Each first send carries a nonce made of the turn, so that within some minutes a repeated send is
    recognised by Discord itself; what is older is looked for in the channel's history.
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
        self._look_back = repeat and not self._ids
        self._clock = clock
        self._next_edit = 0.0
        self._typing: asyncio.Task[None] | None = None

    async def show(self, text: str) -> Placed | None:
        """The answer so far. Skipped when an edit would come too early or is held back;
        never raises.
        """
        if not text.strip():
            await self._show_typing()
        elif self._clock() >= self._next_edit:
            self._stop_typing()
            self._next_edit = self._clock() + EDIT_INTERVAL
            with suppress(
                DeliveryError
            ):  # finish meets the same refusal and reports it
                await self._draw(pieces_of(text), self._draft)
        return Placed(tuple(self._ids)) if self._ids else None

    async def finish(self, text: str) -> Placed:
        """The whole answer. Raises DeliveryError, or Undeliverable when it never will arrive."""
        self._stop_typing()
        if self._look_back:
            text = await self._recognise(text)
        pieces = pieces_of(text)
        await self._draw(pieces, self._final)
        await self._remove_surplus(len(pieces))
        return Placed(tuple(self._ids))

    async def _draft(
        self, route: str, send: Callable[[], Awaitable[str]]
    ) -> str | None:
        return await self._governor.draft(self._chat, route, send)

    async def _final(
        self, route: str, send: Callable[[], Awaitable[str]]
    ) -> str | None:
        return await self._governor.final(self._chat, route, send)

    async def _draw(self, pieces: Sequence[str], call: Call) -> None:
        """Makes the messages say the pieces, touching only those that differ; stops when
        one is held back.
        """
        for at, piece in enumerate(pieces):
            if at < len(self._ids) and self._shown[at] == piece:
                continue
            if at < len(self._ids):
                self._shown[at] = ""  # an edit that is cut off may have arrived or not
            route = "edit" if at < len(self._ids) else "send"
            if (message := await call(route, partial(self._put, at, piece))) is None:
                return
            self._ids[at:] = [message, *self._ids[at + 1 :]]
            self._shown[at:] = [piece, *self._shown[at + 1 :]]

    async def _put(self, at: int, piece: str) -> str:
        if at == 0 and self._interaction:
            message = await self._interaction.put(
                {"content": piece, "allowed_mentions": NO_MENTIONS}
            )
            if message:
                return message
            self._interaction = (
                None  # its 15 minutes are over; the channel itself is left
            )
        if at >= len(self._ids):
            return await self._send(at, piece)
        try:
            return await self._edit(self._ids[at], piece)
        except Refusal as refusal:
            if refusal.code != UNKNOWN_MESSAGE:
                raise
            return await self._send(
                at, piece, again="+"
            )  # somebody deleted it; the answer is still owed

    async def _send(self, at: int, piece: str, again: str = "") -> str:
        body: dict[str, Any] = {
            "content": piece,
            "nonce": nonce(self._turn, at, again),
            "enforce_nonce": True,
            "allowed_mentions": NO_MENTIONS,
        }
        if at == 0 and self._address.extra.get("quote") and self._address.message:
            body["message_reference"] = {
                "message_id": self._address.message,
                "fail_if_not_exists": False,
            }
        sent = await self._call("POST", "", body)
        if (
            sent["content"].strip() != piece.strip()
        ):  # the nonce was known: this is an earlier state of it
            return await self._edit(sent["id"], piece)
        return str(sent["id"])

    async def _edit(self, message: str, piece: str) -> str:
        body = {"content": piece, "allowed_mentions": NO_MENTIONS}
        return str((await self._call("PATCH", f"/{message}", body))["id"])

    async def _call(self, method: str, tail: str, body: object = None) -> Any:
        path = f"/channels/{self._chat}/messages{tail}"
        return await self._rest.call(
            method, path, body, bucket=f"{method} {self._chat}"
        )

    async def _remove_surplus(self, wanted: int) -> None:
        """A draft may have needed more messages than the answer does."""
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

    async def _recognise(self, text: str) -> str:
        """An earlier send may have arrived and not been recorded: finds it, or labels the text."""
        self._look_back = False
        if self._interaction or not self._address.message:
            return text
        try:
            found = await self._call("GET", f"?after={self._address.message}&limit=100")
        except (DeliveryError, RateLimited):
            return REPEAT + text
        standing = [
            message for message in reversed(found) if message["author"].get("bot")
        ]
        for piece in pieces_of(text):
            match = next(
                (
                    m
                    for m in standing
                    if m["content"] and piece.startswith(m["content"])
                ),
                None,
            )
            if match is None:
                break
            standing.remove(match)
            self._ids.append(match["id"])
            self._shown.append(match["content"])
        return text

    async def _show_typing(self) -> None:
        if self._ids or self._interaction or self._typing:
            return  # something better stands there already
        await self._type_once()
        self._typing = asyncio.create_task(self._keep_typing())

    async def _keep_typing(self) -> None:
        for _ in range(TYPING_AT_MOST):
            await asyncio.sleep(TYPING_INTERVAL)
            await self._type_once()

    async def _type_once(self) -> None:
        with suppress(DeliveryError):  # it says nothing that the answer will not say
            await self._draft("typing", self._type)

    async def _type(self) -> str:
        path = f"/channels/{self._chat}/typing"
        await self._rest.call("POST", path, bucket=f"typing {self._chat}")
        return ""

    def _stop_typing(self) -> None:
        if self._typing:
            self._typing.cancel()
