"""Long answers become messages: nothing lost, nothing over the limit, code blocks whole in each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.splitting import split, tables_as_code, utf16_length

FAMILY = "👨\u200d👩\u200d👧\u200d👦"
WORDS = [
    "a",
    "word",
    "naïve",
    "שלום",
    "مرحبا",
    "日本語",
    "😀",
    FAMILY,
    "🇩🇪",
    "e\u0301",
    "x" * 70,
    "**bold**",
    "`code`",
]

limits = st.integers(40, 120)
words = st.sampled_from(WORDS)
newlines = st.sampled_from(["\n", "\r\n"])


@dataclass(frozen=True)
class Prose:
    """A block outside code."""

    text: str


@dataclass(frozen=True)
class Code:
    """A fenced block; its lines hold no fence."""

    marker: str
    info: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join((f"{self.marker}{self.info}", *self.lines, self.marker))


prose = st.lists(words, min_size=1, max_size=30).map(" ".join).map(Prose)
code = st.builds(
    Code,
    st.sampled_from(["```", "~~~", "````"]),
    st.sampled_from(["", "py", "c++ x"]),
    st.lists(
        st.lists(words, min_size=1, max_size=8).map(" ".join), min_size=1, max_size=12
    ).map(tuple),
)
answers = st.lists(prose | code, min_size=1, max_size=6)
junk = st.text(
    alphabet=st.sampled_from("`~ab \n\t|😀\u0301\ud83d\ude00é"), max_size=300
)


def solid(text: str) -> str:
    return "".join(text.split())


@given(
    st.text(max_size=400) | junk,
    st.integers(20, 60),
    st.sampled_from([len, utf16_length]),
)
@example("```" + "x" * 100 + "\n" + " " * 200, 20, len)
@example("```py\n" + "\n" * 100, 20, len)
@example("```\n" + "`" * 99, 20, len)
def test_no_piece_is_blank_or_over_the_limit_whatever_the_text(
    text: str, limit: int, measure: Callable[[str], int]
) -> None:
    pieces = split(text, limit, measure=measure)
    assert [
        piece for piece in pieces if measure(piece) > limit or not piece.strip()
    ] == []


@given(
    st.text(alphabet=st.characters(exclude_characters="`~"), max_size=400),
    st.integers(20, 60),
)
def test_outside_code_only_white_space_at_the_cuts_is_lost(
    text: str, limit: int
) -> None:
    assert solid(text) == solid("".join(split(text, limit)))


@given(answers, limits, newlines)
def test_nothing_of_an_answer_with_code_is_lost(
    blocks: list[Prose | Code], limit: int, newline: str
) -> None:
    text = "\n\n".join(block.text for block in blocks)
    joined = "\0".join(split(text.replace("\n", newline), limit))
    for block in blocks:
        if isinstance(block, Code):
            joined = joined.replace(
                f"\n{block.marker}\0{block.marker}{block.info}\n", "\n"
            )
    # two equal blocks next to each other look like a cut of one: undo that on both sides
    for block in blocks:
        if isinstance(block, Code):
            text = text.replace(
                f"\n{block.marker}\n\n{block.marker}{block.info}\n", "\n"
            )
            joined = joined.replace(
                f"\n{block.marker}\n\n{block.marker}{block.info}\n", "\n"
            )
    assert solid(text) == solid(joined.replace("\0", "\n"))


@given(answers, limits)
def test_every_piece_closes_the_code_it_opens(
    blocks: list[Prose | Code], limit: int
) -> None:
    for piece in split("\n\n".join(block.text for block in blocks), limit):
        marker = ""
        for line in piece.split("\n"):
            bare = re.match(r"(`{3,}|~{3,})([^`]*)$", line)
            if not marker and bare:
                marker = bare[1]
            elif (
                marker and bare and bare[1].startswith(marker) and not bare[2].strip()
            ):
                marker = ""
        assert marker == "", f"{piece!r} leaves a code block open"


@given(code, limits)
def test_code_comes_again_under_the_same_info_string(block: Code, limit: int) -> None:
    opened = {piece.partition("\n")[0] for piece in split(block.text, limit)}
    assert {block.marker + block.info} == opened


@given(
    st.lists(
        st.sampled_from([FAMILY, "🇩🇪", "e\u0301", "👍🏽", "\ud83d\ude00", "❤\ufe0f"]),
        min_size=1,
        max_size=60,
    )
)
def test_a_cut_in_a_long_word_is_never_inside_a_character(
    characters: list[str],
) -> None:
    text = "".join(characters)
    pieces = split(text, 20)
    starts = {0}
    for character in characters:
        starts.add(max(starts) + len(character))
    cuts = {sum(map(len, pieces[:n])) for n in range(len(pieces) + 1)}
    assert set() == cuts - starts


@given(answers, limits)
def test_messages_already_full_stay_as_they_are_while_the_answer_grows(
    blocks: list[Prose | Code], limit: int
) -> None:
    text = "\n\n".join(block.text for block in blocks if isinstance(block, Prose))
    whole = split(text, limit)
    for end in range(0, len(text), 17):
        full = split(text[:end], limit)[:-2]
        assert whole[: len(full)] == full


def test_an_empty_or_blank_text_has_no_pieces() -> None:
    assert split("", 20) == []
    assert split(" \n\t\n", 20) == []


def test_a_short_text_is_one_piece_unchanged() -> None:
    assert split("  hello\n\nyou", 20) == ["  hello\n\nyou"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (
            "first one here\n\nsecond line\nthird",
            ["first one here", "second line\nthird"],
        ),
        (
            "first one here\nsecond line third",
            ["first one here", "second line third"],
        ),
        ("first one here second line third", ["first one here", "second line third"]),
        ("a" * 45, ["a" * 20, "a" * 20, "a" * 5]),
    ],
    ids=["paragraph", "line", "word", "anywhere"],
)
def test_a_cut_is_at_a_paragraph_else_a_line_else_a_word_else_anywhere(
    text: str, pieces: list[str]
) -> None:
    assert pieces == split(text, 20)


def test_a_code_block_that_fits_a_message_is_not_cut() -> None:
    block = "```py\n" + "x = 1\n" * 5 + "```"
    assert ["Look at this one here:", block] == split(
        f"Look at this one here:\n{block}", 45
    )


def test_indentation_of_code_and_lists_survives_a_cut() -> None:
    assert split("- one two three\n  - four five six", 20) == [
        "- one two three",
        "  - four five six",
    ]
    text = "```\nif a:\n    b()\n    c()\n    d()\n```"
    assert split(text, 28) == [
        "```\nif a:\n    b()\n```",
        "```\n    c()\n    d()\n```",
    ]


def test_an_unfinished_code_block_is_closed() -> None:
    assert split("```py\nprint(1)\n", 100) == ["```py\nprint(1)\n```"]


def test_a_fence_indented_in_a_list_is_one() -> None:
    text = "1. run\n    ```sh\n    aaaa\n    bbbb\n    cccc\n    ```"
    pieces = split(text, 45)
    assert pieces == [
        "1. run\n    ```sh\n    aaaa\n    bbbb\n    ```",
        "    ```sh\n    cccc\n    ```",
    ]


def test_inline_code_with_three_ticks_opens_no_block() -> None:
    assert split("```one``` two three four five six seven", 20) == [
        "```one``` two three",
        "four five six seven",
    ]


def test_telegram_counts_characters_beyond_the_first_plane_twice() -> None:
    assert utf16_length("aé😀") == 4
    assert utf16_length("\ud83d") == 1
    assert split("😀" * 15, 20, measure=utf16_length) == ["😀" * 10, "😀" * 5]


def test_a_measure_that_counts_escapes_is_respected() -> None:
    def escaped(text: str) -> int:
        return len(text.replace("&", "&amp;"))

    assert split("&" * 12, 20, measure=escaped) == ["&" * 4] * 3


TABLE = """\
Before

| Name | Größe | n |
|:----:|-------|--:|
| **Ada** | `a\\|b` | 12 |
| 日本 | x |
after"""

DRAWN = """\
Before

```
Name | Größe |  n
-----+-------+---
Ada  | a|b   | 12
日本 | x     |
```
after"""


def test_a_table_becomes_an_aligned_code_block() -> None:
    assert tables_as_code(TABLE) == DRAWN


@pytest.mark.parametrize(
    "text",
    [
        "```\n| a | b |\n|---|---|\n| 1 | 2 |\n```",
        "a | b\n---\nc",
        "| a | b |\n|---|\n",
        "no table",
        "",
        "| a |",
    ],
)
def test_fenced_code_and_what_is_no_table_are_left_alone(text: str) -> None:
    assert text == tables_as_code(text)


def test_ticks_in_a_table_do_not_end_its_block() -> None:
    assert (
        tables_as_code("|a ```|b|\n|-|-|\n|1|2|")
        == "````\na ``` | b\n------+--\n1     | 2\n````"
    )


@given(
    st.lists(
        st.lists(st.text("ab|\\`* 日", max_size=6), min_size=2, max_size=4),
        min_size=2,
        max_size=5,
    )
)
def test_every_word_of_a_table_is_drawn(rows: list[list[str]]) -> None:
    lines = ["|" + "|".join(row) + "|" for row in rows]
    text = "\n".join([lines[0], "|-" * lines[0].count("|") + "|", *lines[1:]])
    kept = re.sub(r"[^ab日]", "", text)
    assert kept == re.sub(r"[^ab日]", "", tables_as_code(text))
