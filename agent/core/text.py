"""Which texts Postgres keeps, and which are shown back to whoever typed them."""

from __future__ import annotations

import json


def is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair, as a shell's stray byte or broken JSON
    becomes one.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_text(text: str) -> bool:
    """Whether Postgres can hold it: also no NUL."""
    return "\0" not in text and is_unicode(text)


def shown_name(name: str) -> str:
    """A name that nothing has, as a sentence repeats it: what can not be a name is not shown."""
    return name if len(name) <= 63 and name.isprintable() else "of this name"


def visible(text: str) -> str:
    """With escapes, as in JSON, for what a terminal would obey or not show; lines stay lines."""
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]
        for char in text
    )
