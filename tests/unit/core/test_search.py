"""Words are found in every script, and what is shown is the text with its hits marked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import Rejected
from agent.core.words.search import (
    index_query,
    marked,
    matches,
    parse_query,
    score,
    words_of,
)

FOUND = [
    ("strasse", "In der STRAßE"),
    ("müller", "Herr Muller"),
    ("cafe", "un Café"),
    ("ça", "CA ALORS"),
    ("елка", "Новая Ёлка"),
    ("كتاب", "هذا كِتَاب"),
    ("病院", "病院は機能していない"),
    ("上海", "我家在上海东边。"),
    ("可能", "还有可能是定期检修"),
    ("你", "你好世界"),
    ("界", "你好世界"),
    ("権利", "尊厳と権利とについて平等である。"),
    ("ｶﾒﾗ", "新しいカメラ"),
    ("ครับ", "สวัสดีครับ"),
    ("한국어", "한국어 공부"),
    ("हिन्दी", "हिन्दी भाषा"),
    ("🎉", "done 🎉"),
    ("foo_bar", "call foo_bar(x)"),
    ("std::vector", "a std::vector<int>"),
    ("c++", "I like C++"),
    ("user@example.com", "mail user@example.com now"),
    ("red bicycle", "the bicycle was red"),
    ('"red bicycle"', "a red, bicycle"),
    ("bicy*", "bicycles"),
    ("red -blue", "red and green"),
    ('red -"dark blue"', "red, blue and dark"),
    ("the", "the"),
    ("'; DROP TABLE", "'; drop table users"),
    ("a:*", "a"),
    ("50%", "about 50 percent"),
    ("iPhone手机", "新iPhone手机壳"),
]

NOT_FOUND = [
    ("bicycle", "bicycles"),
    ('"red bicycle"', "bicycle red"),
    ('"red bicycle"', "red big bicycle"),
    ("red -blue", "red and BLUE"),
    ('red -"dark blue"', "red and dark blue"),
    ("-blue red", "blue"),
    ("世好", "你好世界"),
    ("art", "party"),
]


@pytest.mark.parametrize(("query", "text"), FOUND)
def test_it_is_found(query: str, text: str) -> None:
    assert matches(parse_query(query), text)


@pytest.mark.parametrize(("query", "text"), NOT_FOUND)
def test_it_is_not_found(query: str, text: str) -> None:
    assert not matches(parse_query(query), text)


@pytest.mark.parametrize(("query", "text"), FOUND)
def test_the_index_leads_to_all_that_match(query: str, text: str) -> None:
    assert leads(index_query(parse_query(query)), words_of(text))


def leads(query: str, words: list[str]) -> bool:
    """What Postgres does with such a query."""
    for part in query.split(" & "):
        word = re.sub(r"^'|'(:\*)?$", "", part).replace("''", "'")
        found = (
            any(known.startswith(word) for known in words)
            if part.endswith(":*")
            else word in words
        )
        if not found:
            return False

    return True


@given(st.text(min_size=1, max_size=40), st.integers(0, 30), st.integers(1, 12))
def test_any_part_of_a_text_without_spaces_is_found(
    noise: str, start: int, length: int
) -> None:
    text = "我家在上海东边昨天我们去了病院然后回家吃饭看书睡觉非常高兴"
    part = text[start % len(text) :][:length]
    whole = f"{text} {noise}"
    query = parse_query(part)

    assert matches(query, whole)
    assert leads(index_query(query), words_of(whole))


@given(st.text(max_size=200), st.text(max_size=400))
def test_nothing_typed_breaks_it(typed: str, text: str) -> None:
    try:
        query = parse_query(typed)
    except Rejected:
        return

    assert index_query(query)
    if matches(query, text):
        assert leads(index_query(query), words_of(text))
    assert len(marked(query, text)) < 1_000


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", 'Search for what? Give some words, as in "red bicycle" -blue.'),
        ("   ", "Search for what?"),
        ('"" !! ...', "Search for what?"),
        ("-", "Search for what?"),
        ("-blue", "A minus only leaves out"),
        ("x" * 10_000, "at most 300 characters"),
        ("a " * 100, "at most 20 words"),
    ],
)
def test_bad_input_is_a_sentence(typed: str, sentence: str) -> None:
    with pytest.raises(Rejected, match=re.escape(sentence)):
        parse_query(typed)


def test_the_hit_is_marked_as_it_was_written() -> None:
    assert "In der **STRAßE**" == marked(parse_query("strasse"), "In  der\nSTRAßE")
    assert "**病院**は" == marked(parse_query("病院"), "病院は")
    long = marked(parse_query("here"), "word " * 100 + "here" + " word" * 100)
    assert "**here**" in long
    assert long.startswith("…")
    assert long.endswith("…")


def test_more_hits_and_younger_ones_come_first() -> None:
    query = parse_query("red")
    best = [("red red", 1), ("red big", 1), ("red big", 60)]
    scores = [score(query, text, age) or 0 for text, age in best]

    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3
    assert score(query, "blue", 1) is None
