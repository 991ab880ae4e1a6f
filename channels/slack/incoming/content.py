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
from channels.slack.text import attachments

_WORDS = ("text", "alt_text", "fallback", "value", "name")
_ABOVE = ("title", "subtitle", "label", "call", "v1")
_BELOW = ("description", "body", "details", "output", "file")
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
    for name in _ABOVE:
        yield from _line(block, name, depth)

    yield _said(block, kind)
    yield from _block(mapping(block, "text"), depth - 1)

    for name in ("elements", "fields", "tasks"):
        for element in items(block, name):
            yield from _block(element, depth - 1)
            yield "" if kind == "rich_text_section" else "\n"

    yield from _rows(block, depth)
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
        return f"{number(element, 'value')}"

    return first_text(element, *_WORDS)


def _link(
    element: Json,
) -> str:
    url, label = text(element, "url"), text(element, "text")
    return f"<{url}|{label}>" if label else f"<{url}>"


def around(
    message: Json,
    spoken: str,
) -> str:
    """The words with what was shared and attached."""
    files = attachments(items(message, "files"))
    own = "\n".join(part for part in (spoken, files) if part)
    shared = _shares(items(message, "attachments"))

    return "\n\n".join(part for part in (own, *shared) if part)


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
    said = text(one, "text") or blocks_text(one) or _message_blocks(one)
    parts = [
        text(one, "pretext"),
        text(one, "title"),
        said,
        *(_field(field) for field in items(one, "fields")),
        attachments(items(one, "files")),
    ]
    shown = "\n".join(part for part in parts if part)

    return shown or text(one, "fallback")


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
