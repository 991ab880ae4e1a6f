"""How people are told which models there are."""

from __future__ import annotations

import pytest

from agent.core.words.model_lists import (
    MAX_OF_ONE,
    MAX_SHOWN,
    ModelList,
    model_names,
    near_names,
    of_one,
    offer,
    overview,
)

MANY = ModelList(tuple(f"m{n:03}" for n in range(100)))
LISTS = {
    "lab": ModelList(("big", "small")),
    "away": ModelList(problem="away cannot be reached.", answered=False),
}


def test_an_overview_names_each_provider_and_what_is_wrong_with_one() -> None:
    assert "- `lab:big`\n- `lab:small`\n- away cannot be reached." == overview(LISTS)


def test_a_long_list_is_cut_and_says_how_to_see_more() -> None:
    lines = overview({"lab": MANY}).splitlines()
    alone = of_one("lab", MANY).splitlines()

    assert MAX_SHOWN + 1 == len(lines)
    assert "- 88 more: `/model lab` shows those of lab" == lines[-1]
    assert MAX_OF_ONE + 1 == len(alone)
    assert "- 40 more: `/model` and a part of a name finds one" == alone[-1]


@pytest.mark.parametrize(
    ("allowed", "shown"),
    [
        ((), ["lab:big", "lab:small"]),
        (("lab:small", "lab:gone"), ["lab:small"]),
        (("away:x", "none:y"), ["away:x", "none:y"]),  # nobody knows better
    ],
)
def test_only_what_is_allowed_and_there_may_be_chosen(
    allowed: tuple[str, ...], shown: list[str]
) -> None:
    assert shown == model_names(LISTS, allowed)


NAMES = [
    "openai:gpt-5-mini",
    "openai:gpt-5",
    "anthropic:claude-haiku-4-5",
    "groq:openai/gpt-oss-20b",
    "ollama:llama3.2:latest",
]


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("gpt-5", "openai:gpt-5"),
        ("GPT-5-MINI", "openai:gpt-5-mini"),
        ("openai:gtp-5", "openai:gpt-5"),
        ("openia:gpt-5-mini", "openai:gpt-5-mini"),
        ("haiku", "anthropic:claude-haiku-4-5"),
        ("antropic:claude-haiku-45", "anthropic:claude-haiku-4-5"),
        ("llama3.2", "ollama:llama3.2:latest"),
        ("gpt-oss", "groq:openai/gpt-oss-20b"),
    ],
)
def test_a_mistyped_name_finds_the_one_that_was_meant(typed: str, near: str) -> None:
    assert near in near_names(typed, NAMES)


def test_what_is_like_nothing_finds_nothing() -> None:
    assert [] == near_names("zzz", NAMES)
    assert "/model shows those that there are." == offer([])
    assert "Did you mean `a` or `b`?" == offer(["a", "b"])
