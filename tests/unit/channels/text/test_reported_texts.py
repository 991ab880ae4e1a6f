"""What people reported of other bots and libraries, tried here."""

from __future__ import annotations

import pytest

from channels.discord.text import pieces_of as on_discord
from channels.markdown.parser import Tag, parse
from channels.slack.text import pieces_of as on_slack
from channels.splitting import split, utf16_length
from channels.telegram.text import LARGEST_ENTITIES, MOST_ENTITIES, render


def bold(text: str) -> list[str]:
    """What is bold in a text, with its marks."""
    return [
        text[event.start : event.end]
        for event in parse(text)
        if event.kind == "end" and event.tag is Tag.BOLD
    ]


@pytest.mark.parametrize("mark", '，。、；：？！“”‘’（）【】《》—～…·〃-々x:!?.,)"')
def test_bold_ends_behind_any_mark_of_chinese(mark: str) -> None:
    assert [f"**真{mark}**"] == bold(f"**真{mark}**她")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**English:**next", ["**English:**"]),
        ("* **具体：**与其说“一棵树”", ["**具体：**"]),
        ("**历经10年发展，**a", ["**历经10年发展，**"]),
        ("这是**粗体**文字", ["**粗体**"]),
        ('see **"a"** and **b:**c', ['**"a"**', "**b:**"]),
        ("2**(3)**x", []),
        ("a ** b.**c", []),
    ],
)
def test_bold_is_what_people_mean_by_it(text: str, expected: list[str]) -> None:
    assert expected == bold(text)


def test_a_fence_in_a_longer_fence_is_code_of_it() -> None:
    text = "````markdown\nbefore\n```python\nprint(1)\n```\nafter\n````"
    (piece,) = render(text)
    assert [("pre", "markdown")] == [
        (entity.type, entity.language) for entity in piece.entities
    ]
    assert [text] == split(text, 100)


def test_a_message_that_is_italic_from_end_to_end_is_italic_in_each_piece() -> None:
    pieces = on_discord("*" + "word " * 900 + "end*", 2_000)
    assert [] == [
        piece
        for piece in pieces
        if not (piece.startswith("*") and piece.endswith("*"))
    ]


def test_a_message_with_very_long_links_is_within_the_size_of_all_entities() -> None:
    words = " ".join(f"[w{n}](https://example.org/{'x' * 250}{n})" for n in range(90))
    pieces = render(words)
    sizes = [
        sum(len(entity.url or "") for entity in piece.entities) for piece in pieces
    ]
    assert [] == [size for size in sizes if size > LARGEST_ENTITIES]
    assert 90 == sum(len(piece.entities) for piece in pieces)


def test_a_link_that_is_longer_than_any_message_is_text() -> None:
    text = f"[w](https://example.org/{'x' * 9_000})"
    pieces = render(text)
    assert text == "".join(piece.text for piece in pieces)
    assert [] == [entity for piece in pieces for entity in piece.entities]


def test_more_than_a_hundred_bold_words_are_all_bold() -> None:
    pieces = render("\n".join(f"**{n}**" for n in range(1, 111)))
    assert 110 == sum(len(piece.entities) for piece in pieces)
    assert [] == [piece for piece in pieces if len(piece.entities) > MOST_ENTITIES]


@pytest.mark.parametrize("limit", [20, 21, 4_096])
def test_emoji_at_the_very_limit_stay_whole(limit: int) -> None:
    pieces = render("a" + "🙂" * 3_000, limit)
    assert "a" + "🙂" * 3_000 == "".join(piece.text for piece in pieces)
    assert [] == [piece for piece in pieces if utf16_length(piece.text) > limit]


def test_an_emoji_that_came_as_two_escapes_is_one() -> None:
    assert ["🎩 hat"] == on_discord("\ud83c\udfa9 hat", 2_000)


def test_quotations_on_slack_stay_quotations_while_pings_are_escaped() -> None:
    assert ["> quoted &lt;@U1>"] == on_slack("> quoted <@U1>", 12_000)


def test_an_address_with_an_ampersand_is_not_escaped_on_slack() -> None:
    assert ["[x](https://a.b/?c=1&d=2)"] == on_slack(
        "[x](https://a.b/?c=1&d=2)", 12_000
    )


def test_backslashes_of_code_are_kept() -> None:
    assert [r"`C:\Projects\*`"] == on_slack(r"`C:\Projects\*`", 12_000)
    assert [r"C:\Projects\*"] == [piece.text for piece in render(r"`C:\Projects\*`")]


def test_generic_types_in_code_and_prose_keep_their_brackets() -> None:
    assert ["`map<string,string>` is map&lt;string,string>"] == on_slack(
        "`map<string,string>` is map<string,string>", 12_000
    )
    assert ["map<a,b> is map<a,b>"] == [
        piece.text for piece in render("`map<a,b>` is map<a,b>")
    ]


def test_code_that_is_cut_goes_on_under_its_language() -> None:
    pieces = on_discord("Look:\n```py\n" + "x = 1\n" * 400 + "```\nDone.", 2_000)
    assert [True, True] == [
        "```py\n" in piece and piece.count("```") == 2 for piece in pieces
    ]


def test_a_list_in_lists_without_end_is_not_indented_without_end() -> None:
    """2,500 lists in each other were 1,182 messages."""
    assert len(render("1. " * 2_500)) <= 50


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "\ufeff \u2060", "\u3164"])
def test_an_answer_of_nothing_that_can_be_seen_is_said_to_be_empty(text: str) -> None:
    """Telegram and Discord refuse such a message."""
    assert ["…"] == on_discord(text, 2_000)
    assert ["(an empty answer)"] == on_slack(text, 12_000)
    assert ["…"] == [piece.text for piece in render(text)]


def test_marks_around_nothing_are_no_message_on_telegram() -> None:
    assert ["…"] == [piece.text for piece in render("**\u200b**")]


def test_a_picture_that_is_a_link_leads_to_both() -> None:
    (piece,) = render("[![ok](https://e.org/b.svg)](https://e.org/x)")

    assert "ok (https://e.org/x)" == piece.text
    assert ["https://e.org/b.svg"] == [entity.url for entity in piece.entities]
