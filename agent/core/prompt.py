"""From a window to a prompt. Pure: no clock, no store, no model."""

from __future__ import annotations

from agent.core.completion import Prompt
from agent.core.messages import Message, Role, Window

PER_MESSAGE = 4
"""Tokens a message costs besides its text (role and separators), as OpenAI's cookbook
counts them.
"""


def estimate_tokens(text: str) -> int:
    """Tokens of a text, without a tokenizer: one for every four bytes of UTF-8, rounded up.

    OpenAI's rule of thumb of four characters a token, taken in bytes so that scripts beyond
    Latin are not counted too low.
    """
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def build_prompt(system: str, window: Window, *, up_to_seq: int, budget: int) -> Prompt:
    """The newest messages that fit into `budget` tokens, oldest first, none of them split.

    `up_to_seq` is the seq of the last message to be answered: what waits behind it is left out.
    The newest message is kept even if it alone is over the budget: the model's server may
    still take it, and says so if not.
    """
    left = budget - estimate_tokens(system)
    chosen: list[tuple[Role, str]] = []
    for message in reversed(window.messages):
        if not _belongs(message, up_to_seq):
            continue
        text = _with_author(message)
        left -= estimate_tokens(text) + PER_MESSAGE
        if left < 0 and chosen:
            break
        chosen.append((message.role, text))
    return Prompt(system, tuple(reversed(chosen)))


def _belongs(message: Message, up_to_seq: int) -> bool:
    waits = message.role == "user" and message.seq > up_to_seq
    return not (waits or message.notice or not message.content)


def _with_author(message: Message) -> str:
    return f"{message.author}: {message.content}" if message.author else message.content
