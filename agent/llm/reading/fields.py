"""What model servers send, read field by field: a reader takes a value of any type and
never raises.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress

import msgspec

Fields = dict[str, object]

_decode_fast = msgspec.json.Decoder().decode
_tolerant = json.JSONDecoder(
    strict=False
)  # takes halves of characters, raw line ends inside texts, NaN
_BETWEEN = re.compile(r"(?:[\s,]|data:)*", re.IGNORECASE)
"""What stands between two objects of one line."""

MOST_TOKENS = 100_000_000
"""A count above this is no count of tokens. It is far beyond every model's context, and
fits into 32 bits.
"""


def objects_in(data: str) -> list[Fields] | None:
    """The JSON objects of one event or body, those inside a list too; None when nothing of
    it is JSON.

    A text that is not JSON as a whole is tried line by line: some servers forget the blank
    line between two events, or the end of the line.
    """
    known, value = _parsed(data)
    if known:
        return records(value)

    lines = [_in_line(line) for line in re.split(r"[\r\n]+", data) if line.strip()]
    if not any(known for known, _ in lines):
        return None

    return [found for _, values in lines for found in values]


def record(value: object) -> Fields:
    """The value, if it is an object; else one without fields."""
    return value if isinstance(value, dict) else {}


def records(value: object) -> list[Fields]:
    """The objects of a list, or the one object that stands where a list should."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def word(value: object) -> str:
    """The value, if it is text; else none."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int | None:
    """A number of tokens, also as text or with a fraction; None for what can be none."""
    if value is None:
        return None
    if isinstance(value, str):
        value = _number(value)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
    ):
        return None

    return int(value) if 0 <= value <= MOST_TOKENS else None


def _parsed(text: str) -> tuple[bool, object]:
    """Whether this is JSON, and its value."""
    with suppress(msgspec.DecodeError, ValueError, RecursionError):
        return True, _decode_fast(text)
    try:
        return True, _tolerant.decode(text)
    except (ValueError, RecursionError):
        return False, None


def _in_line(line: str) -> tuple[bool, list[Fields]]:
    """Whether this begins with JSON, and the objects that stand in it one behind the other."""
    known, value = _parsed(line)
    if known:
        return True, records(value)

    found: list[Fields] = []
    begin = _after(line, 0)
    with suppress(ValueError, RecursionError):
        while line[begin : begin + 1] in ("{", "["):
            value, end = _tolerant.raw_decode(line, begin)
            found += records(value)
            begin = _after(line, end)

    return bool(found), found


def _after(line: str, begin: int) -> int:
    between = _BETWEEN.match(line, begin)

    return between.end() if between else begin


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
