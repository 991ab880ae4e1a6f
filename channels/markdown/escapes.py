"""Backslashes before what another parser of Markdown would take for marks, though it is text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from channels.markdown.edits import Edit
from channels.markdown.meaning import literal
from channels.markdown.parser import Event, Tag

_ADDRESS = re.compile(r"(?:https?://|mailto:)\S+")
_APART = (Tag.FENCE, Tag.INDENTED, Tag.TABLE)


def escape_edits(text: str, events: Iterable[Event]) -> Iterator[Edit]:
    """A backslash before each such character. Code, tables and addresses are left alone."""
    open_to_marks = prose(text, events)

    for at in literal(text):
        if open_to_marks[at]:
            yield Edit(at, at, "\\")


def prose(text: str, events: Iterable[Event]) -> bytearray:
    """For each character, whether it is text in which marks are read."""
    places = bytearray(len(text) + 1)
    apart = 0

    for event in events:
        if event.tag in _APART:
            apart += {"start": 1, "end": -1}.get(event.kind, 0)
        elif event.tag is Tag.TEXT and not apart:
            places[event.start : event.end] = b"\1" * (event.end - event.start)

    for found in _ADDRESS.finditer(text):
        start, end = found.span()
        places[start:end] = bytes(end - start)

    return places
