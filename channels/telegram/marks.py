"""Marks in a Telegram text (its entities): mentions of the agent, and links behind words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from telegram import MessageEntity

from channels.fields import Json, first_text, identity, integer, items, mapping, text

_LINKS = ("http://", "https://", "mailto:", "tg://")


class Bot(Protocol):
    """What tells whether a message is meant for the bot."""

    @property
    def id(self) -> int:
        """Its user id."""

    @property
    def username(self) -> str | None:
        """Its name without @."""


def written(
    message: Json,
) -> str:
    """The person's own words."""
    return first_text(message, "text", "caption")


def mentions(
    message: Json,
    me: Bot,
) -> list[Json]:
    """Where the text names the agent."""
    words = written(message)
    found = [one for one in _marks(message) if _names(one, words, me)]

    return found or _unmarked(message, me)


def links(
    message: Json,
) -> list[Json]:
    """Words with an address behind them."""
    return [
        one for one in _marks(message) if text(one, "type") == MessageEntity.TEXT_LINK
    ]


def _field(
    message: Json,
) -> str:
    return "entities" if text(message, "text") else "caption_entities"


def _marks(
    message: Json,
) -> list[Json]:
    """Those that can be read."""
    units = _units(written(message))
    return [one for one in items(message, _field(message)) if _is_inside(one, units)]


def _is_inside(
    entity: Json,
    units: int,
) -> bool:
    start, length = integer(entity, "offset"), integer(entity, "length")
    if start is None or length is None:
        return False

    return start >= 0 and length > 0 and start + length <= units


def _names(
    entity: Json,
    words: str,
    me: Bot,
) -> bool:
    kind = text(entity, "type")
    if kind == MessageEntity.TEXT_MENTION:
        return integer(mapping(entity, "user"), "id") == me.id

    mention = _slice(words, *_place(entity))

    return (
        kind == MessageEntity.MENTION and mention.lower() == f"@{me.username}".lower()
    )


def _unmarked(
    message: Json,
    me: Bot,
) -> list[Json]:
    """Where the agent's name stands in a text whose marks cannot all be read."""
    marks = message.get(_field(message))
    is_whole = isinstance(marks, list | tuple) and len(marks) == len(_marks(message))
    if not me.username or marks is None or is_whole:
        return []

    words = written(message)
    pattern = re.compile(rf"@{re.escape(me.username)}(?!\w)", re.IGNORECASE)

    return [
        {
            "offset": _units(words[: found.start()]),
            "length": _units(found[0]),
        }
        for found in pattern.finditer(words)
    ]


def rewritten(
    words: str,
    gone: Iterable[Json],
    linked: Iterable[Json],
) -> str:
    """The text without these mentions, and with the address behind each word that has one."""
    removed = {_place(mention) for mention in gone}
    behind = {_place(link): text(link, "url") for link in linked}
    rest, last = words, _units(words)

    for start, end in sorted(removed | behind.keys(), reverse=True):
        if end > last:
            continue  # marks that overlap

        last, before, after = start, _slice(rest, 0, start), _slice(rest, end)
        if (start, end) in removed:
            opens = not before.strip()
            rest = before + (
                after.lstrip(" ,:") if opens else after.removeprefix(" ")
            )
        else:
            inside = _slice(rest, start, end)
            rest = before + _linked(inside, behind[start, end]) + after

    return rest.strip() if removed else rest


def _linked(
    words: str,
    url: str,
) -> str:
    if not url.startswith(_LINKS) or url.rstrip("/") == words.rstrip("/"):
        return words

    return f"[{words}]({url})"


def _place(
    entity: Json,
) -> tuple[int, int]:
    start = identity(entity, "offset")
    return start, start + identity(entity, "length")


def _slice(
    words: str,
    start: int,
    end: int | None = None,
) -> str:
    """A part of the text by UTF-16 units, in which Telegram counts."""
    units = words.encode("utf-16-le", "surrogatepass")
    part = units[2 * start : None if end is None else 2 * end]

    return part.decode("utf-16-le", "surrogatepass")


def _units(
    words: str,
) -> int:
    return len(words.encode("utf-16-le", "surrogatepass")) // 2
