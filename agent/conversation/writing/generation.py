"""Asks models for one answer: the policy's model, then the operators' fallback.

Each call has a budget reservation of its own.
"""

from __future__ import annotations

import time
from contextlib import aclosing

import structlog
from msgspec import Struct, field

from agent import metrics
from agent.conversation.active_answer import AnswerPlan
from agent.conversation.delivery.display import DraftDisplay
from agent.conversation.delivery.recorder import Spawn
from agent.conversation.policy import model_refusal, permits
from agent.conversation.writing.budget_hold import BudgetHold
from agent.core.completion import Spent, Usage
from agent.core.errors import ModelError, Refused, UnknownModel
from agent.core.words.buttons import offering, stop_button
from agent.ports import Ports
from agent.settings import OFFLINE

log = structlog.get_logger()


class Draft(Struct):
    """What a model has written so far for a plan, and how it ended."""

    plan: AnswerPlan
    began: float = field(default_factory=time.monotonic)
    parts: list[str] = field(default_factory=list)
    usage: Usage | None = None
    error: str | None = None
    """A sentence for the person."""

    @property
    def is_offline(self) -> bool:
        """Whether the offline model wrote it, as far as is known."""
        model = self.usage.model if self.usage else self.plan.policy.model

        return model == OFFLINE

    def text(self) -> str:
        """All that is written, with the opening."""
        return "".join(self.parts)

    def shown(self) -> str:
        """The same as it is shown while it grows."""
        plan = self.plan
        if not plan.policy.buttons:
            return self.text()

        return offering(self.text(), stop_button(plan.turns[-1]))


class Generation:
    """Asks models, and collects what they write in a draft."""

    def __init__(self, ports: Ports, spawn: Spawn) -> None:
        self._ports = ports
        self._spawn = spawn

    async def ask(self, draft: Draft, display: DraftDisplay) -> None:
        """Asks the policy's model. The fallback comes last, and only before the first word.

        Raises ModelError, UnknownModel or Refused: the first failure, while nothing is written.
        What was written stays in the draft.
        """
        policy = draft.plan.policy
        try:
            await self._stream(policy.model, draft, display)
        except ModelError as failure:
            if draft.parts or policy.fallback_model in ("", policy.model):
                raise

            log.warning("fallback model asked", reason=failure.sentence)
            try:
                await self._stream(policy.fallback_model, draft, display)
            except (ModelError, UnknownModel, Refused):
                if not draft.parts:
                    raise failure from None
                raise

    async def _stream(self, model: str, draft: Draft, display: DraftDisplay) -> None:
        """Raises Refused if the model, or any more spending, is not allowed here and now."""
        plan = draft.plan
        settings = self._ports.control.channel(plan.channel)
        if not permits(settings, model):
            raise Refused(model_refusal(settings, model))

        assert plan.prompt is not None
        hold = BudgetHold(
            self._ports.budgets,
            self._spawn,
            channel=plan.channel,
            author=plan.batch[-1].user,
            model=model,
            prompt=plan.prompt,
        )
        await hold.reserve()

        try:
            await self._read(model, draft, hold, display)
        except ModelError:
            if not draft.parts:
                hold.release()
            # An estimate does not count what the model produced but did not send any more.
            elif draft.usage and not draft.usage.estimated:
                hold.settle(draft.usage)
            raise

        if draft.usage:
            hold.settle(draft.usage)

    async def _read(
        self, model: str, draft: Draft, hold: BudgetHold, display: DraftDisplay
    ) -> None:
        assert draft.plan.prompt is not None
        stream = self._ports.models.stream(model, draft.plan.prompt)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if isinstance(piece, Usage):
                    draft.usage = piece
                elif isinstance(piece, Spent):
                    draft.usage = piece.usage
                    await hold.spent(piece)
                else:
                    self._append(draft, piece, display)

    def _append(self, draft: Draft, text: str, display: DraftDisplay) -> None:
        plan = draft.plan
        if not draft.parts:
            metrics.took(draft.began, plan.channel, "first_text")
            draft.parts.append(plan.opening)
            # Of calls that ended before: those are charged already.
            draft.usage = None

        draft.parts.append(text)
        if plan.policy.streams:
            display.grow(draft.shown)
