"""What of a Markdown text matters where it is cut: which constructs are open there, and
what opens them again.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from channels.markdown.cutting import Range, Shape
from channels.markdown.edits import indentation
from channels.markdown.parser import (
    BLOCKS,
    Event,
    Tag,
    parse,
)

_MARKS = {
    Tag.BOLD: 2,
    Tag.ITALIC: 1,
    Tag.STRIKE: 2,
    Tag.SPOILER: 2,
}  # characters on each side
_ONE = re.compile(
    r"\\[!-/:-@\[-`{-~]|&(?:#\w{1,8}|\w{1,32});"
)  # shown as one character
_ADDRESS = re.compile(r"https?://[^\s<>]+")
_PREFIX = re.compile(r"[ \t>]*")
_TICKS = re.compile("`+")
_ITEM = re.compile(r"([-+*]|\d{1,9}[.)])([ \t]{1,4}(?=\S)|[ \t]|$)")


class Wrap(Struct, frozen=True):
    """A construct that can be closed before a cut and opened again after it."""

    start: int
    end: int
    inner_start: int
    inner_end: int
    opening: str
    closing: str
    block: bool = False  # the opening stands on lines of its own
    code: bool = False  # white space counts

    def holds(self, at: int) -> bool:
        """Whether a cut at this place needs it closed."""
        return self.inner_start <= at <= self.inner_end and self.start < at < self.end

    def bare(self) -> Wrap:
        """A block of code without its info string."""
        return (
            replace(
                self,
                opening=self.closing.strip(" >\n") + "\n",
            )
            if self.code
            else self
        )

    @property
    def marks(self) -> tuple[Range, Range]:
        """Where it must not be cut: inside its marks, and right behind or before them,
        which would leave it empty.
        """
        return (self.start, self.inner_start + 1), (
            self.inner_end - 1,
            self.end,
        )


class Container(Struct, frozen=True):
    """A list item or an indented block of code: its lines are indented up to this column."""

    start: int
    end: int
    column: int
    depth: int = (
        0  # in how many quotations it is; the column is counted behind their marks
    )


class Outline(Struct):
    """The constructs of a text."""

    text: str
    wraps: list[Wrap] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)
    quotes: list[Range] = field(default_factory=list)
    begins: set[int] = field(default_factory=set)  # at which places blocks begin
    code: list[Range] = field(default_factory=list)
    indented: list[Range] = field(
        default_factory=list
    )  # the code that is no fenced block
    _quotes_begin: list[int] = field(default_factory=list)
    _quotes_end: list[int] = field(default_factory=list)
    _whole: list[Range] = field(default_factory=list)
    _solid: list[Range] = field(default_factory=list)

    @property
    def shape(self) -> Shape:
        """What a cut has to know."""
        return Shape(self._whole, self._solid, self.code)

    def quoted(self, at: int) -> str:
        """What a line needs in front to be quoted as this place is."""
        return "> " * self.depth(at)

    def depth(self, at: int) -> int:
        """In how many quotations a place is."""
        return bisect_left(self._quotes_begin, at) - bisect_right(
            self._quotes_end, at
        )

    def open_containers(self, at: int) -> list[Container]:
        """Those that indent a cut at this place, the innermost first."""
        open_ = [
            box for box in self.containers if box.column and box.start < at < box.end
        ]

        return [replace(box, depth=self.depth(box.start + 1)) for box in open_]

    def read(self) -> Outline:
        """Fills it from the text."""
        before = 0  # where the part before this one ended

        for event in parse(self.text):
            if event.tag in BLOCKS:
                self.begins.add(event.start)
            if event.kind != "start":
                self._read(event, before)
            before = event.end if event.kind != "start" else before

        self._quotes_begin = sorted(start for start, _ in self.quotes)
        self._quotes_end = sorted(end for _, end in self.quotes)
        self._whole += (found.span() for found in _ADDRESS.finditer(self.text))
        self._solid += (found.span() for found in _ONE.finditer(self.text))

        return self

    def _read(self, event: Event, before: int) -> None:
        span = event.start, event.end

        match event.tag:
            case Tag.BOLD | Tag.ITALIC | Tag.STRIKE | Tag.SPOILER:
                self._wrap(event, _MARKS[event.tag])
            case Tag.CODE:
                self._wrap(
                    event,
                    _length(_TICKS, self.text, event.start),
                )
            case Tag.LINK if self.text.startswith("<", event.start):
                self._solid.append(span)
            case Tag.LINK | Tag.IMAGE:
                self._link(event, before)
            case Tag.FENCE | Tag.INDENTED:
                self._block(event)
            case Tag.TABLE:
                self._table(event)
            case Tag.HEADING | Tag.HEAD | Tag.ROW:
                self._whole.append(
                    (
                        event.start,
                        len(self.text[: event.end].rstrip("\n")),
                    )
                )
            case Tag.QUOTE:
                self.quotes.append(span)
            case Tag.ITEM:
                self._item(event)

    def _wrap(self, event: Event, width: int) -> None:
        marks = self.text[event.start : event.start + width]
        self._add(
            Wrap(
                event.start,
                event.end,
                event.start + width,
                event.end - width,
                marks,
                marks,
                code=event.tag is Tag.CODE,
            )
        )
        if event.tag is Tag.CODE:
            self._solid += self._ticks_in(event.start + width, event.end - width)

    def _ticks_in(self, start: int, end: int) -> Iterator[Range]:
        """Next to these the marks of the code would be misread."""
        return (
            (found.start() - 1, found.end() + 1)
            for found in _TICKS.finditer(self.text, start, end)
        )

    def _link(self, event: Event, before: int) -> None:
        opening = "!["[self.text[event.start] != "!" :]
        inner = event.start + len(opening)
        end = max(inner, before)
        self._add(
            Wrap(
                event.start,
                event.end,
                inner,
                end,
                opening,
                self.text[end : event.end],
            )
        )

    def _add(self, wrap: Wrap) -> None:
        self.wraps.append(wrap)
        self._whole.append((wrap.start, wrap.end))
        self._solid += wrap.marks

    def _block(self, event: Event) -> None:
        line = self._line(event.start)
        if event.tag is Tag.INDENTED:
            self.code.append((line, event.end))
            self.indented.append((line, event.end))
            return

        fence = fence_of(self.text, event)
        self.code.append((line, fence.end))
        self.containers.append(
            Container(
                fence.start,
                fence.end,
                self._column(event.start),
            )
        )
        self.wraps.append(fence)
        self._solid += (
            (line, fence.inner_start + 1),
            (fence.inner_end - 1, fence.end),
        )

    def _table(self, event: Event) -> None:
        rule = self.text.find("\n", event.start) + 1
        inner = self._end(rule)
        head, under = (
            self.text[event.start : rule],
            self.text[rule:inner].lstrip(" \t>"),
        )
        self.wraps.append(
            Wrap(
                event.start,
                event.end,
                inner,
                event.end,
                f"{head}{under}\n",
                "",
                block=True,
            )
        )
        self._solid.append((event.start, inner + 1))

    def _item(self, event: Event) -> None:
        start = event.start + _length(
            _PREFIX, self.text, event.start
        )  # with tabs, it begins before them
        marker = _ITEM.match(self.text, start, self._end(start))
        width = len(marker[0].expandtabs(4)) + (marker[2] == "") if marker else 0
        self.containers.append(
            Container(
                event.start,
                event.end,
                self._column(start) + width,
            )
        )
        self._solid.append((start, start + width + 1))

    def _column(self, at: int) -> int:
        """How far a place is indented, behind the marks of a quotation."""
        line = self.text[self._line(at) : at]

        _, quoted, behind = line.rpartition(">")

        return len(behind.expandtabs(4)) - bool(quoted and behind.startswith(" "))

    def _line(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _end(self, at: int) -> int:
        end = self.text.find("\n", at)

        return end if end >= 0 else len(self.text)


def fence_of(text: str, event: Event) -> Wrap:
    """A fenced block of code: what closes it and what opens it again. One that is never
    closed ends with the text.
    """
    first_end = text.find("\n", event.start, event.end)
    first_end = first_end if first_end >= 0 else event.end
    first = text[event.start : first_end]
    marker = first[: len(first) - len(first.lstrip(first[0]))]
    last = text.rfind("\n", 0, event.end)
    closed = last >= first_end and text[last + 1 : event.end].strip(
        " \t>"
    ).startswith(marker)
    closing = f"\n{indentation(text, event.start)}{marker}"

    return Wrap(
        event.start,
        event.end if closed else len(text) + 1,
        first_end + 1,
        last if closed else event.end,
        first.rstrip() + "\n",
        closing,
        block=True,
        code=True,
    )


def _length(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)

    return len(found[0]) if found else 0
