"""Changing parts of a Markdown text and leaving the rest alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

_NO_CONTAINER = re.compile(r"[^\s>]")


class Edit(Struct, frozen=True, order=True):
    """Puts something in place of the characters from `start` to `end`."""

    start: int
    end: int
    replacement: str


def rewritten(text: str, edits: Iterable[Edit]) -> str:
    """The text after these edits, of which none may overlap another."""
    pieces: list[str] = []
    at = 0

    for edit in sorted(edits):
        pieces += (
            text[at : edit.start],
            edit.replacement,
        )
        at = edit.end

    return "".join(pieces) + text[at:]


def indentation(text: str, at: int) -> str:
    """What a further line needs in front to stay in the list item or quotation in which
    this place lies.
    """
    line = text.rfind("\n", 0, at) + 1

    return _NO_CONTAINER.sub(" ", text[line:at])
