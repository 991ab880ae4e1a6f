"""Rich messages: the text that their blocks show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from channels.fields import Json, first_text, items, mapping, text

_MENTION = re.compile(r"(?<!\w)@[A-Za-z0-9_]+")
_DEPTH = 24  # of blocks and of text within text; people make a few
_MEDIA = ("animation", "audio", "photo", "video", "voice_note")
_NESTED = ("blocks", "items")


def shown(message: Json) -> str:
    """The text of a message's blocks, one in a line; "" when it has none."""
    blocks = items(mapping(message, "rich_message"), "blocks")
    lines = (line for block in blocks for line in _lines(block, _DEPTH))

    return "\n".join(line for line in lines if line.strip())


def as_text(message: Json) -> Json:
    """A rich message as a message of text; any other as it is."""
    words = "" if first_text(message, "text", "caption") else shown(message)
    if not words:
        return message

    mentions = [
        {
            "type": "mention",
            "offset": len(words[: found.start()].encode("utf-16-le", "replace")) // 2,
            "length": len(found[0]),
        }
        for found in _MENTION.finditer(words)
    ]
    plain = {name: value for name, value in message.items() if name != "rich_message"}

    return {**plain, "text": words, "entities": mentions}


def _lines(block: Json, depth: int) -> Iterator[str]:
    """The lines of a block, whatever its kind: all that is text in it."""
    if not depth:
        return

    yield text(block, "expression")
    for name in ("summary", "label", "text"):
        yield _words(block.get(name), depth)

    yield _media(block)
    yield from _rows(block, depth)
    for name in _NESTED:
        for inner in items(block, name):
            yield from _lines(inner, depth - 1)

    caption = block.get("caption")
    if isinstance(caption, dict) and "type" not in caption:  # one with a credit
        yield from _lines(caption, depth - 1)
    else:
        yield _words(caption, depth)

    yield _words(block.get("credit"), depth)


def _rows(block: Json, depth: int) -> Iterator[str]:
    rows = block.get("cells")
    for row in rows if isinstance(rows, list) else ():
        cells = row if isinstance(row, list) else ()
        texts = (
            _words(cell.get("text"), depth)
            for cell in cells
            if isinstance(cell, dict)
        )
        yield " | ".join(texts)


def _words(said: Any, depth: int) -> str:
    """Text that is plain, a list of texts, or text with a meaning."""
    if isinstance(said, str):
        return said
    if not depth:
        return ""
    if isinstance(said, list):
        return "".join(_words(part, depth - 1) for part in said)
    if not isinstance(said, dict):
        return ""

    words = _words(said.get("text"), depth - 1)
    address = text(said, "url")
    if address and address != words:
        return f"[{words}]({address})" if words else address

    return words or first_text(said, "expression", "alternative_text")


def _media(block: Json) -> str:
    kind = next((name for name in _MEDIA if block.get(name) is not None), "")
    if kind:
        return f"[{kind.replace('photo', 'image').replace('_note', ' message')}]"

    return "[map]" if mapping(block, "location") else ""
