"""Markdown as Discord shows it, cut into messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from channels.markdown.edits import Edit, rewritten
from channels.markdown.growth import begun, doubt
from channels.markdown.links import with_honest_links
from channels.markdown.outline import fence_of
from channels.markdown.parser import (
    Event,
    Tag,
    parse,
    sound,
)
from channels.markdown.tables import table_edits
from channels.splitting import split, utf16_length

_FENCE = "```"  # the only one that Discord knows
_EMPTY = "…"  # Discord refuses a message of nothing


def pieces_of(text: str, limit: int, *, growing: bool = False) -> list[str]:
    """The messages an answer becomes, each with at most `limit` UTF-16 units; at least one.

    Of one that is `growing`, all but the last stay as they are.
    """
    text = begun(sound(text)) if growing else sound(text)
    pieces = split(
        _shown(text),
        limit,
        measure=utf16_length,
        doubt=doubt(text, _shown) if growing else 0,
    )

    return pieces or [_EMPTY]


def _shown(text: str) -> str:
    """The Markdown that Discord shows as it is meant."""
    text = with_honest_links(text)
    events = parse(text)

    return rewritten(
        text,
        [
            *table_edits(text, events),
            *_fences(text, events),
        ],
    )


def _fences(text: str, events: Iterable[Event]) -> Iterator[Edit]:
    """Makes three backticks of every other fence, where the code has none itself."""
    for event in events:
        if event.tag is Tag.FENCE and event.kind == "end":
            fence = fence_of(text, event)
            marker = re.match(r"`+|~+", fence.opening)
            if (
                marker
                and marker[0] != _FENCE
                and _FENCE not in text[fence.inner_start : fence.inner_end]
            ):
                yield from _marks(text, fence.start, fence.end, marker[0])


def _marks(text: str, start: int, end: int, marker: str) -> Iterator[Edit]:
    yield Edit(start, start + len(marker), _FENCE)

    last = re.search(rf"{re.escape(marker[0])}+[ \t]*\Z", text[start:end])
    if last and end <= len(text) and last.start() > 0:
        yield Edit(start + last.start(), end, _FENCE)
