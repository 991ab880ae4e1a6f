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
