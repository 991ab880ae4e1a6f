"""What an answer cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from agent.llm.provider import Reported
from agent.settings import OFFLINE, ModelSpec

_PRICED_TOKENS = 1_000_000  # prices are given for a million tokens


def cost_usd(
    model: str, tokens: Reported, known: Mapping[str, ModelSpec]
) -> Decimal | None:
    """USD for these tokens, or None when a price or a count is unknown. The offline model is free.

    Tokens that the server kept from an earlier prompt cost `cached_input`; without that
    price, as much as others.
    """
    if model == OFFLINE:
        return Decimal(0)

    spec = known.get(model)
    prompt, completion = tokens.prompt_tokens, tokens.completion_tokens
    if (
        spec is None
        or spec.input is None
        or spec.output is None
        or prompt is None
        or completion is None
    ):
        return None

    cached = min(tokens.cached_tokens, prompt)
    cached_price = spec.input if spec.cached_input is None else spec.cached_input
    return (
        (prompt - cached) * spec.input
        + cached * cached_price
        + completion * spec.output
    ) / _PRICED_TOKENS
