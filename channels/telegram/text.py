"""Markdown as Telegram shows it: plain text with entities, cut into messages.

Formatting may fail, the answer may not: what cannot be formatted without losing a letter
goes out as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import unescape

from telegram import MessageEntity
from telegramify_markdown import RenderConfig, convert
from telegramify_markdown.entity import MessageEntity as Span

from channels.splitting import split, utf16_length

LIMIT = 4096  # UTF-16 units of one message, https://core.telegram.org/bots/api#sendmessage
_EMPTY = "…"  # Telegram refuses a message without text
_LINKS = (
    "http://",
    "https://",
    "mailto:",
)  # a tg:// link to a person would ping them
# An HTML tag that a model did not mean as one: `vector<int>`. Code, escapes and links are
# passed over.
_TAG = re.compile(
    r"(?P<fence>```+|~~~+).*?(?:(?P=fence)|\Z)|(?P<ticks>`{1,2})(?!`).*?(?P=ticks)(?!`)|\\."
    r"|<(?=[A-Za-z/!?])(?!https?:|mailto:)",
    re.DOTALL,
)
_MARKS = re.compile(
    r"^[\s>]*(?:\d+[.)]|[-*+] \[[xX ]\])", re.MULTILINE
)  # list numbers and boxes are redrawn
_BREAKS = ("\n\n", "\n", " ")  # where to cut, the best first


@dataclass(frozen=True, slots=True)
class Piece:
    """One message's text and its formatting."""

    text: str
    entities: tuple[MessageEntity, ...] = ()

    def labelled(self, label: str) -> Piece:
        """The same with words in front of it."""
        by = utf16_length(label)
        return Piece(
            label + self.text, tuple(_moved(entity, by) for entity in self.entities)
        )


def render(markdown: str, limit: int = LIMIT) -> list[Piece]:
    """The messages that show this text, each with at most `limit` UTF-16 units; at least one."""
    sound = markdown.encode(
        "utf-8", "replace"
    ).decode()  # a lone surrogate cannot be sent
    spans = _formatted(sound)
    pieces = plain(sound, limit) if spans is None else list(_pieces(*spans, limit))
    return pieces or [Piece(_EMPTY)]


def plain(text: str, limit: int = LIMIT) -> list[Piece]:
    """The text as it is."""
    return [
        Piece(part)
        for part in split(text, limit, measure=utf16_length)
        if part.strip()
    ]


def _formatted(markdown: str) -> tuple[str, list[Span]] | None:
    """Text and formatting, or None when formatting would lose anything."""
    source = _TAG.sub(lambda found: r"\<" if found[0] == "<" else found[0], markdown)
    try:
        text, spans = _converted(source, latex=False)
        if _loses(markdown, text, spans):
            return None
        return (
            _converted(source, latex=True)
            if r"\(" in source or r"\[" in source
            else (text, spans)
        )
    except Exception:  # whatever the converter stumbles over, the answer goes out
        return None


def _converted(source: str, *, latex: bool) -> tuple[str, list[Span]]:
    text, spans = convert(source, latex_escape=latex, config=_STYLE)
    return text, [
        span
        for span in spans
        if span.type != "text_link" or str(span.url).startswith(_LINKS)
    ]


def _loses(markdown: str, text: str, spans: Sequence[Span]) -> bool:
    """Whether a letter or digit of the source is in neither the text nor a link or a
    language's name.
    """
    meant = unescape(_MARKS.sub("", markdown))
    hidden = "".join(f"{span.url or ''}{span.language or ''}" for span in spans)
    return bool(_letters(meant) - _letters(text + hidden))


def _letters(text: str) -> Counter[str]:
    return Counter(filter(str.isalnum, text))


def _pieces(text: str, spans: Sequence[Span], limit: int) -> Iterator[Piece]:
    at = 0  # in UTF-16 units, as the spans are
    while text:
        cut = _cut(text, limit)
        head, text = text[:cut], text[cut:]
        if shown := head.strip("\n").rstrip():
            start = at + utf16_length(head[: len(head) - len(head.lstrip("\n"))])
            yield Piece(
                shown, tuple(_clipped(spans, start, start + utf16_length(shown)))
            )
        at += utf16_length(head)


def _cut(text: str, limit: int) -> int:
    """How many characters go into the next message: up to the last good break, if that is
    not too early.
    """
    end = _fits(text, limit)
    if end == len(text):
        return end
    for mark in _BREAKS:
        if (found := text.rfind(mark, end // 2, end)) > 0:
            return found + len(mark)
    return end


def _fits(text: str, limit: int) -> int:
    """The most characters that measure at most `limit`."""
    head = text[:limit]
    while (over := utf16_length(head) - limit) > 0:
        head = head[: -((over + 1) // 2)]  # a character measures 2 at most
    return max(len(head), 1)


def _clipped(spans: Sequence[Span], start: int, end: int) -> Iterator[MessageEntity]:
    """The parts of the spans that lie in a message: a code block that is cut goes on as
    code in the next.
    """
    for span in spans:
        first, last = max(span.offset, start), min(span.offset + span.length, end)
        if first < last:
            clipped = replace(span, offset=first - start, length=last - first)
            yield MessageEntity(**clipped.to_dict())


def _moved(entity: MessageEntity, by: int) -> MessageEntity:
    return MessageEntity(**{**entity.to_dict(), "offset": entity.offset + by})


def _style() -> RenderConfig:
    """Headings without the converter's emoji, and an ordinary bullet."""
    config = RenderConfig.isolated()
    symbols = config.markdown_symbol
    symbols.heading_level_1 = symbols.heading_level_2 = ""
    symbols.heading_level_3 = symbols.heading_level_4 = ""
    symbols.unordered_list_item = "•"
    return config


_STYLE = _style()
