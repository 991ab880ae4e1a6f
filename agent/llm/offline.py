"""The model that is no model: needs no network and shows that the memory around it works."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

from agent.core.completion import Prompt
from agent.core.errors import UnknownModel
from agent.core.prompt import estimate_tokens
from agent.llm.provider import LongestReached, Patience, Reported
from agent.settings import ANSWER_TOKENS, OFFLINE

_WORD = re.compile(r"\S+\s*|\s+")
_QUOTED_CHARS = 200  # of an earlier message; the last one is repeated whole


class Echo:
    """Repeats what was just said and tells what it was given before."""

    async def stream(
        self, prompt: Prompt, patience: Patience
    ) -> AsyncGenerator[str | Reported]:
        left = ANSWER_TOKENS
        for word in _WORD.findall(_answer(prompt)):
            left -= estimate_tokens(word)
            if left < 0:
                raise LongestReached(ANSWER_TOKENS)
            yield word
            await asyncio.sleep(0)  # so that a long answer can be stopped


def open_model(name: str) -> Echo:
    """Raises UnknownModel for every name but the one there is."""
    if f"offline:{name}" != OFFLINE:
        raise UnknownModel(
            f"There is only one offline model. Choose it with /model {OFFLINE}."
        )
    return Echo()


def _answer(prompt: Prompt) -> str:
    said = [text for role, text in prompt.messages if role == "user"]
    last = said[-1] if said else ""
    earlier = len(prompt.messages) - (1 if said else 0)
    return (
        f"I am the offline model, not an AI: I only repeat. You said: {last}\n\n"
        f"{_memory(earlier, said[:-1])}\n\n"
        "For a real model set `OPENAI_API_KEY` or `ANTHROPIC_API_KEY`."
    )


def _memory(earlier: int, said: list[str]) -> str:
    given = f"I was given {earlier} earlier message{'' if earlier == 1 else 's'}"
    if not said:
        return f"{given}."
    first = (
        "" if len(said) == 1 else f" The first one I can see was: {_quoted(said[0])}"
    )
    return f"{given}. Before this you said: {_quoted(said[-1])}{first}"


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUOTED_CHARS else f"{line[:_QUOTED_CHARS]}…"
