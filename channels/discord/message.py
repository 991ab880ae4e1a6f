"""Reads Discord's messages and reactions, if they are meant for the agent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.core.messages import Address, Reacted, Said
from channels.discord.sdk import discord
from channels.reactions import thumb_of_emoji

_TALK = (discord.MessageType.default, discord.MessageType.reply)
_KINDS = ("image", "video", "audio")


def read_message(
    message: discord.Message, me: discord.abc.Snowflake, *, known: bool = False
) -> Said | None:
    """What a person says to the agent; None for every other message in a channel.

    With `known` the agent took an earlier text of it in, so it need not be addressed again.
    Each Discord channel is a chat of its own, and so is each thread: Discord numbers, limits
    and lists them alike.
    """
    if message.type not in _TALK or message.author.bot or message.webhook_id:
        return None
    if not known and not is_addressed(message, me):
        return None

    direct = isinstance(message.channel, discord.DMChannel)
    quote = (
        {}
        if direct or isinstance(message.channel, discord.Thread)
        else {"quote": "yes"}
    )

    return Said(
        address=Address(
            channel="discord",
            chat=str(message.channel.id),
            message=str(message.id),
            extra=quote,
        ),
        message_id=str(message.id),
        user_id=str(message.author.id),
        text=_text(message, me),
        username=message.author.display_name,
        direct=direct,
    )


def read_reaction(
    reaction: discord.RawReactionActionEvent,
    me: discord.abc.Snowflake,
    *,
    given: bool,
) -> Reacted | None:
    """A person's thumb on what may be a message of the agent; None for every other reaction.

    Only for a new reaction, Discord tells the message's author and whether a bot reacts.
    """
    thumb = None if reaction.emoji.id else thumb_of_emoji(reaction.emoji.name)
    member = reaction.member
    if thumb is None or reaction.user_id == me.id:
        return None
    if member is not None and member.bot:
        return None
    if reaction.message_author_id not in (None, me.id):
        return None

    return Reacted(
        address=Address("discord", str(reaction.channel_id)),
        message_id=str(reaction.message_id),
        user_id=str(reaction.user_id),
        thumb=thumb,
        username=member.display_name if member else None,
        direct=reaction.guild_id is None,
        taken_back=not given,
    )


def is_addressed(message: discord.Message, me: discord.abc.Snowflake) -> bool:
    """Whether this is a direct message, a mention of the agent or a reply to it.

    In a thread that the agent takes part in, a message that mentions nobody else, too.
    """
    if isinstance(message.channel, discord.DMChannel):
        return True
    if any(mark in message.content for mark in _marks(message, me)):
        return True

    answered = _answered_author(message)
    if answered is not None:
        return answered == me.id

    return _takes_part(message.channel, me) and not message.mentions


def _takes_part(channel: object, me: discord.abc.Snowflake) -> bool:
    return isinstance(channel, discord.Thread) and (
        channel.me is not None or channel.owner_id == me.id
    )


def _answered_author(message: discord.Message) -> int | None:
    if message.type is not discord.MessageType.reply or message.reference is None:
        return None

    answered = message.reference.resolved
    return answered.author.id if isinstance(answered, discord.Message) else None


def _marks(message: discord.Message, me: discord.abc.Snowflake) -> Iterator[str]:
    """How the agent is mentioned. People may pick its role, which has the same name."""
    yield f"<@{me.id}>"
    yield f"<@!{me.id}>"
    role = message.guild.self_role if message.guild else None
    if role is not None:
        yield f"<@&{role.id}>"


def _text(message: discord.Message, me: discord.abc.Snowflake) -> str:
    """The text without the mention of the agent, with names of others and of attachments."""
    text = message.content
    for mark in _marks(message, me):
        text = re.sub(rf"[ \t]*{re.escape(mark)}", "", text)

    for person in message.mentions:
        name = f"@{person.display_name}".replace("\\", r"\\")
        text = re.sub(rf"<@!?{person.id}>", name, text)

    forwarded = [
        f"[forwarded] {snapshot.content}" for snapshot in message.message_snapshots
    ]
    stickers = [f"[sticker {sticker.name}]" for sticker in message.stickers]
    attached = [_name_attachment(attachment) for attachment in message.attachments]

    return "\n".join(
        part for part in (text.strip(), *forwarded, *stickers, *attached) if part
    )


def _name_attachment(attachment: discord.Attachment) -> str:
    kind = (attachment.content_type or "").partition("/")[0]
    shown = kind if kind in _KINDS else "file"

    return f"[{shown} {attachment.filename}, {_size(attachment.size)}]"


def _size(count: int) -> str:
    if count >= 1e6:
        return f"{count / 1e6:.1f} MB"

    return f"{max(1, round(count / 1000))} kB"
