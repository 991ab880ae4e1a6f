"""The conversations that this instance answers, and the answers of others that it delivers."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from structlog.contextvars import bind_contextvars

from agent.conversation.active_answer import ActiveAnswer, CancelReason
from agent.conversation.admission import AdmissionControl
from agent.conversation.answering import Answering
from agent.conversation.background import BackgroundTasks
from agent.conversation.delivery import DeliveryRecorder, deliver
from agent.conversation.policy import PolicyEvaluator
from agent.core.messages import Notice, Overlap
from agent.core.turns import Beat, Claim, Loaded, Undelivered
from agent.ports import Ports

WITHDRAWN = "This answer was withdrawn."
"""Replaces a draft that an instance left which died, when its message was deleted or is not
answered any more.
"""


class Worker:
    """Works on claims, one answer after the other in each conversation."""

    def __init__(
        self,
        ports: Ports,
        steering: PolicyEvaluator,
        rush: AdmissionControl,
        tasks: BackgroundTasks,
        *,
        lease_seconds: float,
    ) -> None:
        self._ports = ports
        self._steering = steering
        self._endings = DeliveryRecorder(ports.deliveries, tasks.spawn)
        self._answering = Answering(
            ports, steering, self._endings, tasks.spawn, lease_seconds=lease_seconds
        )
        self._rush = rush
        self._tasks = tasks
        self._running: set[ActiveAnswer] = set()
        self._latest: dict[
            UUID, asyncio.Task[None]
        ] = {}  # the last work begun for a conversation
        self._delivering: set[UUID] = set()

    def begin(
        self, claim: Claim, loaded: Loaded | None, *, recovered: bool = False
    ) -> None:
        """Answers this conversation from now on. `loaded` is what is known of it already."""
        running = ActiveAnswer(claim, claim.conversation, claim.key)
        before = self._latest.get(claim.conversation)
        self._running.add(running)
        task = self._tasks.spawn(
            self._answer(running, loaded, before, recovered=recovered)
        )
        self._latest[claim.conversation] = task

    async def _answer(
        self,
        running: ActiveAnswer,
        loaded: Loaded | None,
        before: asyncio.Task[None] | None,
        *,
        recovered: bool,
    ) -> None:
        try:
            await self._rush.admit()
            if (
                before is not None
            ):  # its answer is stored but still on its way: answers arrive in order
                await asyncio.wait({before})
            if (
                running.cut is not None
            ):  # edited meanwhile, or to be answered with a newer message
                loaded = None
            await self._answering.run(running, loaded, recovered=recovered)
        finally:
            self._running.discard(running)
            if self._latest.get(running.conversation) is asyncio.current_task():
                del self._latest[running.conversation]

    def cut(
        self, conversation: UUID, why: CancelReason, *, covering: UUID | None = None
    ) -> None:
        """Ends what is being written for it, or only an answer that covers this turn."""
        for running in self._running:
            covers = covering is None or covering in running.turns or not running.turns
            if running.conversation == conversation and covers:
                running.cut_short(why)

    def stop_writing(self, key: tuple[str, str, str]) -> None:
        """A person wants no more of the answer that is being written in this chat."""
        for running in self._running:
            if running.key == key and running.writer is not None:
                running.cut_short(CancelReason.STOPPED)

    async def deliver(self, answer: Undelivered, *, repeat: bool = True) -> None:
        """Sends what is stored; `repeat`: another instance may have sent it before."""
        lead = answer.turns[-1]
        bind_contextvars(turn=str(lead))
        if not answer.text and answer.placed is None:  # deleted before it was answered
            self._endings.record(answer.turns, None)
            return
        text = answer.text or Notice(WITHDRAWN)
        channel = self._ports.channels[answer.address.channel]
        reply = channel.reply(answer.address, answer.placed, lead, repeat=repeat)
        self._delivering.add(lead)
        try:
            await deliver(
                self._endings,
                reply,
                answer.turns,
                text,
                channel=channel.name,
                attempts=answer.attempts,
            )
        finally:
            self._delivering.discard(lead)

    async def beat(self) -> Beat:
        """Renews what this instance holds, and heeds what others accepted for it. Raises
        StoreUnavailable.
        """
        claims = {
            running.claim.fence: running
            for running in self._running
            if running.claim is not None
        }
        began = time.monotonic()
        leads = [running.turns[-1] for running in self._running if running.turns]
        beat = await self._ports.leases.beat(
            [running.claim for running in claims.values() if running.claim],
            [*leads, *self._delivering, *self._endings.lead_turns],
            self._ports.control.epoch,
        )
        for fence, running in claims.items():
            if running.claim is None or running.claim.fence != fence:
                continue  # it went on while the heartbeat was under way
            running.held_at = began if fence in beat.held else running.held_at
            if fence not in beat.held:
                running.cut_short(CancelReason.LEASE_LOST)
            elif running.writer is not None:
                self._apply_remote_changes(running, fence, beat)
        return beat

    def _apply_remote_changes(
        self, running: ActiveAnswer, fence: UUID, beat: Beat
    ) -> None:
        """What another instance accepted while this answer is written: a `/stop`, a
        message, an edit.
        """
        if fence in beat.stopped:
            running.cut_short(CancelReason.STOPPED)
        elif (
            beat.held[fence] > running.covers
            and self._steering.overlap(running.audience) is Overlap.INTERRUPT
        ):
            running.cut_short(CancelReason.INTERRUPTED)
        elif beat.edited[fence] > running.seen and running.heeds_edits:
            self._tasks.spawn(self._answering.look_again(running))

    async def sweep(self, since_seconds: float) -> None:
        """Takes over what instances left that died in the last `since_seconds` seconds. Raises
        StoreUnavailable.
        """
        for claim in await self._ports.recovery.take_over(since_seconds=since_seconds):
            self.begin(claim, None, recovered=True)
        for answer in await self._ports.recovery.take_deliveries(
            since_seconds=since_seconds
        ):
            self._tasks.spawn(self.deliver(answer))

    def held(self) -> tuple[list[Claim], list[UUID]]:
        """The claims that are still ours to hand back, and the turns that were attempted
        under them.
        """
        held = [
            (running.claim, running.attempted)
            for running in self._running
            if running.claim is not None
        ]
        return [claim for claim, _ in held], [
            turn for _, attempted in held for turn in attempted
        ]
