"""From a window to a prompt. Pure: no clock, no store, no model."""

from __future__ import annotations

from agent.core.completion import Prompt
from agent.core.messages import Message, Role, Window

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
    system: str, window: Window, *, up_to_seq: int, budget: int
) -> Prompt:
    """The newest messages that fit into `budget` tokens, oldest first, none of them split.

    `up_to_seq` is the seq of the last message to be answered; later ones are left out. The
    newest message is kept even if it alone exceeds the budget: the model's server may still
    take it, and says so if not.
    """
    remaining = budget - estimate_tokens(system)
    chosen: list[tuple[Role, str]] = []
    for message in reversed(window.messages):
        if not _belongs(message, up_to_seq):
            continue

        text = _with_author(message)
        remaining -= estimate_tokens(text) + PER_MESSAGE
        if remaining < 0 and chosen:
            break

        chosen.append((message.role, text))

    return Prompt(system, tuple(reversed(chosen)))


def _belongs(message: Message, up_to_seq: int) -> bool:
    is_waiting = message.role == "user" and message.seq > up_to_seq
    return not (is_waiting or message.notice or not message.content)


def _with_author(message: Message) -> str:
    return (
        f"{message.author}: {message.content}" if message.author else message.content
    )
