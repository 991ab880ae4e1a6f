"""Markdown as Telegram shows it: plain text with entities, cut into messages."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import (
    Iterable,
    Iterator,
)

from msgspec import Struct
from msgspec.structs import replace
from telegram import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    MessageEntity,
)

from agent.core.text import says_nothing
from agent.core.words.buttons import Button
from channels.markdown.cutting import (
    Cutter,
    Shape,
    reach_of,
)
from channels.markdown.growth import (
    begun,
    doubt,
)
from channels.markdown.parser import sound
from channels.splitting import (
    utf16_length,
)
from channels.telegram.entities import (
    Span,
)
from channels.telegram.formatting import (
    Formatted,
    formatted,
)

ONE_ROW = 3
"""Buttons that fit next to each other."""

LIMIT = 4096  # UTF-16 units of one message, https://core.telegram.org/bots/api#sendmessage
MOST_ENTITIES = 100  # of one message; Telegram drops the rest without a word
LARGEST_ENTITIES = 9_000
"""Size of all entities of a message: Telegram refuses about 9,500 (tdlib/telegram-bot-api#165)."""
_ENTITY = 20  # of that for each entity, besides its address
_EMPTY = "…"  # Telegram refuses a message without text
_KEPT = frozenset(
    {
        "code",
        "text_link",
        "bold",
        "italic",
        "strikethrough",
        "spoiler",
    }
)  # not cut if it can be helped
_ADDRESS = re.compile(r"https?://\S+")
_AFTER_CUT = re.compile(r"(?:[ \t]*\n)+|[ \t]+")  # the next line's indentation stays


class Piece(Struct, frozen=True):
    """One message's text and its formatting."""

    text: str
    entities: tuple[MessageEntity, ...] = ()
    buttons: tuple[Button, ...] = ()
    """Under the message."""

    @property
    def keyboard(self) -> InlineKeyboardMarkup | None:
        """The buttons: a few in one row, more below each other."""
        keys = [
            InlineKeyboardButton(one.label, callback_data=one.data)
            for one in self.buttons
        ]
        rows = [keys] if len(keys) <= ONE_ROW else [[key] for key in keys]

        return InlineKeyboardMarkup(rows) if keys else None

    def labelled(self, label: str) -> Piece:
        """The same with words in front of it."""
        by = utf16_length(label)

        return Piece(
            label + self.text,
            tuple(_moved(entity, by) for entity in self.entities),
            self.buttons,
        )


def render(
    markdown: str,
    limit: int = LIMIT,
    *,
    growing: bool = False,
) -> list[Piece]:
    """The messages that show this text, each with at most `limit` UTF-16 units; at least one.

    Of a text that is `growing`, all but the last stay as they are.
    """
    text = begun(sound(markdown)) if growing else sound(markdown)
    whole = formatted(text)
    unsure = (
        doubt(
            text,
            lambda part: formatted(part).text,
        )
        if growing
        else 0
    )
    known = len(whole.text) - unsure
    pieces = _pieces(whole, limit, known)
    seen = [piece for piece in pieces if not says_nothing(piece.text)]

    return seen or [Piece(_EMPTY)]


def _pieces(
    whole: Formatted,
    limit: int,
    known: int,
) -> Iterator[Piece]:
    """The messages; none after the first whose end depends on what is not `known` yet."""
    at = len(whole.text) - len(whole.text.lstrip("\n"))
    coming = deque(whole.spans)
    spans: list[Span] = []

    while at < len(whole.text):
        end = at + 2 * limit
        while coming and coming[0].start < end:
            spans.append(coming.popleft())

        spans = [span for span in spans if span.end > at]
        rest = Formatted(
            whole.text[at:end],
            tuple(_from(at, spans[: MOST_ENTITIES + 1])),
        )
        cut = _cut(rest, limit)
        yield _piece(rest, cut)
        if at + _reach(rest, limit) > known:
            break

        at += cut + _skipped(rest, cut)


def _from(at: int, spans: Iterable[Span]) -> Iterator[Span]:
    """The spans as they are in a text that begins at this place."""
    for span in spans:
        yield replace(
            span,
            start=max(span.start - at, 0),
            end=span.end - at,
        )


def _cut(rest: Formatted, limit: int) -> int:
    """Where the next message ends."""
    surplus = _surplus(rest)

    def fits(at: int) -> bool:
        return utf16_length(rest.text[:at].rstrip()) <= limit and at <= surplus

    if len(rest.text) <= limit and fits(len(rest.text)):
        return len(rest.text)

    return Cutter(
        rest.text,
        _shape(rest),
        _reach(rest, limit),
        fits,
    ).place()


def _reach(rest: Formatted, limit: int) -> int:
    """Beyond which place the next message cannot end."""
    most = min(
        len(rest.text) - 1,
        _surplus(rest),
        limit,
    )

    return reach_of(
        rest.text[:most],
        limit,
        utf16_length,
    )


def _surplus(rest: Formatted) -> int:
    """Where the first formatting begins that is too much for one message."""
    size = 0

    for number, span in enumerate(rest.spans):
        size += (
            _ENTITY
            + len((span.url or "").encode())
            + len((span.language or "").encode())
        )
        if number == MOST_ENTITIES or (number and size > LARGEST_ENTITIES):
            return max(span.start, 1)

    return len(rest.text)


def _shape(rest: Formatted) -> Shape:
    whole = [(span.start, span.end) for span in rest.spans if span.type in _KEPT]
    addresses = [found.span() for found in _ADDRESS.finditer(rest.text)]

    return Shape(
        [*whole, *addresses],
        (),
        [(span.start, span.end) for span in rest.spans if span.type == "pre"],
    )


def _skipped(rest: Formatted, cut: int) -> int:
    """How much white space at a cut is left out: of code only the newline."""
    if any(
        span.type in ("pre", "code") and span.start < cut < span.end
        for span in rest.spans
    ):
        return int(rest.text.startswith("\n", cut))

    space = _AFTER_CUT.match(rest.text, cut)

    return len(space[0]) if space else 0


def _piece(rest: Formatted, cut: int) -> Piece:
    """The message that ends there. Code that is cut goes on as code in the next."""
    text = rest.text[:cut].rstrip()
    spans = (span for span in rest.spans if span.start < len(text))

    return Piece(
        text,
        tuple(_entity(text, span) for span in spans),
    )


def _entity(text: str, span: Span) -> MessageEntity:
    return MessageEntity(
        span.type,
        offset=utf16_length(text[: span.start]),
        length=utf16_length(text[span.start : span.end]),
        url=span.url,
        language=span.language,
    )


def _moved(entity: MessageEntity, by: int) -> MessageEntity:
    return MessageEntity(
        **{
            **entity.to_dict(),
            "offset": entity.offset + by,
        }
    )
