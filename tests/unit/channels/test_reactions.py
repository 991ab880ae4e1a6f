"""Which reactions are a thumb."""

from __future__ import annotations

import pytest

from agent.core.messages import Thumb
from channels.reactions import thumb_of_emoji, thumb_of_name

TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


@pytest.mark.parametrize("tone", ["", "\ufe0f", *TONES])
def test_an_emoji_is_a_thumb_whatever_its_tone(tone: str) -> None:
    assert Thumb.UP is thumb_of_emoji("👍" + tone)
    assert Thumb.DOWN is thumb_of_emoji("👎" + tone)


@pytest.mark.parametrize(
    "tone", ["", *(f"::skin-tone-{number}" for number in range(2, 7))]
)
def test_a_name_is_a_thumb_whatever_its_tone(tone: str) -> None:
    assert [Thumb.UP, Thumb.UP] == [
        thumb_of_name(name + tone) for name in ("+1", "thumbsup")
    ]
    assert [Thumb.DOWN, Thumb.DOWN] == [
        thumb_of_name(name + tone) for name in ("-1", "thumbsdown")
    ]


@pytest.mark.parametrize(
    "other", ["", "👌", "❤", "👍👎", "thumb", "thumbsup_all", TONES]
)
def test_nothing_else_is_a_thumb(other: str) -> None:
    assert thumb_of_emoji(other) is None
    assert thumb_of_name(other) is None
