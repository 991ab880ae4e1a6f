"""How words of people are shown: whole where they are short, however narrow a column is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from agent.web.console.rendering import STATIC, environment, person_text, with_hits

WORDS = (
    ("root", False),
    ("a sentence of several words, none of which is long", False),
    ("00000000-0000-0000-0000-00000000", True),
    ("short and " + "x" * 31, True),
)


@pytest.mark.parametrize(("words", "is_long"), WORDS)
def test_only_long_words_may_be_broken_inside(words: str, is_long: bool) -> None:
    """`anywhere` lets a table make a column as narrow as one letter."""
    css = (STATIC / "console.css").read_text()
    shown = str(person_text(words))

    assert is_long == shown.startswith('<bdi class="long">')
    assert "bdi { overflow-wrap: break-word; }" in css
    assert "bdi.long { overflow-wrap: anywhere; }" in css


def test_how_long_ago_is_not_torn_in_two_lines() -> None:
    """In a narrow column it takes a line of its own."""
    css = (STATIC / "console.css").read_text()
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    template = environment().from_string("{{ at|when }}")
    shown = template.render(at=now - timedelta(minutes=3), viewer=Looking(now))

    assert shown.endswith('<small class="ago">3 min ago</small>')
    assert ".ago { white-space: nowrap; }" in css


@dataclass(frozen=True, slots=True)
class Looking:
    """What moments need of somebody who looks."""

    now: datetime


def test_hits_are_marked_and_nothing_else_is_markup() -> None:
    assert "<bdi><mark>heron</mark> or</bdi>" == with_hits("**heron** or")
    assert "<bdi><mark>&lt;b&gt;</mark> **</bdi>" == with_hits("**<b>** **")
