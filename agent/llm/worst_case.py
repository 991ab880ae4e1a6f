"""What one model call can use up at most: known before it is made, so that a budget can be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from agent.llm.pricing import cost_usd
from agent.llm.provider import ANSWER_TOKENS, Reported
from agent.models import Prompt, Usage
from agent.settings import ModelSpec

AROUND_MESSAGE = 16
"""Tokens for what a server writes around each message. Chat templates take 3 to 8; this leaves room."""


def most_prompt_tokens(prompt: Prompt) -> int:
    """No tokenizer makes more tokens of a text than it has bytes: each token stands for at least one byte.

    True of byte-level BPE (https://github.com/openai/tiktoken) and of SentencePiece with byte fallback.
    """
    texts = (prompt.system, *(text for _, text in prompt.messages))
    return sum(len(text.encode("utf-8", "surrogatepass")) + AROUND_MESSAGE for text in texts)


def worst_case(
    model: str,
    prompt: Prompt,
    *,
    models: Mapping[str, ModelSpec] = MappingProxyType({}),
    fallbacks: Sequence[str] = (),
) -> Usage:
    """The dearest way this call can end, whichever of the models answers. A price that is unknown makes it unknown."""
    tokens = Reported(most_prompt_tokens(prompt), ANSWER_TOKENS)
    costs = [cost_usd(name, tokens, models) for name in (model, *fallbacks)]
    known = [cost for cost in costs if cost is not None]
    dearest = max(known) if len(known) == len(costs) else None
    return Usage(model, tokens.prompt_tokens, tokens.completion_tokens, dearest)
