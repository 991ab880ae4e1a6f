"""Answers of any length, cut into the messages of a platform.

Markdown is read only as far as a cut needs it: lines, paragraphs and fenced code blocks
(CommonMark 4.5, and fences indented by any amount, because models indent them in lists and
the platforms accept it).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Measure = Callable[[str], int]

_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<marker>`{3,}(?=[^`]*$)|~{3,})")
_SPACES = re.compile(r"[ \t]+")
_AFTER_CUT = re.compile(
    r"(?:[ \t]*\n)+|[ \t]+"
)  # blank lines go, the next line's indentation stays
_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_PIPE = re.compile(r"(?<!\\)\|")
_MARKS = re.compile(r"(\*\*|(?<!`)`(?!`))(?!\s)(.+?)(?<!\s)\1")
_LONGEST_CLUSTER = 32  # code points; what is longer is decoration and may be cut


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, in which Telegram counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split(text: str, limit: int, *, measure: Measure = len) -> list[str]:
    """Cuts an answer into pieces that each measure at most `limit` (20 or more).

    A piece ends at a paragraph, else a line, else a word, else anywhere but inside a
    character. One that ends inside a code block closes it and the next opens it again with
    the same info string, except where that would leave less than a quarter of the limit to
    the code. Nothing but white space at the cuts is lost; text that is only white space has
    no pieces. `measure` is the platform's unit: a text's measure is the sum of its
    characters', each at least 1.
    """
    rest, fence = text.replace("\r\n", "\n"), None
    pieces: list[str] = []
    while rest.strip():
        piece = _Piece(
            rest if fence else _without_blank_start(rest), fence, limit, measure
        )
        cut = piece.cut()
        pieces.append(piece.upto(cut))
        rest, fence = piece.beyond(cut), cut.fence
    return [piece for piece in pieces if piece.strip()]


def tables_as_code(text: str) -> str:
    """Markdown's tables (GFM 4.10) as aligned code blocks, for platforms that show none.

    Cells lose the marks of bold text and code, which a code block would show. Fenced code
    is left alone.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    drawn: list[str] = []
    fence, at = None, 0
    while at < len(lines):
        fence = _fence_after(lines[at], fence)
        height = 0 if fence else _table_height(lines, at)
        drawn += _drawn(lines[at : at + height]) if height else [lines[at]]
        at += height or 1
    return "\n".join(drawn)


@dataclass(frozen=True, slots=True)
class _Fence:
    """An open code block: what opens it again in the next piece, and what closes it in this one."""

    marker: str
    opening: str
    closing: str

    def is_closed_by(self, line: str) -> bool:
        bare = line.strip()
        return bare.startswith(self.marker) and not bare.strip(self.marker[0])


def _fence_after(line: str, fence: _Fence | None) -> _Fence | None:
    """The code block that is open after this line."""
    if fence:
        return None if fence.is_closed_by(line) else fence
    found = _FENCE.match(line)
    return (
        _Fence(found["marker"], line.rstrip() + "\n", "\n" + found.group())
        if found
        else None
    )


@dataclass(frozen=True, slots=True)
class _Cut:
    at: int
    fence: _Fence | None  # the code block it lies in


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int  # its newline not included
    before: _Fence | None
    after: _Fence | None

    @property
    def is_fence(self) -> bool:
        return self.before is not self.after


class _Piece:
    """The next piece of a text that begins in the code block `fence`."""

    def __init__(
        self, text: str, fence: _Fence | None, limit: int, measure: Measure
    ) -> None:
        self._text = text
        self._limit = limit
        self._measure = measure
        self._prefix = fence.opening if fence and self._mends(fence) else ""
        self._lines = list(self._read(fence))

    def upto(self, cut: _Cut) -> str:
        """The piece that ends at this cut, as it is sent."""
        body = self._text[: cut.at]
        if cut.fence is None:
            return self._prefix + body.rstrip()
        closing = cut.fence.closing if self._mends(cut.fence) else ""
        return self._prefix + body.removesuffix("\n") + closing

    def beyond(self, cut: _Cut) -> str:
        """The text after the piece that ends at this cut."""
        if cut.fence:
            return self._text[cut.at :].removeprefix("\n")
        space = _AFTER_CUT.match(self._text, cut.at)
        return self._text[space.end() if space else cut.at :]

    def cut(self) -> _Cut:
        """Where to cut: as late as possible at the best kind of place, but a quarter must
        be filled.
        """
        whole = _Cut(len(self._text), self._lines[-1].after)
        if whole.at <= self._limit and self._fits(whole):
            return whole
        places = (self._paragraphs, self._line_ends, self._words)
        for least in (self._limit // 4, 1):
            for place in places:
                found = next(
                    (cut for cut in place() if cut.at >= least and self._fits(cut)),
                    None,
                )
                if found:
                    return found
        return self._anywhere()

    def _fits(self, cut: _Cut) -> bool:
        return self._measure(self.upto(cut)) <= self._limit

    def _mends(self, fence: _Fence) -> bool:
        return self._measure(fence.opening + fence.closing) <= self._limit * 3 // 4

    def _read(self, fence: _Fence | None) -> Iterator[_Line]:
        """The lines in reach of the limit, and one more."""
        start = 0
        while start <= self._limit + 1:
            end = self._text.find("\n", start)
            end = len(self._text) if end < 0 else end
            after = _fence_after(self._text[start:end], fence)
            yield _Line(start, end, fence, after)
            if end == len(self._text):
                return
            start, fence = end + 1, after

    def _line_ends(self) -> Iterator[_Cut]:
        for line, following in self._neighbours():
            opens = line.is_fence and line.after is not None
            closes_next = following.is_fence and following.after is None
            if (
                not opens and not closes_next
            ):  # neither would leave an empty code block
                yield _Cut(line.end, line.after)

    def _paragraphs(self) -> Iterator[_Cut]:
        for line, following in self._neighbours():
            blank = not self._text[following.start : following.end].strip()
            if line.after is None and (blank or line.is_fence or following.is_fence):
                yield _Cut(line.end, None)

    def _neighbours(self) -> Iterator[tuple[_Line, _Line]]:
        return zip(self._lines[-2::-1], self._lines[:0:-1], strict=True)

    def _words(self) -> Iterator[_Cut]:
        for line in reversed(self._lines):
            if line.is_fence:
                continue
            spaces = list(
                _SPACES.finditer(
                    self._text, line.start, min(line.end, self._limit + 1)
                )
            )
            for space in reversed(spaces):
                if space.start() > line.start:
                    yield _Cut(
                        space.end() if line.before else space.start(), line.before
                    )

    def _anywhere(self) -> _Cut:
        """The last place that fits and is not inside a fence's line, unless that line is
        all there is.
        """
        for line in reversed(self._lines):
            fence = line.after if line.is_fence else line.before
            at = min(self._longest(fence), line.end)
            if at > line.start and not (line.is_fence and line.start):
                return _Cut(self._between_characters(at), fence)
        return _Cut(1, self._lines[0].after)

    def _longest(self, fence: _Fence | None) -> int:
        low, high = 0, min(len(self._text), self._limit)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high)
                if self._fits(_Cut(middle, fence))
                else (low, middle - 1)
            )
        return low

    def _between_characters(self, at: int) -> int:
        for place in range(at, max(0, at - _LONGEST_CLUSTER), -1):
            if not _joined(self._text, place):
                return place
        return at


def _without_blank_start(text: str) -> str:
    blank = len(text) - len(text.lstrip())
    return text[text.rfind("\n", 0, blank) + 1 :] if blank < len(text) else ""


def _joined(text: str, at: int) -> bool:
    """Whether the characters before and after this place are shown as one (most of UAX 29's
    rules).
    """
    if at >= len(text):
        return False
    left, right = text[at - 1], text[at]
    if _is_flag(left) and _is_flag(right):
        run = next((n for n in range(at) if not _is_flag(text[at - 1 - n])), at)
        return run % 2 == 1
    return (
        left == "\u200d"
        or right == "\u200d"
        or unicodedata.category(right) in ("Mn", "Me", "Mc")
        or "\U0001f3fb" <= right <= "\U0001f3ff"  # skin tones
        or ("\ud800" <= left <= "\udbff" and "\udc00" <= right <= "\udfff")
    )


def _is_flag(character: str) -> bool:
    """A regional indicator: two of them are one flag."""
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _table_height(lines: list[str], at: int) -> int:
    """How many lines the table that begins here has; 0 when none does."""
    head, rule = lines[at], lines[at + 1] if at + 1 < len(lines) else ""
    if "|" not in head or "|" not in rule or not _RULE.fullmatch(rule):
        return 0
    if len(_cells(head)) != len(_cells(rule)):
        return 0
    end = next(
        (n for n in range(at + 2, len(lines)) if "|" not in lines[n]), len(lines)
    )
    return end - at


def _drawn(lines: list[str]) -> list[str]:
    """A table as a code block, as far indented as the table was."""
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    rows = [_cells(line) for line in lines]
    columns = max(map(len, rows))
    rows = [row + [""] * (columns - len(row)) for row in rows]
    sides = rows.pop(1)
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    body = [" | ".join(map(_padded, row, widths, sides)).rstrip() for row in rows]
    body.insert(1, "-+-".join("-" * width for width in widths))
    ticks = max((len(run) for run in re.findall("`+", "\n".join(body))), default=0)
    fence = "`" * max(3, ticks + 1)
    return [indent + line for line in (fence, *body, fence)]


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    if not inner.endswith("\\|"):
        inner = inner.removesuffix("|")
    return [
        _MARKS.sub(r"\2", cell.strip()).replace("\\|", "|")
        for cell in _PIPE.split(inner)
    ]


def _padded(cell: str, width: int, side: str) -> str:
    space = width - _width(cell)
    left = space * side.endswith(":") // (1 + side.startswith(":"))
    return " " * left + cell + " " * (space - left)


def _width(text: str) -> int:
    """Columns on a fixed-width screen: wide characters (UAX 11) take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return (
        len(text)
        + wide
        - sum(
            unicodedata.category(character) in ("Mn", "Me", "Cf")
            for character in text
        )
    )
