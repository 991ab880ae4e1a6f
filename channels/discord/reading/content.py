"""What Discord shows as part of a message, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from agent.core.commands import parse_command
from channels.discord.reading.fields import (
    Payload,
    digits,
    number,
    part,
    parts,
    string,
)
from channels.discord.reading.places import Places
from channels.fields import forwarded, in_reply

PREVIEWED = 500
"""Characters of the preview of one link."""

PREVIEWS = 5
DEPTH = 5
"""How deep the parts of a laid-out message are followed."""

VOICE_MESSAGE = 1 << 13
BUTTON, TEXT_DISPLAY, FILE = 2, 10, 13
"""Kinds of parts: https://docs.discord.com/developers/components/reference."""

_KINDS = ("image", "video", "audio")
_TOKEN = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)"
    r"|(?P<gap>[ \t]*)<(?:@[!&]?(?P<id>\d+)|\#(?P<channel>\d+)|a?(?P<emoji>:\w+:)\d+"
    r"|(?P<command>/[^:<>]+):\d+|t:(?P<time>-?\d{1,12})(?::\w)?)>",
    re.DOTALL,
)


def content_of(message: Payload, places: Places) -> str:
    """The text of a message, with what it answers as a quotation before it, and in brackets
    what is not text. Mentions of the agent are left out.
    """
    text = _own_text(message, places)
    if parse_command(text):
        return text

    quotation = _quotation(part(message, "referenced_message"), places)
    return "\n\n".join(one for one in (quotation, _shown(message, places)) if one)


def name_of(user: Payload, member: Payload) -> str | None:
    """How this person is called in this place, if it is told."""
    nick = string(member, "nick")
    return nick or string(user, "global_name") or string(user, "username") or None


def mentions_me(text: str, places: Places) -> bool:
    """Whether the agent is mentioned in a text."""
    return any(places.is_me(id) for id in re.findall(r"<@[!&]?(\d+)>", text))


def _shown(message: Payload, places: Places) -> str:
    """Text, forwards, poll, previews, stickers and attachments, one below the other."""
    found = (
        _own_text(message, places),
        *_laid_out(message),
        *(_forwarded(one, places) for one in parts(message, "message_snapshots")),
        _poll(part(message, "poll")),
        *map(_preview, parts(message, "embeds")[:PREVIEWS]),
        *(_named("sticker", one) for one in _stickers(message)),
        *(_attachment(one, message) for one in parts(message, "attachments")),
    )

    return "\n".join(one for one in found if one)


def _own_text(message: Payload, places: Places) -> str:
    names = {
        digits(person, "id"): name_of(person, part(person, "member"))
        for person in parts(message, "mentions")
    }
    written = partial(_written, names=names, places=places)

    return _TOKEN.sub(written, string(message, "content")).strip()


def _written(
    token: re.Match[str],
    names: dict[str, str | None],
    places: Places,
) -> str:
    """A mention, an emoji, a command or a time as people see it. In code they see it as it
    was typed.
    """
    if id := token["id"]:
        if places.is_me(id):
            return ""

        name = names.get(id)
        shown = f"@{name}" if name else places.name(id)
    elif token["channel"]:
        shown = places.name(token["channel"])
    elif token["time"]:
        shown = _moment(int(token["time"]))
    else:
        shown = token["emoji"] or token["command"] or ""

    return f"{token['gap']}{shown}" if shown else token[0]


def _moment(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, OSError, ValueError):
        return ""


def _quotation(message: Payload, places: Places) -> str:
    """The message that is answered. It may be older than what the agent remembers."""
    shown = _shown(message, places)
    if not shown:
        return ""

    author = part(message, "author")
    name = name_of(author, part(message, "member")) or ""

    return in_reply(name, shown, own=places.is_me(digits(author, "id")))


def _forwarded(snapshot: Payload, places: Places) -> str:
    shown = _shown(part(snapshot, "message"), places)
    return forwarded("", shown) if shown else "[forwarded message]"


def _poll(poll: Payload) -> str:
    question = string(part(poll, "question"), "text")
    media = [part(answer, "poll_media") for answer in parts(poll, "answers")]
    answers = [
        string(one, "text") or string(part(one, "emoji"), "name") for one in media
    ]
    offered = " / ".join(answer for answer in answers if answer)

    if not question and not offered:
        return ""

    return f"[poll {question} ({offered})]" if offered else f"[poll {question}]"


def _preview(embed: Payload) -> str:
    """The text that Discord shows below a link, or in a message that a program laid out."""
    fields = [
        f"{string(one, 'name')}: {string(one, 'value')}"
        for one in parts(embed, "fields")
    ]
    words = (
        string(part(embed, "author"), "name"),
        string(embed, "title"),
        string(embed, "description"),
        *fields,
        string(part(embed, "image"), "description"),
        string(part(embed, "footer"), "text"),
    )
    told = " · ".join(word for word in words if word)

    return f"[preview {_cut(told, PREVIEWED)}]" if told else ""


def _laid_out(
    message: Payload,
    depth: int = DEPTH,
) -> Iterator[str]:
    """The texts of a message that is laid out in components."""
    inside = (
        *parts(message, "components"),
        part(message, "component"),
        part(message, "accessory"),
    )
    for component in inside if depth else ():
        if number(component, "type") == TEXT_DISPLAY:
            yield string(component, "content")

        yield _interactive(component)
        for item in parts(component, "items"):  # of a gallery
            yield _described("image", "", string(item, "description"))

        yield from _laid_out(component, depth - 1)


def _interactive(component: Payload) -> str:
    """A button or a file between the texts."""
    kind = number(component, "type")
    label, url = string(component, "label"), string(component, "url")
    if kind == BUTTON and label:
        return f"[{label}]({url})" if url else f"[button {label}]"

    return _named("file", component) if kind == FILE else ""


def _stickers(message: Payload) -> list[Payload]:
    return parts(message, "sticker_items") or parts(message, "stickers")


def _named(kind: str, thing: Payload) -> str:
    return f"[{kind} {string(thing, 'name')}]".replace(" ]", "]")


def _attachment(attachment: Payload, message: Payload) -> str:
    """`[image photo.jpg, 120 kB: what it shows]`; a voice message by its length."""
    size, seconds = number(attachment, "size"), attachment.get("duration_secs")
    if number(message, "flags") & VOICE_MESSAGE and number(message, "flags") > 0:
        length = (
            f"{seconds:.0f} s" if isinstance(seconds, int | float) else _size(size)
        )
        return _described("voice message", length, "")

    kind = string(attachment, "content_type").partition("/")[0]
    title = string(attachment, "title") or string(attachment, "filename")
    name = f"{kind if kind in _KINDS else 'file'} {title or 'without a name'}"

    return _described(name, _size(size), string(attachment, "description"))


def _described(
    name: str,
    size: str,
    description: str,
) -> str:
    about = f": {_cut(description, PREVIEWED)}" if description else ""
    return f"[{name}{', ' if size else ''}{size}{about}]"


def _size(count: int) -> str:
    if count < 0:
        return ""
    if count >= 1e6:
        return f"{count / 1e6:.1f} MB"

    return f"{max(1, round(count / 1000))} kB"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()}…"
