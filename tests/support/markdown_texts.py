"""Markdown as models write it, and what of it is visible in the opinion of another parser
than the product's.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from hypothesis import settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

_TEXTS = int(os.environ.get("TEXTS", "100"))

MANY = settings(max_examples=_TEXTS, deadline=None)
"""How many texts each property is tried on: `TEXTS=100000` for a long run (see CONTRIBUTING.md)."""

SOME = settings(max_examples=max(_TEXTS // 5, 10), deadline=None)
"""The same for what is tried on many states of each text."""

_PARSER = (
    MarkdownIt("commonmark", {"html": False})
    .enable(["table", "strikethrough"])
    .disable(["html_block", "html_inline", "reference"])
)
_PINGING = re.compile("<[!@#]")
_REFERENCE = re.compile(r"&#?\w+;")
UNESCAPED = "\ue000"
"""Stands for `&lt;` in what is `visible`, so that a `<` there was one in the Markdown."""

WORDS = (
    *(
        "a",
        "word",
        "naïve",
        "日本語",
        "😀",
        "x" * 30,
        "1,000",
        "end.",
        "(and so)",
        "C#",
        "c_d_e",
        "\\*",
        "&amp;",
    ),
    *(
        "**bold words here**",
        "*it al*",
        "_u_",
        "~~st r~~",
        "***bi***",
        "**b *i* b**",
        "**a `b` c**",
        "a & b",
    ),
    *(
        "`code x`",
        "``a ` b``",
        "`if a < b && c > d`",
        "<b>",
        "vector<int>",
        "</think>",
        "<@U123>",
        "<!here>",
    ),
    *(
        "[label of words](https://example.org/a/b)",
        "**[l](https://e.org)**",
        "https://example.org/x?y=z",
    ),
    *(
        "![alt](https://i.org/p.png)",
        "<!channel|<!here>>",
        "`npm i @here/x`",
        "@everyone",
        "<#C1|x>",
        "[`c`](https://e.org)",
    ),
)
"""Words as models write them, with much that has a meaning in Markdown or on a platform."""

MARKS = "`~*_[]()<>#-+|\\ \n\t ab😀é日1.!:$>&;@"
"""Characters of which much in Markdown begins."""

_WORDS = st.sampled_from(WORDS)
_PROSE = st.lists(_WORDS, min_size=1, max_size=8).map(" ".join)
_CODE_LINE = st.builds(
    lambda indent, words: indent + words.replace("`", "'").replace("~", ""),
    st.sampled_from(["", "  "]),
    _PROSE,
)


def _code(fence: str, info: str, lines: Sequence[str]) -> str:
    return "\n".join((fence + info, *lines, fence))


def _indented(block: str, first: str) -> str:
    return first + block.replace("\n", "\n" + " " * len(first))


def _quoted(block: str) -> str:
    return "> " + block.replace("\n", "\n> ")


_LEAF = st.one_of(
    st.lists(_PROSE, min_size=1, max_size=3).map("\n".join),
    st.builds(
        _code,
        st.sampled_from(["```", "~~~", "````"]),
        st.sampled_from(["", "py"]),
        st.lists(_CODE_LINE, min_size=1),
    ),
    st.builds(
        lambda level, words: "#" * level + " " + words, st.integers(1, 6), _PROSE
    ),
)


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    blocks = st.lists(inner, min_size=1, max_size=2).map("\n\n".join)
    items = st.lists(blocks, min_size=1, max_size=3)

    return st.one_of(
        inner.map(_quoted),
        items.map(lambda found: "\n".join(_indented(item, "- ") for item in found)),
        items.map(
            lambda found: "\n".join(
                _indented(item, f"{n}. ") for n, item in enumerate(found, 1)
            )
        ),
    )


ANSWERS = st.lists(
    st.recursive(_LEAF, _containers, max_leaves=4), min_size=1, max_size=4
).map("\n\n".join)
"""Whole answers: prose, code, headings, lists and quotations in each other."""

JUNK = st.lists(
    st.text(max_size=20) | st.text(MARKS, max_size=60) | _WORDS,
    max_size=12,
).map("".join)
"""Anything, and much that looks like marks."""


def visible(markdown: str) -> str:
    """What is shown of a Markdown text: no white space, no marks of lists; `<` is one that
    stood there unescaped.
    """
    shown: list[str] = []

    for token in _PARSER.parse(markdown.replace("&lt;", UNESCAPED)):
        if token.type in ("fence", "code_block"):
            shown.append(token.content.replace(UNESCAPED, "&lt;"))
        for child in token.children or ():
            if child.type == "code_inline":
                shown.append(child.content.replace(UNESCAPED, "&lt;"))
            elif child.type in ("text", "text_special", "image"):
                shown.append(child.content)

    return "".join("".join(shown).split())


def codes(markdown: str) -> list[str]:
    """The code of a Markdown text, each piece by itself."""
    tokens = _PARSER.parse(markdown)
    inline = [child for token in tokens for child in token.children or ()]

    return [
        token.content
        for token in [*tokens, *inline]
        if token.type in ("fence", "code_inline")
    ]


def prose(markdown: str) -> str:
    """What is shown of a Markdown text outside of code, and what stands behind the fences
    that begin code. In the words of an image, code that could ping counts, too.
    """
    shown: list[str] = []

    for token in _PARSER.parse(markdown.replace("&lt;", UNESCAPED)):
        shown.append(token.info)
        for child in token.children or ():
            shown += _prose_of(child)

    return "".join(shown)


def _prose_of(token: Token) -> Iterator[str]:
    if token.type in ("text", "text_special"):
        yield token.content

    for child in token.children or ():
        if child.type == "code_inline" and _PINGING.search(child.content):
            yield child.content
        yield from _prose_of(child)


def letters(texts: Sequence[str]) -> Counter[str]:
    """How often each letter and digit occurs, those of character references (`&amp;`) left out."""
    return all_letters([_REFERENCE.sub("", text) for text in texts])


def all_letters(texts: Sequence[str]) -> Counter[str]:
    """The same where nothing is a reference, even if it looks like one."""
    return Counter(
        character for text in texts for character in text if character.isalnum()
    )


def without_marks(text: str) -> str:
    """Without what begins list items, which only one of two readers shows."""
    return "".join(
        character for character in text if character not in "•—0123456789."
    )
