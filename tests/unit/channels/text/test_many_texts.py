"""A long run: what must hold of every text, on 100,000 of them for each platform.

`uv run pytest -m chaos -n 0 -s tests/unit/channels/text/test_many_texts.py`; `TEXTS=5000`
tries fewer, `SEED=7` others. A failure names the seed of its text: `SEED=<that> TEXTS=1` is
this text alone.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from channels.discord.text import pieces_of as on_discord
from channels.markdown.parser import sound
from channels.slack.text import pieces_of as on_slack
from channels.splitting import utf16_length
from channels.telegram.text import render
from tests.support.markdown_texts import (
    UNESCAPED,
    letters,
    prose,
    visible,
    without_marks,
)
from tests.support.seeded_texts import Texts
from tests.support.telegram_texts import problems, said, unwanted_mentions

TEXTS = int(os.environ.get("TEXTS", "100000"))
SEED = int(os.environ.get("SEED", "0"))
LIMITS = (60, 250, 2_000)
MOST_MESSAGES = (
    15  # of one text, so that a long one does not cost a hundred times more
)
Check = Callable[[str, int, bool], list[str]]


def _discord(text: str, limit: int, is_answer: bool) -> list[str]:
    return _of_markdown(on_discord(text, limit), text, limit, is_answer)


def _slack(text: str, limit: int, is_answer: bool) -> list[str]:
    messages = on_slack(text, limit)
    pings = [f"ping: {piece!r}" for piece in messages if "<" in prose(piece)]

    return [*pings, *_of_markdown(messages, text, limit, is_answer)]


def _of_markdown(
    messages: list[str], text: str, limit: int, is_answer: bool
) -> list[str]:
    return [
        *_broken(messages, limit),
        *_lost(text, messages),
        *(
            _changed(visible(text), "".join(map(visible, messages)))
            if is_answer
            else ()
        ),
    ]


def _telegram(text: str, limit: int, is_answer: bool) -> list[str]:
    pieces = render(text, limit)
    shown = [piece.text for piece in pieces]

    return [
        *_broken(shown, limit),
        *(problem for piece in pieces for problem in problems(piece)),
        *(f"ping: {name}" for piece in pieces for name in unwanted_mentions(piece)),
        *_lost(text, [_as_markdown(part) for part in said(pieces)]),
        *(
            _changed(
                without_marks(visible(text)),
                without_marks("".join("".join(shown).split())),
            )
            if is_answer
            else ()
        ),
    ]


def _as_markdown(shown: str) -> str:
    """Where `&0;` is no character reference."""
    return shown.replace("&", " ")


def _broken(messages: list[str], limit: int) -> list[str]:
    """The messages that the platform would refuse."""
    return [
        f"refused: {message!r}"
        for message in messages or [""]
        if not message.strip() or utf16_length(message) > limit
    ]


def _lost(text: str, shown: list[str]) -> list[str]:
    lost = letters([sound(text)]) - letters(shown)

    return [f"lost: {lost}"] if lost != Counter() else []


def _changed(meant: str, shown: str) -> list[str]:
    shown = shown.replace(UNESCAPED, "<")

    return [f"shown: {shown!r}"] if meant != shown else []


CHECKS = pytest.mark.parametrize("check", [_discord, _slack, _telegram])


def _assert_shown(check: Check, seed: int) -> None:
    random = Random(seed)
    is_answer = random.random() < 0.5
    text = Texts(random).answer() if is_answer else Texts(random).junk()
    limits = [limit for limit in LIMITS if len(text) < limit * MOST_MESSAGES]
    limit = random.choice(limits or LIMITS[-1:])

    # A mark may be cut where a message holds no more than that.
    found = check(text, limit, is_answer and limit > LIMITS[0])
    assert [] == found, f"seed {seed}, limit {limit}: {text!r}"


@CHECKS
@pytest.mark.parametrize("seed", [9_497])
def test_texts_that_were_once_changed_are_not(check: Check, seed: int) -> None:
    """9,497: a cut before an item inside an item that was longer than what is looked at."""
    _assert_shown(check, seed)


@pytest.mark.chaos
@pytest.mark.timeout(0)
@CHECKS
def test_no_text_is_changed_over_a_limit_or_a_ping(check: Check) -> None:
    for seed in range(SEED, SEED + TEXTS):
        _assert_shown(check, seed)

    print(f"{TEXTS} texts from seed {SEED}: none changed, refused or pinging")
