"""Which texts Postgres keeps."""

from __future__ import annotations


def is_text(text: str) -> bool:
    """Whether Postgres can hold it: no NUL, and no half of a surrogate pair, as a shell's stray byte becomes one."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
