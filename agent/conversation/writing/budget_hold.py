"""What the model calls of one answer reserve from the budgets that apply, and give back."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from agent.conversation.delivery.recorder import Spawn
from agent.core.completion import Prompt, Spent, Usage
from agent.ports import Budgets


class BudgetHold:
    """The calls to one model for one answer, each with a reservation of its own.

    A reservation that is not settled counts in full: nobody knows what its call used.
    """

    def __init__(
        self,
        budgets: Budgets,
        spawn: Spawn,
        *,
        channel: str,
        author: UUID,
        model: str,
        prompt: Prompt,
    ) -> None:
        self._budgets = budgets
        self._spawn = spawn
        self._channel = channel
        self._author = author
        self._model = model
        self._prompt = prompt
        # Of the call in progress, where a budget applies.
        self._reservation: UUID | None = None

    async def reserve(self) -> None:
        """Reserves the worst case of the next call. Raises Refused when it does not fit."""
        self._reservation = await self._budgets.reserve(
            self._channel, self._author, self._model, self._prompt
        )

    async def spent(self, call: Spent) -> None:
        """A call ended without text. Raises Refused when another one does not fit."""
        if call.usage is not None:
            self.settle(call.usage)
        self._reservation = None

        if call.again:
            await self.reserve()

    def settle(self, usage: Usage) -> None:
        """Charges what the call used, and returns the rest."""
        if self._reservation is not None:
            self._spawn(self._budgets.settle(self._reservation, usage))
            self._reservation = None

    def release(self) -> None:
        """Returns all of it: the call failed, and costs nothing."""
        self.settle(Usage(self._model, 0, 0, Decimal(0)))
