"""What every provider is made of: the port, its values, its one error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from itertools import groupby
from typing import Literal, Protocol, TypeVar

from msgspec import Struct

from agent.core.completion import Prompt, Spent
from agent.core.errors import ModelError

_T = TypeVar("_T")

Objection = Literal[
    "",
    "longest unknown",
    "longest too long",
    "prompt too long",
    "no credit",
    "bad key",
    "declined",
    "no system",
    "no such path",
]
"""What a refusal objects to: the server knows no field for the longest answer, its number
is too large, the prompt has no room in the context, somebody has to pay first, the key is
none of its own, a filter stops the prompt, the model takes no system prompt, or nothing is
at this address."""


LEAST = 512
"""Tokens: an answer cut to less is not worth having."""


class Reported(Struct, frozen=True):
    """The tokens of one answer as the server counted them; None for what it did not say."""

    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int = (
        0  # of the prompt: those that the server had kept from before
    )


class Patience(Struct, frozen=True):
    """How long one attempt waits, in seconds: for a place among the server's calls, then
    for its answer to begin.
    """

    place: float
    first_byte: float
    head: float | None = (
        # longer than `first_byte`: for the response's head, where a model may have to be
        # loaded
        None
    )


class Model(Protocol):
    """One model of one provider."""

    def stream(
        self, prompt: Prompt, patience: Patience
    ) -> AsyncGenerator[str | Reported]:
        """One attempt: text as it comes, then what the server reported, if it did.

        Raises AttemptError when the answer broke off, whether there was text or not.
        """


class AttemptError(ModelError):
    """One attempt failed. The router decides by it what to try next; people see the sentence.

    `again`: the same model may answer if it is asked again. `slow`: it took so long that
    another model should be asked first. `may_cost`: the server may have worked on an
    answer, so it may have to be paid. `status`: of the HTTP response, when it was that;
    `objection`: to what it objects; `room`: tokens of the longest answer that the server
    would take, when it said so. `spent`: what the attempts so far left to pay.
    """

    def __init__(
        self,
        sentence: str,
        *,
        again: bool = False,
        slow: bool = False,
        may_cost: bool = False,
        status: int | None = None,
        objection: Objection = "",
        room: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence, retry_after=retry_after)
        self.again = again
        self.slow = slow
        self.may_cost = may_cost
        self.status = status
        self.objection = objection
        self.room = room
        self.spent: Spent | None = None

    @property
    def ill(self) -> bool:
        """Whether this speaks of a server that does not work, not of one that refuses this
        request.
        """
        return self.again and (self.status is None or self.status >= 500)


class NotAsked(AttemptError):
    """The server was not asked: it has too many calls under way, or is left alone after
    failures.
    """

    def __init__(self, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(
            sentence, again=retry_after is not None, retry_after=retry_after
        )

    @property
    def ill(self) -> bool:
        """No: nothing new is known of the server."""
        return False


class LongestReached(AttemptError):
    """The answer was cut where the longest one asked for ends, in tokens: no failure of the
    model.
    """

    def __init__(self, longest: int) -> None:
        super().__init__(
            f"The answer ends here: {longest:,} tokens are the most I may say at "
            "once. Ask me to go on."
        )


async def within(deadline: float, step: Awaitable[_T], sentence: str) -> _T:
    """What this step comes to, before the deadline on the loop's clock. Raises AttemptError.

    Around each step, never around a yield: a deadline must not strike in the consumer's code.
    """
    try:
        async with asyncio.timeout_at(deadline):
            return await step
    except TimeoutError:
        late = AttemptError(sentence)
        late.spent = Spent(None, again=False)
        raise late from None


def conversation(prompt: Prompt) -> list[dict[str, str]]:
    """The prompt's messages as chat APIs take them: the person first, then strictly alternating.

    Anthropic requires a first message by the user and text that is not blank
    (https://docs.anthropic.com/en/api/messages); the chat templates of many open models
    require alternation.
    """
    spoken = [
        (role, text)
        for role, text in prompt.messages
        if role != "system" and text.strip()
    ]
    if not spoken or spoken[0][0] == "assistant":
        spoken.insert(0, ("user", "…"))
    return [
        {"role": role, "content": "\n\n".join(text for _, text in group)}
        for role, group in groupby(spoken, key=lambda message: message[0])
    ]


def system_text(prompt: Prompt) -> str:
    """Everything the prompt says as the system, "" when nothing."""
    notes = (text for role, text in prompt.messages if role == "system")
    return "\n\n".join(text for text in (prompt.system, *notes) if text.strip())
