"""What a model call can use up at most is known before it is made."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.completion import Prompt
from agent.core.messages import Role
from agent.llm.prices.bound import most_prompt_tokens, most_tokens, worst_case
from agent.llm.prices.cost import estimate_prompt
from agent.llm.provider import conversation, system_text
from agent.settings import ANSWER_TOKENS, ModelSpec

PROMPT = Prompt("Be brief.", (("user", "hello"),))
CHEAP = ModelSpec(input=Decimal("0.25"), output=Decimal(2))
DEAR = ModelSpec(input=Decimal(5), output=Decimal(25))
MODELS = {"test:cheap": CHEAP, "test:dear": DEAR}


GROW = "\ufdfa\u0390\U0001d160\u1e9e\u0344\ud800\0 \n"
"""Characters that some normalization makes longer, up to elevenfold, and others that are
seldom met.
"""
TEXTS = st.text(
    st.characters(exclude_categories=()) | st.sampled_from(GROW), max_size=100
)
ROLES: st.SearchStrategy[Role] = st.sampled_from(["system", "user", "assistant"])
PROMPTS = st.builds(
    Prompt, TEXTS, st.lists(st.tuples(ROLES, TEXTS), max_size=6).map(tuple)
)


def worst_tokenizer(
    text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"] | None
) -> int:
    """Normalizes, knows no word, and makes a token of each byte that is sent (what is no
    UTF-8 is sent as ?).
    """
    sent = text.encode("utf-8", "replace").decode()
    return len((normalize(form, sent) if form else sent).encode())


def test_no_byte_makes_more_than_one_token() -> None:
    assert (
        most_prompt_tokens(PROMPT) == len("Be brief.") + len("hello") + 2 * 16 + 512
    )
    assert most_tokens("ß🙂") == 2 + 4
    assert most_tokens("\ufdfa") == len("صلى الله عليه وسلم".encode())


@given(PROMPTS, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD", None]))
def test_it_is_never_below_what_the_worst_tokenizer_makes_of_all_that_is_sent(
    prompt: Prompt, form: Literal["NFC", "NFD", "NFKC", "NFKD"] | None
) -> None:
    """Around each message and the whole a server writes as much as the longest templates
    known do.
    """
    sent = [
        system_text(prompt),
        *(message["content"] for message in conversation(prompt)),
    ]
    assert most_prompt_tokens(prompt) >= 400 + sum(
        8 + worst_tokenizer(text, form) for text in sent
    )


@given(PROMPTS)
def test_it_is_never_below_the_estimate(prompt: Prompt) -> None:
    assert most_prompt_tokens(prompt) >= estimate_prompt(prompt)


def test_the_dearest_of_the_models_that_may_answer_decides() -> None:
    worst = worst_case("test:cheap", PROMPT, models=MODELS, fallbacks=["test:dear"])
    assert worst.cost_usd == (worst.prompt_tokens * 5 + ANSWER_TOKENS * 25) / Decimal(
        1_000_000
    )
    assert worst.completion_tokens == ANSWER_TOKENS


def test_the_longest_answer_of_the_models_that_may_answer_is_set_aside() -> None:
    models = {**MODELS, "test:dear": DEAR.model_copy(update={"answer": 20_000})}
    worst = worst_case("test:cheap", PROMPT, models=models, fallbacks=["test:dear"])
    assert worst.completion_tokens == 20_000
    assert worst.cost_usd == (worst.prompt_tokens * 5 + 20_000 * 25) / Decimal(
        1_000_000
    )


def test_an_answer_that_leaves_the_prompt_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at most half of `context`"):
        ModelSpec(context=1000, answer=501)


def test_one_unknown_price_makes_the_cost_unknown() -> None:
    assert (
        worst_case(
            "test:cheap", PROMPT, models=MODELS, fallbacks=["test:unpriced"]
        ).cost_usd
        is None
    )


def test_the_offline_model_is_free() -> None:
    assert worst_case("offline:echo", PROMPT).cost_usd == 0
