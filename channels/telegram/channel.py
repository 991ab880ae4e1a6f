"""Telegram: people write to a bot, in private chats, groups and forum topics.

Messages come by long polling, or to `/webhooks/telegram` when a public URL is set. Telegram
keeps each until it is told that it is safe: by the next offset, or by status 200.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

from cachetools import LRUCache
from telegram import User

from agent.core.channel import (
    Diagnosable,
    Finding,
    Listening,
    OutgoingFile,
    SendsFiles,
    Webhook,
    WebhookReply,
)
from agent.core.errors import ConfigurationError, DeliveryError, StoreUnavailable
from agent.core.messages import Address, Placed
from agent.ports import Accept, LastAccepted, Reply
from agent.settings import Settings
from channels.connection import Connection, patiently
from channels.fields import Json, integer
from channels.pacing import Governor, Rate
from channels.services import ChannelServices
from channels.telegram.api import BotApi
from channels.telegram.buttons import PressReply, take
from channels.telegram.doctor import diagnose
from channels.telegram.errors import CONFLICT, NO_BOT_API, Declined, first_error
from channels.telegram.menu import Menu
from channels.telegram.reading.parts import Parts
from channels.telegram.reading.places import NAME, ChatTarget
from channels.telegram.reply import Streaming, TelegramReply
from channels.telegram.updates import chat_of, read
from channels.unreadable import Note, UnreadableEvents, storable, unnoted

T = TypeVar("T")

CHAT_RATE = Rate(5, 5)
"""One message a second, with short bursts:
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

BOT_RATE = Rate(30, 1)
"""All chats together, from the same page."""

MAX_FILE_BYTES = 50_000_000
"""https://core.telegram.org/bots/api#senddocument"""

_HEADER = "x-telegram-bot-api-secret-token"

log = logging.getLogger(__name__)


class Telegram(Webhook, Diagnosable, Listening, SendsFiles):
    """The channel. See `agent.ports.Channel`, `Webhook` and `Diagnosable`; all times are seconds.

    `api_url` is the root of a Bot API server. With `public_url`, Telegram delivers there, and
    any number of instances share the work. Without it, this instance fetches.

    `interval` and `group_interval` are minimum times between two states of an unfinished
    answer. A private chat allows 1 message a second, a group 20 a minute, some of them
    finished answers. `poll` is how long Telegram holds a fetch that finds nothing. `check` is
    the time between two checks of the webhook, `retry` the first pause after a failure.
    """

    name = NAME
    max_file_bytes = MAX_FILE_BYTES

    def __init__(
        self,
        *,
        token: str,
        governor: Governor,
        api_url: str = "https://api.telegram.org",
        public_url: str | None = None,
        last_accepted: LastAccepted | None = None,
        note_unreadable: Note = unnoted,
        slash_commands: Callable[[], bool] = lambda: True,
        interval: float = 1.0,
        group_interval: float = 4.0,
        poll: int = 25,
        check: float = 60.0,
        retry: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = BotApi(token, api_url)
        self._governor = governor
        self._url = (
            f"{public_url.rstrip('/')}/webhooks/telegram" if public_url else ""
        )
        self._secret = hmac.new(
            token.encode(), b"telegram webhook", sha256
        ).hexdigest()
        self._last_accepted = last_accepted
        self._unreadable = UnreadableEvents(NAME, note_unreadable)
        self._menu = Menu(self._api, slash_commands, retry)
        self._streaming = Streaming(
            direct=interval, group=group_interval, clock=clock
        )
        self._poll_time, self._check_time, self._retry_time = poll, check, retry
        self._offset = 0
        self._parts: Parts = LRUCache(1024)
        self._signed_in: tuple[Accept, User] | None = None
        self._connection = Connection(NAME)
        self._conflict_told = False

    async def run(self, accept: Accept) -> None:
        """Takes messages in until cancelled. Raises ConfigurationError when token or
        PUBLIC_URL are wrong.
        """
        async with self._api.open():
            try:
                me = await self._patiently(self._api.me)
                self._connection.account = f"@{me.username}"
                self._signed_in = (accept, me)
                await self._patiently(self._set_webhook)
                async with first_error(), asyncio.TaskGroup() as group:
                    group.create_task(self._menu.keep())
                    group.create_task(
                        self._keep_webhook() if self._url else self._fetch(accept, me)
                    )
            finally:
                self._signed_in = None
                self._connection.close()

    @property
    def listening(self) -> bool:
        """Whether it is signed in."""
        return self._signed_in is not None

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> Reply:
        """Telegram has no idempotency key: what is known is edited, else it is labelled."""
        to = ChatTarget(address.chat, address.thread, address.message)
        message = TelegramReply(
            self._api,
            self._governor,
            self._streaming,
            to,
            placed,
            turns[0],
            repeat=repeat,
        )
        if "query" not in address.extra:
            return message

        return PressReply(self._api, address, message)

    async def send_file(self, address: Address, file: OutgoingFile) -> None:
        """Raises DeliveryError; Undeliverable when Telegram will never take it."""
        to = ChatTarget(address.chat, address.thread, address.message)
        send = partial(self._api.send_file, to, file)
        await self._governor.final(address.chat, "send", send)

    async def diagnose(self) -> list[Finding]:
        """Checks token, network, webhook and groups."""
        return await diagnose(self._api, self._url, self._last_accepted)

    async def webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookReply:
        """One update. 401: not from Telegram. 503: not stored; Telegram sends it again. What
        cannot be read is passed over: it would come again forever.
        """
        if not hmac.compare_digest(
            headers.get(_HEADER, "").encode("utf-8", "replace"), self._secret.encode()
        ):
            return WebhookReply(401)

        if self._signed_in is None:
            return WebhookReply(503)

        accept, me = self._signed_in
        inbound = None
        with self._unreadable.reading("update"):
            inbound = storable(read(json.loads(body), me, self._parts))

        try:
            await take(inbound, accept, self._api)
        except StoreUnavailable:
            return WebhookReply(503)

        return WebhookReply(200)

    async def _fetch(self, accept: Accept, me: User) -> None:
        while True:
            await self._patiently(partial(self._fetch_once, accept, me))

    async def _fetch_once(self, accept: Accept, me: User) -> None:
        """Moves the offset past stored updates, up to the first one that is not stored.

        Chats are stored at the same time, the messages of one chat in order. Raises
        StoreUnavailable; DeliveryError when nothing of what came has a number.
        """
        # after a gap without waiting: that it is over is known at once
        wait = self._poll_time if self._connection.connected else 0
        fetched = await self._api.updates(self._offset, wait)
        self._connection.established()
        updates = [one for one in fetched if self._is_numbered(one)]
        if fetched and not updates:
            raise DeliveryError(NO_BOT_API)

        chats: defaultdict[int, list[Json]] = defaultdict(list)
        for update in updates:
            chats[chat_of(update)].append(update)

        stored = await asyncio.gather(
            *(self._store(chat, accept, me) for chat in chats.values())
        )
        safe = {update for ids in stored for update in ids}

        for update in updates:
            if update["update_id"] not in safe:
                raise StoreUnavailable(
                    "Messages cannot be stored now; Telegram keeps them until then."
                )

            self._offset = update["update_id"] + 1

    def _is_numbered(self, update: object) -> bool:
        """Whether it can be acknowledged. What has no number is passed over."""
        if isinstance(update, dict) and integer(update, "update_id") is not None:
            return True

        self._unreadable.passed_over("update", "an update without its number")

        return False

    async def _store(
        self, updates: Iterable[Json], accept: Accept, me: User
    ) -> list[int]:
        """Stores a chat's messages in order, up to the first failure. Returns the ids of
        updates that are stored or cannot be read.
        """
        safe = []
        for update in updates:
            inbound = None
            with self._unreadable.reading("update"):
                inbound = storable(read(update, me, self._parts))

            try:
                await take(inbound, accept, self._api)
            except StoreUnavailable:
                break

            safe.append(update["update_id"])

        return safe

    async def _keep_webhook(self) -> None:
        """Sets the webhook again when another program has changed it."""
        while True:
            self._connection.established()
            await asyncio.sleep(self._check_time)
            if (await self._patiently(self._api.webhook)).url != self._url:
                await self._patiently(self._set_webhook)

    async def _set_webhook(self) -> None:
        """Turns delivery to PUBLIC_URL on, or polling. Raises ConfigurationError when Telegram
        refuses the address.
        """
        try:
            await self._api.set_webhook(self._url, self._secret)
        except Declined as refusal:
            problem = refusal.reason.removeprefix("bad webhook: ").rstrip(".")
            raise ConfigurationError(
                f"Telegram cannot deliver to PUBLIC_URL ({problem}): set an "
                "https address with port 443, "
                "80, 88 or 8443 that the internet can reach, or unset it."
            ) from None

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        return await patiently(step, self._retry_time, self._lost)

    def _lost(self, reason: str) -> None:
        """A conflict is no gap: the two programs fetch by turns. It is told at once, once."""
        if reason != CONFLICT:
            self._connection.lost(reason)
        elif not self._conflict_told:
            self._conflict_told = True
            log.warning("telegram: %s", reason)


def build(settings: Settings, services: ChannelServices) -> Telegram | None:
    """None without TELEGRAM_TOKEN."""
    token = settings.telegram_token
    if token is None:
        return None

    shared = services.shared_pace(NAME, token)

    return Telegram(
        token=token.get_secret_value(),
        governor=Governor(chat=CHAT_RATE, bot=BOT_RATE, shared=shared),
        slash_commands=partial(services.slash_commands, NAME),
        api_url=settings.telegram_api_url,
        public_url=settings.public_url,
        last_accepted=services.last_accepted,
        note_unreadable=services.note_unreadable,
    )
