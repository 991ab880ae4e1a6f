"""One claim on a conversation: answered until nobody waits in it, or the claim is lost."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from structlog.contextvars import bind_contextvars
from uuid_utils.compat import uuid7

from agent import metrics
from agent.delivery import Display, Later, deliver
from agent.errors import ModelError, Refused, UnknownModel
from agent.flags import SWITCHED_OFF
from agent.models import (
    Answer,
    Claim,
    Loaded,
    Message,
    Notice,
    Overlap,
    Placed,
    Prompt,
    Session,
    Stored,
    Usage,
    Waiting,
    Window,
    delivered,
)
from agent.ports import Ports, Reply
from agent.prompt import build_prompt
from agent.resolution import EVERYBODY, Audience
from agent.steering import Steering, Terms, audience
from agent.writing import Draft, Writing

BELIEVED = 0.8
"""After this part of a lease without a heartbeat nothing unfinished is shown: another may soon take over."""

ATTEMPTS = 3
"""A message over which this many instances died is set aside."""

SET_ASIDE = "I could not answer this message: it failed three times. Please put it differently."
DELETED = "The message was deleted."

log = structlog.get_logger()


class Cut(enum.Enum):
    """Why an answer ends before the model does."""

    INTERRUPTED = "interrupted by your next message"
    STOPPED = "stopped"
    EDITED = "the message was edited"
    LOST = "another instance answers"


@dataclass(slots=True, eq=False)
class Running:
    """A claim being worked on by this instance."""

    claim: Claim | None
    conversation: UUID
    key: tuple[str, str, str]
    covers: int = 0  # seq of the last message that the answer being written covers
    author: UUID | None = None  # of the message that leads: the budget is theirs
    opening: str = ""  # stands before the answer's first word
    turns: tuple[UUID, ...] = ()  # all it covers; the last one leads
    draft: tuple[UUID, Placed] | None = None  # where the answer being written stands, by the first turn it covers
    audience: Audience = EVERYBODY
    terms: Terms = field(init=False)  # of the answer being written
    cut: Cut | None = None
    writer: asyncio.Task[None] | None = None
    held_at: float = field(default_factory=time.monotonic)  # when the claim was last known to be ours

    def cut_short(self, why: Cut) -> None:
        """Ends the writing; what is being stored is not disturbed."""
        if self.cut is not Cut.LOST:
            self.cut = why
        if self.writer is not None:
            self.writer.cancel()

    def standing(self, first: Waiting) -> Placed | None:
        """What stands already, known here perhaps before it is recorded."""
        return self.draft[1] if self.draft and self.draft[0] == first.turn else first.placed


class Answering:
    """Writes, stores and delivers answers. Holds no connection while a model or a platform is awaited."""

    def __init__(self, ports: Ports, steering: Steering, later: Later, *, lease_seconds: float) -> None:
        self._ports = ports
        self._believed = BELIEVED * lease_seconds
        self._later = later
        self._writing = Writing(ports, later)
        self._steering = steering
        self._quarantine = asyncio.Lock()

    async def run(self, running: Running, loaded: Loaded | None, *, recovered: bool = False) -> None:
        """Answers until the conversation is released. `loaded` is what arrived with the claim, if it is known."""
        while running.claim is not None and running.cut is not Cut.LOST:
            running.cut = None
            loaded = loaded or await self._ports.turns.load(running.conversation)
            batch = self._begin(running, loaded)
            _bind(running.turns)
            if recovered:
                await self._recover_next(running, loaded, batch)
            else:
                await self._answer_next(running, loaded, batch)
            loaded = None

    def _begin(self, running: Running, loaded: Loaded) -> Sequence[Waiting]:
        """Decides on which terms the next answer is given. The messages that it covers."""
        running.audience = audience(running.key, loaded.waiting)
        running.terms = self._steering.terms(running.audience, loaded.model)
        batch = loaded.waiting[:1] if running.terms.overlap is Overlap.QUEUE else loaded.waiting
        running.turns = tuple(waiting.turn for waiting in batch)
        running.covers = batch[-1].seq if batch else loaded.window.version
        running.author = batch[-1].user if batch else None
        running.opening = self._opening(running, loaded)
        return batch

    async def _recover_next(self, running: Running, loaded: Loaded, batch: Sequence[Waiting]) -> None:
        """An instance died over these. Suspects run one at a time, so that the guilty one is found alone."""
        deaths = max((waiting.attempts for waiting in batch), default=0)
        if deaths >= ATTEMPTS:
            await self._say(running, loaded, batch, SET_ASIDE, failed=f"set aside after {ATTEMPTS} attempts")
            return
        async with self._quarantine if deaths else nullcontext():
            await self._ports.leases.attempt(running.turns)
            batch = self._begin(running, loaded)  # in the queue of suspects it may have got old
            await self._answer_next(running, loaded, batch)

    async def _say(
        self, running: Running, loaded: Loaded, batch: Sequence[Waiting], sentence: str, *, failed: str | None = None
    ) -> None:
        """Ends the wait of these without asking the model; "" is not even said."""
        channel = running.key[0]
        if not await self._store(running, loaded, batch, self._answer(running, sentence, {"notice": True})):
            return
        if sentence:
            reply, text = self._reply(running, batch), Notice(sentence)
            await deliver(
                self._ports.deliveries, reply, running.turns, text, self._later, channel=channel, failed=failed
            )
        elif batch:
            metrics.turns.add(channel, "done", amount=len(batch))
            self._later(self._ports.deliveries.done(running.turns, None))

    async def _answer_next(self, running: Running, loaded: Loaded, batch: Sequence[Waiting]) -> None:
        if not _has_text(loaded, batch):  # a draft that stands is not left half written
            stands = batch and running.standing(batch[0])
            await self._say(running, loaded, batch, DELETED if stands else "")
            return
        silence = running.terms.silence
        if silence is not None:
            stands = running.standing(batch[0])
            await self._say(running, loaded, batch, silence or (SWITCHED_OFF if stands else ""))
            return
        prompt = self._prompt(running, loaded)
        reply = self._reply(running, batch)
        display = Display(reply, lambda placed: self._place(running, placed), ours=lambda: self._is_ours(running))
        started = time.monotonic()
        try:
            draft = await self._write(running, prompt, display)
            answer = self._finished(running, draft, round((time.monotonic() - started) * 1000))
            stored = answer and await self._store(running, loaded, batch, answer)
            if stored:
                metrics.took(started, running.key[0], "stored")
        finally:
            await display.close()
        if answer and stored:
            text = delivered(answer.content, answer.metadata)
            channel = running.key[0]
            await deliver(self._ports.deliveries, reply, running.turns, text, self._later, channel=channel)
            metrics.took(started, channel, "delivered")

    def _reply(self, running: Running, batch: Sequence[Waiting]) -> Reply:
        """The last turn leads. What stands is kept with the first: an answer begun anew may cover more, never less."""
        first, lead = batch[0], batch[-1]
        channel = self._ports.channels[running.key[0]]
        return channel.reply(lead.address, running.standing(first), lead.turn)

    def _is_ours(self, running: Running) -> bool:
        """Whether no other instance can have taken the claim. Else a draft might overwrite its finished answer."""
        return running.cut is not Cut.LOST and time.monotonic() - running.held_at < self._believed

    def _place(self, running: Running, placed: Placed) -> None:
        running.draft = (running.turns[0], placed)
        self._later(self._ports.deliveries.placed(running.turns[0], placed))

    async def _write(self, running: Running, prompt: Prompt, display: Display) -> Draft:
        """Asks the model. Whatever happens to it, there is a draft to go on with."""
        draft = Draft(running.key[0], running.author, prompt, running.terms, running.opening)
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

    def _finished(self, running: Running, draft: Draft, latency_ms: int) -> Answer | None:
        """The answer to store; None when the same messages (and newer ones) are to be answered anew."""
        text = draft.text()
        cut = running.cut
        if cut in (Cut.EDITED, Cut.LOST) or (cut is Cut.INTERRUPTED and not text):
            return None
        if cut is Cut.STOPPED and not text:
            return self._answer(running, "Stopped.", {"notice": True})
        note = cut.value if cut else draft.error
        if not text:
            note = note or "The model gave no answer. Please ask again."
            return self._answer(running, note, {"notice": True}, draft.usage, latency_ms)
        return self._answer(running, text, {"note": note} if note else {}, draft.usage, latency_ms)

    def _answer(
        self,
        running: Running,
        content: str,
        metadata: dict[str, object],
        usage: Usage | None = None,
        latency_ms: int | None = None,
    ) -> Answer:
        assert running.claim is not None
        return Answer(
            running.claim,
            uuid7(),
            uuid7(),
            running.covers,
            content,
            usage,
            latency_ms,
            {**metadata, **running.terms.record},
        )

    async def _store(self, running: Running, loaded: Loaded, batch: Sequence[Waiting], answer: Answer) -> Stored | None:
        """Answer and intent to deliver, in one statement; then the window grows in Redis."""
        stored = await self._ports.turns.answer(answer)
        if stored is None:
            running.cut_short(Cut.LOST)
            log.warning("claim lost", conversation=str(running.conversation))
            return None
        running.claim, running.cut, running.held_at = stored.next_claim, None, time.monotonic()
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
            await self._ports.cache.keep(session, Window(stored.version, (*window.messages, said)))
        return stored

    def _opening(self, running: Running, loaded: Loaded) -> str:
        """The channel's greeting, before the first answer of a conversation."""
        greeting, messages = self._ports.control.channel(running.key[0]).greeting, loaded.window.messages
        begins = {m.role for m in messages} == {"user"} and messages[0].seq == 1
        return f"{greeting}\n\n" if greeting and begins else ""

    def _prompt(self, running: Running, loaded: Loaded) -> Prompt:
        terms, window = running.terms, loaded.window
        shown = Window(window.version, terms.shown(window.messages, running.covers))
        budget = self._ports.models.budget(terms.model)
        return build_prompt(terms.system_prompt, shown, upto=running.covers, budget=budget)


def _has_text(loaded: Loaded, batch: Sequence[Waiting]) -> bool:
    asked = {waiting.seq for waiting in batch}
    return any(message.content for message in loaded.window.messages if message.seq in asked)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _bind(turns: Sequence[UUID]) -> None:
    """From now on the log lines of this task carry the turn that leads, and those it answers along."""
    if turns:
        bind_contextvars(turn=str(turns[-1]))
    if len(turns) > 1:
        log.info("answering together", turns=[str(turn) for turn in turns])
