"""Markdown as plain text with formatting beside it, as Telegram takes it.

Each construct is converted by itself: what cannot be formatted stays as it was written,
and nothing else with it.
"""

from __future__ import annotations

import re

from msgspec import Struct

from channels.markdown.links import misleads
from channels.markdown.parser import Event, Tag, parse
from channels.markdown.tables import Table
from channels.telegram.entities import Span, nested, without_pings

_LINKS = (
    "http://",
    "https://",
    "mailto:",
)  # a tg:// link to a person would ping them
_LONGEST = 2_048  # characters of an address, as most browsers take them
_STYLES = {
    Tag.BOLD: "bold",
    Tag.HEADING: "bold",
    Tag.ITALIC: "italic",
    Tag.STRIKE: "strikethrough",
    Tag.SPOILER: "spoiler",
    Tag.QUOTE: "blockquote",
}
_BLOCKS = frozenset(
    {
        Tag.PARAGRAPH,
        Tag.HEADING,
        Tag.FENCE,
        Tag.INDENTED,
        Tag.TABLE,
        Tag.ITEM,
        Tag.RULE,
    }
)
_BLANK = re.compile(r"\n[ \t>]*\n")
_MARKER = re.compile(r"[ \t>]*(\d{1,9}[.)]|[-+*])")
_LINKING = (Tag.LINK, Tag.IMAGE)
_SIGNS = {Tag.BREAK: "\n", Tag.RULE: "———"}
_BULLET = "•"
_DEEPEST = 16  # lists in lists that are indented more and more; no screen is wider
_LANGUAGE = (
    60  # characters of an info string at most; what is longer is no language but text
)


class _Open(Struct):
    """A part that has begun."""

    event: Event
    begin: int | None = None  # where in the text; None while nothing of it is written


class Formatted(Struct, frozen=True):
    """A text and its formatting, in the order in which it begins."""

    text: str
    spans: tuple[Span, ...]


def formatted(markdown: str) -> Formatted:
    """What Telegram shows for a `sound` Markdown text."""
    writer = _Writer(markdown)

    for event in parse(markdown):
        writer.read(event)

    return writer.result()


class _Writer:
    """Writes what the events of a Markdown text say."""

    def __init__(self, markdown: str) -> None:
        self._markdown = markdown
        self._read = 0  # up to which place of the Markdown
        self._written: list[str] = []
        self._length = 0
        self._spans: list[Span] = []
        self._open: list[_Open] = []
        self._new_block = False
        self._least = ""  # what at least stands between two blocks
        self._lists = 0  # that are open
        self._table: Table | None = None

    def result(self) -> Formatted:
        """What is written so far."""
        text = "".join(self._written)

        return Formatted(text, without_pings(text, nested(self._spans)))

    def read(self, event: Event) -> None:
        """Writes the next event."""
        self._new_block = self._new_block or event.tag in _BLOCKS

        if self._table or event.tag is Tag.TABLE:
            self._read_table(event)
        elif event.kind == "start":
            self._start(event)
        elif event.kind == "end":
            self._end(event, self._open.pop())
        elif event.tag is Tag.CODE:
            start = self._write(event.value, event.start, event.end)
            self._span("code", start)
        else:
            self._write(
                _SIGNS.get(event.tag, event.value),
                event.start,
                event.end,
            )

    def _write(self, text: str, start: int, end: int) -> int:
        """Writes what stands at this place of the Markdown. Returns where it begins."""
        if self._new_block and self._length:
            self._add(_separation(self._markdown[self._read : start]) or self._least)

        begin = self._length
        for part in reversed(self._open):
            if part.begin is not None:
                break
            part.begin = begin

        self._add(text)
        self._read = end - self._markdown[start:end].endswith("\n")
        self._new_block = False
        self._least = "\n"

        return begin

    def _add(self, text: str) -> None:
        self._written.append(text)
        self._length += len(text)

    def _since(self, begin: int) -> str:
        """What is written from this place on."""
        at, parts = self._length, list[str]()

        for part in reversed(self._written):
            if at <= begin:
                break
            at -= len(part)
            parts.append(part)

        return "".join(reversed(parts))[begin - at :]

    def _span(
        self,
        kind: str,
        start: int,
        *,
        url: str | None = None,
        language: str | None = None,
    ) -> None:
        if start < self._length:
            self._spans.append(
                Span(
                    kind,
                    start,
                    self._length,
                    url,
                    language,
                )
            )

    def _start(self, event: Event) -> None:
        self._lists += event.tag is Tag.LIST

        if event.tag is Tag.ITEM:
            self._write_marker(event)
        elif event.tag in _LINKING and not _leads(event.value):
            self._write_raw(
                event.start,
                event.start + (2 if event.tag is Tag.IMAGE else 1),
            )
        elif event.tag is Tag.FENCE and len(event.value) > _LANGUAGE:
            self._write(
                event.value,
                event.start,
                self._markdown.find("\n", event.start),
            )
            self._new_block = True

        self._open.append(_Open(event))

    def _write_marker(self, item: Event) -> None:
        marker = _MARKER.match(self._markdown, item.start)
        shown = marker[1] if marker and marker[1][0].isdigit() else _BULLET
        self._write(
            "  " * min(self._lists - 1, _DEEPEST) + shown + " ",
            item.start,
            marker.end() if marker else item.start,
        )
        self._least = ""

    def _write_raw(self, start: int, end: int) -> None:
        self._write(self._markdown[start:end], start, end)

    def _end(self, event: Event, part: _Open) -> None:
        self._lists -= event.tag is Tag.LIST

        if event.tag in _LINKING:
            self._end_link(event, part)
        elif part.begin is None:
            if event.tag is Tag.FENCE:
                self._write_raw(event.start, event.end)
        elif event.tag in _STYLES:
            self._span(_STYLES[event.tag], part.begin)
        elif event.tag in (Tag.FENCE, Tag.INDENTED):
            self._end_code(part.begin, part.event.value)

    def _end_code(self, start: int, info: str) -> None:
        last = self._written[-1]
        if last.endswith("\n"):  # the one before the closing fence
            self._written[-1] = last[:-1]
            self._length -= 1

        self._span(
            "pre",
            start,
            language=info if 0 < len(info) <= _LANGUAGE else None,
        )

    def _end_link(self, event: Event, part: _Open) -> None:
        address = part.event.value
        if not _leads(address):
            self._write_raw(self._read, event.end)
            return

        if part.begin is None:  # a link without words
            part.begin = self._write(address, event.start, event.end)

        words = self._since(part.begin)
        title = _title(
            self._markdown[self._read : event.end],
            address,
        )
        if misleads(words, address) or self._links_since(part.begin):
            self._add(f" ({address})")
        else:
            self._span("text_link", part.begin, url=address)

        self._add(title)
        self._read = event.end

    def _links_since(self, begin: int) -> bool:
        """Whether a link begins there already: a picture that is the words of another link."""
        return any(
            span.type == "text_link" and span.start >= begin
            for span in reversed(self._spans[-1:])
        )

    def _read_table(self, event: Event) -> None:
        self._table = self._table or Table(self._markdown)
        self._table.read(event)

        if event.tag is Tag.TABLE and event.kind == "end":
            start = self._write(
                "\n".join(self._table.drawn()),
                event.start,
                event.end,
            )
            self._span("pre", start)
            self._table = None


def _leads(address: str) -> bool:
    """Whether a link may lead there."""
    return address.startswith(_LINKS) and len(address) <= _LONGEST


def _separation(between: str) -> str:
    """What stands between two blocks: a new line, and one left blank where the Markdown
    leaves one.
    """
    if _BLANK.search(between):
        return "\n\n"

    return "\n" if "\n" in between else ""


def _title(tail: str, address: str) -> str:
    """The title of a link, which Telegram has no place for, from what stands behind the words."""
    title = tail.replace(address, "", 1).strip("[]()<>\"' \t\n")

    return f" ({title})" if title else ""
