"""How long messages are kept."""

from __future__ import annotations

import re

MIN_DAYS = 31
"""For 30 days answers may be on their way, be voted on, and messages be delivered again."""

MAX_DAYS = 36_500

FOREVER = 0
"""Days of a channel whose messages are kept whatever RETENTION_DAYS says."""

_FORM = re.compile(r"(\d{1,6})d?")


def parse_days(typed: str) -> int:
    """`180d`, `180` or `forever`, as days. Raises ValueError with a sentence's end."""
    word = typed.strip().lower()
    if word == "forever":
        return FOREVER

    found = _FORM.fullmatch(word)
    if found is None:
        raise ValueError("it is a number of days, as 180d, or forever")

    days = int(found[1])
    if not MIN_DAYS <= days <= MAX_DAYS:
        raise ValueError(
            f"it is {MIN_DAYS} to {MAX_DAYS} days, or forever: "
            "what is younger may still be on its way"
        )

    return days


def shown_days(days: int | None) -> str | None:
    """As an operator writes it; None where nothing is set."""
    if days is None:
        return None

    return "forever" if days == FOREVER else f"{days}d"
