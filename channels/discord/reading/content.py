"""What Discord shows as part of a message, in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial

from agent.core.commands import parse_command
from channels.discord.reading.components import Read, laid_out
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
from channels.fields import number as measured

PREVIEWED = 500
"""Characters of the preview of one link."""

PREVIEWS = 5
VOICE_MESSAGE = 1 << 13

_KINDS = ("image", "video", "audio")
_PLACES = {
    "customize": "Channels & Roles",
    "browse": "Browse Channels",
    "guide": "Server Guide",
    "linked-roles": "Linked Roles",
}
"""Pages of a server that a text can link to, as Discord names them."""

_TOKEN = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)"
    r"|(?P<gap>[ \t]*)<(?:@[!&]?(?P<id>\d+)|\#(?P<channel>\d+)|a?(?P<emoji>:\w+:)\d+"
    r"|(?P<command>/[^:<>]+):\d+|t:(?P<time>-?\d{1,12})(?::\w)?"
    r"|id:(?P<page>customize|browse|guide|linked-roles)(?::\d+)?)>",
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
    """Title, text, forwards, poll, previews, stickers and attachments, one below the other."""
    read = _reader(message, places)
    origin = places.name(digits(part(message, "message_reference"), "channel_id"))
    previews = parts(message, "embeds")[:PREVIEWS]
    found = (
        _title(message, places),
        read(string(message, "content")),
        *laid_out(message, read),
        *(
            _forwarded(one, origin, places)
            for one in parts(message, "message_snapshots")
        ),
        _poll(part(message, "poll")),
        *(_preview(one, read) for one in previews),
        *(_named("sticker", one) for one in _stickers(message)),
        *(_named("sound", one) for one in parts(message, "soundboard_sounds")),
        _activity(message),
        *(_attachment(one, message) for one in parts(message, "attachments")),
    )

    return "\n".join(one for one in found if one)


def _own_text(message: Payload, places: Places) -> str:
    return _reader(message, places)(string(message, "content"))


def _reader(message: Payload, places: Places) -> Read:
    """Makes people's texts of those of this message, which names whom it mentions."""
    people = {
        digits(person, "id"): name_of(person, part(person, "member"))
        for person in parts(message, "mentions")
    }
    channels = {
        digits(channel, "id"): f"#{string(channel, 'name')}"
        for channel in parts(message, "mention_channels")
    }
    written = partial(_written, names={**channels, **people}, places=places)

    return lambda text: _TOKEN.sub(written, text).strip()


def _title(message: Payload, places: Places) -> str:
    """The title of a post in a forum: its first message has the id of its thread."""
    id = digits(message, "id")
    name = places.name(id) if id == digits(message, "channel_id") else ""

    return f"[post {name.removeprefix('#')}]" if name else ""


def _activity(message: Payload) -> str:
    """An invitation to what somebody plays or hears, or a theme that they share."""
    if part(message, "shared_client_theme"):
        return "[theme]"

    known = part(message, "activity")
    return _named("activity", part(message, "application")) if known else ""


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
    elif id := token["channel"]:
        shown = places.name(id) or names.get(id) or ""
    elif token["time"]:
        shown = _moment(int(token["time"]))
    else:
        shown = token["emoji"] or token["command"] or _PLACES.get(token["page"], "")

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


def _forwarded(snapshot: Payload, origin: str, places: Places) -> str:
    shown = _shown(part(snapshot, "message"), places)
    return forwarded(origin, shown) if shown else "[forwarded message]"


def _poll(poll: Payload) -> str:
    question = string(part(poll, "question"), "text")
    counts = {
        number(one, "id"): number(one, "count")
        for one in parts(part(poll, "results"), "answer_counts")
    }
    answers = [
        _voted(_answer(one), counts.get(number(one, "answer_id"), 0))
        for one in parts(poll, "answers")
    ]
    offered = " / ".join(answer for answer in answers if answer)

    if not question and not offered:
        return ""

    return f"[poll {question} ({offered})]" if offered else f"[poll {question}]"


def _answer(answer: Payload) -> str:
    media = part(answer, "poll_media")
    return string(media, "text") or string(part(media, "emoji"), "name")


def _voted(answer: str, votes: int) -> str:
    return f"{answer}, {votes} votes" if answer and votes > 0 else answer


def _result(embed: Payload) -> str:
    """How a poll ended. The fields have names for programs."""
    told = {
        string(one, "name"): string(one, "value") for one in parts(embed, "fields")
    }
    question = told.get("poll_question_text", "")
    winner = told.get("victor_answer_text") or told.get("victor_answer_emoji_name")
    votes, total = told.get("victor_answer_votes", ""), told.get("total_votes", "")
    won = f": {winner}, {votes} of {total} votes" if winner else ""

    return f"[result of the poll {question}{won}]"


def _preview(embed: Payload, read: Read) -> str:
    """The text that Discord shows below a link, or in a message that a program laid out."""
    if string(embed, "type") == "poll_result":
        return _result(embed)

    fields = [
        f"{string(one, 'name')}: {string(one, 'value')}"
        for one in parts(embed, "fields")
    ]
    words = (
        string(part(embed, "author"), "name"),
        _linked(embed),
        string(embed, "description"),
        *fields,
        string(part(embed, "image"), "description"),
        string(part(embed, "footer"), "text"),
    )
    told = read(" · ".join(word for word in words if word))

    return f"[preview {_cut(told, PREVIEWED)}]" if told else ""


def _linked(embed: Payload) -> str:
    """The title, with the address behind it. That of a preview stands in the text already."""
    title, url = string(embed, "title"), string(embed, "url")
    behind = title and url and string(embed, "type") == "rich"

    return f"[{title}]({url})" if behind else title


def _stickers(message: Payload) -> list[Payload]:
    return parts(message, "sticker_items") or parts(message, "stickers")


def _named(kind: str, thing: Payload) -> str:
    return f"[{kind} {string(thing, 'name')}]".replace(" ]", "]")


def _attachment(attachment: Payload, message: Payload) -> str:
    """`[image photo.jpg, 120 kB: what it shows]`; a voice message by its length."""
    size, seconds = number(attachment, "size"), measured(attachment, "duration_secs")
    if number(message, "flags") & VOICE_MESSAGE and number(message, "flags") > 0:
        length = _size(size) if seconds is None else f"{seconds:.0f} s"
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
