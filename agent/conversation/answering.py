"""One claim on a conversation: answered until nobody waits in it, or the claim is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import structlog
from structlog.contextvars import bind_contextvars
from uuid_utils.compat import uuid7

from agent import metrics
from agent.control.flags import SWITCHED_OFF
from agent.conversation.active_answer import ActiveAnswer, CancelReason
from agent.conversation.delivery import DeliveryRecorder, DraftDisplay, Spawn, deliver
from agent.conversation.generation import Draft, Generation
from agent.conversation.policy import PolicyEvaluator, audience
from agent.core.completion import Prompt, Usage
from agent.core.errors import ModelError, Refused, StoreUnavailable, UnknownModel
from agent.core.messages import Message, Notice, Overlap, Placed, Window, delivered
from agent.core.prompt import build_prompt
from agent.core.turns import Answer, Loaded, Outdated, Session, StoredAnswer, Waiting
from agent.ports import Ports, Reply

LEASE_TRUST = 0.8
"""After this part of a lease without a heartbeat nothing unfinished is shown: another may
soon take over.
"""

ATTEMPTS = 3
"""A message over which this many instances died is set aside."""

SET_ASIDE = (
    "I could not answer this message: it failed three times. Please put it differently."
)
DELETED = "The message was deleted."

log = structlog.get_logger()


class Answering:
    """Writes, stores and delivers answers. Holds no connection while a model or a platform
    is awaited.
    """

    def __init__(
        self,
        ports: Ports,
        steering: PolicyEvaluator,
        endings: DeliveryRecorder,
        later: Spawn,
        *,
        lease_seconds: float,
    ) -> None:
        self._ports = ports
        self._endings = endings
        self._believed = LEASE_TRUST * lease_seconds
        self._later = later
        self._writing = Generation(ports, later)
        self._steering = steering
        self._quarantine = asyncio.Lock()

    async def run(
        self, running: ActiveAnswer, loaded: Loaded | None, *, recovered: bool = False
    ) -> None:
        """Answers until the conversation is released. `loaded` is what arrived with the
        claim, if it is known.
        """
        while running.claim is not None and running.cut is not CancelReason.LEASE_LOST:
            running.edits += running.cut is CancelReason.EDITED
            running.cut = None
            loaded = loaded or await self._ports.turns.load(running.conversation)
            batch = self._begin(running, loaded)
            _bind(running.turns)
            if recovered:
                await self._recover_next(running, loaded, batch)
            else:
                await self._answer_next(running, loaded, batch)
            loaded = None

    async def look_again(self, running: ActiveAnswer) -> None:
        """A message of the conversation was edited: if the answer being written covers it,
        it is begun anew.
        """
        writer = running.writer
        with suppress(
            StoreUnavailable
        ):  # the next heartbeat makes us look again, and storing the answer does
            loaded = await self._ports.turns.load(running.conversation)
            if (
                running.writer is writer
                and running.cut is None
                and not running.still_reads(loaded)
            ):
                running.cut_short(CancelReason.EDITED)

    def _begin(self, running: ActiveAnswer, loaded: Loaded) -> Sequence[Waiting]:
        """The messages that the next answer covers, as whoever wrote last has it; its terms
        are of whom it answers.
        """
        queue = (
            self._steering.overlap(audience(running.key, loaded.waiting))
            is Overlap.QUEUE
        )
        batch = loaded.waiting[:1] if queue else loaded.waiting
        running.audience = audience(running.key, batch)
        running.terms = self._steering.terms(
            running.audience, batch[-1].model if batch else None
        )
        running.begin(loaded, batch)
        running.opening = self._opening(running, loaded)
        return batch

    async def _recover_next(
        self, running: ActiveAnswer, loaded: Loaded, batch: Sequence[Waiting]
    ) -> None:
        """An instance died over these. Suspects run one at a time, so that the guilty one
        is found alone.
        """
        deaths = max(
            (
                waiting.attempts - (waiting.turn in running.attempted)
                for waiting in batch
            ),
            default=0,
        )
        if deaths >= ATTEMPTS:
            await self._say(
                running,
                loaded,
                batch,
                SET_ASIDE,
                failed=f"set aside after {ATTEMPTS} attempts",
            )
            return
        async with running.quarantine_stack:
            if deaths:
                await running.quarantine_stack.enter_async_context(self._quarantine)
            await self._attempt(running)
            batch = self._begin(
                running, loaded
            )  # in the queue of suspects it may have got old
            await self._answer_next(running, loaded, batch)

    async def _attempt(self, running: ActiveAnswer) -> None:
        """Counted once, however often the answer is begun anew: an edit is no death."""
        turns = [turn for turn in running.turns if turn not in running.attempted]
        if turns:
            await self._ports.recovery.attempt(turns)
            running.attempted |= frozenset(turns)

    async def _say(
        self,
        running: ActiveAnswer,
        loaded: Loaded,
        batch: Sequence[Waiting],
        sentence: str,
        *,
        failed: str | None = None,
    ) -> None:
        """Ends the wait of these without asking the model; "" is not even said."""
        channel = running.key[0]
        if not await self._store(
            running, loaded, batch, self._answer(running, sentence, {"notice": True})
        ):
            return
        if sentence:
            reply, text = self._reply(running, batch), Notice(sentence)
            await deliver(
                self._endings,
                reply,
                running.turns,
                text,
                channel=channel,
                failed=failed,
            )
        elif batch:
            metrics.turns.add(channel, "done", amount=len(batch))
            self._endings.record(running.turns, None)

    async def _answer_next(
        self, running: ActiveAnswer, loaded: Loaded, batch: Sequence[Waiting]
    ) -> None:
        if not any(
            running.texts.values()
        ):  # a draft that stands is not left half written
            stands = batch and running.existing_draft(batch[0])
            await self._say(running, loaded, batch, DELETED if stands else "")
            return
        silence = running.terms.canned_reply
        if silence is not None:
            stands = running.existing_draft(batch[0])
            await self._say(
                running, loaded, batch, silence or (SWITCHED_OFF if stands else "")
            )
            return
        prompt = self._prompt(running, loaded)
        reply = self._reply(running, batch)
        display = DraftDisplay(
            reply,
            lambda placed: self._place(running, placed),
            ours=lambda: self._is_ours(running),
        )
        started = time.monotonic()
        try:
            draft = await self._write(running, prompt, display)
            answer = self._finished(
                running, draft, round((time.monotonic() - started) * 1000)
            )
            stored = answer and await self._store(running, loaded, batch, answer)
            if stored:
                metrics.took(started, running.key[0], "stored")
        finally:
            await display.close()
        if answer and stored:
            text = delivered(answer.content, answer.metadata)
            channel = running.key[0]
            await deliver(self._endings, reply, running.turns, text, channel=channel)
            metrics.took(started, channel, "delivered")

    def _reply(self, running: ActiveAnswer, batch: Sequence[Waiting]) -> Reply:
        """The last turn leads. What stands is kept with the first: an answer begun anew may
        cover more, never less.
        """
        first, lead = batch[0], batch[-1]
        channel = self._ports.channels[running.key[0]]
        return channel.reply(lead.address, running.existing_draft(first), lead.turn)

    def _is_ours(self, running: ActiveAnswer) -> bool:
        """Whether no other instance can have taken the claim. Else a draft might overwrite
        its finished answer.
        """
        return (
            running.cut is not CancelReason.LEASE_LOST
            and time.monotonic() - running.held_at < self._believed
        )

    def _place(self, running: ActiveAnswer, placed: Placed) -> None:
        running.draft = (running.turns[0], placed)
        self._later(self._ports.deliveries.placed(running.turns[0], placed))

    async def _write(
        self, running: ActiveAnswer, prompt: Prompt, display: DraftDisplay
    ) -> Draft:
        """Asks the model. Whatever happens to it, there is a draft to go on with."""
        draft = Draft(
            running.key[0], running.author, prompt, running.terms, running.opening
        )
        running.writer = asyncio.create_task(self._writing.ask(draft, display))
        if running.cut is not None:
            running.writer.cancel()
        try:
            await running.writer
        except (ModelError, UnknownModel, Refused) as error:
            draft.error = error.sentence
        except asyncio.CancelledError:
            if running.cut is None or _is_cancelled():
                raise  # it is this instance that ends
        finally:
            running.writer = None
        return draft

    def _finished(
        self, running: ActiveAnswer, draft: Draft, latency_ms: int
    ) -> Answer | None:
        """The answer to store; None when the same messages (and newer ones) are to be
        answered anew.
        """
        text = draft.text()
        cut = running.cut
        if cut in (CancelReason.EDITED, CancelReason.LEASE_LOST) or (
            cut is CancelReason.INTERRUPTED and not text
        ):
            return None
        if cut is CancelReason.STOPPED and not text:
            return self._answer(running, "Stopped.", {"notice": True})
        note = cut.value if cut else draft.error
        if not text:
            note = note or "The model gave no answer. Please ask again."
            return self._answer(
                running, note, {"notice": True}, draft.usage, latency_ms
            )
        return self._answer(
            running, text, {"note": note} if note else {}, draft.usage, latency_ms
        )

    def _answer(
        self,
        running: ActiveAnswer,
        content: str,
        metadata: dict[str, object],
        usage: Usage | None = None,
        latency_ms: int | None = None,
    ) -> Answer:
        assert running.claim is not None
        seen = (
            running.seen
            if running.heeds_edits and running.cut is not CancelReason.STOPPED
            else None
        )
        return Answer(
            running.claim,
            uuid7(),
            uuid7(),
            running.covers,
            content,
            usage,
            latency_ms,
            {**metadata, **running.terms.record},
            seen,
        )

    async def _store(
        self,
        running: ActiveAnswer,
        loaded: Loaded,
        batch: Sequence[Waiting],
        answer: Answer,
    ) -> StoredAnswer | None:
        """Answer and intent to deliver, in one statement; then the window grows in Redis."""
        stored = await self._submit(running, answer)
        if stored is None:
            return None
        running.claim, running.cut, running.held_at = (
            stored.next_claim,
            None,
            time.monotonic(),
        )
        running.edits = 0
        await (
            running.quarantine_stack.aclose()
        )  # the next suspect may run: the way to the platform is no danger
        log.info("answered", seq=stored.version, covers=answer.answers)
        window = loaded.window
        if stored.next_claim is None and stored.version == window.version + 1 and batch:
            said = Message(
                stored.version,
                "assistant",
                answer.content,
                answer.answers,
                notice="notice" in answer.metadata,
            )
            lead = batch[-1]
            session = Session(
                running.key,
                lead.account,
                lead.user,
                running.conversation,
                answer.usage.model if answer.usage else "",
                lead.person,
            )
            await self._ports.cache.keep(
                session, Window(stored.version, (*window.messages, said))
            )
        return stored

    async def _submit(
        self, running: ActiveAnswer, answer: Answer
    ) -> StoredAnswer | None:
        """None when the claim was lost, or the answer is to be begun anew because what it
        answers was edited.
        """
        verdict = await self._ports.turns.answer(answer)
        while isinstance(verdict, Outdated):
            if not running.still_reads(
                await self._ports.turns.load(running.conversation)
            ):
                running.cut_short(CancelReason.EDITED)
                return None
            verdict = await self._ports.turns.answer(replace(answer, seen=running.seen))
        if verdict is None:
            running.cut_short(CancelReason.LEASE_LOST)
            log.warning("claim lost", conversation=str(running.conversation))
        return verdict

    def _opening(self, running: ActiveAnswer, loaded: Loaded) -> str:
        """The channel's greeting, before the first answer of a conversation."""
        greeting, messages = (
            self._ports.control.channel(running.key[0]).greeting,
            loaded.window.messages,
        )
        begins = {m.role for m in messages} == {"user"} and messages[0].seq == 1
        return f"{greeting}\n\n" if greeting and begins else ""

    def _prompt(self, running: ActiveAnswer, loaded: Loaded) -> Prompt:
        terms, window = running.terms, loaded.window
        shown = Window(window.version, terms.visible(window.messages, running.covers))
        budget = self._ports.models.budget(terms.model)
        return build_prompt(
            terms.system_prompt, shown, upto=running.covers, budget=budget
        )


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _bind(turns: Sequence[UUID]) -> None:
    """From now on the log lines of this task carry the turn that leads, and those it
    answers along.
    """
    if turns:
        bind_contextvars(turn=str(turns[-1]))
    if len(turns) > 1:
        log.info("answering together", turns=[str(turn) for turn in turns])
