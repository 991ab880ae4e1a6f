"""Fields of what a platform sent, each read by itself: one that is odd hides no other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

_NOTHING: Json = {}

LARGEST = 1 << 63
"""No platform has a larger number; those that JSON can hold are too large to be shown."""


def mapping(
    of: Json,
    name: str,
) -> Json:
    """The object in this field; an empty one when there is none."""
    value = of.get(name)
    return value if isinstance(value, Mapping) else _NOTHING


def items(
    of: Json,
    name: str,
) -> list[Json]:
    """The objects of the list in this field; whatever else is in it is left out."""
    value = of.get(name)
    if not isinstance(value, list | tuple):
        return []

    return [item for item in value if isinstance(item, Mapping)]


def text(
    of: Json,
    name: str,
) -> str:
    """The text in this field; "" when there is none."""
    value = of.get(name)
    return value if isinstance(value, str) else ""


def first_text(
    of: Json,
    *names: str,
) -> str:
    """The first of these texts that is not empty."""
    return next(
        (found for name in names if (found := text(of, name))),
        "",
    )


def integer(
    of: Json,
    name: str,
) -> int | None:
    """The whole number in this field. True and False are none."""
    value = of.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return None

    return value if -LARGEST <= value < LARGEST else None


def number(
    of: Json,
    name: str,
) -> float | None:
    """The number in this field. JSON of Python knows infinite ones, too: they are none."""
    value = of.get(name)
    if not isinstance(value, float):
        return integer(of, name)

    return value if math.isfinite(value) else None


def identity(
    of: Json,
    name: str,
) -> int:
    """The number that names this thing. Raises ValueError when it has none: it cannot be
    told from others.
    """
    found = integer(of, name)
    if found is None:
        raise ValueError(f"no {name}")

    return found


QUOTED = 1_000
"""Characters of a quotation that are handed on. It says what is meant; it is not the message."""


FORWARDED = 8_000
"""The same for what somebody forwards: it is what the message is about."""

OWN = 300
"""The same for what the agent wrote itself: it knows the rest."""


def in_reply(name: str, quoted: str, *, own: bool = False) -> str:
    """What a message answers, and who wrote it if that is known; `own`: the agent did."""
    author = "you" if own else name

    return quotation(
        f"In reply to {author}" if author else "In reply",
        quoted,
        OWN if own else QUOTED,
    )


def forwarded(name: str, quoted: str) -> str:
    """What a person forwards, and from whom if that is known."""
    return quotation(
        f"Forwarded from {name}" if name else "Forwarded", quoted, FORWARDED
    )


def quotation(
    heading: str,
    quoted: str,
    maximum: int = QUOTED,
) -> str:
    """`In reply to Ada:` and the text as a quotation, cut after `maximum` characters."""
    shown = quoted.strip()
    if len(shown) > maximum:
        shown = f"{shown[:maximum].rstrip()} …"

    lines = (f"> {line}".rstrip() for line in shown.splitlines())

    return "\n".join([f"{heading}:", *lines])


def required(
    of: Json,
    name: str,
) -> str:
    """The text in this field. Raises ValueError when there is none: without it, nobody could
    tell which thing this is.
    """
    found = text(of, name)
    if not found:
        raise ValueError(f"no {name}")

    return found
