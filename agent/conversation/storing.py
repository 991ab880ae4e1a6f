"""Stores answers under their claim, and lets the cached window grow with them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import structlog
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from agent.conversation.active_answer import ActiveAnswer, AnswerPlan, CancelReason
from agent.conversation.writing.generation import Draft
from agent.core.completion import Usage
from agent.core.messages import Message, Window, delivered, is_prompted
from agent.core.turns import Answer, Outdated, Session, StoredAnswer
from agent.core.words.buttons import answer_buttons, offering, retry_button
from agent.ports import Cache, Turns

log = structlog.get_logger()


def new_answer(
    active: ActiveAnswer,
    plan: AnswerPlan,
    content: str,
    metadata: Mapping[str, Any],
    usage: Usage | None = None,
    latency_ms: int | None = None,
) -> Answer:
    """An answer to this plan, to be stored under the claim that is held."""
    assert active.claim is not None
    message_id = uuid7()
    is_stopped = active.cancel_reason is CancelReason.STOPPED
    minds_edits = active.heeds_edits and not is_stopped

    return Answer(
        active.claim,
        next_fence=message_id,  # as new as a fence has to be
        message_id=message_id,
        answers=plan.covers,
        content=content,
        usage=usage,
        latency_ms=latency_ms,
        metadata={**metadata, **plan.policy.record},
        seen=active.seen if minds_edits else None,
        first_turn=plan.turns[0] if plan.turns else None,
    )


def finished(active: ActiveAnswer, draft: Draft, latency_ms: int) -> Answer | None:
    """The answer to store; None if the same messages are to be answered again."""
    text, reason = draft.text(), active.cancel_reason
    if reason in (CancelReason.EDITED, CancelReason.LEASE_LOST):
        return None
    if reason is CancelReason.INTERRUPTED and not text:
        return None
    if reason is CancelReason.STOPPED and not text:
        return new_answer(active, draft.plan, "Stopped.", {"notice": True})

    note = reason.value if reason else draft.error
    metadata: dict[str, object] = {"note": note} if note else {}
    if not text:
        text = note or "The model gave no answer. Please ask again."
        metadata = {"notice": True}
    elif draft.is_offline:
        metadata["offline"] = True

    return new_answer(active, draft.plan, text, metadata, draft.usage, latency_ms)


def said(plan: AnswerPlan, answer: Answer) -> str:
    """A stored answer as its person gets it, with buttons where a flag allows them."""
    text = delivered(answer.content, answer.metadata)
    if not plan.policy.buttons:
        return text

    turn = plan.turns[-1]
    is_notice = "notice" in answer.metadata

    return offering(text, retry_button(turn) if is_notice else answer_buttons(turn))


class AnswerStore:
    """Stores answers: the answer and the intent to deliver it commit together."""

    def __init__(self, turns: Turns, cache: Cache) -> None:
        self._turns = turns
        self._cache = cache

    async def store(
        self, active: ActiveAnswer, plan: AnswerPlan, answer: Answer
    ) -> bool:
        """Stores the answer in one statement; then the window grows in Redis.

        False: not stored. The claim was lost, or the answer is to be restarted for an edit.
        """
        stored = await self._submit(active, answer)
        if stored is None:
            return False

        active.claim, active.cancel_reason = stored.next_claim, None
        active.held_at = time.monotonic()
        active.edits = 0
        # The next suspect may run: the way to the platform is no danger.
        if active.quarantine_stack is not None:
            await active.quarantine_stack.aclose()
        log.debug("answered", seq=stored.version, covers=answer.answers)

        is_newest = stored.version == plan.window.version + 1
        if stored.next_claim is None and is_newest and plan.batch:
            await self._grow_window(active, plan, answer, stored.version)

        return True

    async def is_outdated(self, active: ActiveAnswer) -> bool:
        """Reads the conversation again: whether a text being answered has changed."""
        return not active.is_current(await self._turns.load(active.conversation))

    async def _submit(
        self, active: ActiveAnswer, answer: Answer
    ) -> StoredAnswer | None:
        verdict = await self._turns.answer(answer)
        while isinstance(verdict, Outdated):
            if await self.is_outdated(active):
                active.cancel(CancelReason.EDITED)
                return None

            verdict = await self._turns.answer(replace(answer, seen=active.seen))

        if verdict is None:
            active.cancel(CancelReason.LEASE_LOST)
            log.warning("claim lost", conversation=str(active.conversation))

        return verdict

    async def _grow_window(
        self, active: ActiveAnswer, plan: AnswerPlan, answer: Answer, version: int
    ) -> None:
        message = Message(
            version,
            "assistant",
            answer.content,
            answer.answers,
            notice=not is_prompted(answer.metadata),
        )
        lead = plan.batch[-1]
        session = Session(
            plan.key,
            lead.account,
            lead.user,
            active.conversation,
            lead.person,
        )
        window = Window(version, (*plan.window.messages, message))

        await self._cache.keep(session, window)
