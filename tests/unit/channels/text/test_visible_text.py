"""Whatever a model writes, each platform shows it whole: nothing lost, nothing over a
limit, nothing that pings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from telegram import MessageEntity

from channels.discord.text import pieces_of as on_discord
from channels.markdown.parser import sound
from channels.slack.text import pieces_of as on_slack
from channels.splitting import utf16_length
from channels.telegram.text import MOST_ENTITIES, Piece, render
from tests.support.markdown_texts import (
    ANSWERS,
    JUNK,
    MANY,
    SOME,
    UNESCAPED,
    codes,
    letters,
    prose,
    visible,
)

Convert = Callable[[str, int], list[str]]
Grow = Callable[..., list[object]]
NAME = re.compile(r"(?<![A-Za-z0-9_])(?<!\w/)@[A-Za-z0-9_]{5,32}(?![A-Za-z0-9_])")
"""A name as Telegram's people have them: five characters at least."""

LIMITS = st.sampled_from([250, 400, 2_000])
TIGHT = st.sampled_from([20, 40, 90, 400])
MARKDOWN = pytest.mark.parametrize(
    "convert",
    [on_discord, on_slack],
    ids=["discord", "slack"],
)


@MARKDOWN
@MANY
@given(text=ANSWERS, limit=LIMITS)
def test_messages_of_markdown_show_what_the_answer_shows(
    convert: Convert, text: str, limit: int
) -> None:
    shown = "".join(map(visible, convert(text, limit)))
    assert visible(text) == shown.replace(UNESCAPED, "<")


@MANY
@given(text=ANSWERS, limit=LIMITS)
def test_messages_on_telegram_say_what_the_answer_shows(
    text: str, limit: int
) -> None:
    shown = "".join(piece.text for piece in render(text, limit))
    assert _without_marks(visible(text)) == _without_marks("".join(shown.split()))


def _without_marks(text: str) -> str:
    """Without what begins list items, which only one of the two shows."""
    return "".join(
        character for character in text if character not in "•—0123456789."
    )


@MARKDOWN
@MANY
@given(text=JUNK, limit=TIGHT)
@example(text="```" + "x" * 100 + "\n" + " " * 200, limit=20)
@example(text="```py\n" + "\n" * 100, limit=20)
@example(text="```\n" + "`" * 99, limit=20)
@example(text="- a\n" * 30 + "> " * 30 + "**b", limit=20)
def test_no_letter_is_lost_and_no_message_is_blank_or_too_long(
    convert: Convert, text: str, limit: int
) -> None:
    messages = convert(text, limit)
    assert [] == [
        message
        for message in messages
        if utf16_length(message) > limit or not message.strip()
    ]
    assert Counter() == letters([sound(text)]) - letters(messages)


@MANY
@given(text=JUNK, limit=TIGHT)
def test_no_letter_is_lost_on_telegram_and_all_limits_hold(
    text: str, limit: int
) -> None:
    messages = render(text, limit)
    assert [] == [
        piece
        for piece in messages
        if not 0 < utf16_length(piece.text) <= limit or not piece.text.strip()
    ]
    assert [] == [problem for piece in messages for problem in _problems(piece)]
    assert Counter() == letters([sound(text)]) - letters(_said(messages))


def _said(pieces: list[Piece]) -> list[str]:
    """All that a person can read or follow."""
    hidden = [
        f"{entity.url or ''}{entity.language or ''}"
        for piece in pieces
        for entity in piece.entities
    ]
    return [*(piece.text for piece in pieces), *hidden]


def _problems(piece: Piece) -> list[str]:
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
        f"half a character: {span}"
        for span in ranges
        if "\ufffd" in _part(units, *span)
    ]
    crossing = [
        f"crossing: {a} {b}"
        for a in ranges
        for b in ranges
        if a[0] < b[0] < a[1] < b[1]
    ]
    many = ["too many"] if len(ranges) > MOST_ENTITIES else []
    return [*outside, *halved, *crossing, *many, *_pings(piece)]


def _part(units: bytes, start: int, end: int) -> str:
    return (
        units[2 * start : 2 * end]
        .decode("utf-16-le", "replace")
        .replace("\ufffd\ufffd", "")
    )


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


@MANY
@given(text=ANSWERS | JUNK, limit=st.sampled_from([60, 400, 12_000]))
@example(text="<!channel|<!here>>", limit=400)
@example(text="\\<!here> \\\\<!here> &lt;!here>", limit=400)
@example(text="`<!here>\n` ```<!here>\n~~~<@U1>\n", limit=60)
def test_on_slack_nothing_but_code_has_an_angle_bracket_that_could_begin_a_ping(
    text: str, limit: int
) -> None:
    assert [] == [piece for piece in on_slack(text, limit) if "<" in prose(piece)]


@MARKDOWN
@MANY
@given(text=ANSWERS)
def test_code_arrives_as_it_was_written(convert: Convert, text: str) -> None:
    assert codes(text) == [
        code for piece in convert(text, 100_000) for code in codes(piece)
    ]


@MANY
@given(text=ANSWERS)
def test_code_arrives_on_telegram_as_it_was_written(text: str) -> None:
    shown = "".join(piece.text for piece in render(text, 100_000))
    assert [] == [code for code in codes(text) if code.rstrip("\n") not in shown]


def _on_telegram(text: str, limit: int, *, growing: bool = False) -> list[Piece]:
    return render(text, limit, growing=growing)


@pytest.mark.parametrize(
    "convert",
    [on_discord, on_slack, _on_telegram],
    ids=["discord", "slack", "telegram"],
)
@SOME
@given(text=ANSWERS, step=st.integers(40, 150))
@example(text="- a **b\n" * 60, step=7)
@example(text="|a|b|\n|-|-|\n" + "|1|2|\n" * 40 + "|long cell|x|\n", step=31)
@example(text="> > a\n\n> > 1. ```\n> >    x\n> >    ```\n> >    \n> >    a", step=5)
def test_earlier_messages_stay_as_they_are_while_an_answer_grows(
    convert: Grow, text: str, step: int
) -> None:
    whole = convert(text, 250)

    for end in range(0, len(text), step):
        earlier = convert(text[:end], 250, growing=True)[:-1]
        assert whole[: len(earlier)] == earlier


@pytest.mark.parametrize(
    "text",
    [
        "**" + "bold " * 100 + "end** " + "and more. " * 20,
        "word " * 46 + "[a label of words](https://example.org/a/b) and more " * 9,
        "```py\n" + "x = 1\n" * 100 + "```",
    ],
)
@pytest.mark.parametrize("convert", [on_discord, on_slack, _on_telegram])
def test_an_answer_that_grows_is_shown_beyond_its_first_message(
    convert: Grow, text: str
) -> None:
    """What waits for certainty does not wait for the end."""
    text += "\n\nnext"
    whole = len(convert(text, 250))
    first, last = (convert(part, 250, growing=True) for part in (text[:99], text))

    assert (len(first), len(last)) == (1, whole)


@MANY
@given(text=JUNK | ANSWERS | st.text("@a_b `*|\n/.", max_size=60))
def test_on_telegram_no_name_is_a_mention(text: str) -> None:
    for piece in render(text, 90):
        covered = {at for entity in piece.entities for at in _places(piece, entity)}
        assert [] == [
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
