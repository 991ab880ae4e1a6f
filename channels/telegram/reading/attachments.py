"""What is attached to a message of Telegram, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from channels.fields import Json, first_text, integer, items, mapping, number, text
from channels.telegram.reading import rich

_LISTED = 50  # options of a poll or tasks of a checklist that are named

# By Telegram's field, the word for people. An animation is also a document: order counts.
_FILES = {
    "animation": "animation",
    "video": "video",
    "video_note": "video",
    "voice": "voice message",
    "audio": "audio",
    "document": "file",
    "sticker": "sticker",
}


def said_by(
    person: Json,
) -> str:
    """The name of a person, a group or a channel; "" when there is none."""
    full = f"{text(person, 'first_name')} {text(person, 'last_name')}".strip()
    return full or first_text(person, "title", "username")


def attachment(
    message: Json,
) -> str:
    """`[image photo.jpg, 120 kB]`, or a poll, a place, a contact; "" when there is none."""
    for field, shown in _SHOWN.items():
        if (value := message.get(field)) is not None:
            return shown(value if isinstance(value, dict) else {})

    for field in ("photo", "live_photo"):
        if message.get(field) is not None:
            return _photo(message if field == "photo" else mapping(message, field))

    if said := rich.shown(message):
        return said

    for field, kind in _FILES.items():
        if message.get(field) is not None:
            return _file(mapping(message, field), kind)

    return ""


def _photo(
    message: Json,
) -> str:
    """One picture in several sizes, the largest last, without a name."""
    sizes = items(message, "photo")
    return _sized("image photo.jpg", sizes[-1] if sizes else {})


def _file(
    item: Json,
    kind: str,
) -> str:
    is_image = text(item, "mime_type").startswith("image/")
    name = first_text(item, "file_name", "emoji") or _song(item)
    shown = "image" if is_image else kind

    return _sized(f"{shown} {name}".rstrip(), item)


def _song(
    item: Json,
) -> str:
    named = (text(item, "performer"), text(item, "title"))
    return ": ".join(part for part in named if part)


def _sized(
    described: str,
    item: Json,
) -> str:
    size = integer(item, "file_size")
    return f"[{described}, {_readable(size)}]" if size else f"[{described}]"


def _readable(
    size: int,
) -> str:
    """Bytes as people write them: 120 kB, 3.4 MB."""
    if size < 1000:
        return f"{size} B"

    if size < 1_000_000:
        return f"{size / 1000:.0f} kB"

    return f"{size / 1_000_000:.1f} MB"


def _listed(
    title: str,
    entries: Iterator[str],
) -> str:
    lines = [line for line in entries if line]
    more = len(lines) - _LISTED
    rest = [f"- and {more} more"] if more > 0 else []

    return "\n".join([title, *lines[:_LISTED], *rest])


def _poll(
    poll: Json,
) -> str:
    kind = "quiz" if text(poll, "type") == "quiz" else "poll"
    options = (
        f"- {words}"
        for option in items(poll, "options")
        if (words := text(option, "text"))
    )
    title = _named(kind, text(poll, "question"), text(poll, "description"))

    return _listed(title, options)


def _checklist(
    checklist: Json,
) -> str:
    tasks = (
        f"- [{'x' if _is_done(task) else ' '}] {words}"
        for task in items(checklist, "tasks")
        if (words := text(task, "text"))
    )
    return _listed(_named("checklist", text(checklist, "title")), tasks)


def _is_done(
    task: Json,
) -> bool:
    return bool(
        integer(task, "completion_date")
        or mapping(task, "completed_by_user")
        or mapping(task, "completed_by_chat")
    )


def _venue(
    venue: Json,
) -> str:
    return _named(
        "place",
        text(venue, "title"),
        text(venue, "address"),
        _coordinates(mapping(venue, "location")),
    )


def _location(
    location: Json,
) -> str:
    kind = "live location" if integer(location, "live_period") else "location"
    return _named(kind, _coordinates(location))


def _coordinates(
    location: Json,
) -> str:
    latitude, longitude = number(location, "latitude"), number(location, "longitude")
    if latitude is None or longitude is None:
        return ""

    return f"{latitude}, {longitude}"


def _contact(
    contact: Json,
) -> str:
    return _named("contact", said_by(contact), text(contact, "phone_number"))


def _dice(
    dice: Json,
) -> str:
    value = integer(dice, "value")
    shown = f"{text(dice, 'emoji')} {'' if value is None else value}".strip()

    return _named("dice", shown)


def _game(
    game: Json,
) -> str:
    return _named(
        "game",
        text(game, "title"),
        text(game, "description"),
    )


def _invoice(
    invoice: Json,
) -> str:
    return _named(
        "invoice",
        text(invoice, "title"),
        text(invoice, "description"),
    )


def _story(
    story: Json,
) -> str:
    return _named("story", said_by(mapping(story, "chat")))


def _paid_media(
    media: Json,
) -> str:
    count = len(items(media, "paid_media"))
    return f"[paid media, {count}]" if count else "[paid media]"


def _named(
    kind: str,
    *facts: str,
) -> str:
    known = ", ".join(fact for fact in facts if fact)
    return f"[{kind} {known}]" if known else f"[{kind}]"


def _giveaway(
    giveaway: Json,
) -> str:
    return _named("giveaway", text(giveaway, "prize_description"))


def _web_app(
    sent: Json,
) -> str:
    return _named("web app", text(sent, "button_text"), text(sent, "data"))


# A venue is also a location, a checklist or a game may have pictures: order counts.
_SHOWN: dict[str, Callable[[dict[str, Any]], str]] = {
    "venue": _venue,
    "location": _location,
    "contact": _contact,
    "poll": _poll,
    "checklist": _checklist,
    "dice": _dice,
    "game": _game,
    "invoice": _invoice,
    "story": _story,
    "paid_media": _paid_media,
    "giveaway": _giveaway,
    "giveaway_winners": _giveaway,
    "web_app_data": _web_app,
}
