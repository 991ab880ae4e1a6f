"""The texts of `markdown_texts` by a seed: without what finding the smallest one costs, so that
many take minutes and each can be had again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from tests.support.markdown_texts import MARKS, WORDS

_FENCES = ("```", "~~~", "````")
_DEEPEST = 3  # containers in each other
_PLANES = (
    (0x20, 0x7F),
    (0xA0, 0x24F),
    (0x300, 0x36F),  # what stands on the letter before it
    (0x590, 0x6FF),  # from right to left
    (0x2000, 0x2BFF),
    (0x3000, 0x30FF),
    (0x4E00, 0x9FFF),
    (0xFE00, 0xFFFF),
    (0x1F300, 0x1FAFF),
    (0x0, 0x10FFFF),
)
"""Ranges of characters, each as often as the others."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Writes texts; the same ones for the same seed."""

    random: Random

    def any(self) -> str:
        """A text: as often an answer as junk."""
        return self.answer() if self.random.random() < 0.5 else self.junk()

    def answer(self) -> str:
        """A whole answer: prose, code, headings, lists and quotations in each other."""
        return "\n\n".join(self._some(1, 4, lambda: self._block(_DEEPEST)))

    def junk(self) -> str:
        """Anything, and much that looks like marks."""
        return "".join(self._some(0, 12, self._scrap))

    def _some(self, least: int, most: int, write: Callable[[], str]) -> Iterator[str]:
        return (write() for _ in range(self.random.randint(least, most)))

    def _scrap(self) -> str:
        kinds = (self._unicode, self._marks, self._word)

        return self.random.choice(kinds)()

    def _unicode(self) -> str:
        return "".join(self._some(0, 20, self._character))

    def _character(self) -> str:
        return chr(self.random.randint(*self.random.choice(_PLANES)))

    def _marks(self) -> str:
        return "".join(self._some(0, 60, lambda: self.random.choice(MARKS)))

    def _word(self) -> str:
        return self.random.choice(WORDS)

    def _prose(self) -> str:
        return " ".join(self._some(1, 8, self._word))

    def _block(self, depth: int) -> str:
        leaf = depth == 0 or self.random.random() < 0.5

        return self._leaf() if leaf else self._container(depth - 1)

    def _leaf(self) -> str:
        kinds = (self._paragraph, self._code, self._heading)

        return self.random.choice(kinds)()

    def _paragraph(self) -> str:
        return "\n".join(self._some(1, 3, self._prose))

    def _heading(self) -> str:
        return "#" * self.random.randint(1, 6) + " " + self._prose()

    def _code(self) -> str:
        fence, info = self.random.choice(_FENCES), self.random.choice(("", "py"))

        return "\n".join((fence + info, *self._some(1, 8, self._code_line), fence))

    def _code_line(self) -> str:
        words = self._prose().replace("`", "'").replace("~", "")

        return self.random.choice(("", "  ")) + words

    def _container(self, depth: int) -> str:
        if self.random.random() < 1 / 3:
            return "> " + self._block(depth).replace("\n", "\n> ")

        numbered = self.random.random() < 0.5
        items = self._some(1, 3, lambda: self._blocks(depth))

        return "\n".join(
            _item(f"{number}. " if numbered else "- ", item)
            for number, item in enumerate(items, 1)
        )

    def _blocks(self, depth: int) -> str:
        return "\n\n".join(self._some(1, 2, lambda: self._block(depth)))


def _item(marker: str, blocks: str) -> str:
    return marker + blocks.replace("\n", "\n" + " " * len(marker))
