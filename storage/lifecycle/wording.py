"""What of other people's messages goes when a person is erased. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

INSTEAD = "[erased]"
"""Stands where a name or a quotation was."""

LOOK_AHEAD = 60
"""Messages after one that may quote it: several windows."""

MIN_QUOTE_CHARS = 12
"""Shorter texts, as "yes, please", are nobody's words."""

MIN_NAME_CHARS = 3
"""Shorter names are parts of too many words."""


class Line(Struct, frozen=True):
    """A message of a shared conversation."""

    timestamp: datetime
    seq: int
    role: str
    content: str
    answers: int | None = None
    own: bool = False
    """By the person who is erased."""


class Changes(Struct, frozen=True):
    """What happens to the messages of others, by timestamp and seq."""

    blanked: Sequence[tuple[datetime, int]]
    """Answers to the person."""
    rewritten: Mapping[tuple[datetime, int], str]
    """Messages that quote the person, without the quotation."""


def changes(lines: Sequence[Line], theirs: frozenset[int]) -> Changes:
    """For lines in order of time; `theirs` are the seqs of the messages being blanked."""
    blanked: dict[tuple[datetime, int], None] = {}
    rewritten: dict[tuple[datetime, int], str] = {}

    for index, line in enumerate(lines):
        if line.seq not in theirs or not line.own:
            continue

        is_covered = False
        for later in lines[index + 1 : index + 1 + LOOK_AHEAD]:
            key = (later.timestamp, later.seq)
            covers = later.role == "assistant" and (later.answers or 0) >= line.seq
            if covers and not is_covered:
                is_covered = True
                blanked[key] = None
            elif not later.own:
                _take_out(line.content, later, key, rewritten)

    return Changes(
        list(blanked), {k: v for k, v in rewritten.items() if k not in blanked}
    )


def _take_out(
    quote: str,
    line: Line,
    key: tuple[datetime, int],
    rewritten: dict[tuple[datetime, int], str],
) -> None:
    text, quote = rewritten.get(key, line.content), quote.strip()
    if len(quote) >= MIN_QUOTE_CHARS and quote in text:
        rewritten[key] = text.replace(quote, INSTEAD)


def names_pattern(names: Sequence[str]) -> str | None:
    """A pattern of Postgres that finds these names as whole words. None: there is none."""
    wanted = sorted({n for n in names if len(n) >= MIN_NAME_CHARS}, key=len)
    if not wanted:
        return None

    words = "|".join(re.escape(name) for name in reversed(wanted))

    return f"(?<![[:alnum:]_])(?:{words})(?![[:alnum:]_])"


def audit_patterns(
    ids: Sequence[str], accounts: Sequence[tuple[str, str]]
) -> list[str]:
    """Patterns that find ids, and accounts as a platform names them, inside texts and JSON.

    A platform's id may be a plain number: alone it counts only as a whole text.
    """
    found = [re.escape(each) for each in ids]
    for channel, account in accounts:
        name = re.escape(account)
        found.append(f'(?<="){name}(?=")')
        found.append(f"(?<={re.escape(channel)}:){name}(?![[:alnum:]_])")

    return found
