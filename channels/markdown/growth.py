"""What of a growing text will not be read otherwise when more of it is there."""

from __future__ import annotations

from collections.abc import Callable

from channels.markdown.parser import (
    BLOCKS,
    Tag,
    parse,
)

_MAX_DOUBT = 1_000
"""Characters. A longer paragraph is shown as it is, though its end might yet change it."""

_LINE_BY_LINE = frozenset(
    {
        Tag.FENCE,
        Tag.INDENTED,
        Tag.HEADING,
        Tag.RULE,
    }
)
"""Blocks of which each whole line stays what it is."""


def begun(text: str) -> str:
    """A growing text without lines at its end that hold nothing yet but marks of quotations."""
    return text.rstrip(" \t\n>")


def settled(text: str) -> int:
    """Up to which place of a `sound` text all is known to stay as it is.

    Blocks are told apart by whole lines (CommonMark 3.1), and no mark in one block has a
    meaning in another. So only the last block is in doubt.
    """
    return max(
        _last_block(text[: text.rfind("\n") + 1]),
        len(text) - _MAX_DOUBT,
    )


def doubt(text: str, shown: Callable[[str], str]) -> int:
    """How many characters at the end of what is shown of a growing text may yet change."""
    whole = shown(text)
    known = shown(text[: settled(text)])
    pairs = enumerate(zip(whole, known, strict=False))
    differ = (at for at, (now, then) in pairs if now != then)

    return len(whole) - next(
        differ,
        min(len(whole), len(known)),
    )


def _last_block(lines: str) -> int:
    """Where the last block begins that a further line might change."""
    blocks = [
        event
        for event in parse(lines)
        if event.tag in BLOCKS and event.tag is not Tag.ROW and event.kind != "end"
    ]
    if not blocks:
        return len(lines)

    last = max(
        blocks,
        key=lambda event: event.start,
    )
    over = lines.endswith("\n\n") or last.tag in _LINE_BY_LINE

    return len(lines) if over else last.start
