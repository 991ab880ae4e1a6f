"""An answer on its way to Slack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
from slack_sdk.errors import SlackClientError
from slack_sdk.webhook.async_client import AsyncWebhookClient

from agent.core.messages import Address, Placed
from agent.core.words.buttons import under_last
from channels.pacing import Governor, RateLimited
from channels.slack.api import GONE, ApiError, SlackApi, judged
from channels.slack.incoming.buttons import blocks_of
from channels.slack.text import notification, pieces_of
from channels.slack.writer import LIMIT, Part, Writer
from channels.unseen import UnseenSends

THINKING = "is thinking…"
REPEAT = "*(This may be a repeat.)*\n\n"
PART = "*(A part of this answer may stand above.)*\n\n"

_ROUTE = "chat"
_URL_USES = 5  # of a response_url (docs.slack.dev, handling user interaction)


class SlackReply:
    """Shows an answer while it grows, and finishes it.

    The answer is split into pieces; piece n goes into message n. `finish` completes this
    whatever `show` left behind: it edits messages, adds missing ones and deletes the rest.
    """

    def __init__(
        self,
        *,
        writer: Writer,
        governor: Governor,
        address: Address,
        placed: Placed | None,
        repeat: bool,
        clock: Callable[[], float],
        interval: float,
    ) -> None:
        self._writer = writer
        self._governor = governor
        self._chat = address.chat
        self._repeat = repeat
        self._label = REPEAT if repeat else PART
        # An instance may have died before it recorded all that it placed.
        self._pending = placed is not None and placed.pending
        self._clock = clock
        self._interval = interval
        self._unseen = UnseenSends()
        self._parts = _parts(placed)
        self._next_show = 0.0

    @property
    def drafts_stand(self) -> bool:
        """Whether drafts are messages here."""
        return self._may_show()

    async def show(self, text: str) -> Placed | None:
        """The answer so far; "" shows that the agent is thinking. Skipped when it comes too
        soon after the last one.
        """
        try:
            if not text:
                await self._governor.draft(
                    self._chat, _ROUTE, partial(self._writer.status, THINKING)
                )
            elif self._clock() >= self._next_show and await self._is_clear():
                pieces = pieces_of(text, LIMIT, growing=True)
                await self._grow(under_last(pieces, text))
        except ApiError:
            # The final answer reports what is wrong, if it still is.
            self._next_show = self._clock() + 10 * self._interval

        return self._placed()

    async def _is_clear(self) -> bool:
        """Whether a draft may be shown, once it is known what stands there."""
        if self._pending and self._may_show():
            self._pending, self._repeat = False, not await self._recognise()

        return self._may_show()

    async def _grow(self, pieces: list[str]) -> None:
        for number, piece in enumerate(pieces):
            if number < len(self._parts) and self._parts[number].shown == piece:
                continue

            self._next_show = self._clock() + self._interval
            complete = number < len(pieces) - 1
            send = partial(self._grow_one, number, piece, complete=complete)
            if not await self._governor.draft(self._chat, _ROUTE, send):
                return

    def _may_show(self) -> bool:
        """Not where messages cannot be edited, nor next to one that may exist already."""
        return bool(self._parts) or (self._writer.can_grow and not self._repeat)

    async def _grow_one(self, number: int, text: str, *, complete: bool) -> bool:
        if number == len(self._parts):
            await self._begin(text, number)
        elif complete:
            await self._writer.settle(self._parts[number], text, number)
        else:
            await self._writer.grow(self._parts[number], text, number)

        return True

    async def _begin(self, text: str, number: int) -> None:
        try:
            self._parts.append(await self._writer.begin(text, number))
        except ApiError as error:
            if not error.code:  # it may have arrived
                self._repeat, self._label = True, REPEAT
                self._unseen.add()
            raise

    async def finish(self, text: str) -> Placed:
        """The whole answer. Raises DeliveryError, Undeliverable when the chat cannot be
        written to.
        """
        with judged():
            return await self._finish(text)

    async def _finish(self, text: str) -> Placed:
        pieces = pieces_of(text, LIMIT)
        is_open = self._repeat and len(self._parts) < len(pieces)
        if (
            (self._pending or is_open)
            and not await self._recognise()
            and not self._parts
        ):
            pieces = pieces_of(self._label + text, LIMIT)

        for number, piece in enumerate(under_last(pieces, text)):
            await self._governor.final(
                self._chat, _ROUTE, partial(self._put, number, piece)
            )

        while len(self._parts) > len(pieces):
            surplus = self._parts[-1]
            await self._governor.final(
                self._chat, _ROUTE, partial(self._writer.delete, surplus)
            )
            self._parts.pop()

        return Placed(tuple(part.ts for part in self._parts))

    async def _put(self, number: int, piece: str) -> None:
        if number < len(self._parts):
            self._parts[number] = await self._writer.replace(
                self._parts[number], piece, number
            )
            return

        # Until it is known that the message did not arrive, another send may repeat it.
        before, self._repeat = self._repeat, True
        try:
            self._parts.append(await self._writer.post(piece, number))
        except RateLimited:
            self._repeat = before
            raise
        except ApiError as error:
            self._repeat = before or not error.code
            if not error.code:
                self._unseen.add()
            raise

        self._repeat = before

    async def _recognise(self) -> bool:
        """Finds what an earlier attempt left there. False: Slack does not let us look.

        Raises DeliveryError when Slack cannot say for now.
        """
        try:
            numbered, cut_off = await self._governor.final(
                self._chat, "history", self._writer.found
            )
        except ApiError as error:
            if error.is_passing:
                raise

            self._unseen.check()
            return False

        self._unseen.clear()

        known = {part.ts for part in self._parts}
        remaining = iter(ts for ts in cut_off if ts not in known)
        while ts := numbered.get(len(self._parts)) or next(remaining, ""):
            self._parts.append(Part(ts, stream=True))  # perhaps: closing it finds out

        return True

    def _placed(self) -> Placed | None:
        if not self._parts:
            return None

        streams = [part for part in self._parts if part.stream]
        extra = (
            {"stream": streams[-1].ts, "started": f"{streams[-1].started:.3f}"}
            if streams
            else {}
        )

        return Placed(tuple(part.ts for part in self._parts), extra)


class EphemeralReply:
    """The answer to a slash command in a channel, which only its author sees.

    It goes to the command's own URL while this process knows it, which works even where the
    agent is no member. Else it goes to the person in the channel, else in a direct message.
    """

    def __init__(
        self, *, api: SlackApi, governor: Governor, address: Address, url: str | None
    ) -> None:
        self._api = api
        self._governor = governor
        self._address = address
        self._url = url
        self._sent = 0
        self._unseen = UnseenSends()

    drafts_stand = False

    async def show(self, text: str) -> Placed | None:
        """Nothing: ephemeral messages cannot be edited later."""
        return None

    async def finish(self, text: str) -> Placed:
        """The whole answer. Raises DeliveryError, Undeliverable when the person cannot be
        written to.
        """
        pieces = under_last(pieces_of(text, LIMIT), text)
        if (
            self._url
            and len(pieces) <= _URL_USES
            and await self._answer(self._url, pieces)
        ):
            self._url = None
            return Placed(())

        with judged():
            if self._unseen:
                await self._see_slack()
            for piece in pieces[self._sent :]:
                await self._through(partial(self._send, piece))
                self._sent += 1

        return Placed(())

    async def _see_slack(self) -> None:
        """Nobody can look what arrived, only whether replies reach the agent again."""
        self._unseen.check()
        await self._through(partial(self._api.call, "auth.test"))

    async def _through(self, send: Callable[[], Awaitable[object]]) -> None:
        try:
            await self._governor.final(self._address.chat, _ROUTE, send)
        except ApiError as error:
            if not error.code:
                self._unseen.add()
            raise

    async def _answer(self, url: str, pieces: list[str]) -> bool:
        client = AsyncWebhookClient(url, retry_handlers=[])
        for piece in pieces:
            try:
                answer = await client.send(**_body(piece), response_type="ephemeral")
            except aiohttp.ClientConnectorError:
                return False
            except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError):
                self._url = None  # it may have arrived: not there again
                self._unseen.add()
                return False

            if answer.status_code != 200:
                return False

        return True

    async def _send(self, piece: str) -> None:
        user, thread = self._address.extra["user"], self._address.thread or None
        chat, body = self._address.chat, _body(piece)

        try:
            await self._api.call(
                "chat.postEphemeral",
                channel=chat,
                user=user,
                thread_ts=thread,
                **body,
            )
        except ApiError as error:
            if error.code not in GONE:
                raise

            await self._api.call("chat.postMessage", channel=user, **body)


def _body(piece: str) -> dict[str, Any]:
    return {
        "text": notification(piece),
        "blocks": blocks_of(piece),
    }


def _parts(placed: Placed | None) -> list[Part]:
    if placed is None:
        return []

    stream, started = (
        placed.extra.get("stream"),
        float(placed.extra.get("started", 0)),
    )
    return [Part(ts, stream=ts == stream, started=started) for ts in placed.ids]
