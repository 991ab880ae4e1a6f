"""Reads Discord's messages and reactions, if they are meant for the agent.

They are taken as Discord sent them, field by field. Only what an answer cannot do without
is needed: the ids of the message, its channel and its author.
"""

from __future__ import annotations

from agent.core.messages import Address, Reacted, Said
from channels.discord.reading.content import content_of, mentions_me, name_of
from channels.discord.reading.fields import (
    Payload,
    digits,
    needed,
    number,
    part,
    parts,
    string,
)
from channels.discord.reading.places import Place, Places
from channels.reactions import thumb_of_emoji

EPOCH = 1_420_070_400.0
"""2015-01-01 in Unix time: https://docs.discord.com/developers/reference, Snowflakes."""

_REPLY = 19
_NOTICES = frozenset(range(1, 56)) - {_REPLY}
"""Types of messages that Discord writes itself: somebody joined, something was pinned. A
type that came later is talk if it has text.
"""


def read_message(
    message: Payload,
    places: Places,
    *,
    place: Place | None = None,
    known: bool = False,
) -> Said | None:
    """What a person says to the agent; None for every other message in a channel.

    With `known` the agent took an earlier text of it in, so it need not be addressed again.
    Without `place`, the message tells where it stands. Raises ValueError when an id that is
    needed is missing.
    """
    id, chat = needed(message, "id"), needed(message, "channel_id")
    author = part(message, "author")
    user = needed(author, "id")
    if not _is_talk(message) or author.get("bot") is True or user == places.me:
        return None

    place = place or places.of(message)
    if not known and not _is_addressed(message, place, places):
        return None

    quote = {} if place.direct or place.thread else {"quote": "yes"}
    address = Address(
        channel="discord",
        chat=chat,
        message=id,
        extra=quote,
    )

    return Said(
        address=address,
        message_id=id,
        user_id=user,
        text=content_of(message, places),
        username=name_of(author, part(message, "member")),
        direct=place.direct,
    )


def read_reaction(
    reaction: Payload,
    places: Places,
    *,
    given: bool,
) -> Reacted | None:
    """A person's thumb on what may be a message of the agent; None for every other reaction.

    Only for a new reaction, Discord tells the message's author and whether a bot reacts.
    Raises ValueError when an id that is needed is missing.
    """
    emoji, member = part(reaction, "emoji"), part(reaction, "member")
    thumb = None if emoji.get("id") else thumb_of_emoji(string(emoji, "name"))
    if thumb is None:
        return None

    user = needed(reaction, "user_id")
    reacting = part(member, "user")
    if user == places.me or reacting.get("bot") is True:
        return None
    if digits(reaction, "message_author_id") not in ("", places.me):
        return None

    return Reacted(
        Address("discord", needed(reaction, "channel_id")),
        needed(reaction, "message_id"),
        user,
        thumb,
        username=name_of(reacting, member),
        direct=not digits(reaction, "guild_id"),
        taken_back=not given,
    )


def written_at(message: str) -> float:
    """When the message of this id was written, in Unix time."""
    return (int(message) >> 22) / 1000 + EPOCH


def _is_talk(message: Payload) -> bool:
    return number(message, "type") not in _NOTICES and not digits(
        message, "webhook_id"
    )


def _is_addressed(
    message: Payload,
    place: Place,
    places: Places,
) -> bool:
    """Whether this is a direct message, a mention of the agent or a reply to it.

    In a thread that the agent takes part in, a message that mentions nobody else, too.
    """
    mentioned = [digits(person, "id") for person in parts(message, "mentions")]
    if place.direct or places.me in mentioned:
        return True
    if mentions_me(string(message, "content"), places):
        return True
    if answered := digits(part(part(message, "referenced_message"), "author"), "id"):
        return answered == places.me

    return place.takes_part and not mentioned
