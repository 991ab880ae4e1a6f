"""Markdown as Discord shows it, cut into messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from agent.core.text import says_nothing
from channels.markdown.edits import Edit, rewritten
from channels.markdown.escapes import escape_edits, prose
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
_SPOILER = "||"
_MAY_HIDE = re.compile(r"\|\|(?=[^\s|])[^|\n]*\s[^|\n]*(?<=[^\s|])\|\|")
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

    return [_EMPTY] if says_nothing("".join(pieces)) else pieces


def _shown(text: str) -> str:
    """The Markdown that Discord shows as it is meant."""
    text = with_honest_links(text)
    events = parse(text)

    return rewritten(
        text,
        [
            *table_edits(text, events),
            *_fences(text, events),
            *escape_edits(text, events),
            *_pipes(text, events),
        ],
    )


def _pipes(text: str, events: Sequence[Event]) -> Iterator[Edit]:
    """Two pipes that hide nothing, escaped: Discord would hide what stands between two pairs
    of them, however far apart. Those close around several words may well be meant to.

    One pair alone stays. What follows it in another block cannot change it any more, so there
    even real spoilers are shown.
    """
    hidden = {found.start(): found.end() for found in _MAY_HIDE.finditer(text)} | {
        event.start: event.end
        for event in events
        if event.tag is Tag.SPOILER and event.kind == "end"
    }
    is_prose = prose(text, events)
    passed, opened = 0, False

    for found in re.finditer(re.escape(_SPOILER), text):
        at = found.start()
        end = hidden.get(at, 0)
        if at < passed or not (is_prose[at] or end):
            continue

        if end and not opened:
            passed = end
        elif end:
            yield from (*_escaped(at), *_escaped(end - len(_SPOILER)))
            passed = end
        elif opened or _SPOILER in _rest_of_block(text, found.end()):
            yield from _escaped(at)
        else:
            opened = True


def _escaped(at: int) -> Iterator[Edit]:
    for pipe in range(at, at + len(_SPOILER)):
        yield Edit(pipe, pipe, "\\")


def _rest_of_block(text: str, at: int) -> str:
    return text[at:].partition("\n\n")[0]


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
