"""What a model call can use up at most is known before it is made."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from agent.llm.provider import ANSWER_TOKENS
from agent.llm.tokens import estimate_prompt
from agent.llm.worst_case import most_prompt_tokens, worst_case
from agent.models import Prompt
from agent.settings import ModelSpec

PROMPT = Prompt("Be brief.", (("user", "hello"),))
CHEAP = ModelSpec(input=Decimal("0.25"), output=Decimal(2))
DEAR = ModelSpec(input=Decimal(5), output=Decimal(25))
MODELS = {"test:cheap": CHEAP, "test:dear": DEAR}


def test_no_byte_makes_more_than_one_token() -> None:
    assert most_prompt_tokens(PROMPT) == len("Be brief.") + len("hello") + 2 * 16
    assert most_prompt_tokens(Prompt("", (("user", "ß🙂"),))) == 2 + 4 + 2 * 16


@given(st.text(max_size=200), st.lists(st.text(max_size=200), max_size=5))
def test_it_is_never_below_the_estimate(system: str, texts: list[str]) -> None:
    prompt = Prompt(system, tuple(("user", text) for text in texts))
    assert most_prompt_tokens(prompt) >= estimate_prompt(prompt)


def test_the_dearest_of_the_models_that_may_answer_decides() -> None:
    worst = worst_case("test:cheap", PROMPT, models=MODELS, fallbacks=["test:dear"])
    assert worst.cost_usd == (worst.prompt_tokens * 5 + ANSWER_TOKENS * 25) / Decimal(1_000_000)
    assert worst.completion_tokens == ANSWER_TOKENS


def test_one_unknown_price_makes_the_cost_unknown() -> None:
    assert worst_case("test:cheap", PROMPT, models=MODELS, fallbacks=["test:unpriced"]).cost_usd is None


def test_the_offline_model_is_free() -> None:
    assert worst_case("offline:echo", PROMPT).cost_usd == 0
