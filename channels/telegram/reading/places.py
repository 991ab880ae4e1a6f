"""Places on Telegram: where something happened, and where messages go."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace
from telegram.constants import ChatType

from agent.core.messages import Address
from channels.fields import Json, identity, integer, mapping, text

NAME = "telegram"


class ChatTarget(Struct, frozen=True):
    """Where messages go: a chat, a topic in it, and the message they answer. "" means none."""

    chat: str
    thread: str = ""
    answered: str = ""

    @property
    def direct(self) -> bool:
        """Ids of private chats are positive, those of groups negative."""
        return not self.chat.startswith("-")

    @property
    def thread_id(self) -> int | None:
        """The topic as the Bot API wants it."""
        return int(self.thread) if self.thread else None

    def elsewhere(self, chat: str) -> ChatTarget:
        """The same place after the group's id changed."""
        return replace(self, chat=chat, answered="")


def is_direct(
    event: Json,
) -> bool:
    """Ids of private chats are positive, should their type not be told."""
    chat = mapping(event, "chat")
    kind = text(chat, "type")
    if kind:
        return kind == ChatType.PRIVATE

    return identity(chat, "id") > 0


def address_of(
    message: Json,
) -> Address:
    """Only forum topics are threads. Elsewhere Telegram numbers chains of replies the same way."""
    is_topic = message.get("is_topic_message") is True
    thread = integer(message, "message_thread_id") if is_topic else None

    return Address(
        NAME,
        str(identity(mapping(message, "chat"), "id")),
        str(thread or ""),
        str(identity(message, "message_id")),
    )
