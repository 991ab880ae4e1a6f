"""What of other people's messages goes when a person is erased."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from storage.lifecycle.wording import Line, audit_patterns, changes, names_pattern

START = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = "my sister lives in Graz"


def line(seq: int, role: str, text: str, answers: int | None = None) -> Line:
    own = role == "erased"
    return Line(
        START + timedelta(seconds=seq),
        seq,
        "user" if own else role,
        text,
        answers,
        own=own,
    )


def at(seq: int) -> tuple[datetime, int]:
    return START + timedelta(seconds=seq), seq


def test_the_first_answer_that_covers_a_message_is_blanked_and_no_other() -> None:
    lines = [
        line(1, "erased", WORDS),
        line(2, "user", "hello"),
        line(3, "assistant", "Graz is nice.", 2),
        line(4, "assistant", "Anything else?", 2),
    ]
    found = changes(lines, frozenset({1}))

    assert [at(3)] == list(found.blanked)
    assert {} == found.rewritten


def test_whoever_quotes_keeps_the_rest_of_their_message() -> None:
    lines = [
        line(1, "erased", WORDS),
        line(2, "assistant", "ok", 1),
        line(3, "user", f"> {WORDS}\nMine, too!"),
    ]
    found = changes(lines, frozenset({1}))

    assert {at(3): "> [erased]\nMine, too!"} == found.rewritten


def test_short_words_are_nobodys() -> None:
    lines = [line(1, "erased", "yes"), line(2, "user", "yes, and yes")]

    assert {} == changes(lines, frozenset({1})).rewritten


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello Ada!", "Hello [erased]!"),
        ("<@U123ABC> look", "<@[erased]> look"),
        ("Adamant", "Adamant"),
        ("ada lowercase", "ada lowercase"),
        ("(Ada)", "([erased])"),
    ],
)
def test_a_name_goes_as_a_whole_word(text: str, expected: str) -> None:
    pattern = names_pattern(["Ada", "U123ABC", "x"])
    assert pattern is not None
    pattern = pattern.replace("[[:alnum:]_]", "[A-Za-z0-9_]")

    assert expected == re.sub(pattern, "[erased]", text)


def test_a_name_of_two_letters_is_left_alone() -> None:
    assert names_pattern(["Al", ""]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"allow": ["5", "55"]}', '{"allow": ["erased", "55"]}'),
        ('{"tokens": 5}', '{"tokens": 5}'),
        ("limit:discord:5", "limit:discord:erased"),
        ("chat:discord:51", "chat:discord:51"),
        ("budget:person:0190-aa", "budget:person:erased"),
    ],
)
def test_the_log_loses_ids_and_no_numbers(text: str, expected: str) -> None:
    for pattern in audit_patterns(["0190-aa"], [("discord", "5")]):
        text = re.sub(pattern.replace("[[:alnum:]_]", "[A-Za-z0-9_]"), "erased", text)

    assert expected == text
