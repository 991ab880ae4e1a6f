"""What a model wrote becomes a title, or none: then the first words of the chat stand."""

from __future__ import annotations

import pytest

from agent.conversation.writing.titles import titled
from agent.core.effects import MAX_TITLE_CHARS


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("A trip to Rome", "A trip to Rome"),
        ('  "A trip to Rome."  ', "A trip to Rome"),
        ("**Reise nach Rom**\n\nThis title …", "Reise nach Rom"),
        ("# «Rome»", "Rome"),
        ("Rome\0", "Rome"),
        ("Île-de-France in three days", "Île-de-France in three days"),
        ("", ""),
        ("\n\n", ""),
        ("\ud800", ""),
        ("Sure! I would be happy to help", ""),
        ("I need to generate a title", ""),
        ("I'll work through these files", ""),
        ("The user wants a title", ""),
        ("Rome is the capital of Italy and has many very old buildings", ""),
    ],
)
def test_a_title_is_one_short_line(written: str, title: str) -> None:
    assert title == titled(written)


def test_a_long_word_is_cut_to_what_the_table_holds() -> None:
    cut = titled("x" * 300)

    assert MAX_TITLE_CHARS == len(cut)
    assert cut.endswith("…")
