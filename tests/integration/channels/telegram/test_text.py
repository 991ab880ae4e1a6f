"""Answers as Telegram shows them: formatted where possible, whole always."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.splitting import utf16_length
from channels.telegram.text import LIMIT, Piece, render

MARKS = (
    [
        "**",
        "_",
        "`",
        "~~",
        "```\n",
        "```python\n",
        "\n",
        "\n\n",
        "  ",
        "# ",
        "- ",
        "1. ",
        "> ",
        "<b>",
        "</think>",
    ],
    [
        "| a | b |\n|---|---|\n",
        "[x](http://y.z)",
        "![i](http://j.k/l.png)",
        "vector<int>",
        "\\(x^2\\)",
        "👩\u200d👩\u200d👧",
    ],
)
MARKDOWN = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from([mark for row in MARKS for mark in row]),
        st.text(alphabet="ab 👋\n", min_size=200, max_size=900),
    ),
    max_size=14,
).map("".join)


def letters(text: str) -> Counter[str]:
    return Counter(filter(str.isalnum, text.encode("utf-8", "replace").decode()))


def shown(pieces: list[Piece]) -> str:
    """All that a person can read or follow."""
    return "".join(
        piece.text
        + "".join(
            f"{entity.url or ''}{entity.language or ''}" for entity in piece.entities
        )
        for piece in pieces
    )


@settings(max_examples=300, deadline=None)
@given(MARKDOWN, st.sampled_from([LIMIT, 200]))
def test_no_message_is_over_the_limit_or_empty(markdown: str, limit: int) -> None:
    lengths = [utf16_length(piece.text) for piece in render(markdown, limit)]
    assert lengths
    assert all(0 < length <= limit for length in lengths)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.text(alphabet="abc 👋`*_#-<>|\n[]()~\\é", max_size=400), max_size=6
    ).map("".join)
)
def test_no_letter_is_lost_however_broken_the_markdown_is(markdown: str) -> None:
    assert letters(markdown) - letters(shown(render(markdown, 300))) == Counter()


@settings(max_examples=300, deadline=None)
@given(MARKDOWN)
def test_every_entity_lies_inside_its_message_and_cuts_no_character(
    markdown: str,
) -> None:
    for piece in render(markdown, 200):
        units = piece.text.encode("utf-16-le")
        for entity in piece.entities:
            assert (
                0 <= entity.offset < entity.offset + entity.length <= len(units) // 2
            )
            units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode(
                "utf-16-le"
            )


def test_formatting_becomes_entities_and_its_marks_disappear() -> None:
    (piece,) = render("Say **hi** to `x`")
    assert (
        piece.text,
        [(entity.type, entity.offset, entity.length) for entity in piece.entities],
    ) == ("Say hi to x", [("bold", 4, 2), ("code", 10, 1)])


@pytest.mark.parametrize(
    "markdown",
    [
        "use vector<int> here",
        "<think>hm</think>",
        "a note[^1]\n\n[^1]: the note",
        "[her](tg://user?id=7)",
    ],
)
def test_what_formatting_would_swallow_is_shown(markdown: str) -> None:
    assert (
        letters(markdown) - letters("".join(piece.text for piece in render(markdown)))
        == Counter()
    )


def test_a_link_can_not_ping_a_person() -> None:
    assert [
        entity
        for piece in render("[you](tg://user?id=7)")
        for entity in piece.entities
    ] == []


def test_a_code_block_over_the_limit_stays_code_in_every_message() -> None:
    code = "\n".join(f"line {number} = {number * 7}" for number in range(900))
    pieces = render(f"Look:\n\n```python\n{code}\n```\n\nThat is all.")
    assert len(pieces) > 2
    for piece in pieces:
        assert [(entity.type, entity.language) for entity in piece.entities] == [
            ("pre", "python")
        ]
    assert (
        letters(code) - letters("".join(piece.text for piece in pieces)) == Counter()
    )


def test_a_long_text_is_cut_at_a_paragraph_before_a_line_and_at_a_line_before_a_word() -> (
    None
):
    paragraphs = render("\n\n".join(["word " * 100 + f"end{n}" for n in range(30)]))
    lines = render(
        "```\n" + "\n".join(["word " * 100 + f"end{n}" for n in range(30)]) + "\n```"
    )
    words = render("word " * 3000)
    assert len(paragraphs) > 2
    assert all(
        piece.text.split()[-1].startswith("end") for piece in [*paragraphs, *lines]
    )
    assert all(piece.text.split()[-1] == "word" for piece in words)


def test_a_label_in_front_moves_the_formatting_along() -> None:
    (piece,) = render("**hi**")
    labelled = piece.labelled("👋 ")
    assert (
        labelled.text,
        labelled.entities[0].offset,
        labelled.entities[0].length,
    ) == ("👋 hi", 3, 2)


def test_text_that_can_not_be_sent_is_replaced_and_an_empty_answer_is_seen() -> None:
    assert [piece.text for piece in render("lone \ud800")] == ["lone ?"]
    assert [piece.text for piece in render(" \n ")] == ["…"]


def marks(piece: Piece) -> list[tuple[str, str]]:
    """What is formatted how."""
    units = piece.text.encode("utf-16-le")
    return [
        (
            entity.type,
            units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode(
                "utf-16-le"
            ),
        )
        for entity in piece.entities
    ]


@pytest.mark.parametrize(
    ("markdown", "text", "formatted"),
    [
        (
            "Use a || b || c when the flag is off.",
            "Use a || b || c when the flag is off.",
            [],
        ),
        ("It is ||the butler||.", "It is the butler.", [("spoiler", "the butler")]),
        ("**“文字”**文字", "“文字”文字", [("bold", "“文字”")]),
        (
            "**注意:**这 `**注意:**这`",
            "注意:这 **注意:**这",
            [("bold", "注意:"), ("code", "**注意:**这")],
        ),
        (
            "`npm i @here/x && a<b`",
            "npm i @here/x && a<b",
            [("code", "npm i @here/x && a<b")],
        ),
        ("# One\n\ntwo", "One\n\ntwo", [("bold", "One")]),
        ("> a **b**\n> > c", "a b\nc", [("blockquote", "a b\nc"), ("bold", "b")]),
        ("**a `b` c**", "a b c", [("bold", "a "), ("code", "b"), ("bold", " c")]),
        ("[`b`](https://a.b)", "b", [("text_link", "b")]),
        ("||a `secret`||", "a secret", [("spoiler", "a secret")]),
        ("**a *b* c**", "a b c", [("bold", "a b c"), ("italic", "b")]),
        ("[](https://a.b)", "https://a.b", [("text_link", "https://a.b")]),
        ('[x](https://a.b "more")', "x (more)", [("text_link", "x")]),
        ("[bank.com](https://evil.com)", "bank.com (https://evil.com)", []),
        ("![alt](https://a.b/c.png)", "alt", [("text_link", "alt")]),
        ("<me@example.org>", "me@example.org", [("text_link", "me@example.org")]),
        ("- a\n  1. b\n- [x] c", "• a\n  1. b\n• [x] c", []),
        ("a\n\n---\nb", "a\n\n———\nb", []),
        ("```py\n```", "```py\n```", []),
        (r"\(a_1 * b\) and $c*d$", r"\(a_1 * b\) and $c*d$", []),
        ("__init__.py and vector<int>", "__init__.py and vector<int>", []),
    ],
)
def test_each_construct_is_converted_by_itself(
    markdown: str, text: str, formatted: list[tuple[str, str]]
) -> None:
    (piece,) = render(markdown)
    assert (text, formatted) == (piece.text, marks(piece))


def test_one_link_that_leads_nowhere_costs_no_other_formatting() -> None:
    (piece,) = render(
        "# Head\n\n**bold** [main.py](src/main.py) [docs](https://d.org)\n\n```py\nx = 1\n```"
    )
    assert piece.text == "Head\n\nbold [main.py](src/main.py) docs\n\nx = 1"
    assert marks(piece) == [
        ("bold", "Head"),
        ("bold", "bold"),
        ("text_link", "docs"),
        ("pre", "x = 1"),
    ]


def test_a_table_is_aligned_code() -> None:
    (piece,) = render("|a|b|\n|-|-|\n|1|[x](https://y.z)|")
    assert marks(piece) == [
        ("pre", "a | b\n--+----------------\n1 | x (https://y.z)")
    ]


def test_no_message_has_more_entities_than_telegram_keeps() -> None:
    lines = [
        f"{n}. **Point {n}**: see [source {n}](https://example.org/{n})"
        for n in range(1, 61)
    ]
    pieces = render("\n".join(lines))
    assert [len(piece.entities) for piece in pieces] == [100, 20]
    followed = [
        entity.url for piece in pieces for entity in piece.entities if entity.url
    ]
    assert followed == [f"https://example.org/{n}" for n in range(1, 61)]


def test_a_cut_is_before_what_belongs_together() -> None:
    pieces = render(
        "word " * 10 + "[a label of several words](https://example.org)", 60
    )
    assert [piece.text for piece in pieces] == [
        ("word " * 10).strip(),
        "a label of several words",
    ]
