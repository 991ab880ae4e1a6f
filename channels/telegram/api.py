"""Telegram's Bot API through python-telegram-bot: the methods the agent uses."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
from telegram import (
    Bot,
    BotCommand,
    ChatMember,
    LinkPreviewOptions,
    ReplyParameters,
    User,
    WebhookInfo,
)
from telegram.constants import ChatAction
from telegram.error import TelegramError
from telegram.request import HTTPXRequest

from agent.core.channel import OutgoingFile
from agent.core.errors import DeliveryError
from agent.settings.proxied_transport import ProxiedTransport
from channels.fields import integer
from channels.telegram.errors import (
    NO_BOT_API,
    Declined,
    TokenError,
    UncertainError,
    UnknownMethodError,
    translated,
)
from channels.telegram.reading.kinds import KINDS
from channels.telegram.reading.places import ChatTarget
from channels.telegram.text import Piece
from channels.unreadable import READING

T = TypeVar("T")

CONNECTIONS = 64
"""At the same time. Telegram takes 30 messages a second from a bot, and httpx walks through
all connections at each request.
"""


class BotApi:
    """The methods the agent uses, with this project's errors. Times are seconds.

    Its HTTP connections are open inside `open` and inside every call. So an answer can still
    be delivered after the channel stopped listening.
    """

    def __init__(self, token: str, api_url: str, *, timeout: float = 15.0) -> None:
        _keep_private()
        context = httpx.create_ssl_context()
        timeouts: dict[str, Any] = {
            "read_timeout": timeout,
            "connect_timeout": 5.0,
            "pool_timeout": timeout,
        }
        polling, others = (
            {
                "httpx_kwargs": {"transport": _transport(connections, context)},
                **timeouts,
            }
            for connections in (1, CONNECTIONS)
        )
        self._requests = (HTTPXRequest(**polling), _Requests(**others))
        self._bot = _Bot(
            token,
            base_url=f"{api_url.rstrip('/')}/bot",
            get_updates_request=self._requests[0],
            request=self._requests[1],
        )
        self._users = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Inside, calls share connections."""
        self._users += 1
        for request in self._requests:
            await request.initialize()

        try:
            yield
        finally:
            self._users -= 1
            for request in self._requests:
                if not self._users:  # a new user may come while the first one closes
                    await request.shutdown()

    async def _call(self, send: Callable[[_Bot], Awaitable[T]]) -> T:
        async with self.open():
            try:
                return await send(self._bot)
            except TelegramError as error:
                raise translated(error) from None  # PTB's text may hold the token
            except READING:  # carried out, perhaps; the answer says nothing
                raise UncertainError(NO_BOT_API) from None

    async def me(self) -> User:
        """The bot's account. Raises TokenError, also for a text that is no token."""
        try:
            return await self._call(lambda bot: bot.get_me())
        except UnknownMethodError:
            raise TokenError from None

    async def updates(self, offset: int, wait: int) -> Sequence[Any]:
        """The updates from `offset` on, as Telegram sent them: one that the library cannot
        read hides no other. The offset tells Telegram that all earlier ones are safe.
        """
        updates = await self._call(
            lambda bot: bot.raw_updates(offset=offset, wait=wait)
        )
        if not isinstance(updates, list):
            raise DeliveryError(NO_BOT_API)

        return updates

    async def send(self, to: ChatTarget, piece: Piece) -> str:
        """Sends a message and returns its id. If its entities are refused, it goes without them."""
        quote = None
        if (
            to.answered and not to.direct
        ):  # in a private chat all messages are for the bot
            quote = ReplyParameters(
                int(to.answered), allow_sending_without_reply=True
            )

        async def sent(bot: Bot, shown: Piece) -> str:
            message = await bot.send_message(
                int(to.chat),
                shown.text,
                entities=shown.entities or None,
                reply_markup=shown.keyboard,
                message_thread_id=to.thread_id,
                reply_parameters=quote,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            )
            return str(message.message_id)

        return await self._formatted(piece, sent)

    async def send_file(self, to: ChatTarget, file: OutgoingFile) -> None:
        """Sends a file as a message of its own."""
        await self._call(
            lambda bot: bot.send_document(
                int(to.chat),
                file.content,
                filename=file.name,
                message_thread_id=to.thread_id,
                read_timeout=file.upload_seconds,
                write_timeout=file.upload_seconds,
            )
        )

    async def edit(self, to: ChatTarget, message: str, piece: Piece) -> bool:
        """Replaces a message's text."""
        try:
            await self._formatted(
                piece,
                lambda bot, shown: bot.edit_message_text(
                    shown.text,
                    chat_id=int(to.chat),
                    message_id=int(message),
                    entities=shown.entities or None,
                    reply_markup=shown.keyboard,
                    link_preview_options=LinkPreviewOptions(is_disabled=True),
                ),
            )
        except Declined as refusal:
            if not refusal.unchanged:
                raise

        return True

    async def draft(self, to: ChatTarget, draft: int, piece: Piece) -> bool:
        """Shows a preview for about 30 s in a private chat. `draft` is its id and not 0."""
        return await self._formatted(
            piece,
            lambda bot, shown: bot.send_message_draft(
                int(to.chat),
                draft,
                shown.text,
                entities=shown.entities or None,
                message_thread_id=to.thread_id,
            ),
        )

    async def _formatted(
        self, piece: Piece, send: Callable[[Bot, Piece], Awaitable[T]]
    ) -> T:
        try:
            return await self._call(lambda bot: send(bot, piece))
        except Declined as refusal:
            is_plain = not piece.entities and not piece.buttons
            if is_plain or refusal.unchanged or refusal.about_this:
                raise

        return await self._call(lambda bot: send(bot, Piece(piece.text)))

    async def answer_press(self, query: str, text: str = "", *, stays: bool) -> bool:
        """Answers a press of a button. `stays`: until the person has read it."""
        return await self._call(
            lambda bot: bot.answer_callback_query(
                query, text or None, show_alert=stays
            )
        )

    async def delete(self, to: ChatTarget, message: str) -> bool:
        """Deletes one of the bot's messages. False: it is gone already, or cannot be deleted."""
        try:
            return await self._call(
                lambda bot: bot.delete_message(int(to.chat), int(message))
            )
        except (Declined, UnknownMethodError):
            return False

    async def typing(self, to: ChatTarget) -> bool:
        """Shows for 5 s that an answer is being written."""
        return await self._call(
            lambda bot: bot.send_chat_action(
                int(to.chat), ChatAction.TYPING, message_thread_id=to.thread_id
            )
        )

    async def commands(self) -> tuple[BotCommand, ...]:
        """The menu as Telegram shows it now."""
        return await self._call(lambda bot: bot.get_my_commands())

    async def set_commands(self, menu: Sequence[BotCommand]) -> None:
        """Replaces the menu."""
        await self._call(lambda bot: bot.set_my_commands(menu))

    async def webhook(self) -> WebhookInfo:
        """Where Telegram delivers, and its last error."""
        return await self._call(lambda bot: bot.get_webhook_info())

    async def set_webhook(self, url: str, secret: str) -> None:
        """Makes Telegram deliver to `url`, "": to polling. Waiting updates are kept."""
        if url:
            await self._call(
                lambda bot: bot.set_webhook(
                    url,
                    secret_token=secret,
                    allowed_updates=KINDS,
                    max_connections=100,
                )
            )
        else:
            await self._call(lambda bot: bot.delete_webhook())

    async def member(self, chat: str, user: int) -> ChatMember:
        """A user's membership of a chat."""
        return await self._call(lambda bot: bot.get_chat_member(int(chat), user))

    async def title(self, chat: str) -> str:
        """A group's name."""
        return (await self._call(lambda bot: bot.get_chat(int(chat)))).title or chat


def _transport(connections: int, context: ssl.SSLContext) -> ProxiedTransport:
    return ProxiedTransport(httpx.Limits(max_connections=connections), context)


class _Bot(Bot):
    """The library's, and its fetch without the library's reading."""

    async def raw_updates(
        self,
        *,
        offset: int,
        wait: int,
    ) -> Any:
        """The result of getUpdates; `wait` is how many seconds Telegram holds the answer."""
        return await self._post(
            "getUpdates",
            {
                "offset": offset,
                "timeout": wait,
                "allowed_updates": KINDS,
            },
            read_timeout=(self._request[0].read_timeout or 0.0) + wait,
        )


class _Requests(HTTPXRequest):
    """Answers without what the agent does not need of them."""

    # The library calls it on the instance.
    def parse_json_payload(self, payload: bytes) -> dict[str, Any]:  # type: ignore[override]
        data = HTTPXRequest.parse_json_payload(payload)
        result = data.get("result")
        if isinstance(result, dict) and integer(result, "message_id"):
            data["result"] = _bare(result["message_id"])

        return data


def _bare(message: object) -> dict[str, Any]:
    """The message that was sent, by its id: an odd field beside it must not make it seem as
    if nothing had been sent.
    """
    return {
        "message_id": message,
        "date": 0,
        "chat": {"id": 0, "type": "private"},
    }


def _keep_private() -> None:
    """Keeps texts and tokens out of logs: PTB logs both, httpx the URL with the token."""
    os.environ.setdefault(
        "PTB_TIMEDELTA", "true"
    )  # without it, PTB warns at every flood limit
    logging.getLogger("telegram").setLevel(logging.CRITICAL + 1)
    logging.getLogger("httpx").addFilter(_names_no_bot)


def _names_no_bot(record: logging.LogRecord) -> bool:
    return "/bot" not in record.getMessage()
