"""Asking models for one answer: the one that its terms name, then the operators' fallback.
Each call is charged.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from agent import metrics
from agent.conversation.access import model_refusal, permits
from agent.conversation.budget_hold import BudgetHold
from agent.conversation.delivery import DraftDisplay, Spawn
from agent.conversation.policy import AnswerPolicy
from agent.core.completion import Prompt, Spent, Usage
from agent.core.errors import ModelError, Refused, UnknownModel
from agent.ports import Ports

log = structlog.get_logger()


@dataclass(slots=True)
class Draft:
    """What a model is asked, what it wrote so far, and how it ended."""

    channel: str
    author: UUID | None  # of the message that leads: the budget is theirs
    prompt: Prompt
    terms: AnswerPolicy
    opening: str = ""  # stands before the first word
    began: float = field(default_factory=time.monotonic)
    parts: list[str] = field(default_factory=list)
    usage: Usage | None = None
    error: str | None = None

    def text(self) -> str:
        return "".join(self.parts)


class Generation:
    """Asks models, and reads what they write into a draft."""

    def __init__(self, ports: Ports, later: Spawn) -> None:
        self._ports = ports
        self._later = later

    async def ask(self, draft: Draft, display: DraftDisplay) -> None:
        """The operators' fallback comes last, and only before the first word. The first
        failure is the one told.

        Raises ModelError, UnknownModel or Refused; what was written before stays in the draft.
        """
        model, fallback = draft.terms.model, draft.terms.fallback_model
        try:
            await self._stream(model, draft, display)
        except ModelError as failure:
            if draft.parts or fallback in ("", model):
                raise
            log.warning("fallback model asked", reason=failure.sentence)
            try:
                await self._stream(fallback, draft, display)
            except (ModelError, UnknownModel, Refused):
                if not draft.parts:
                    raise failure from None
                raise

    async def _stream(self, model: str, draft: Draft, display: DraftDisplay) -> None:
        """Raises Refused when the model, or another answer at all, is not allowed here and now."""
        settings = self._ports.control.channel(draft.channel)
        if not permits(settings, model):
            raise Refused(model_refusal(settings, model))
        assert draft.author is not None
        charge = BudgetHold(
            self._ports.budgets,
            self._later,
            channel=draft.channel,
            author=draft.author,
            model=model,
            prompt=draft.prompt,
        )
        await charge.reserve()
        try:
            await self._read(model, draft, charge, display)
        except ModelError:
            if not draft.parts:
                charge.release()
            elif (
                draft.usage and not draft.usage.estimated
            ):  # else nobody knows what was not said any more
                charge.settle(draft.usage)
            raise
        if draft.usage:
            charge.settle(draft.usage)

    async def _read(
        self, model: str, draft: Draft, charge: BudgetHold, display: DraftDisplay
    ) -> None:
        async with aclosing(self._ports.models.stream(model, draft.prompt)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Usage):
                    draft.usage = piece
                elif isinstance(piece, Spent):
                    draft.usage = piece.usage
                    await charge.spent(piece)
                else:
                    if not draft.parts:
                        metrics.took(draft.began, draft.channel, "first_text")
                        draft.parts.append(draft.opening)
                        draft.usage = (
                            None  # of calls that ended before: they are charged
                        )
                    draft.parts.append(piece)
                    if draft.terms.streams:
                        display.grow(draft.text)
