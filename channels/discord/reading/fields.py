"""Fields of what Discord sent, taken one by one; its ids are numbers, sent as text.

What is missing, null or of another type counts as absent: a field that nobody needs never
costs the whole event. A platform may add, omit and change fields at any time.
"""

from __future__ import annotations

from channels.fields import Json as Payload
from channels.fields import integer
from channels.fields import items as parts
from channels.fields import mapping as part
from channels.fields import text as string

__all__ = [
    "Payload",
    "digits",
    "identity",
    "needed",
    "number",
    "part",
    "parts",
    "record",
    "records",
    "string",
]


def record(value: object) -> Payload:
    """The value if it is an object, else one without fields."""
    return value if isinstance(value, dict) else {}


def records(value: object) -> list[Payload]:
    """The objects of the value if it is a list, else none."""
    found = value if isinstance(value, list) else ()
    return [one for one in found if isinstance(one, dict)]


def number(payload: Payload, key: str) -> int:
    """The whole number in this field, else -1."""
    value = integer(payload, key)
    return -1 if value is None else value


def digits(payload: Payload, key: str) -> str:
    """The id in this field, else "". Ids are numbers of at most 20 digits, sent as text."""
    return identity(payload.get(key))


def identity(value: object) -> str:
    """The value as an id of digits, else ""."""
    text = str(value) if type(value) in (int, str) else ""
    return text if text.isascii() and text.isdigit() and len(text) <= 20 else ""


def needed(payload: Payload, key: str) -> str:
    """The id in this field. Raises ValueError when there is none."""
    found = digits(payload, key)
    if not found:
        raise ValueError(f"no id in the field {key}")

    return found
