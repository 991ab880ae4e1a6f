"""Reads Telegram's updates, if they are meant for the agent.

They are read as Telegram sent them, field by field: what is missing, odd or not yet known
hides nothing else.
"""

from __future__ import annotations

import re

from telegram import Update
from telegram.constants import ChatID, ChatType

from agent.core.commands import parse_command
from agent.core.messages import Address, Inbound, Reacted, Said, Thumb
from channels.fields import Json, identity, integer, items, mapping, text
from channels.reactions import thumb_of_emoji
from channels.telegram.buttons import pressed
from channels.telegram.marks import (
    Bot,
    links,
    mentions,
    rewritten,
    with_looks,
    written,
)
from channels.telegram.reading import rich
from channels.telegram.reading.attachments import said_by
from channels.telegram.reading.content import around
from channels.telegram.reading.kinds import KINDS, PRESSED, SAID
from channels.telegram.reading.parts import (
    Parts,
    is_begun,
    is_cut,
    remember,
    whole_of,
)
from channels.telegram.reading.places import NAME, address_of, is_direct

_COMMAND = re.compile(
    r"/(?P<name>\w+)(?:@(?P<bot>\w+))?(?:\s+(?P<argument>.*))?\Z", re.DOTALL
)


def chat_of(
    update: Json,
) -> int:
    """The chat in which this happened; 0 when that cannot be told."""
    events = [mapping(update, kind) for kind in KINDS]
    events.append(mapping(mapping(update, PRESSED), "message"))
    found = (integer(mapping(event, "chat"), "id") for event in events)
    return next((chat for chat in found if chat is not None), 0)


def read(
    update: Json | Update,
    me: Bot,
    parts: Parts | None = None,
) -> Inbound | None:
    """The message for the agent, or the thumb on one of its messages; None: neither.

    In groups, mentions, replies to the agent and commands are for it
    (https://core.telegram.org/bots/features#privacy-mode). Other messages are not read.
    Raises ValueError when it cannot be told which message this is, or whose. `parts`
    remembers what may go on in the next messages.
    """
    raw = update.to_dict() if isinstance(update, Update) else update
    kind = next((kind for kind in KINDS if kind in raw), None)
    if kind is None:
        return None

    event = mapping(raw, kind)
    if kind == "message_reaction":
        return _vote(event)
    if kind == PRESSED:
        return pressed(event)

    inbound = _said(event, me, parts if parts is not None else {})
    if inbound is None or kind in SAID:
        return inbound

    return inbound.edited(inbound.text)


def _said(
    message: Json,
    me: Bot,
    parts: Parts,
) -> Said | None:
    message = with_looks(rich.as_text(message))
    if message.get("is_automatic_forward") is True:
        return None

    author = _author(message)
    if author is None:
        return None

    direct = is_direct(message)
    whole = whole_of(message, parts)
    goes_on = is_begun(whole, message, parts)
    shown = _shown(message, me, direct=direct, goes_on=goes_on)
    if shown is None:
        return None

    remember(whole, message, parts)

    return Said(
        address=address_of(message),
        message_id=str(identity(message, "message_id")),
        user_id=str(identity(author, "id")),
        text=shown,
        username=said_by(author) or None,
        direct=direct,
        more_follows="media_group_id" in message or is_cut(message),
        part_of=whole,
    )


def _shown(
    message: Json,
    me: Bot,
    *,
    direct: bool,
    goes_on: bool,
) -> str | None:
    """What it says to the agent. None: it is for others, or says nothing, as that a message
    was pinned. `goes_on`: with what was said to the agent before.
    """
    own = not mapping(message, "forward_origin")
    command = _COMMAND.match(written(message)) if own else None
    if command:
        words = _command(command, message, me, direct=direct)
    else:
        words = _words(message, me, direct=direct or goes_on)

    if words is None or (own and parse_command(words)):
        return words

    return around(message, me.id, words, direct=direct) or (None if direct else "")


def _vote(
    reaction: Json,
) -> Reacted | None:
    """The thumb that changed. Telegram names neither the message's author nor its topic."""
    before, now = _thumbs(reaction, "old_reaction"), _thumbs(reaction, "new_reaction")
    actor = mapping(reaction, "user") or mapping(reaction, "actor_chat")
    if before == now or not actor or actor.get("is_bot") is True:
        return None

    thumb, *_ = [thumb for thumb in now if thumb not in before] or now or before

    return Reacted(
        address=Address(NAME, str(identity(mapping(reaction, "chat"), "id"))),
        message_id=str(identity(reaction, "message_id")),
        user_id=str(identity(actor, "id")),
        thumb=thumb,
        username=said_by(actor) or None,
        direct=is_direct(reaction),
        taken_back=not now,
    )


def _thumbs(
    reaction: Json,
    name: str,
) -> list[Thumb]:
    shown = (thumb_of_emoji(text(one, "emoji")) for one in items(reaction, name))
    return [thumb for thumb in shown if thumb is not None]


def _author(
    message: Json,
) -> Json | None:
    """The person, or the group or channel that a person writes for. None: a bot or nobody.

    A private chat has the id of its person. Of a post in a channel nobody is told but the
    channel.
    """
    user, chat = mapping(message, "from"), mapping(message, "chat")
    is_post = text(chat, "type") == ChatType.CHANNEL
    if integer(user, "id") is None and (is_post or is_direct(message)):
        return chat
    if not message.get("from"):
        return None
    if integer(user, "id") in (ChatID.ANONYMOUS_ADMIN, ChatID.FAKE_CHANNEL):
        return mapping(message, "sender_chat") or None

    return None if user.get("is_bot") is True else user


def _words(
    message: Json,
    me: Bot,
    *,
    direct: bool,
) -> str | None:
    """The text for the agent, without its mention. None: it is for others."""
    named = mentions(message, me)
    if not (direct or named or _replies_to(message, me)):
        return None

    return rewritten(
        written(message),
        [] if direct else named,
        links(message),
    )


def _command(
    command: re.Match[str],
    message: Json,
    me: Bot,
    *,
    direct: bool,
) -> str | None:
    """`/name argument`. None: it is for another bot (`/name@other`)."""
    bot, words = command["bot"], command.string
    if bot and bot.lower() != (me.username or "").lower():
        return None
    if command["name"].lower() == "start":
        return "/start"  # what follows names where the person came from
    if not (direct or bot or parse_command(words) or _replies_to(message, me)):
        return None

    if bot or parse_command(words):
        return f"/{command['name']} {command['argument'] or ''}".rstrip()

    return words


def _replies_to(
    message: Json,
    me: Bot,
) -> bool:
    """Whether it replies to the agent. In a topic that the agent opened, all seem to."""
    answered = mapping(message, "reply_to_message")
    if answered.get("forum_topic_created") is not None:
        return False

    return integer(mapping(answered, "from"), "id") == me.id
