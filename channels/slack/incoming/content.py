"""What Slack shows as part of a message besides its words, in Slack's own escaped text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from channels.fields import (
    FORWARDED,
    Json,
    first_text,
    forwarded,
    items,
    mapping,
    number,
    quotation,
    text,
)
from channels.slack.incoming.files import attachments
from channels.slack.text import escaped

_WORDS = ("text", "alt_text", "fallback", "value", "name")
_ABOVE = ("title", "subtitle", "label", "call", "v1")
_BELOW = ("description", "body", "details", "output", "file")
_RAW = ("text", "raw_text")
"""Elements whose words Slack does not escape, as it does everywhere else."""

_CHOICES = ("options", "initial_options")
_DEPTH = 8  # of blocks within blocks; people make about three


def words(
    message: Json,
) -> str:
    """What the person wrote: the text, or that of the blocks when Slack gives no other."""
    return text(message, "text") or blocks_text(message)


def blocks_text(
    message: Json,
) -> str:
    """The text of a message's blocks, one in a line."""
    parts = ("".join(_block(block, _DEPTH)) for block in items(message, "blocks"))
    return "\n".join(part.strip() for part in parts if part.strip())


def _block(
    block: Json,
    depth: int,
) -> Iterator[str]:
    """The texts in one block, whatever its kind."""
    if not depth or not block:
        return

    kind = text(block, "type")
    if kind == "button":
        yield _button(block)
        return

    for name in _ABOVE:
        yield from _line(block, name, depth)

    yield _said(block, kind)
    yield from _block(mapping(block, "text"), depth - 1)

    for name in ("elements", "fields", "tasks", *_CHOICES):
        for element in items(block, name):
            yield from _block(element, depth - 1)
            yield "" if kind == "rich_text_section" else "\n"

    yield from _rows(block, depth)
    beside = "".join(_block(mapping(block, "accessory"), depth - 1))
    yield f"\n{beside}" if beside else ""

    for name in _BELOW:
        yield from _line(block, name, depth)


def _line(
    block: Json,
    name: str,
    depth: int,
) -> Iterator[str]:
    """A part that stands on lines of its own."""
    part = "".join(_block(mapping(block, name), depth - 1)) or text(block, name)
    yield f"{part.strip()}\n" if part.strip() else ""


def _rows(
    table: Json,
    depth: int,
) -> Iterator[str]:
    rows = table.get("rows")
    for row in rows if isinstance(rows, list) else ():
        cells = items({"cells": row}, "cells")
        shown = ("".join(_block(cell, depth - 1)).strip() for cell in cells)
        yield " | ".join(shown) + "\n"


def _said(
    element: Json,
    kind: str,
) -> str:
    """What one element itself says."""
    if kind == "user":
        return f"<@{text(element, 'user_id')}>"
    if kind == "channel":
        return f"<#{text(element, 'channel_id')}>"
    if kind == "broadcast":
        return f"<!{text(element, 'range')}>"
    if kind == "emoji":
        return f":{text(element, 'name')}:"
    if kind == "usergroup":
        return f"<!subteam^{text(element, 'usergroup_id')}>"
    if kind == "link":
        return _link(element)
    if kind == "video":
        return f"{text(element, 'alt_text')}\n"
    if kind == "raw_number":
        value = number(element, "value")
        return text(element, "text") if value is None else f"{value}"

    said = first_text(element, *_WORDS)

    return escaped(said) if kind in _RAW else said


def _link(
    element: Json,
) -> str:
    url, label = text(element, "url"), escaped(text(element, "text"))
    return f"<{url}|{label}>" if label else f"<{url}>"


def _button(
    element: Json,
) -> str:
    """Its `value` is for the app alone."""
    label, url = text(mapping(element, "text"), "text"), text(element, "url")
    if not label:
        return ""

    return f"<{url}|{label}>" if url else f"[button {label}]"


def around(
    message: Json,
    spoken: str,
) -> str:
    """The words with what was shared and attached."""
    files = attachments(items(message, "files"))
    own = "\n".join(part for part in (spoken, _huddle(message), files) if part)
    shared = _shares(items(message, "attachments"))

    return "\n\n".join(part for part in (own, *shared) if part)


def shown(
    message: Json,
) -> str:
    """All that people see of a message."""
    return around(message, words(message))


def _huddle(
    message: Json,
) -> str:
    """Slack writes such a message without words; people talk in the thread below it."""
    room = mapping(message, "room")
    name = text(room, "name")

    return f"[huddle {name}]".replace(" ]", "]") if room else ""


def _shares(
    attached: Iterable[Json],
) -> Iterator[str]:
    """What the person forwarded or pasted. Previews of links in the text are no part of it."""
    for one in attached:
        is_share = one.get("is_share") is True or one.get("is_msg_unfurl") is True
        if not is_share and first_text(one, "from_url", "original_url"):
            continue
        if shown := _shown(one):
            yield _quoted(one, shown, is_share=is_share)


def _quoted(
    one: Json,
    shown: str,
    *,
    is_share: bool,
) -> str:
    author = first_text(one, "author_name", "author_subname", "author_id")
    if is_share:
        return forwarded(author, shown)

    return quotation(
        f"Attached, by {author}" if author else "Attached", shown, FORWARDED
    )


def _shown(
    one: Json,
) -> str:
    """An attachment's own words, else what stands for it."""
    # Of a message that an app laid out, the text is but what a notification says.
    said = max(text(one, "text"), blocks_text(one), _message_blocks(one), key=len)
    parts = [
        text(one, "pretext"),
        _title(one),
        said,
        *(_field(field) for field in items(one, "fields")),
        attachments(items(one, "files")),
        *_inner(one),
    ]
    shown = "\n".join(part for part in parts if part)

    return shown or text(one, "fallback")


def _title(
    one: Json,
) -> str:
    title, url = text(one, "title"), text(one, "title_link")
    return f"<{url}|{title}>" if title and url else title


def _inner(
    one: Json,
) -> Iterator[str]:
    """What was attached to a message that is shared; people make one level."""
    for inner in items(one, "attachments"):
        own = {name: value for name, value in inner.items() if name != "attachments"}
        yield _shown(own)


def _message_blocks(
    one: Json,
) -> str:
    return "\n".join(
        blocks_text(mapping(inner, "message"))
        for inner in items(one, "message_blocks")
    )


def _field(
    field: Json,
) -> str:
    named = (text(field, "title"), text(field, "value"))
    return ": ".join(part for part in named if part)
