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
    """USD for these tokens, or None when a price is unknown. The offline model is free."""
    if model == OFFLINE:
        return Decimal(0)
    spec = known.get(model)
    if spec is None or spec.input is None or spec.output is None:
        return None
    return (
        tokens.prompt_tokens * spec.input + tokens.completion_tokens * spec.output
    ) / _PRICED_TOKENS
