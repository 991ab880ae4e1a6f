"""Formatting of a text, as far as Telegram lets it be in each other."""

from __future__ import annotations

import re
from bisect import (
    bisect_left,
    bisect_right,
)
from collections.abc import (
    Iterable,
    Iterator,
    Sequence,
)
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

_NESTING = frozenset(
    {
        "bold",
        "italic",
        "strikethrough",
        "spoiler",
    }
)
"""The styles that may be in any other, but code."""

_MENTION = re.compile(
    r"(?<![A-Za-z0-9_])(?<!\w/)@([A-Za-z0-9_]{2,32})(?![A-Za-z0-9_])"
)
"""What Telegram takes for a mention; not where it is a part of an address."""

_MASKS = frozenset({"text_link", "spoiler"})
"""Worth more than code inside them."""

_TAKEN = frozenset({"code", "pre", "text_link"})
"""In these, Telegram looks for no mentions."""


class Span(Struct, frozen=True):
    """Formatting from one character of a text to another."""

    type: str
    start: int
    end: int
    url: str | None = None
    language: str | None = None


def nested(
    spans: Iterable[Span],
) -> tuple[Span, ...]:
    """The spans as Telegram allows them to be in each other
    (core.telegram.org/bots/api#messageentity).

    Links and spoilers are worth more than code inside them; code more than bold around it.
    Quotations are not nested.
    """
    spans = list(spans)
    joined = [
        span
        for kind in sorted({span.type for span in spans})
        for span in _joined(span for span in spans if span.type == kind)
    ]
    masks = list(_joined(span for span in joined if span.type in _MASKS))
    code = sorted(
        (
            span
            for span in joined
            if span.type == "pre" or (span.type == "code" and not _near(span, masks))
        ),
        key=_order,
    )
    rest = [span for span in joined if span.type not in ("pre", "code")]
    parts = [
        part
        for span in rest
        for part in (_without(span, code) if span.type in _NESTING else [span])
    ]

    return tuple(
        sorted(
            [*code, *parts],
            key=_order,
        )
    )


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """The spans in order; those that overlap, or are inside another, as one."""
    last: Span | None = None

    for span in sorted(spans, key=_order):
        if last is None or span.start >= last.end:
            if last:
                yield last
            last = span
        else:
            last = replace(
                last,
                end=max(last.end, span.end),
            )

    if last:
        yield last


def _near(span: Span, others: Sequence[Span]) -> Sequence[Span]:
    """Those that it overlaps of others that are in order and apart."""
    first = bisect_right(others, span.start, key=lambda other: other.end)
    last = bisect_left(others, span.end, key=lambda other: other.start)

    return others[first:last]


def _without(span: Span, holes: Sequence[Span]) -> Iterator[Span]:
    """What is left of a span outside of these, which are in order and apart."""
    start = span.start

    for hole in _near(span, holes):
        if start < hole.start:
            yield replace(span, start=start, end=hole.start)
        start = hole.end

    if start < span.end:
        yield replace(span, start=start)


def without_pings(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans, and links over all names that Telegram would make mentions of.

    A mention notifies the person. A link to the same profile looks alike and does not.
    """
    taken = sorted((span.start, span.end) for span in spans if span.type in _TAKEN)
    ends = [end for _, end in taken]
    borders = sorted(
        {
            place
            for span in spans
            for place in (
                span.start,
                span.end,
            )
        }
    )
    links: list[Span] = []

    for found in _MENTION.finditer(text):
        start, end = found.span()
        near = bisect_right(ends, start)
        if near < len(taken):
            end = min(end, taken[near][0])
        if start < end:
            inside = borders[bisect_right(borders, start) : bisect_left(borders, end)]
            links += _parts(
                [start, *inside, end],
                f"https://t.me/{found[1]}",
            )

    return tuple(sorted([*spans, *links], key=_order))


def _parts(places: Sequence[int], address: str) -> Iterator[Span]:
    """Links from each of these places to the next, so that none crosses other formatting."""
    for start, end in pairwise(places):
        yield Span(
            "text_link",
            start,
            end,
            address,
        )


def _order(
    span: Span,
) -> tuple[int, int, str]:
    return (
        span.start,
        -span.end,
        span.type,
    )
