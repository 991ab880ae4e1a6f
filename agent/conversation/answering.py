"""The loop over a claim: plan an answer, write it, store it, deliver it, until all is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from uuid import UUID

import structlog
from structlog.contextvars import bind_contextvars

from agent import metrics
from agent.control.flags import SWITCHED_OFF
from agent.conversation.active_answer import ActiveAnswer, AnswerPlan, CancelReason
from agent.conversation.delivery.display import DraftDisplay
from agent.conversation.delivery.fence import LEASE_TRUST
from agent.conversation.delivery.order import AnswerOrder
from agent.conversation.delivery.recorder import DeliveryRecorder, Spawn
from agent.conversation.delivery.sending import Delivery
from agent.conversation.policy import (
    AnswerPolicy,
    PolicyEvaluator,
    audience,
    opening_of,
)
from agent.conversation.recovery import MAX_DEATHS, SET_ASIDE, Quarantine
from agent.conversation.storing import AnswerStore, finished, new_answer, said
from agent.conversation.writing.generation import Draft, Generation
from agent.conversation.writing.titles import Titles
from agent.core.completion import Prompt
from agent.core.errors import ModelError, Refused, StoreUnavailable, UnknownModel
from agent.core.messages import Notice, Overlap, Placed
from agent.core.prompt import build_prompt
from agent.core.turns import Loaded, Undelivered
from agent.ports import Ports, Reply

DELETED = "The message was deleted."

log = structlog.get_logger()


class Answering:
    """Answers conversations. Holds no connection while a model or a platform is awaited."""

    def __init__(
        self,
        ports: Ports,
        policy: PolicyEvaluator,
        recorder: DeliveryRecorder,
        delivery: Delivery,
        order: AnswerOrder,
        spawn: Spawn,
        *,
        lease_seconds: float,
    ) -> None:
        self._ports = ports
        self._policy = policy
        self._recorder = recorder
        self._delivery = delivery
        self._order = order
        self._spawn = spawn
        self._trusted_seconds = LEASE_TRUST * lease_seconds
        self._generation = Generation(ports, spawn)
        self._titles = Titles(ports, spawn)
        self._store = AnswerStore(ports.turns, ports.cache)
        self._quarantine = Quarantine(ports.recovery)

    async def run(
        self, active: ActiveAnswer, loaded: Loaded | None, *, recovered: bool = False
    ) -> None:
        """Answers until the conversation is released.

        `loaded` is what arrived with the claim, if known. `recovered`: an instance died here.
        """
        while active.claim and active.cancel_reason is not CancelReason.LEASE_LOST:
            if active.cancel_reason is CancelReason.EDITED:
                active.edits += 1
            active.cancel_reason = None
            is_next = loaded and self._order.is_settled(loaded.previous)
            if loaded is None or not is_next or loaded.rest_seconds:
                loaded = await self._in_order(active, loaded)
            if loaded is None:
                return

            if recovered:
                await self._recover(active, loaded)
            else:
                plan = self._begin(active, loaded)
                _bind(plan.turns)
                await self._answer(active, plan)
            loaded = None

    async def _in_order(
        self, active: ActiveAnswer, loaded: Loaded | None
    ) -> Loaded | None:
        """The conversation as it is once the answer before this one is settled: then what was
        said there is known. None: the claim was lost meanwhile.
        """
        loaded = loaded or await self._load(active)
        while loaded and loaded.previous:
            if not await self._order.wait_for(loaded.previous):
                break
            loaded = await self._load(active)
        if loaded and (rest := loaded.rest_seconds):
            await asyncio.sleep(rest)
            loaded = await self._load(active)

        return loaded

    async def _load(self, active: ActiveAnswer) -> Loaded | None:
        if active.cancel_reason is CancelReason.LEASE_LOST:
            return None

        active.cancel_reason = None
        return await self._ports.turns.load(active.conversation)

    async def look_again(self, active: ActiveAnswer) -> None:
        """Restarts the answer being written if a message that it answers was edited."""
        plan = active.plan
        # Without Postgres, the next heartbeat looks again, and so does storing the answer.
        with suppress(StoreUnavailable):
            is_outdated = await self._store.is_outdated(active)
            is_written = active.writer is not None and active.plan is plan
            if is_outdated and is_written and active.cancel_reason is None:
                active.cancel(CancelReason.EDITED)

    async def _recover(self, active: ActiveAnswer, loaded: Loaded) -> None:
        plan = self._begin(active, loaded, asks_model=False)
        _bind(plan.turns)
        if self._quarantine.gives_up(active, plan):
            await self._ports.edits.set_aside(plan.turns)
            reason = f"set aside after {MAX_DEATHS} deaths"
            await self._say(active, plan, SET_ASIDE, failed=reason)
            return

        async with AsyncExitStack() as active.quarantine_stack:
            await self._quarantine.admit(active, plan)
            # A flag may have changed while this one waited.
            plan = self._begin(active, loaded)
            await self._answer(active, plan)

    def _begin(
        self, active: ActiveAnswer, loaded: Loaded, *, asks_model: bool = True
    ) -> AnswerPlan:
        """Plans the next answer, as the person who wrote last has it."""
        asking = audience(active.key, loaded.waiting)
        is_queue = self._policy.overlap(asking) is Overlap.QUEUE
        # After a death each message is tried by itself: its neighbours are no suspects.
        alone = is_queue or active.died
        batch = loaded.first_whole if alone else loaded.waiting
        asking = audience(active.key, batch)
        policy = self._policy.answer_policy(
            asking, batch[-1].model if batch else None
        )
        settings = self._ports.control.channel(active.key[0])
        opening = opening_of(settings, loaded.window, policy.switched_off)
        window, prompt = loaded.window, None
        if asks_model and policy.canned_reply is None:
            up_to_seq = batch[-1].seq if batch else window.version
            prompt = self._prompt(policy, loaded, up_to_seq)

        plan = AnswerPlan(active.key, window, batch, asking, policy, opening, prompt)
        active.follow(plan)

        return plan

    async def _answer(self, active: ActiveAnswer, plan: AnswerPlan) -> None:
        has_draft = bool(plan.batch) and self._draft(plan) is not None
        canned = plan.policy.canned_reply
        if not plan.asks:
            # A draft that stands is not left half written.
            await self._say(active, plan, DELETED if has_draft else "")
        elif canned is not None:
            await self._say(
                active, plan, canned or (SWITCHED_OFF if has_draft else "")
            )
        else:
            await self._ask_model(active, plan)

    async def _say(
        self,
        active: ActiveAnswer,
        plan: AnswerPlan,
        sentence: str,
        *,
        failed: str | None = None,
    ) -> None:
        """Answers with this sentence instead of asking the model. "": with nothing at all."""
        answer = new_answer(active, plan, sentence, {"notice": True})
        if not await self._store.store(active, plan, answer):
            return

        if sentence:
            reply = self._reply(plan)
            await self._deliver(reply, plan, Notice(sentence), failed=failed)
        elif plan.batch:
            metrics.turns.add(plan.channel, "done", amount=len(plan.batch))
            self._recorder.record(plan.turns, None)

    async def _ask_model(self, active: ActiveAnswer, plan: AnswerPlan) -> None:
        reply = self._reply(plan)
        display = DraftDisplay(
            reply, self._recorder, plan.turns, is_ours=lambda: self._is_ours(active)
        )
        started = time.monotonic()

        try:
            draft = await self._write(active, plan, display)
            display.all_written()
            latency_ms = round((time.monotonic() - started) * 1000)
            answer = finished(active, draft, latency_ms)
            stored = answer and await self._store.store(active, plan, answer)
            if stored:
                self._delivery.expect(plan.turns)
                metrics.took(started, plan.channel, "stored")
        finally:
            await display.close()

        if answer and stored:
            self._titles.after(plan, answer)
            text = said(plan, answer)
            await self._deliver(reply, plan, text, hung=display.hung)
            metrics.took(started, plan.channel, "delivered")

    async def _write(
        self, active: ActiveAnswer, plan: AnswerPlan, display: DraftDisplay
    ) -> Draft:
        """Asks the model. Whatever happens to it, there is a draft to go on with."""
        draft, is_ending = Draft(plan), False
        active.begin_writing()
        try:
            if active.cancel_reason is None:
                await self._generation.ask(draft, display)
        except (ModelError, UnknownModel, Refused) as error:
            draft.error = error.sentence
        except asyncio.CancelledError:
            is_ending = active.cancel_reason is None
        finally:
            is_ending |= not active.end_writing()

        if is_ending:  # this instance, not only the writing
            raise asyncio.CancelledError

        return draft

    def _reply(self, plan: AnswerPlan, placed: Placed | None = None) -> Reply:
        """The reply to the last turn, which leads.

        The first turn names it: a restarted answer may cover more, never fewer.
        """
        channel = self._ports.channels[plan.channel]
        placed = placed or self._draft(plan)

        return channel.reply(plan.batch[-1].address, placed, plan.turns)

    def _draft(self, plan: AnswerPlan) -> Placed | None:
        """What already stands of this answer, perhaps known here before it is recorded."""
        first = plan.batch[0]
        return self._recorder.draft(first.turn, first.placed)

    async def _deliver(
        self,
        reply: Reply,
        plan: AnswerPlan,
        text: str,
        *,
        failed: str | None = None,
        hung: float = 0.0,
    ) -> None:
        answer = Undelivered(
            plan.turns,
            plan.batch[-1].address,
            None,
            text,
            attempts=0,
        )
        again = partial(self._reply, plan) if hung else None
        await self._delivery.send(
            reply, answer, failed=failed, again=again, again_in=hung
        )

    def _is_ours(self, active: ActiveAnswer) -> bool:
        """Whether no other instance can have taken the claim.

        Otherwise a draft might overwrite its finished answer.
        """
        age = time.monotonic() - active.held_at
        is_lost = active.cancel_reason is CancelReason.LEASE_LOST
        return not is_lost and age < self._trusted_seconds

    def _prompt(self, policy: AnswerPolicy, loaded: Loaded, up_to_seq: int) -> Prompt:
        return build_prompt(
            policy.system(loaded.instruction),
            policy.visible(loaded.window, up_to_seq),
            up_to_seq=up_to_seq,
            budget=self._ports.models.budget(policy.model),
            tuning=policy.tuning,
        )


def _bind(turns: Sequence[UUID]) -> None:
    """From now on the log lines of this task carry the turn that leads."""
    if turns:
        bind_contextvars(turn=str(turns[-1]))
    if len(turns) > 1:
        log.info("answering together", turns=[str(turn) for turn in turns])
