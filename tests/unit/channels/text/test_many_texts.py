"""A long run: what must hold of every text, on 100,000 of them for each platform.

`uv run pytest -m chaos -n 0 -s tests/unit/channels/text/test_many_texts.py`; `TEXTS=1000`
tries fewer.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.discord.text import pieces_of as on_discord
from channels.markdown.parser import sound
from channels.slack.text import pieces_of as on_slack
from channels.splitting import utf16_length
from channels.telegram.text import MOST_ENTITIES, render
from tests.support.markdown_texts import ANSWERS, JUNK, letters, prose

TEXTS = int(os.environ.get("TEXTS", "100000"))


def _discord(text: str, limit: int) -> list[str]:
    return on_discord(text, limit)


def _slack(text: str, limit: int) -> list[str]:
    """What is sent; what could begin a token of Slack is a failure."""
    pieces = on_slack(text, limit)
    assert [] == [piece for piece in pieces if "<" in prose(piece)]

    return pieces


def _telegram(text: str, limit: int) -> list[str]:
    """What is said and where its links lead."""
    pieces = render(text, limit)
    assert max(len(piece.entities) for piece in pieces) <= MOST_ENTITIES
    assert [] == [piece for piece in pieces if utf16_length(piece.text) > limit]

    return [
        piece.text
        + "".join(
            f"{found.url or ''}{found.language or ''}" for found in piece.entities
        )
        for piece in pieces
    ]


@pytest.mark.chaos
@pytest.mark.timeout(0)
@pytest.mark.parametrize("convert", [_discord, _slack, _telegram])
def test_no_letter_is_lost_and_no_limit_broken_in_many_texts(
    convert: Callable[[str, int], list[str]],
) -> None:
    tried = 0

    @settings(
        max_examples=TEXTS, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(text=ANSWERS | JUNK, limit=st.sampled_from([60, 250, 2_000]))
    def try_one(text: str, limit: int) -> None:
        nonlocal tried
        tried += 1
        messages = convert(text, limit)
        over = [len(piece) for piece in messages if utf16_length(piece) > limit]

        assert messages
        assert not over or convert is _telegram
        assert Counter() == letters([sound(text)]) - letters(messages)

    try_one()
    print(f"{tried} texts, none lost, none over a limit")
