"""How words of people are shown: whole where they are short, however narrow a column is."""

from __future__ import annotations

import pytest

from agent.web.console.rendering import STATIC, person_text

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
