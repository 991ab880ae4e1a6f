"""Telegram's refusals, translated from python-telegram-bot's errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from agent.core.errors import ConfigurationError, DeliveryError, Undeliverable
from channels.pacing import RateLimited
from channels.setup import token_refused

BOTFATHER = "https://t.me/BotFather"

_PLACES = (
    "chat",
    "thread",
    "topic",
    "user",
    "rights",
    "peer",
    "message to",
    "message can't",
    "message_id",
)
_NO_METHOD = (
    "The server at TELEGRAM_API_URL does not know this method of the "
    "Bot API: update it or check the address."
)
NO_BOT_API = (
    "TELEGRAM_API_URL does not answer as a Bot API server does: check the address."
)
CONFLICT = (
    "Another program fetches this bot's messages from Telegram: stop it, or set PUBLIC_URL, "
    "with which several instances can work."
)


class TokenError(ConfigurationError, DeliveryError):
    """Telegram does not know the bot's token. No call works until a person changes it."""

    def __init__(self) -> None:
        super().__init__(
            token_refused(
                "Telegram", "TELEGRAM_TOKEN", f"{BOTFATHER} (/mybots, API Token)"
            )
        )


class UnknownMethodError(DeliveryError):
    """This Bot API server does not know the method, or TELEGRAM_API_URL is not a Bot API server."""


class Declined(Undeliverable):
    """Telegram refuses this message.

    `reason` is Telegram's description in lower case: for decisions, not for logs.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "Telegram refuses this message: the chat, topic or message is gone or closed."
        )
        self.reason = reason.lower()

    @property
    def unchanged(self) -> bool:
        """The edit changes nothing: the message has this text already."""
        return "message is not modified" in self.reason

    @property
    def about_this(self) -> bool:
        """This chat, topic, person or message is gone or closed; the method itself works."""
        return any(word in self.reason for word in _PLACES)


class UncertainError(DeliveryError):
    """The connection was lost while the message was sent: it may have arrived."""


class MovedError(DeliveryError):
    """The group became a supergroup with another id."""

    def __init__(self, chat: str) -> None:
        super().__init__("The group has a new id.")
        self.chat = chat


def translated(error: TelegramError) -> Exception:
    """This project's error for the library's."""
    match error:
        case RetryAfter():
            wait = error.retry_after
            return RateLimited(
                wait.total_seconds() if isinstance(wait, timedelta) else wait
            )
        case ChatMigrated():
            return MovedError(str(error.new_chat_id))
        case InvalidToken():
            # PTB has one class for 401 and 404; their descriptions differ
            return (
                TokenError()
                if error.message.startswith("Unauthorized")
                else UnknownMethodError(_NO_METHOD)
            )
        case Forbidden():
            return Undeliverable(
                "Telegram lets the bot no longer write there: it was blocked or removed."
            )
        case BadRequest():
            return Declined(error.message)
        case Conflict():
            return DeliveryError(CONFLICT)
        case NetworkError():
            return _network(error)

    return DeliveryError(NO_BOT_API)


def _network(error: NetworkError) -> DeliveryError:
    """A call without a connection did not arrive; an interrupted one may have."""
    cause = error.__cause__
    sentence = "Telegram cannot be reached."
    if "too large" in error.message.lower():
        return Declined(error.message)
    if isinstance(
        cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
    ):
        return DeliveryError(sentence)
    if isinstance(error, TimedOut) or cause is not None:
        return UncertainError(sentence)
    if "gateway" in error.message.lower():
        return UncertainError(sentence)

    return DeliveryError("Telegram has an internal error.")


@asynccontextmanager
async def first_error() -> AsyncIterator[None]:
    """Raises the first error of a task group without the group around it."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
