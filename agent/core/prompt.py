"""From a window to a prompt. Pure: no clock, no store, no model."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.completion import UNTUNED, Prompt, Tuning
from agent.core.messages import Role, Window

PER_MESSAGE = 4
"""Tokens a message costs in addition to its text (role and separators), as OpenAI's cookbook
counts them.
"""


def estimate_tokens(text: str) -> int:
    """Tokens of a text, without a tokenizer: one for every four bytes of UTF-8, rounded up.

    OpenAI's rule of thumb is four characters a token. Bytes are counted here, so that
    scripts other than Latin are not underestimated.
    """
    is_ascii = text.isascii()  # the usual case, without a copy
    size = len(text if is_ascii else text.encode("utf-8", "surrogatepass"))

    return (size + 3) // 4


def build_prompt(
    system: str,
    window: Window,
    *,
    up_to_seq: int,
    budget: int,
    tuning: Tuning = UNTUNED,
) -> Prompt:
    """The newest messages that fit into `budget` tokens, oldest first, none of them split.

    `up_to_seq` is the seq of the last message to be answered; later ones are left out. The
    newest message is kept even if it alone exceeds the budget: the model's server may still
    take it, and says so if not.
    """
    texts: list[tuple[Role, str]] = []
    characters = 0
    for each in window.messages:
        role, text = each.role, each.content
        if not text or each.notice:
            continue
        if role == "user":
            if each.seq > up_to_seq:  # it waits
                continue
            if each.author:
                text = f"{each.author}: {text}"
        texts.append((role, text))
        characters += len(text)

    rest = budget - estimate_tokens(system)
    # A text has at most as many tokens as characters: usually nothing needs an estimate.
    if characters + PER_MESSAGE * len(texts) > rest:
        texts = texts[_first_that_fits(texts, rest) :]

    return Prompt(system, tuple(texts), tuning)


def _first_that_fits(texts: Sequence[tuple[Role, str]], budget: int) -> int:
    """Where the newest texts begin that fit together."""
    for index in range(len(texts) - 1, -1, -1):
        budget -= estimate_tokens(texts[index][1]) + PER_MESSAGE
        if budget < 0:
            return min(index + 1, len(texts) - 1)

    return 0
