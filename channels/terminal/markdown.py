"""Markdown as a terminal shows it: every character that the model wrote can be read there.

It is read as on the platforms (channels/markdown/meaning.py). Where a terminal would hide
something, it is written out: addresses of links and pictures, cells that a table has no
column for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement
from rich.syntax import Syntax

from channels.markdown.meaning import Translation, meant
from channels.markdown.parser import sound
from channels.markdown.tables import wide_tables_as_code

_LINKS = ("http://", "https://", "mailto:")


class _Parser(MarkdownIt):
    def normalizeLink(self, url: str) -> str:  # noqa: N802 - the library's name
        """Addresses as they were written."""
        return url


_PARSER = _Parser("commonmark", {"html": False}).enable(["strikethrough", "table"])


class _Code(CodeBlock):
    """Code from the first column on, so that what is copied runs."""

    def __rich_console__(
        self,
        console: Console,
        options: ConsoleOptions,
    ) -> RenderResult:
        yield Syntax(
            str(self.text).rstrip(),
            self.lexer_name,
            theme=self.theme,
            word_wrap=True,
        )


class _Shown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
    }


def rendered(markdown: str) -> Markdown:
    """Markdown with HTML as text: models write `List<String>`, which rich would drop.

    Line breaks stay, as on the platforms; rich would turn them into spaces.
    """
    shown = _Shown("")
    shown.parsed = tokens(wide_tables_as_code(markdown))
    for token in shown.parsed:
        token.children = list(_written_out(token.children or ()))

    return shown


def tokens(markdown: str) -> list[Token]:
    """What the text consists of."""
    readable, back = meant(sound(markdown))
    found = _PARSER.parse(readable)
    for token in found:
        _translate(token, back)

    return found


def _translate(
    token: Token,
    back: Translation,
) -> None:
    token.content = token.content.translate(back)
    token.info = token.info.translate(back)
    for name, value in token.attrs.items():
        if isinstance(value, str):
            token.attrs[name] = value.translate(back)

    for child in token.children or ():
        _translate(child, back)


def _written_out(
    parts: Sequence[Token],
) -> Iterator[Token]:
    """The parts of a line, with addresses as text."""
    link, words = Token("", "", 0), ""

    for part in parts:
        words += part.content
        if part.type == "softbreak":
            part.type = "hardbreak"

        if part.type == "link_open":
            link, words = part, ""
            yield part if _leads(part) else _text("[")
        elif part.type == "link_close":
            yield from _end_of_link(part, link, words)
        elif part.type == "image":
            yield _text(f"{part.content} ({part.attrs.get('src', '')})".lstrip())
        else:
            yield part


def _end_of_link(
    end: Token,
    link: Token,
    words: str,
) -> Iterator[Token]:
    address, title = str(link.attrs.get("href", "")), link.attrs.get("title", "")
    named = f' "{title}"' if title else ""
    if not _leads(link):
        yield _text(f"]({address}{named})")
        return

    yield end
    if address not in (words, f"mailto:{words}"):
        yield _text(f" ({address}{named})")


def _leads(
    link: Token,
) -> bool:
    return str(link.attrs.get("href", "")).startswith(_LINKS)


def _text(
    content: str,
) -> Token:
    return Token("text", "", 0, content=content)
