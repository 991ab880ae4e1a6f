"""Answers of any length, cut into the messages of a platform that reads Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from channels.markdown.cutting import (
    Cutter,
    Measure,
    reach_of,
)
from channels.markdown.outdenting import (
    DEEP,
    PREFIX,
    Outdenter,
    length,
)
from channels.markdown.outline import (
    Outline,
    Wrap,
)
from channels.markdown.parser import sound

# The next line's indentation stays.
_AFTER_CUT = re.compile(r"(?:[ \t]*\n(?:[ \t>]*(?=\n))?)+|[ \t]+")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_BLOCK = re.compile(
    r"(?:[-+*]|-#|#{1,6}|\d{1,9}[.)])(?:[ \t]|$)"
    r"|>|`{3}|~{3}|[-=*_][-=*_ \t]{0,200}$|\|(?!\|)|:?-",
    re.MULTILINE,
)
"""What a line must not begin with that goes on with a paragraph."""

_FENCES = ("```", "~~~")
_IN_VIEW = (2, 1_000)
"""Messages, or characters if those are more; then up to the end of the paragraph."""

_MAX_IN_VIEW = 4
"""Messages: a construct that is longer does not matter to the first of them."""


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, in which Telegram counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split(
    text: str,
    limit: int,
    *,
    measure: Measure = len,
    doubt: int = 0,
    closed: bool = True,
) -> list[str]:
    """Cuts an answer into pieces that each measure at most `limit` (20 or more).

    A piece ends at a paragraph, else a line, else a word, else anywhere but inside a
    character (UAX 29), and not inside a link, code or bold text that one message can hold.
    What is open at a cut is closed, and opened again in the next piece, except where that
    would leave less than a quarter of the limit. Only white space at the cuts is lost; text
    that is only white space has no pieces. `measure` is the platform's unit: a text's
    measure is the sum of its characters', each at least 1.

    Of a growing text, the last `doubt` characters may yet be read otherwise. It has no piece
    after the first whose end depends on them: so all pieces but the last stay as they are.
    Unless `closed`, the last code block is left open.
    """
    rest = sound(text)
    if measure(rest) <= limit and not any(fence in rest for fence in _FENCES):
        return [_without_blank_start(rest).rstrip()] if rest.strip() else []

    pieces: list[str] = []

    while rest.strip():
        piece = _Piece(_without_blank_start(rest), limit, measure)
        cut = piece.cut()
        is_last = piece.is_last(cut) or not piece.is_settled(doubt)
        pieces.append(piece.upto(cut, closed=closed or not is_last))
        rest = "" if is_last else piece.beyond(cut)

    return [piece for piece in pieces if piece.strip()]


def _without_blank_start(text: str) -> str:
    blank = len(text) - len(text.lstrip())

    return text[text.rfind("\n", 0, blank) + 1 :]


class _Piece:
    """The first piece of a text."""

    def __init__(
        self,
        text: str,
        limit: int,
        measure: Measure,
    ) -> None:
        self._text = text
        self._limit = limit
        self._measure = measure
        self._reach = reach_of(
            text[: min(len(text) - 1, limit)],
            limit,
            measure,
        )
        end = text.find(
            "\n\n",
            max(
                _IN_VIEW[0] * limit,
                _IN_VIEW[1],
            ),
        )
        most = max(_MAX_IN_VIEW * limit, _IN_VIEW[1])
        view = text[: min(end, most) if end >= 0 else most]
        self._outline = Outline(view).read()
        self._outdenter = Outdenter(text, self._outline)

    def cut(self) -> int:
        """Where it ends."""
        whole = len(self._text)
        if whole <= self._limit and self._fits(whole):
            return whole

        shape = self._outline.shape

        return Cutter(
            self._text,
            shape,
            self._reach,
            self._fits,
            self._misleads,
        ).place()

    def is_settled(self, doubt: int) -> bool:
        """Whether its end is the same however the last characters will be read."""
        return self._reach + doubt < len(self._text)

    def is_last(self, cut: int) -> bool:
        """Whether nothing follows this cut."""
        return cut == len(self._text)

    def upto(self, cut: int, *, closed: bool = True) -> str:
        """The piece that ends at this cut, as it is sent; what is open is closed."""
        wraps = self._open(cut)
        body = self._text[:cut]

        if self._in_block(cut):
            body = body.removesuffix("\n")
        elif not _in_code(wraps):
            body = body.rstrip()

        return body + _closing(wraps) if closed else body

    def beyond(self, cut: int) -> str:
        """The text after the piece that ends at this cut, with what was open opened again."""
        at = self._next(cut)
        if at >= len(self._text):
            return ""

        opening = self._opening(cut, self._open(cut))
        in_code = self._in_block(cut)

        return opening + self._outdenter.after(
            cut,
            self._begin(at),
            in_code=in_code,
        )

    def _fits(self, cut: int) -> bool:
        return self._measure(self.upto(cut)) <= self._limit

    def _misleads(self, cut: int) -> bool:
        """Whether the marks at a cut, or what follows it, would be read as something else
        than before.
        """
        at = self._next(cut)
        if self._in_block(cut):
            return False

        begin = self._begin(at)
        beside = self._text[cut - 1] + self._text[begin : begin + 1]
        marks = any(
            wrap.opening[0] in beside for wrap in self._held(cut) if not wrap.block
        )

        return marks or (
            not self._begins_block(at) and bool(_BLOCK.match(self._text, begin))
        )

    def _held(self, cut: int) -> list[Wrap]:
        """The constructs that are open at a cut, the outermost first."""
        return sorted(
            (wrap for wrap in self._outline.wraps if wrap.holds(cut)),
            key=lambda wrap: wrap.start,
        )

    def _open(self, cut: int) -> list[Wrap]:
        """Those of them that are closed and opened again: as many as leave room for text."""
        held = self._held(cut)

        for wraps in (
            held,
            [wrap.bare() for wrap in held if wrap.block],
        ):
            opening = self._opening(cut, wraps)
            if (
                len(opening) < cut
                and self._measure(opening + _closing(wraps)) <= self._limit * 3 // 4
            ):
                return wraps

        return []

    def _opening(self, cut: int, wraps: Sequence[Wrap]) -> str:
        """What stands before the text that follows a cut. Nothing, where a piece would hold
        nothing else.
        """
        at = self._next(cut)
        quoted = self._outline.quoted(cut)
        blocks = [
            quoted + line
            for wrap in wraps
            if wrap.block
            for line in _LINE.findall(wrap.opening)
        ]
        marks = [wrap.opening for wrap in wraps if not wrap.block]
        has_own = self._is_line(at) and (self._begins_block(at) or self._in_block(at))
        opening = "".join(
            [
                *blocks,
                "" if has_own else quoted,
                *marks,
                self._code_indentation(cut),
            ]
        )

        return opening if wraps or len(opening) < min(cut, self._limit // 2) else ""

    def _code_indentation(self, cut: int) -> str:
        """What makes code of the rest of a line of indented code."""
        indented = any(start < cut < end for start, end in self._outline.indented)

        return "" if self._is_line(self._next(cut)) or not indented else " " * DEEP

    def _next(self, cut: int) -> int:
        """Where the text goes on: white space at the cut is left out, but not that of code."""
        if self._in_block(cut) or _in_code(self._held(cut)):
            return cut + self._text.startswith("\n", cut)

        space = _AFTER_CUT.match(self._text, cut)

        return space.end() if space else cut

    def _begin(self, at: int) -> int:
        """The same, without the indentation and quotation marks of a line that goes on with
        a paragraph.
        """
        if (
            self._is_line(at)
            and not self._begins_block(at)
            and not self._in_block(at)
        ):
            return length(PREFIX, self._text, at) + at

        return at

    def _is_line(self, at: int) -> bool:
        return self._text[at - 1 : at] == "\n"

    def _begins_block(self, at: int) -> bool:
        """Whether a block begins in the line at this place."""
        first = at + length(PREFIX, self._text, at)

        return self._is_line(at) and any(
            begin in self._outline.begins for begin in range(at, first + 1)
        )

    def _in_block(self, at: int) -> bool:
        """Whether this place is in a block of code."""
        return any(start < at < end for start, end in self._outline.code)


def _in_code(wraps: Iterable[Wrap]) -> bool:
    return any(wrap.code for wrap in wraps)


def _closing(wraps: Sequence[Wrap]) -> str:
    return "".join(wrap.closing for wrap in reversed(wraps))
