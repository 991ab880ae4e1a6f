"""Formatting of a text, as far as Telegram lets it be in each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

_NESTING = frozenset({"bold", "italic", "strikethrough", "spoiler"})
"""The styles that may be in any other, but code."""


@dataclass(frozen=True, slots=True)
class Span:
    """Formatting from one character of a text to another."""

    type: str
    start: int
    end: int
    url: str | None = None
    language: str | None = None


def nested(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The spans as Telegram allows them to be in each other
    (core.telegram.org/bots/api#messageentity).

    Links and spoilers are worth more than code inside them; code more than bold around it.
    Quotations are not nested.
    """
    joined = [
        span
        for kind in sorted({span.type for span in spans})
        for span in _joined(spans, kind)
    ]
    masks = [span for span in joined if span.type in ("text_link", "spoiler")]
    code = [
        span
        for span in joined
        if span.type == "pre" or (span.type == "code" and not _touches(span, masks))
    ]
    rest = [span for span in joined if span.type not in ("pre", "code")]
    parts = [
        part
        for span in rest
        for part in (_without(span, code) if span.type in _NESTING else [span])
    ]

    return tuple(
        sorted(
            [*code, *parts],
            key=lambda span: (
                span.start,
                -span.end,
                span.type,
            ),
        )
    )


def _joined(spans: Iterable[Span], kind: str) -> Iterator[Span]:
    """The spans of a kind; those that overlap, or are inside another, as one."""
    last: Span | None = None

    for span in sorted(
        (span for span in spans if span.type == kind),
        key=lambda span: (span.start, -span.end),
    ):
        if last is None or span.start >= last.end:
            if last:
                yield last
            last = span
        else:
            last = replace(last, end=max(last.end, span.end))

    if last:
        yield last


def _touches(span: Span, others: Iterable[Span]) -> bool:
    return any(span.start < other.end and other.start < span.end for other in others)


def _without(span: Span, holes: Iterable[Span]) -> Iterator[Span]:
    """What is left of a span outside of these, which are in order."""
    start = span.start

    for hole in holes:
        if start < hole.end and hole.start < span.end:
            if start < hole.start:
                yield replace(span, start=start, end=hole.start)
            start = hole.end

    if start < span.end:
        yield replace(span, start=start)
