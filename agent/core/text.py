"""Which texts Postgres can keep, and how names and texts are shown back to people."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

NEAR = 0.6
"""Of two names, as difflib measures it and recommends: a letter or two are wrong."""

ASKS_BACK = "This message asks nothing yet. What would you like to know?"
"""The answer to a message in which nothing can be read, only a mention of the agent for one.
A channel hands it on with an empty text.
"""

_MAX_NAME_CHARS = 255  # of the columns that hold them


_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs that are drawn as nothing: fillers of Hangul, and an empty Braille cell."""


def says_nothing(text: str) -> bool:
    """Whether nothing of it can be seen: white space, and signs without a shape."""
    return all(
        char.isspace() or char in _BLANK or unicodedata.category(char) in ("Cc", "Cf")
        for char in text
    )


def is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair.

    A stray byte in a shell becomes one, and so does broken JSON.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False

    return True


def is_text(text: str) -> bool:
    """Whether Postgres can keep it: valid Unicode without NUL."""
    return "\0" not in text and is_unicode(text)


def unstorable(text: str, maximum: int) -> str | None:
    """Why a message cannot be stored exactly as it was written, as a sentence for its author.

    `maximum` is in characters. None: it can.
    """
    if len(text) > maximum:
        return (
            f"This message has {len(text)} characters; "
            f"at most {maximum} are possible. Please send it in parts."
        )
    if says_nothing(text):
        return ASKS_BACK
    if "\0" in text:
        return (
            "This message has a NUL character in it and cannot be stored. "
            "Please remove it."
        )
    if not is_unicode(text):
        return (
            "This message is not valid Unicode (half a surrogate pair) "
            "and cannot be stored."
        )

    return None


def shown_name(name: str) -> str:
    """An unknown name, as a sentence repeats it. What cannot be a name is not shown."""
    return name if len(name) <= 63 and name.isprintable() else "of this name"


def did_you_mean(name: str, known: Iterable[str], cutoff: float = NEAR) -> str:
    """A question that names the nearest of what there is, after a blank; "": nothing is near."""
    by_lower = {one.lower(): one for one in known}
    near = get_close_matches(name.lower()[:100], by_lower, n=1, cutoff=cutoff)

    return f" Did you mean {by_lower[near[0]]}?" if near else ""


def visible(text: str) -> str:
    """The text with JSON escapes for what a terminal would obey or hide. Lines stay lines."""
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]
        for char in text
    )


def storable(text: str) -> str:
    """Without NUL, the one character that Postgres cannot keep in a text."""
    return text.replace("\0", "")


def storable_name(name: str | None) -> str | None:
    """A name as Postgres can keep it, whole or not; people choose strange ones."""
    clean = storable(name or "").encode("utf-8", "replace").decode()

    return clean[:_MAX_NAME_CHARS] or None


def is_storable_json(text: str, maximum: int) -> bool:
    """Whether Postgres can keep this JSON as jsonb: no NUL and no half of a surrogate pair.

    `maximum` is in characters.
    """
    has_nul = "\\u0000" in text.replace("\\\\", "")  # as JSON writes it
    return not has_nul and is_unicode(text) and len(text) <= maximum
