"""The conversations that this instance answers, and the stored answers that it delivers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from structlog.contextvars import bind_contextvars

from agent.conversation.active_answer import ActiveAnswer, CancelReason
from agent.conversation.admission import AdmissionControl
from agent.conversation.answering import Answering
from agent.conversation.background import BackgroundTasks
from agent.conversation.delivery.fence import LEASE_TRUST, DeliveryFence
from agent.conversation.delivery.files import ReplyWithFile
from agent.conversation.delivery.order import AnswerOrder
from agent.conversation.delivery.recorder import DeliveryRecorder
from agent.conversation.delivery.sending import Delivery
from agent.conversation.policy import PolicyEvaluator
from agent.core.channel import SendsFiles
from agent.core.effects import MakeFile
from agent.core.errors import StoreUnavailable
from agent.core.messages import Notice, Overlap
from agent.core.turns import PARTS_SECONDS, Beat, Claim, Loaded, Undelivered
from agent.ports import Ports, Reply

ChatKey = tuple[str, str, str]
"""Channel, chat and thread."""

WITHDRAWN = "This answer was withdrawn."
"""Replaces a draft of a dead instance whose message was deleted, or is answered no more."""


class Worker:
    """Works on claims, one answer after the other in each conversation."""

    def __init__(
        self,
        ports: Ports,
        policy: PolicyEvaluator,
        admission: AdmissionControl,
        background: BackgroundTasks,
        *,
        lease_seconds: float,
        delivery_seconds: float,
    ) -> None:
        self._ports = ports
        self._policy = policy
        self._admission = admission
        self._background = background
        self._order = AnswerOrder(ports.deliveries, limit_seconds=delivery_seconds)
        self._recorder = DeliveryRecorder(
            ports.deliveries, self._order, background.spawn
        )
        self._fence = DeliveryFence(trusted_seconds=LEASE_TRUST * lease_seconds)
        self._delivery = Delivery(
            self._recorder, self._order, self._fence, limit_seconds=delivery_seconds
        )
        self._answering = Answering(
            ports,
            policy,
            self._recorder,
            self._delivery,
            self._order,
            background.spawn,
            lease_seconds=lease_seconds,
        )
        self._active: set[ActiveAnswer] = set()
        # What writes the last answer begun in each chat: what comes later, arrives later.
        self._latest: dict[ChatKey, asyncio.Task[Any]] = {}

    def begin(
        self,
        claim: Claim,
        loaded: Loaded | None,
        *,
        recovered: bool = False,
        more_follows: bool = False,
    ) -> Coroutine[Any, Any, None]:
        """The claim is worked on from now on; what is returned answers, in any task.

        `loaded` is what is known of the conversation already. `more_follows`: what was said
        is a part. It is stored, and the rest is waited for.
        """
        active = ActiveAnswer(claim, claim.conversation, claim.key, claim.died)
        self._active.add(active)
        pause = PARTS_SECONDS if more_follows else 0.0

        return self._answer(active, loaded, recovered=recovered, pause=pause)

    def cancel(
        self,
        conversation: UUID,
        reason: CancelReason,
        *,
        covering: UUID | None = None,
    ) -> None:
        """Cancels what is being written for it, or only an answer that covers this turn."""
        for active in self._active:
            turns = active.turns
            is_covered = covering is None or covering in turns or not turns
            if active.conversation == conversation and is_covered:
                active.cancel(reason)

    def stop_writing(self, key: tuple[str, str, str]) -> None:
        """Stops the answer that is being written in this chat, as a person asked."""
        for active in self._active:
            if active.key == key and active.writer is not None:
                active.cancel(CancelReason.STOPPED)

    async def deliver(
        self,
        answer: Undelivered,
        *,
        repeat: bool = True,
        file: MakeFile | None = None,
    ) -> None:
        """Sends a stored answer; `repeat`: another instance may have sent it before. The file
        is sent first.
        """
        bind_contextvars(turn=str(answer.turns[-1]))
        if not answer.text and answer.placed is None:
            # Deleted before it was answered.
            self._recorder.record(answer.turns, None)
            return

        channel = self._ports.channels[answer.address.channel]
        draft = self._recorder.draft(answer.turns[0], answer.placed)
        reply: Reply = channel.reply(
            answer.address, draft, answer.turns, repeat=repeat
        )
        if file is not None and isinstance(channel, SendsFiles):
            reply = ReplyWithFile(reply, channel, answer.address, file)

        text = answer.text or Notice(WITHDRAWN)
        await self._delivery.send(reply, replace(answer, text=text))

    async def beat(self) -> Beat:
        """Renews what this instance holds, and applies what others accepted for it.

        Raises StoreUnavailable.
        """
        held = {active.claim.fence: active for active in self._active if active.claim}
        turns = self._on_their_way()
        began = time.monotonic()

        beat = await self._ports.leases.beat(
            [active.claim for active in held.values() if active.claim],
            turns,
            self._ports.control.epoch,
        )
        self._fence.renew(turns, beat.taken, began)

        for fence, active in held.items():
            # Without this claim, it went on while the heartbeat was under way.
            if active.claim is not None and active.claim.fence == fence:
                self._apply(beat, active, fence, began)

        return beat

    async def sweep(self) -> int:
        """Takes over what dead instances left, and returns how much that was: there may be
        more.

        Raises StoreUnavailable.
        """
        try:
            answers = await self._sweep_deliveries()
        except StoreUnavailable:
            # whatever becomes of answers, questions are answered
            await self._sweep_claims()
            raise

        return answers + await self._sweep_claims()

    async def _sweep_deliveries(self) -> int:
        answers = await self._ports.recovery.take_deliveries()
        for answer in answers:
            # One of its own can be found after this process stood still for longer than a lease.
            if answer.turns[-1] not in self._on_their_way():
                self._fence.begin(answer.turns[-1])
                self._background.spawn(self._deliver_in_order(answer))

        return len(answers)

    async def _sweep_claims(self) -> int:
        claims = await self._ports.recovery.take_over()
        for claim in claims:
            self._background.spawn(self.begin(claim, None, recovered=True))

        return len(claims)

    def hurry(self) -> None:
        """This instance leaves: ends of deliveries are recorded at once."""
        self._recorder.hurry()

    def held(self) -> tuple[list[Claim], list[UUID], list[UUID]]:
        """The claims that are still ours, the turns that were attempted under them, and those
        that lead deliveries under way.
        """
        claims: list[Claim] = []
        attempted: list[UUID] = []
        for active in self._active:
            if active.claim is not None:
                claims.append(active.claim)
                attempted.extend(active.attempted)

        return claims, attempted, list(self._fence.turns)

    def _on_their_way(self) -> list[UUID]:
        """Turns that lead answers of this instance, written or delivered now."""
        leads = [active.turns[-1] for active in self._active if active.turns]

        return [*leads, *self._fence.turns, *self._recorder.lead_turns]

    async def _deliver_in_order(self, answer: Undelivered) -> None:
        """Sends it after the answer before it, never behind one that may be waiting for it."""
        try:
            if answer.previous is not None:
                await self._order.wait_for(answer.previous)
            await self.deliver(answer)
        finally:
            self._fence.end(answer.turns[-1])

    async def _answer(
        self,
        active: ActiveAnswer,
        loaded: Loaded | None,
        *,
        recovered: bool,
        pause: float,
    ) -> None:
        before, task = self._latest.get(active.key), asyncio.current_task()
        assert task is not None
        self._latest[active.key] = task
        try:
            await self._admission.admit()
            if before is not None:
                # Its answer is stored but still on its way: answers arrive in order.
                await asyncio.wait({before})
            if pause:
                await asyncio.sleep(pause)
            if pause or active.cancel_reason is not None:
                # The rest has come, or it was edited meanwhile, or a newer message is to
                # be answered with it.
                loaded = None

            await self._answering.run(active, loaded, recovered=recovered)
        finally:
            if active.cancel_reason is CancelReason.LEASE_LOST:
                # perhaps to nobody: what is erased is taken away from whoever answers it
                self._background.request_sweep()
            self._active.discard(active)
            if self._latest.get(active.key) is task:
                del self._latest[active.key]

    def _apply(
        self, beat: Beat, active: ActiveAnswer, fence: UUID, began: float
    ) -> None:
        if fence not in beat.held:
            active.cancel(CancelReason.LEASE_LOST)
            return

        active.held_at = began
        if active.writer is not None:
            self._apply_remote_changes(beat, active, fence)

    def _apply_remote_changes(
        self, beat: Beat, active: ActiveAnswer, fence: UUID
    ) -> None:
        """What other instances accepted meanwhile: a `/stop`, a message, an edit."""
        assert active.plan is not None
        is_newer = beat.held[fence] > active.plan.covers
        if fence in beat.stopped:
            active.cancel(CancelReason.STOPPED)
        elif (
            is_newer
            and self._policy.overlap(active.plan.audience) is Overlap.INTERRUPT
        ):
            active.cancel(CancelReason.INTERRUPTED)
        elif beat.edited[fence] > active.seen and active.heeds_edits:
            self._background.spawn(self._answering.look_again(active))
