"""Values as they were meant: without what comes along when one is copied."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_EDGES = "\ufeff\u200b\u200e\u200f"  # invisible, and often copied along
_QUOTES = ("''", '""', "``", "“”", "‘’")
"""As `docker --env-file` hands them on, and as pages and word processors write them."""

_SCHEMES = ("bot ", "bearer ")  # of the header in which a token is sent


def tidy(value: str, *, is_secret: bool) -> str:
    """Without blanks, new lines and quotes around it; a secret also without its scheme."""
    value = _stripped(value)
    if len(value) > 1 and value[0] + value[-1] in _QUOTES:
        value = _stripped(value[1:-1])
    if is_secret:
        value = next(
            (
                value[len(s) :].strip()
                for s in _SCHEMES
                if value.lower().startswith(s)
            ),
            value,
        )

    return value


def _stripped(text: str) -> str:
    return text.strip().strip(_EDGES).strip()


def listed(value: object) -> object:
    """Split at commas and semicolons; blanks and new lines, as YAML and shells leave them,
    separate too, and so does what JSON has around its texts. What is no text stays.
    """
    if not isinstance(value, str):
        return value

    return [part for part in re.split(r"[,;\s\[\]\"']+", value) if part]


def host_of(url: str) -> str:
    """The host that an address names; "" where it names none, or is no address."""
    try:
        return urlsplit(url.strip()).hostname or ""
    except ValueError:
        return ""
