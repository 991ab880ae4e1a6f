"""One claim on a conversation: answered until nobody waits in it, or the claim is lost."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from structlog.contextvars import bind_contextvars
from uuid_utils.compat import uuid7

from agent import metrics
from agent.delivery import Display, Later, deliver
from agent.errors import ModelError, UnknownModel
from agent.models import (
    Answer,
    Claim,
    Loaded,
    Message,
    Notice,
    Overlap,
    Prompt,
    Session,
    Stored,
    Usage,
    Waiting,
    Window,
    delivered,
)
from agent.ports import Options, Ports
from agent.prompt import build_prompt

ATTEMPTS = 3
"""A message over which this many instances died is set aside."""

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
    turns: tuple[UUID, ...] = ()  # all it covers; the last one leads
    cut: Cut | None = None
    writer: asyncio.Task[None] | None = None

    def cut_short(self, why: Cut) -> None:
        """Ends the writing; what is being stored is not disturbed."""
        if self.cut is not Cut.LOST:
            self.cut = why
        if self.writer is not None:
            self.writer.cancel()


@dataclass(slots=True)
class Draft:
    """What the model wrote so far, and how it ended."""

    channel: str
    began: float = field(default_factory=time.monotonic)
    parts: list[str] = field(default_factory=list)
    usage: Usage | None = None
    error: str | None = None

    def text(self) -> str:
        return "".join(self.parts)


class Answering:
    """Writes, stores and delivers answers. Holds no connection while a model or a platform is awaited."""

    def __init__(self, ports: Ports, options: Options, later: Later) -> None:
        self._ports = ports
        self._later = later
        self._options = options
        self._quarantine = asyncio.Lock()

    async def run(self, running: Running, loaded: Loaded | None, *, recovered: bool = False) -> None:
        """Answers until the conversation is released. `loaded` is what arrived with the claim, if it is known."""
        while running.claim is not None and running.cut is not Cut.LOST:
            running.cut = None
            loaded = loaded or await self._ports.turns.load(running.conversation)
            batch = self._next_batch(running, loaded.waiting)
            running.turns = tuple(waiting.turn for waiting in batch)
            running.covers = batch[-1].seq if batch else loaded.window.version
            _bind(running.turns)
            if recovered:
                await self._recover_next(running, loaded, batch)
            else:
                await self._answer_next(running, loaded, batch)
            loaded = None

    def _next_batch(self, running: Running, waiting: Sequence[Waiting]) -> Sequence[Waiting]:
        one_by_one = self._ports.control.channel(running.key[0]).overlap is Overlap.QUEUE
        return waiting[:1] if one_by_one else waiting

    async def _recover_next(self, running: Running, loaded: Loaded, batch: Sequence[Waiting]) -> None:
        """An instance died over these. Suspects run one at a time, so that the guilty one is found alone."""
        deaths = max((waiting.attempts for waiting in batch), default=0)
        if deaths >= ATTEMPTS:
            await self._set_aside(running, loaded, batch)
            return
        async with self._quarantine if deaths else nullcontext():
            await self._ports.leases.attempt(running.turns)
            await self._answer_next(running, loaded, batch)

    async def _set_aside(self, running: Running, loaded: Loaded, batch: Sequence[Waiting]) -> None:
        sentence = "I could not answer this message: it failed three times. Please put it differently."
        if await self._store(running, loaded, batch, self._answer(running, sentence, {"notice": True})):
            lead = batch[-1]
            reply = self._ports.channels[running.key[0]].reply(lead.address, lead.placed, lead.turn)
            failed = f"set aside after {ATTEMPTS} attempts"
            await deliver(
                self._ports.deliveries,
                reply,
                running.turns,
                Notice(sentence),
                self._later,
                channel=running.key[0],
                failed=failed,
            )

    async def _answer_next(self, running: Running, loaded: Loaded, batch: Sequence[Waiting]) -> None:
        prompt = self._prompt(running, loaded)
        if not batch or not prompt.messages:  # deleted before it was answered
            await self._store(running, loaded, batch, self._answer(running, "", {"notice": True}))
            metrics.turns.add(running.key[0], "done", amount=len(running.turns))
            self._later(self._ports.deliveries.done(running.turns, None))
            return
        lead = batch[-1]
        reply = self._ports.channels[running.key[0]].reply(lead.address, lead.placed, lead.turn)
        display = Display(reply, lambda placed: self._later(self._ports.deliveries.placed(lead.turn, placed)))
        started = time.monotonic()
        try:
            draft = await self._write(running, self._model(running, loaded), prompt, display)
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

    async def _write(self, running: Running, model: str, prompt: Prompt, display: Display) -> Draft:
        """Asks the model. Whatever happens to it, there is a draft to go on with."""
        draft = Draft(running.key[0])
        running.writer = asyncio.create_task(self._stream(model, prompt, draft, display))
        if running.cut is not None:
            running.writer.cancel()
        try:
            await running.writer
        except (ModelError, UnknownModel) as error:
            draft.error = error.sentence
        except asyncio.CancelledError:
            if running.cut is None:
                raise  # it is this instance that ends
        finally:
            running.writer = None
        return draft

    async def _stream(self, model: str, prompt: Prompt, draft: Draft, display: Display) -> None:
        async with aclosing(self._ports.models.stream(model, prompt)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Usage):
                    draft.usage = piece
                else:
                    if not draft.parts:
                        metrics.took(draft.began, draft.channel, "first_text")
                    draft.parts.append(piece)
                    display.grow(draft.text)

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
        return Answer(running.claim, uuid7(), uuid7(), running.covers, content, usage, latency_ms, metadata)

    async def _store(
        self, running: Running, loaded: Loaded, batch: Sequence[Waiting], answer: Answer
    ) -> Stored | None:
        """Answer and intent to deliver, in one statement; then the window grows in Redis."""
        stored = await self._ports.turns.answer(answer)
        if stored is None:
            running.cut_short(Cut.LOST)
            log.warning("claim lost", conversation=str(running.conversation))
            return None
        running.claim, running.cut = stored.next_claim, None
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
            )
            await self._ports.cache.keep(session, Window(stored.version, (*window.messages, said)))
        return stored

    def _model(self, running: Running, loaded: Loaded) -> str:
        channel = self._ports.control.channel(running.key[0])
        return loaded.model or channel.default_model or self._options.default_model

    def _prompt(self, running: Running, loaded: Loaded) -> Prompt:
        system = self._ports.control.channel(running.key[0]).system_prompt or self._options.system_prompt
        budget = self._ports.models.budget(self._model(running, loaded))
        return build_prompt(system, loaded.window, upto=running.covers, budget=budget)


def _bind(turns: Sequence[UUID]) -> None:
    """From now on the log lines of this task carry the turn that leads, and those it answers along."""
    if turns:
        bind_contextvars(turn=str(turns[-1]))
    if len(turns) > 1:
        log.info("answering together", turns=[str(turn) for turn in turns])
