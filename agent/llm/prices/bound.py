"""What one model call can use up at most: known before it is made, so that a budget can be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal
from unicodedata import normalize

from agent.core.completion import Prompt, Usage
from agent.llm.prices.cost import cost_usd, longest_answer
from agent.llm.provider import Reported
from agent.settings import ModelSpec

AROUND_MESSAGE = 16
"""Tokens for what a server writes around each message. Chat templates take 3 to 8; this
leaves room.
"""

AROUND_PROMPT = 512
"""Tokens for what a server writes before and behind all messages: today's date, a system
text of its own (Mistral's has about 400), the word that opens the answer; and for the
message that is put in front where a conversation begins with an answer
(agent/llm/provider.py)."""

_FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = (
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
)


def most_tokens(text: str) -> int:
    """No tokenizer makes more tokens of a text than it has bytes: each token stands for at
    least one byte.

    True of byte-level BPE (https://github.com/openai/tiktoken) and of SentencePiece with
    byte fallback. Some normalize the text before (Qwen's to NFC, T5's to NFKC), which can
    make it longer, so the longest form counts.
    """
    if text.isascii():
        return len(text)
    return max(_bytes(text), *(_bytes(normalize(form, text)) for form in _FORMS))


def most_prompt_tokens(prompt: Prompt) -> int:
    """At most so many tokens has this prompt, whatever the model."""
    texts = (prompt.system, *(text for _, text in prompt.messages))
    return sum(most_tokens(text) + AROUND_MESSAGE for text in texts) + AROUND_PROMPT


def worst_case(
    model: str,
    prompt: Prompt,
    *,
    models: Mapping[str, ModelSpec] = MappingProxyType({}),
    fallbacks: Sequence[str] = (),
) -> Usage:
    """The dearest way this call can end, whichever of the models answers. A price that is
    unknown makes it unknown.
    """
    most = most_prompt_tokens(prompt)
    longest = {
        name: longest_answer(name, prompt, models) for name in (model, *fallbacks)
    }
    costs = [
        cost_usd(name, Reported(most, tokens), models, at_most=True)
        for name, tokens in longest.items()
    ]
    known = [cost for cost in costs if cost is not None]
    dearest = max(known) if len(known) == len(costs) else None
    return Usage(model, most, max(longest.values()), dearest)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
