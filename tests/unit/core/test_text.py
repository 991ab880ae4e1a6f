"""Which texts say nothing."""

from __future__ import annotations

import pytest

from agent.core.text import says_nothing


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "\u200b", "\ufeff\u2060", "\u00ad\u200d", "\u3164", "\u2800"],
)
def test_nothing_can_be_seen(text: str) -> None:
    assert says_nothing(text)


@pytest.mark.parametrize("text", [".", "\u200b?", "👍", "\ue000", "é", "ー", "/new"])
def test_something_can_be_seen(text: str) -> None:
    assert not says_nothing(text)
