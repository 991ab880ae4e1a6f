"""Marks in a Telegram text (its entities): mentions of the agent, links behind words, and
looks that mean something.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from telegram import MessageEntity

from channels.fields import Json, first_text, identity, integer, items, mapping, text

_FENCE = "```"
_QUOTES = (MessageEntity.BLOCKQUOTE, MessageEntity.EXPANDABLE_BLOCKQUOTE)
_LOOKS = (MessageEntity.STRIKETHROUGH, MessageEntity.PRE, *_QUOTES)

Insertion = tuple[int, str]
"""What is put at a place, in UTF-16 units, in which Telegram counts."""


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
    length = _units(written(message))
    found = items(message, _field(message))

    return [one for one in found if _is_inside(one, length)]


def _is_inside(
    entity: Json,
    whole: int,
) -> bool:
    start, length = integer(entity, "offset"), integer(entity, "length")
    if start is None or length is None:
        return False

    return start >= 0 and length > 0 and start + length <= whole


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
    given = message.get(_field(message))
    is_whole = isinstance(given, list | tuple) and len(given) == len(_marks(message))
    if not me.username or given is None or is_whole:
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
    is_address = url and not any(character.isspace() for character in url)
    if not is_address or url.rstrip("/") == words.rstrip("/"):
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


def with_looks(
    message: Json,
) -> Json:
    """The message with struck text, quotations and code as Markdown; other marks move along.

    Bold and the like are left out: they say nothing that the words do not.
    """
    field = _field(message)
    changed = message

    for look in reversed([one for one in _marks(message) if _is_look(one)]):
        for insertion in reversed(list(_insertions(written(message), look))):
            changed = _with(changed, field, insertion)

    return changed


def _is_look(
    mark: Json,
) -> bool:
    return text(mark, "type") in _LOOKS


def _insertions(
    words: str,
    look: Json,
) -> Iterator[Insertion]:
    """In the order of their places."""
    start, end = _place(look)
    kind = text(look, "type")
    encoded = words.encode("utf-16-le", "surrogatepass")
    inside = encoded[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")
    goes_on = encoded[2 * end : 2 * end + 2] not in (b"", b"\n\0")
    breaks = "\n" if goes_on else ""

    if kind == MessageEntity.STRIKETHROUGH:
        yield start, "~~"
        yield end, "~~"
    elif kind == MessageEntity.PRE and _FENCE not in inside:
        yield start, f"{_FENCE}{text(look, 'language')}\n"
        yield end, f"\n{_FENCE}{breaks}"
    elif kind in _QUOTES:
        yield from _quotation(inside, start)
        yield end, breaks


def _quotation(
    inside: str,
    start: int,
) -> Iterator[Insertion]:
    at = start
    for line in inside.splitlines(keepends=True):
        yield at, "> "
        at += _units(line)


def _with(
    message: Json,
    field: str,
    insertion: Insertion,
) -> Json:
    """The message with this in its text."""
    at, put = insertion
    name = "text" if field == "entities" else "caption"
    encoded = text(message, name).encode("utf-16-le", "surrogatepass")
    whole = encoded[: 2 * at] + put.encode("utf-16-le") + encoded[2 * at :]
    moved = _moved(message[field], at, _units(put))

    return {
        **message,
        name: whole.decode("utf-16-le", "surrogatepass"),
        field: moved,
    }


def _moved(
    found: Sequence[object],
    at: int,
    by: int,
) -> list[object]:
    """The marks after something was put there; what cannot be read stays as it is."""
    return [_shifted(mark, at, by) for mark in found]


def _shifted(
    mark: object,
    at: int,
    by: int,
) -> object:
    if not isinstance(mark, dict):
        return mark

    try:
        start, end = _place(mark)
    except ValueError:
        return mark

    start, end = start + by * (start >= at), end + by * (end > at)

    return {**mark, "offset": start, "length": end - start}
