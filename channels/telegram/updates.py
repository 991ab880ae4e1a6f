"""Reads Telegram's updates, if they are meant for the agent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from telegram import (
    Chat,
    Message,
    MessageEntity,
    MessageReactionUpdated,
    ReactionType,
    ReactionTypeEmoji,
    Update,
    User,
)
from telegram.constants import ChatID, ChatType

from agent.core.commands import parse_command
from agent.core.messages import Address, Inbound, Reacted, Said, Thumb
from channels.reactions import thumb_of_emoji

NAME = "telegram"
_START = "/help"
"""The command for `/start`, which Telegram's own button sends."""

_COMMAND = re.compile(
    r"/(?P<name>\w+)(?:@(?P<bot>\w+))?(?:\s+(?P<argument>.*))?\Z", re.DOTALL
)
# By Telegram's field, the word for people. An animation is also a document: order counts.
_ATTACHMENTS = {
    "photo": "image",
    "animation": "animation",
    "video": "video",
    "video_note": "video",
    "voice": "voice message",
    "audio": "audio",
    "document": "file",
    "sticker": "sticker",
    "contact": "contact",
    "location": "location",
    "poll": "poll",
}


class Bot(Protocol):
    """What tells whether a message is meant for the bot."""

    @property
    def id(self) -> int:
        """Its user id."""

    @property
    def username(self) -> str | None:
        """Its name without @."""


def read(update: Update, me: Bot) -> Inbound | None:
    """The message for the agent, or the thumb on one of its messages; None: neither.

    In groups, mentions, replies to the agent and commands are for it
    (https://core.telegram.org/bots/features#privacy-mode). Other messages are not read.
    """
    if update.message_reaction is not None:
        return _vote(update.message_reaction)

    message = update.message or update.edited_message
    if message is None or message.is_automatic_forward:
        return None

    author = _author(message)
    if author is None:
        return None

    direct = message.chat.type == ChatType.PRIVATE
    words = _words(message, me, direct=direct)
    if words is None:
        return None

    text = "\n".join(part for part in (words, _attachment(message)) if part)
    if not text:  # a service message: someone joined, a message was pinned
        return None

    inbound = Said(
        address=_address(message),
        message_id=str(message.message_id),
        user_id=str(author.id),
        text=text,
        username=_name(author),
        direct=direct,
    )

    return inbound.edited(text) if update.message is None else inbound


def _vote(reaction: MessageReactionUpdated) -> Reacted | None:
    """The thumb that changed. Telegram names neither the message's author nor its topic."""
    before, now = _thumbs(reaction.old_reaction), _thumbs(reaction.new_reaction)
    actor = reaction.user or reaction.actor_chat
    if before == now or actor is None or (isinstance(actor, User) and actor.is_bot):
        return None

    thumb, *_ = [thumb for thumb in now if thumb not in before] or now or before

    return Reacted(
        address=Address(NAME, str(reaction.chat.id)),
        message_id=str(reaction.message_id),
        user_id=str(actor.id),
        thumb=thumb,
        username=_name(actor),
        direct=reaction.chat.type == ChatType.PRIVATE,
        taken_back=not now,
    )


def _thumbs(reactions: Iterable[ReactionType]) -> list[Thumb]:
    shown = (
        thumb_of_emoji(one.emoji)
        for one in reactions
        if isinstance(one, ReactionTypeEmoji)
    )
    return [thumb for thumb in shown if thumb is not None]


def _address(message: Message) -> Address:
    """Only forum topics are threads. Elsewhere Telegram numbers chains of replies the same way."""
    thread = message.message_thread_id if message.is_topic_message else None
    return Address(
        NAME, str(message.chat.id), str(thread or ""), str(message.message_id)
    )


def _author(message: Message) -> User | Chat | None:
    """The person, or the group or channel that a person writes for. None: a bot or nobody."""
    user = message.from_user
    if user is None:
        return None
    if user.id in (ChatID.ANONYMOUS_ADMIN, ChatID.FAKE_CHANNEL):
        return message.sender_chat

    return None if user.is_bot else user


def _name(author: User | Chat) -> str | None:
    return author.full_name if isinstance(author, User) else author.title


def _words(message: Message, me: Bot, *, direct: bool) -> str | None:
    """The text for the agent, without its mention. None: it is for others."""
    text = message.text or message.caption or ""
    if command := _COMMAND.match(text):
        return _command(command, text, message, me, direct=direct)

    mentions = [
        entity
        for entity in message.entities or message.caption_entities
        if _names(entity, text, me)
    ]
    if not (direct or mentions or _replies_to(message, me)):
        return None

    return text if direct else _without(text, mentions)


def _command(
    command: re.Match[str], text: str, message: Message, me: Bot, *, direct: bool
) -> str | None:
    """`/name argument`. None: it is for another bot (`/name@other`)."""
    bot = command["bot"]
    if bot and bot.lower() != (me.username or "").lower():
        return None
    if command["name"].lower() == "start":
        return _START
    if not (direct or bot or parse_command(text) or _replies_to(message, me)):
        return None

    if bot or parse_command(text):
        return f"/{command['name']} {command['argument'] or ''}".rstrip()

    return text


def _names(entity: MessageEntity, text: str, me: Bot) -> bool:
    if entity.type == MessageEntity.TEXT_MENTION:
        return entity.user is not None and entity.user.id == me.id

    mention = _slice(text, entity.offset, entity.offset + entity.length)
    return (
        entity.type == MessageEntity.MENTION
        and mention.lower() == f"@{me.username}".lower()
    )


def _replies_to(message: Message, me: Bot) -> bool:
    """Whether it replies to the agent. In a topic that the agent opened, all seem to."""
    answered = message.reply_to_message
    if answered is None or answered.from_user is None:
        return False
    if answered.forum_topic_created is not None:
        return False

    return answered.from_user.id == me.id


def _without(text: str, mentions: Iterable[MessageEntity]) -> str:
    """The text without these mentions; the whole text if nothing else remains."""
    rest = text
    for entity in sorted(mentions, key=lambda entity: entity.offset, reverse=True):
        before = _slice(rest, 0, entity.offset)
        after = _slice(rest, entity.offset + entity.length)
        opens = not before.strip()
        rest = before + (after.lstrip(" ,:") if opens else after.removeprefix(" "))

    return rest.strip() or text


def _slice(text: str, start: int, end: int | None = None) -> str:
    """A part of the text by UTF-16 units, in which Telegram counts."""
    units = text.encode("utf-16-le", "surrogatepass")
    part = units[2 * start : None if end is None else 2 * end]

    return part.decode("utf-16-le", "surrogatepass")


def _attachment(message: Message) -> str:
    """`[image photo.jpg, 120 kB]`, or "" when there is none."""
    kind = next((field for field in _ATTACHMENTS if getattr(message, field)), None)
    if kind is None:
        return ""

    item = getattr(message, kind)
    if (
        kind == "photo"
    ):  # one picture in several sizes, the largest last, without a name
        item, name = item[-1], "photo.jpg"
    else:
        name = _name_of(item) or ""

    is_image = str(getattr(item, "mime_type", "")).startswith("image/")
    described = f"{'image' if is_image else _ATTACHMENTS[kind]} {name}".rstrip()
    size = getattr(item, "file_size", None)

    return f"[{described}, {_readable(size)}]" if size else f"[{described}]"


def _name_of(item: object) -> str | None:
    """An attachment's name for people: its file, emoji, first name or question."""
    names = (
        getattr(item, field, None)
        for field in ("file_name", "emoji", "first_name", "question")
    )
    return next((str(name) for name in names if name), None)


def _readable(size: int) -> str:
    """Bytes as people write them: 120 kB, 3.4 MB."""
    if size < 1000:
        return f"{size} B"

    if size < 1_000_000:
        return f"{size / 1000:.0f} kB"

    return f"{size / 1_000_000:.1f} MB"
