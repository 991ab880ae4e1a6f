"""What people write on Slack as plain text, and what a model writes as text that cannot
ping everyone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_TOKEN = re.compile(r"<([^<>]*)>")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)")
_EVERYONE_TOKEN = re.compile(
    r"<!(here|channel|everyone|group|subteam\^\w+)(?:\|@?([^<>]*))?>"
)
_EVERYONE = re.compile(
    r"(?<!\w)@(?=(?:here|channel|everyone|group)\b)", re.IGNORECASE
)
_UNFINISHED = re.compile(r"(?:@\w*|<[^<>\s]*)$")
_JOINER = "\u2060"  # word joiner: invisible, and no longer the word that pings


def mentioned(text: str) -> list[str]:
    """The ids of the people a Slack text mentions, in order."""
    return _MENTION.findall(text)


def without_mention(text: str, user: str) -> str:
    """The text as it would be without the mention of this user."""
    return re.sub(rf"[ \t]*<@{re.escape(user)}(?:\|[^<>]*)?>[,:]?", "", text).strip()


def readable(text: str, names: Mapping[str, str | None]) -> str:
    """Slack's escaped text as people see it: links, channels and mentions by name.

    The escapes are those of https://docs.slack.dev/messaging/formatting-message-text.
    """
    shown = _TOKEN.sub(lambda token: _shown(token[1], names), text)
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _shown(token: str, names: Mapping[str, str | None]) -> str:
    body, _, label = token.partition("|")
    if body.startswith("@"):
        return "@" + (names.get(body[1:]) or label or body[1:])
    if body.startswith("#"):
        return "#" + (label or body[1:])
    if body.startswith("!"):
        word = label or body[1:]
        return word if body.startswith("!date") else "@" + word.removeprefix("@")
    address = body.removeprefix("mailto:")
    return address if not label or address.endswith(label) else f"{label} ({address})"


def escaped(text: str) -> str:
    """Plain text as Slack's `text` fields want it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def harmless(text: str) -> str:
    """A model's text in which nothing addresses a whole channel, workspace or user group."""
    named = _EVERYONE_TOKEN.sub(
        lambda token: "@" + (token[2] or token[1].partition("^")[0]), text
    )
    return _EVERYONE.sub("@" + _JOINER, named)


def finished(text: str) -> str:
    """A growing text without a last word that `harmless` might yet change."""
    return _UNFINISHED.sub("", text)


def attachments(files: Sequence[Mapping[str, Any]]) -> str:
    """Files by name, one in a line: `[image photo.jpg, 120 kB]`."""
    return "\n".join(_attachment(file) for file in files)


def _attachment(file: Mapping[str, Any]) -> str:
    kind = str(file.get("mimetype") or "").partition("/")[0]
    name = file.get("name") or file.get("title") or file.get("id") or "without a name"
    size = file.get("size")
    shown = f"{kind if kind in ('image', 'audio', 'video') else 'file'} {name}"
    return f"[{shown}, {_size(size)}]" if isinstance(size, int) else f"[{shown}]"


def _size(count: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"
