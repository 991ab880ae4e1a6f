"""Whatever a model writes, each platform shows it whole: nothing lost, nothing over a
limit, nothing that pings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.discord.text import pieces_of as on_discord
from channels.markdown.parser import sound
from channels.slack.text import pieces_of as on_slack
from channels.splitting import utf16_length
from channels.telegram.text import Piece, render
from tests.support.markdown_texts import (
    ANSWERS,
    JUNK,
    MANY,
    SOME,
    UNESCAPED,
    all_letters,
    codes,
    letters,
    prose,
    visible,
    without_marks,
)
from tests.support.telegram_texts import problems, said, unwanted_mentions

Convert = Callable[[str, int], list[str]]
Grow = Callable[..., list[object]]
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
    assert without_marks(visible(text)) == without_marks("".join(shown.split()))


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
@example(text="*&0*;", limit=20)  # what is left of it looks like a reference
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
    assert [] == [problem for piece in messages for problem in problems(piece)]
    assert Counter() == letters([sound(text)]) - all_letters(said(messages))


@MANY
@given(text=ANSWERS | JUNK, limit=st.sampled_from([60, 400, 12_000]))
@example(text="<!channel|<!here>>", limit=400)
@example(text="\\<!here> \\\\<!here> &lt;!here>", limit=400)
@example(text="![`<!here>`](https://i.org/p.png)", limit=400)
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
@example(text="@every`one`")
@example(text="@`everyone`")
def test_on_telegram_no_name_is_a_mention(text: str) -> None:
    assert [] == [
        name for piece in render(text, 90) for name in unwanted_mentions(piece)
    ]
