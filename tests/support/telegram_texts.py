"""What Telegram would make of a message: what is said, refused, dropped or a ping."""

from __future__ import annotations

import re

from telegram import MessageEntity

from channels.telegram.text import MOST_ENTITIES, Piece

NAME = re.compile(r"(?<![A-Za-z0-9_])(?<!\w/)@[A-Za-z0-9_]{5,32}(?![A-Za-z0-9_])")
"""A name as Telegram's people have them: five characters at least."""


def said(pieces: list[Piece]) -> list[str]:
    """All that a person can read or follow."""
    hidden = [
        f"{entity.url or ''}{entity.language or ''}"
        for piece in pieces
        for entity in piece.entities
    ]
    return [*(piece.text for piece in pieces), *hidden]


def problems(piece: Piece) -> list[str]:
    """What Telegram would refuse or drop."""
    units = piece.text.encode("utf-16-le")
    ranges = [
        (entity.offset, entity.offset + entity.length) for entity in piece.entities
    ]
    outside = [
        f"outside: {span}"
        for span in ranges
        if not 0 <= span[0] < span[1] <= len(units) // 2
    ]
    halved = [
        f"half a character: {span}" for span in ranges if not _is_whole(units, *span)
    ]
    crossing = [
        f"crossing: {a} {b}"
        for a in ranges
        for b in ranges
        if a[0] < b[0] < a[1] < b[1]
    ]
    many = ["too many"] if len(ranges) > MOST_ENTITIES else []
    return [*outside, *halved, *crossing, *many, *_pings(piece)]


def _is_whole(units: bytes, start: int, end: int) -> bool:
    try:
        units[2 * start : 2 * end].decode("utf-16-le")
    except UnicodeDecodeError:
        return False

    return True


def _pings(piece: Piece) -> list[str]:
    followed = [entity.url for entity in piece.entities if entity.type == "text_link"]
    strange = [
        url
        for url in followed
        if not str(url).startswith(("http://", "https://", "mailto:"))
    ]
    return [
        *(f"leads to {url}" for url in strange),
        *(entity.type for entity in piece.entities if entity.user),
    ]


def unwanted_mentions(piece: Piece) -> list[str]:
    """Names that Telegram would make a mention of, since no link or code covers them."""
    covered = {at for entity in piece.entities for at in _places(piece, entity)}

    return [
        found[0]
        for found in NAME.finditer(piece.text)
        if found.start() not in covered
    ]


def _places(piece: Piece, entity: MessageEntity) -> range:
    """Which characters a link or code covers."""
    if entity.type not in ("text_link", "code", "pre"):
        return range(0)

    units = piece.text.encode("utf-16-le")
    start = len(units[: 2 * entity.offset].decode("utf-16-le"))
    size = len(units[2 * entity.offset :][: 2 * entity.length].decode("utf-16-le"))

    return range(start, start + size)
