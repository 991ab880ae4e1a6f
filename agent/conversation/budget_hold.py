"""What an answer is charged to the budgets that bind it."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from agent.conversation.delivery import Spawn
from agent.core.completion import Prompt, Spent, Usage
from agent.ports import Budgets


class BudgetHold:
    """The calls made for one answer of one model, each with a reservation of its own.

    A reservation that is not settled counts as it is: nobody knows what its call used.
    """

    def __init__(
        self,
        budgets: Budgets,
        later: Spawn,
        *,
        channel: str,
        author: UUID,
        model: str,
        prompt: Prompt,
    ) -> None:
        self._budgets = budgets
        self._later = later
        self._channel, self._author, self._model, self._prompt = (
            channel,
            author,
            model,
            prompt,
        )
        self._reservation: UUID | None = (
            None  # of the call under way, where a budget binds it
        )

    async def reserve(self) -> None:
        """Before a call. Raises Refused when its worst case does not fit."""
        self._reservation = await self._budgets.reserve(
            self._channel, self._author, self._model, self._prompt
        )

    async def spent(self, call: Spent) -> None:
        """A call ended without a text. Raises Refused when another does not fit."""
        if call.usage is not None:
            self.settle(call.usage)
        self._reservation = None
        if call.again:
            await self.reserve()

    def settle(self, usage: Usage) -> None:
        """This is what the call used."""
        if self._reservation is not None:
            self._later(self._budgets.settle(self._reservation, usage))
            self._reservation = None

    def release(self) -> None:
        """The call failed, and nothing is to be paid for it."""
        self.settle(Usage(self._model, 0, 0, Decimal(0)))
