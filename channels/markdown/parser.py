"""Markdown, read once for all platforms: what it consists of, and where in the text each
part stands.

CommonMark and GitHub's tables and strikethrough, by pulldown-cmark, which tells where in
the text it found each construct. Read as people mean it (channels/markdown/meaning.py):
spoilers are constructs; HTML, definitions of links and mathematics are text.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal

import pyromark
from msgspec import Struct
from msgspec.structs import replace
from pyromark.event import Event as Found
from pyromark.event import Range

from channels.markdown.meaning import (
    Translation,
    meant,
    with_spoilers,
)

_OPTIONS = pyromark.Options.ENABLE_TABLES | pyromark.Options.ENABLE_STRIKETHROUGH
SPOILER = "||"
_KEPT = 4  # texts, with what was read in them


class Tag(enum.StrEnum):
    """What an event is about."""

    PARAGRAPH = "Paragraph"
    HEADING = "Heading"
    QUOTE = "BlockQuote"
    LIST = "List"
    ITEM = "Item"
    FENCE = "Fenced"  # value: the info string
    INDENTED = "Indented"  # code, too
    TABLE = "Table"  # value: a letter for each column's side: N(one), L(eft), C(enter), R(ight)
    HEAD = "TableHead"
    ROW = "TableRow"
    CELL = "TableCell"
    BOLD = "Strong"
    ITALIC = "Emphasis"
    STRIKE = "Strikethrough"
    SPOILER = "Spoiler"
    LINK = "Link"  # value: the address
    IMAGE = "Image"  # value: the address
    TEXT = "Text"  # value: the text as it is shown
    CODE = "Code"  # inline; value: the code
    BREAK = "Break"
    RULE = "Rule"


BLOCKS = frozenset(
    {
        Tag.PARAGRAPH,
        Tag.HEADING,
        Tag.QUOTE,
        Tag.LIST,
        Tag.ITEM,
        Tag.FENCE,
        Tag.INDENTED,
        Tag.TABLE,
        Tag.ROW,
        Tag.RULE,
    }
)
"""What begins a line."""

_TAGS = {str(tag): tag for tag in Tag}


class Event(Struct, frozen=True):
    """The start or end of a part with others inside, or a leaf. `start` and `end` are
    characters of the text.
    """

    kind: Literal["start", "end", "leaf"]
    tag: Tag
    start: int
    end: int
    value: str = ""


def sound(text: str) -> str:
    """The text with one kind of newline, and without lone surrogates, which no platform takes."""
    paired = text.encode("utf-16-le", "surrogatepass").decode(
        "utf-16-le", "surrogatepass"
    )
    valid = paired.encode("utf-8", "replace").decode()

    return valid.replace("\r\n", "\n").replace("\r", "\n")


@lru_cache(_KEPT)
def parse(text: str) -> Sequence[Event]:
    """The events of a `sound` text, in the order of reading. What the parser breaks down
    over is one paragraph.

    The last few texts are kept: each step of a conversion asks for those of the same text.
    """
    readable, back = meant(text)

    try:
        found = _found(readable)
        if (
            SPOILER in readable
            and (hiding := with_spoilers(readable, _code(readable, found)))
            != readable
        ):
            readable, found = hiding, _found(hiding)
    except BaseException as error:
        if not (isinstance(error, Exception) or _is_panic(error)):
            raise

        return _unread(text)

    return tuple(
        _without_loose_rows(_Reader(text, readable, back).events(found), text)
    )


def _found(readable: str) -> list[tuple[Found, Range]]:
    return list(pyromark.events_with_range(readable, options=_OPTIONS))


def _code(
    readable: str, found: Sequence[tuple[Found, Range]]
) -> list[tuple[int, int]]:
    """Which characters are code."""
    code = [(what, where) for what, where in found if _is_code(what)]
    character = _characters(readable.encode(), code)

    return [(character[where["start"]], character[where["end"]]) for _, where in code]


def _is_code(what: Found) -> bool:
    match what:
        case {"Code": _} | {"Start": {"CodeBlock": _}}:
            return True
        case _:
            return False


def _characters(
    source: bytes, found: Iterable[tuple[Found, Range]]
) -> dict[int, int]:
    """Which character each byte is at which something was found."""
    characters: dict[int, int] = {}
    byte = character = 0

    for place in sorted(
        {place for _, where in found for place in (where["start"], where["end"])}
    ):
        character += len(source[byte:place].decode())
        characters[place] = character
        byte = place

    return characters


def _is_panic(error: BaseException) -> bool:
    """Whether the parser itself broke down: its kind of error is no Exception and has no
    importable name.
    """
    return type(error).__name__ == "PanicException"


def _unread(text: str) -> Sequence[Event]:
    start = Event("start", Tag.PARAGRAPH, 0, len(text))

    return (
        start,
        Event("leaf", Tag.TEXT, 0, len(text), text),
        replace(start, kind="end"),
    )


class _Reader:
    """Translates what the parser found in the meant text to the text itself."""

    def __init__(self, text: str, readable: str, back: Translation) -> None:
        self._text = text
        self._back = back
        self._code = Tag.INDENTED  # what kind of code block is being read
        self._source = readable.encode()

    def events(self, found: Sequence[tuple[Found, Range]]) -> Iterator[Event]:
        character = _characters(self._source, found)

        for what, where in found:
            event = self._translated(
                what,
                character[where["start"]],
                character[where["end"]],
            )

            yield (self._struck(event) if event.tag is Tag.STRIKE else event)

    def _translated(self, found: Found, start: int, end: int) -> Event:
        if isinstance(found, str):
            tag = Tag.RULE if found == "Rule" else Tag.BREAK
            return Event("leaf", tag, start, end)

        ((what, part),) = (
            found.items()
        )  # one: patterns of mappings would take thrice as long

        match what:
            case "Start":
                return self._part("start", part, start, end)
            case "End":
                return self._part("end", part, start, end)
            case "Code":
                return Event("leaf", Tag.CODE, start, end, self._original(str(part)))
            case "Text" | "Html" | "InlineHtml":
                return Event("leaf", Tag.TEXT, start, end, self._original(str(part)))
            case _:
                return Event("leaf", Tag.BREAK, start, end)

    def _part(
        self,
        kind: Literal["start", "end"],
        part: object,
        start: int,
        end: int,
    ) -> Event:
        tag, value = Tag.PARAGRAPH, ""

        match part:
            case "CodeBlock":
                tag = self._code
            case str(name):
                tag = _TAGS.get(name, tag)
            case {"CodeBlock": {"Fenced": str(info)}}:
                tag, value = Tag.FENCE, self._original(info)
                self._code = tag
            case {"CodeBlock": _}:
                tag = self._code = Tag.INDENTED
            case {"Table": tuple(sides)}:
                tag, value = Tag.TABLE, "".join(side[0] for side in sides)
            case {"Link": {"dest_url": address, "link_type": how}}:
                tag, value = (
                    Tag.LINK,
                    self._address(str(address), how),
                )
            case {"Image": {"dest_url": address, "link_type": how}}:
                tag, value = (
                    Tag.IMAGE,
                    self._address(str(address), how),
                )
            case {**named}:
                tag = next(
                    (_TAGS[str(name)] for name in named if name in _TAGS),
                    tag,
                )

        return Event(kind, tag, start, end, value)

    def _address(self, address: str, how: object) -> str:
        return ("mailto:" if how == "Email" else "") + self._original(address)

    def _struck(self, event: Event) -> Event:
        """A strikethrough, the spoiler that the parser took for one, or the marks as text
        where they differ.
        """
        ends = (
            (event.start, event.start + len(SPOILER)),
            (event.end - len(SPOILER), event.end),
        )
        first, last = (self._text[start:end] for start, end in ends)

        if first == last:
            return replace(event, tag=Tag.SPOILER) if first == SPOILER else event

        opens = event.kind == "start"
        start, end = ends[0] if opens else ends[1]

        return Event("leaf", Tag.TEXT, start, end, first if opens else last)

    def _original(self, found: str) -> str:
        return found.translate(self._back) if self._back else found


def _without_loose_rows(events: Iterable[Event], text: str) -> Iterator[Event]:
    """Lines without a pipe right after a table are a paragraph, though GitHub takes each
    for a row of one cell.
    """
    table: Event | None = None  # the one that is open
    loose = False

    for event in events:
        if event.tag is Tag.TABLE:
            table = event if event.kind == "start" else None
            if not loose:
                yield event

        elif event.tag is Tag.ROW and "|" not in text[event.start : event.end]:
            if event.kind == "start" and not loose and table:
                yield replace(table, kind="end", end=event.start)
                loose = True
            yield replace(event, tag=Tag.PARAGRAPH)

        elif event.tag is not Tag.CELL or not loose:
            yield event

        if event.tag is Tag.TABLE and event.kind == "end":
            loose = False
