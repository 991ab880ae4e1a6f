"""What follows a cut in a list item or in indented code, as text of its own."""

from __future__ import annotations

import re
from collections.abc import (
    Iterable,
    Sequence,
)

from msgspec.structs import replace

from channels.markdown.outline import (
    Container,
    Outline,
)

DEEP = 4
"""Columns of indentation that make code of a line (CommonMark 4.4)."""

PREFIX = re.compile(r"[ \t>]*")
"""What stands before the text of a line: indentation, and the marks of quotations."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_SPACE = re.compile(r"[ \t]*")
_QUOTE = re.compile(r"> ?")
_ITEM = re.compile(r"(?: {0,3}>)* {0,3}(?:[-+*]|\d{1,9}[.)])[ \t]")
_NO_INTERRUPTION = re.compile(
    r"[ \t>]*(?:(?!1[.)])\d{1,9}[.)]|[-+*][ \t]*$)",
    re.MULTILINE,
)
"""Items that cannot interrupt a paragraph (CommonMark 5.3)."""


class Outdenter:
    """Takes the indentation of what was cut from the lines that follow the cut."""

    def __init__(self, text: str, outline: Outline) -> None:
        self._text = text
        self._outline = outline

    def after(
        self,
        cut: int,
        begin: int,
        *,
        in_code: bool,
    ) -> str:
        """The text from `begin`, which follows the cut."""
        boxes = self._outline.open_containers(cut)
        stays = not in_code and self._may_stay_indented(begin)
        kept: list[str] = []
        at = begin

        while boxes and at < len(self._text):
            line = self._line(at)
            boxes = [self._reaching(box, at, line) for box in boxes]
            outdented = self._outdented(at, line, [] if stays else boxes)
            kept += [self._gap(at, line, boxes, outdented), outdented]
            at += len(line)
            boxes = [box for box in boxes if at <= box.end]

        return "".join(kept) + self._text[at:]

    def _may_stay_indented(self, begin: int) -> bool:
        """Whether an item begins there, in which the lines that follow are at home."""
        is_line = self._text[begin - 1 : begin] == "\n"

        return is_line and bool(_ITEM.match(self._text, begin))

    def _line(self, at: int) -> str:
        found = _LINE.match(self._text, at)

        return found[0] if found else ""

    def _reaching(
        self,
        box: Container,
        at: int,
        line: str,
    ) -> Container:
        """The box, as far as it is known to reach.

        Of one that reaches beyond what was read of the text, each line is a part that is
        blank or indented as it is.
        """
        if box.end < max(len(self._outline.text), at):
            return box

        inside = not line.strip() or indentation_of(line, box.depth) >= box.column
        end = at + len(line) if inside else min(at, box.end)

        return replace(
            box,
            end=max(
                end,
                len(self._outline.text),
            ),
        )

    def _outdented(
        self,
        at: int,
        line: str,
        boxes: Sequence[Container],
    ) -> str:
        """The line, which begins at this place, without the indentation of these."""
        first = at + length(PREFIX, line, 0)
        is_line = at == 0 or self._text[at - 1] == "\n"

        return (
            _less_indented(line, [box for box in boxes if first < box.end])
            if is_line
            else line
        )

    def _gap(
        self,
        at: int,
        line: str,
        boxes: Sequence[Container],
        outdented: str,
    ) -> str:
        """The blank line without which an item that follows one of these would go on with
        the paragraph before it.
        """
        first = at + length(PREFIX, line, 0)
        follows = any(at <= box.end <= first for box in boxes)

        return (
            self._outline.quoted(at).rstrip() + "\n"
            if follows and _NO_INTERRUPTION.match(outdented)
            else ""
        )


def indentation_of(line: str, depth: int) -> int:
    """By how many columns a line is indented behind the marks of so many quotations.

    -1 where it is in fewer.
    """
    at = 0

    for _ in range(depth):
        at += length(_SPACE, line, at)
        mark = length(_QUOTE, line, at)
        at += mark
        if not mark:
            return -1

    spaces = line[at : at + length(_SPACE, line, at)]

    return len(spaces.expandtabs(DEEP))


def length(
    pattern: re.Pattern[str],
    text: str,
    at: int,
) -> int:
    """How many characters the pattern matches at this place; 0 if it does not."""
    found = pattern.match(text, at)

    return len(found[0]) if found else 0


def _less_indented(line: str, boxes: Iterable[Container]) -> str:
    """The line without the indentation of these, of which some may be quotations in others."""
    columns = {box.depth: box.column for box in reversed(list(boxes))}
    kept, at = "", 0

    for depth in range(max(columns, default=-1) + 1):
        spaces = length(_SPACE, line, at)
        mark = length(_QUOTE, line, at + spaces)
        kept += _without(
            columns.get(depth, 0),
            line[at : at + spaces],
        )
        kept += line[at + spaces : at + spaces + mark]
        at += spaces + mark
        if not mark:
            break

    return kept + line[at:]


def _without(columns: int, indentation: str) -> str:
    """The indentation without that many columns; what is left of a tab becomes spaces."""
    at = column = 0

    while at < len(indentation) and column < columns:
        column += DEEP - column % DEEP if indentation[at] == "\t" else 1
        at += 1

    return " " * (column - columns) + indentation[at:]
