"""Long answers become messages: nothing lost, nothing over the limit, code blocks whole in each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels.splitting import split, utf16_length

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


@settings(deadline=None)
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


@settings(deadline=None)
@given(
    st.text(
        st.characters(exclude_characters="`~*_|[>", exclude_categories=["Cs"]),
        max_size=400,
    ),
    st.integers(20, 60),
)
def test_outside_code_only_white_space_at_the_cuts_is_lost(
    text: str, limit: int
) -> None:
    """Without the marks that a cut closes and opens again."""
    assert solid(text) == solid("".join(split(text, limit)))


@settings(deadline=None)
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


@settings(deadline=None)
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


@settings(deadline=None)
@given(code, limits)
def test_code_comes_again_under_the_same_info_string(block: Code, limit: int) -> None:
    opened = {piece.partition("\n")[0] for piece in split(block.text, limit)}
    assert {block.marker + block.info} == opened


@given(
    st.lists(
        st.sampled_from([FAMILY, "🇩🇪", "e\u0301", "👍🏽", "❤\ufe0f"]),
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


@settings(deadline=None)
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
        "```sh\ncccc\n```",
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


LINK = "[a label of several words](https://example.org/a/b)"
BEFORE = "word " * 10  # 50 characters


@pytest.mark.parametrize(
    "kept",
    [
        LINK,
        "**some bold words to be kept together**",
        "*some italic words to be kept together*",
        "~~some struck words to be kept together~~",
        "||some hidden words to be kept together||",
        "`some code words to be kept together 12`",
        "``some ` code words kept together 123456``",
        "https://example.org/a/path/that/is/longer",
        "<https://example.org/a/path/that/is/long>",
        "![a picture of words](https://example.org)",
        "**[bold label words](https://example.org)**",
        "# a heading of several words that is kept",
    ],
)
def test_a_cut_is_before_what_belongs_together(kept: str) -> None:
    before = BEFORE if not kept.startswith("#") else BEFORE + "\n\n"
    assert [before.rstrip(), kept] == split(before + kept, 60)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (
            "**" + "bold " * 6 + "end**",
            ["**bold bold bold bold**", "**bold bold end**"],
        ),
        (
            "a *" + "bold " * 6 + "end*",
            ["a *bold bold bold bold*", "*bold bold end*"],
        ),
        ("`" + "code " * 6 + "end`", ["`code code code code`", "` code code end`"]),
        (
            "[" + "label " * 4 + "end](u)",
            ["[label label label](u)", "[label end](u)"],
        ),
        (
            "> **" + "bold " * 6 + "end**",
            ["> **bold bold bold bold**", "> **bold bold end**"],
        ),
    ],
    ids=["bold", "italic", "code", "link", "quoted"],
)
def test_what_is_longer_than_a_message_is_closed_and_opened_again(
    text: str, pieces: list[str]
) -> None:
    assert pieces == split(text, 25)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("> one two three four five six", ["> one two three four", "> five six"]),
        ("> one two three\n> four five six", ["> one two three", "> four five six"]),
        ("> one two three\nfour five six", ["> one two three", "> four five six"]),
        ("> > one two three four five", ["> > one two three four", "> > five"]),
        (
            "> ```py\n> aaaa\n> bbbb\n> ```",
            ["> ```py\n> aaaa\n> ```", "> ```py\n> bbbb\n> ```"],
        ),
    ],
    ids=["words", "lines", "lazy", "nested", "fence"],
)
def test_quotations_go_on_as_quotations(text: str, pieces: list[str]) -> None:
    assert pieces == split(text, 23)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("- one two\n    - three four five", ["- one two", "  - three four five"]),
        (
            "1. one two three four five\n   six\n2. x",
            ["1. one two three", "four five\nsix\n\n2. x"],
        ),
        (
            "- one two three four\n\n      code()",
            ["- one two three four", "    code()"],
        ),
        ("aaaa bbbb cccc dddd - eeee ffff", ["aaaa bbbb cccc", "dddd - eeee ffff"]),
        ("aaaa bbbb cccc dddd 1. eeee ffff", ["aaaa bbbb cccc", "dddd 1. eeee ffff"]),
    ],
    ids=["nested", "item", "code", "dash", "number"],
)
def test_what_follows_a_cut_is_read_as_it_was_before(
    text: str, pieces: list[str]
) -> None:
    assert pieces == split(text, 20)


def test_a_longer_fence_is_closed_by_a_fence_as_long() -> None:
    text = "````md\n```py\nx\n```\nmore\n````"
    assert ["````md\n```py\nx\n```\n````", "````md\nmore\n````"] == split(text, 25)


def test_a_table_goes_on_under_its_head() -> None:
    row = "| 11 | 22 |\n"
    assert split("| a | b |\n|---|---|\n" + row * 4, 50) == [
        f"| a | b |\n|---|---|\n{row * 2}".strip(),
        f"| a | b |\n|---|---|\n{row * 2}".strip(),
    ]


def test_a_script_without_spaces_is_cut_behind_punctuation() -> None:
    assert split("一二三四五六七八九，十一二三四五六七八九十一二", 20) == [
        "一二三四五六七八九，",
        "十一二三四五六七八九十一二",
    ]


@pytest.mark.parametrize(
    "character",
    ["क्षि", "각", "👩🏽‍🚀", "🏴\U000e0067\U000e0062\U000e007f", "a\u0300\u0301"],
)
def test_characters_of_all_scripts_stay_whole(character: str) -> None:
    pieces = split(character * 30, 20)
    assert [] == [piece for piece in pieces if piece.replace(character, "")]


def test_halves_of_a_character_are_joined_and_a_lone_one_is_replaced() -> None:
    assert split("\ud83d\ude00 \ud83d", 20) == ["😀 ?"]


def test_of_a_growing_text_the_last_code_stays_open() -> None:
    assert split("```py\nprint(1)\n", 100, closed=False) == ["```py\nprint(1)"]
    assert split("```py\n" + "x = 1\n" * 5, 30, closed=False) == [
        "```py\nx = 1\nx = 1\nx = 1\n```",
        "```py\nx = 1\nx = 1",
    ]
