"""Messages over which two instances died are suspects: counted, and tried one at a time."""

from __future__ import annotations

import asyncio

from agent.conversation.active_answer import ActiveAnswer, AnswerPlan
from agent.ports import Recovery

MAX_DEATHS = 3
"""A message over which this many instances died is set aside."""

SET_ASIDE = (
    "I could not answer this message: it failed three times. Please rephrase it."
)


class Quarantine:
    """Lets one suspect run at a time, so that the guilty message is found alone.

    One death makes no suspects: all answers of an instance end with it, and its chats are not
    to wait for each other.
    """

    def __init__(self, recovery: Recovery) -> None:
        self._recovery = recovery
        self._lock = asyncio.Lock()

    def gives_up(self, active: ActiveAnswer, plan: AnswerPlan) -> bool:
        """Whether too many instances died over this plan for another try."""
        return _deaths(active, plan) >= MAX_DEATHS

    async def admit(self, active: ActiveAnswer, plan: AnswerPlan) -> None:
        """Waits until this suspect may run, and counts the attempt.

        The suspect holds others back until `active.quarantine_stack` is closed.
        """
        if _deaths(active, plan) > 1:
            assert active.quarantine_stack is not None
            await active.quarantine_stack.enter_async_context(self._lock)

        # Once for each turn, however often the answer is restarted: an edit is no death.
        turns = [turn for turn in plan.turns if turn not in active.attempted]
        if turns:
            await self._recovery.attempt(turns)
            active.attempted |= frozenset(turns)


def _deaths(active: ActiveAnswer, plan: AnswerPlan) -> int:
    """How many other instances died over these messages, at most.

    The first attempt at a message is not counted before it runs: the claim that was taken
    over from a dead instance tells of it.
    """
    counted = (
        waiting.attempts - (waiting.turn in active.attempted)
        for waiting in plan.batch
    )
    return max(counted, default=0) + active.died
