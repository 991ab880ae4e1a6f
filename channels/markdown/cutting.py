"""Where a text that is too long for one message is cut: at the best place of those that
keep what belongs together.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import (
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from itertools import accumulate

from msgspec import Struct
from wcwidth import (
    grapheme_boundary_before,
)

from channels.markdown.meaning import (
    IDEOGRAPH,
)

Measure = Callable[[str], int]
Range = tuple[int, int]  # a cut at `at` is inside when start < at < end

# of places that are too late by what closes the message; so that no text takes long
_MOST_TRIES = 200
_NEXT_IS_BLANK = re.compile(r"\n[ \t>]*(?:\n|\Z)")
_SPACES = re.compile(rf"[ \t]+|(?<=[。！？；：，、])(?={IDEOGRAPH})")
_MARGIN = re.compile(r"^[ \t>]*", re.MULTILINE)
_IDEOGRAPHS = re.compile(rf"(?<={IDEOGRAPH})(?={IDEOGRAPH})")


class Shape(Struct, frozen=True):
    """What of a text matters to a cut."""

    whole: Sequence[
        Range
    ] = ()  # links, inline code, bold …: cut only if they are longer than a message
    solid: Sequence[
        Range
    ] = ()  # marks and addresses: cut only if nothing else is left
    code: Sequence[Range] = ()  # blocks of code, with their fences


class Cutter(Struct, frozen=True):
    """Finds the place at which the first message of a text ends.

    `fits` tells whether the message that ends at a place is within the limits of the platform.
    """

    text: str
    shape: Shape
    reach: int  # no message ends beyond this place
    fits: Callable[[int], bool]
    misleads: Callable[[int], bool] = lambda at: (
        False
    )  # whether the rest would be read as something else

    def place(self) -> int:
        """The end of a paragraph, else of a line, else of a word, else anywhere but inside
        a character.

        A quarter of the reach must be filled, unless that would cut what belongs together.
        """
        whole = [span for span in self.shape.whole if span[1] - span[0] <= self.reach]
        together = self._bars([*whole, *self.shape.solid])
        solid = self._bars(self.shape.solid)

        for least in (self.reach // 4, 1):
            for places in (
                self._paragraphs,
                self._lines,
                self._words,
                self._ideographs,
            ):
                if found := self._first(
                    places(),
                    together,
                    least,
                ):
                    return found

        return (
            self._first(
                self._characters(),
                together,
            )
            or self._first(self._words(), solid)
            or self._first(self._characters(), solid)
            or self._first(self._characters(), _never)
            or next(
                (at for at in range(self.reach, 0, -1) if self.fits(at)),
                1,
            )
        )

    def _bars(self, ranges: Iterable[Range]) -> Callable[[int], bool]:
        """Whether a cut at a place would be inside one of these, or mislead."""
        covered = _covered(ranges, self.reach)

        return lambda at: bool(covered[at]) or self.misleads(at)

    def _first(
        self,
        places: Iterable[int],
        barred: Callable[[int], bool],
        least: int = 1,
    ) -> int:
        """The first of these places that does; 0 if there is none."""
        tries = _MOST_TRIES

        for at in places:
            if at < least or not tries:
                break
            if not barred(at):
                if self.fits(at):
                    return at
                tries -= 1

        return 0

    def _lines(self) -> Iterator[int]:
        at = self.text.rfind("\n", 0, self.reach + 1)
        while at > 0:
            yield at
            at = self.text.rfind("\n", 0, at)

    def _paragraphs(
        self,
    ) -> Iterator[int]:
        borders = {
            place for start, end in self.shape.code for place in (start - 1, end)
        }
        in_code = _covered(self.shape.code, self.reach)

        for at in self._lines():
            if at in borders or (
                _NEXT_IS_BLANK.match(self.text, at) and not in_code[at]
            ):
                yield at

    def _words(self) -> Iterator[int]:
        in_code = _covered(self.shape.code, self.reach)
        indentation = self._indentation()

        for space in _backwards(_SPACES, self.text, self.reach):
            if not indentation[space.start()]:
                yield space.end() if in_code[space.start()] else space.start()

    def _ideographs(
        self,
    ) -> Iterator[int]:
        for place in _backwards(
            _IDEOGRAPHS,
            self.text,
            self.reach,
        ):
            if _is_boundary(self.text, place.start()):
                yield place.start()

    def _characters(
        self,
    ) -> Iterator[int]:
        indentation = self._indentation()
        at = min(self.reach, len(self.text) - 1) + 1

        while (at := grapheme_boundary_before(self.text, at)) > 0:
            if not indentation[at]:
                yield at

    def _indentation(self) -> bytearray:
        """For each place up to the reach, whether only indentation and marks of quotations
        stand before it in its line.
        """
        places = bytearray(self.reach + 2)

        for found in _MARGIN.finditer(self.text, 0, self.reach + 1):
            start, end = found.span()
            places[start : end + 1] = b"\1" * (end + 1 - start)

        return places


def reach_of(
    text: str,
    limit: int,
    measure: Measure,
) -> int:
    """How many characters of a text measure at most `limit`, but one at least."""
    return (
        bisect_right(
            range(
                1,
                min(len(text), limit) + 1,
            ),
            limit,
            key=lambda at: measure(text[:at]),
        )
        or 1
    )


def _covered(ranges: Iterable[Range], reach: int) -> list[int]:
    """For each place up to the reach, in how many of these it is."""
    changes = [0] * (reach + 2)

    for start, end in ranges:
        if start < min(end - 1, reach):
            changes[start + 1] += 1
            changes[min(end, reach + 1)] -= 1

    return list(accumulate(changes))


def _never(_: int) -> bool:
    return False


def _backwards(
    pattern: re.Pattern[str],
    text: str,
    reach: int,
) -> Iterator[re.Match[str]]:
    return reversed(list(pattern.finditer(text, 0, reach + 1)))


def _is_boundary(text: str, at: int) -> bool:
    return grapheme_boundary_before(text, at + 1) == at
