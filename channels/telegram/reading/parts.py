"""Messages that are parts of one: albums, and texts that a person's client cut in two."""

from __future__ import annotations

from collections.abc import MutableMapping

from channels.fields import Json, integer, mapping, text

_CUT = 2048
"""Characters. Clients cut longer texts than 4,096 at a good place behind the middle."""

_TOGETHER_S = 2
"""Clients send the parts of a text right after each other; Telegram dates them to the second."""

Parts = MutableMapping[str, str]
"""The wholes whose first part was for the agent, and by person the text that may go on."""


def is_cut(message: Json) -> bool:
    """Whether this may be the first part of a text that was too long for one message."""
    return len(text(message, "text")) >= _CUT


def whole_of(message: Json, parts: Parts) -> str:
    """The name of what this is a part of, in its chat; "" for a message of its own."""
    if group := text(message, "media_group_id"):
        return f"album {group}"

    name, _, date = parts.get(_writer(message), "").partition("@")
    if name and text(message, "text") and _date(message) - int(date) <= _TOGETHER_S:
        return name

    return f"text {integer(message, 'message_id')}" if is_cut(message) else ""


def is_begun(whole: str, message: Json, parts: Parts) -> bool:
    """Whether an earlier part of it was for the agent."""
    return bool(whole) and _key(whole, message) in parts


def remember(whole: str, message: Json, parts: Parts) -> None:
    """Notes that this part was for the agent."""
    parts.pop(_writer(message), None)
    if whole:
        parts[_key(whole, message)] = whole
    if is_cut(message):
        parts[_writer(message)] = f"{whole}@{_date(message)}"


def _key(whole: str, message: Json) -> str:
    return f"{integer(mapping(message, 'chat'), 'id')} {whole}"


def _writer(message: Json) -> str:
    author = integer(mapping(message, "from"), "id")
    thread = integer(message, "message_thread_id")

    return _key(f"by {author} in {thread}", message)


def _date(message: Json) -> int:
    return integer(message, "date") or 0
