"""What an answer took, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from agent.core.completion import Prompt, Usage
from agent.core.prompt import PER_MESSAGE, estimate_tokens
from agent.llm.provider import Reported
from agent.settings import OFFLINE, UNKNOWN_MODEL, ModelSpec


def cost_usd(
    model: str,
    tokens: Reported,
    known: Mapping[str, ModelSpec],
    *,
    at_most: bool = False,
) -> Decimal | None:
    """USD for these tokens, or None when a price or a count is unknown. The offline model is free.

    Tokens that the server kept from an earlier prompt cost `cached_input`; without that
    price, as much as others.
    """
    if model == OFFLINE:
        return Decimal(0)

    prompt, completion = tokens.prompt_tokens, tokens.completion_tokens
    if prompt is None or completion is None:
        return None

    spec = known.get(model, UNKNOWN_MODEL)
    cached = min(tokens.cached_tokens, prompt)

    return spec.cost(prompt, cached, completion, at_most=at_most)


def usage_of(
    model: str,
    prompt: Prompt,
    texts: Sequence[str],
    reported: Reported | None,
    known: Mapping[str, ModelSpec],
) -> Usage:
    """What the server counted, and estimates of what it left out."""
    counted = reported or Reported(None, None)
    prompt_tokens, completion_tokens = (
        counted.prompt_tokens,
        counted.completion_tokens,
    )
    if prompt_tokens is None:
        prompt_tokens = estimate_prompt(prompt)
    if completion_tokens is None:
        longest = longest_answer(model, prompt, known)
        completion_tokens = min(estimate_tokens("".join(texts)), longest)

    counts = Reported(prompt_tokens, completion_tokens, counted.cached_tokens)

    return Usage(
        model=model,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=(cost := cost_usd(model, counts, known)),
        estimated=None in (counted.prompt_tokens, counted.completion_tokens),
        cached_tokens=counted.cached_tokens,
        price_source="" if cost is None else known.get(model, UNKNOWN_MODEL).source,
    )


def longest_answer(model: str, prompt: Prompt, known: Mapping[str, ModelSpec]) -> int:
    """Tokens of the longest answer that this model is asked for."""
    return prompt.tuning.answer or known.get(model, UNKNOWN_MODEL).longest


def estimate_prompt(prompt: Prompt) -> int:
    """Tokens of a whole prompt, by the rule its budget was kept with. Only an estimate:
    mark it as such.
    """
    texts = (prompt.system, *(text for _, text in prompt.messages))
    return sum(estimate_tokens(text) + PER_MESSAGE for text in texts if text)
