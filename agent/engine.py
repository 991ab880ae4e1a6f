"""accept → answer → deliver: the one use case, and what one instance does to keep its promise.

What can fail between any two awaits is answered by Postgres alone: a message is stored or not, a claim is held or
not, a turn is open or closed. An instance may end anywhere; another finds its claims expired and its turns open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import structlog
from structlog.contextvars import bind_contextvars
from uuid_utils.compat import uuid7

from agent import metrics
from agent.access import (
    is_barred,
    is_stranger,
    model_refusal,
    permits,
    stranger_rule,
    stranger_sentence,
)
from agent.answering import Answering
from agent.commands import Command, parse_command
from agent.delivery import deliver
from agent.errors import AgentError, StoreUnavailable
from agent.limits import Limited, LocalLimiter
from agent.models import (
    Accepted,
    Arrival,
    Beat,
    Claim,
    Inbound,
    Loaded,
    Message,
    NewTurn,
    Notice,
    Overlap,
    StopAnswer,
    Undelivered,
    Waiting,
    Window,
)
from agent.ports import Options, Ports
from agent.replies import Plan, plan, say
from agent.resolution import Audience
from agent.running import Cut, Running
from agent.rush import Rush
from agent.steering import Steering
from agent.votes import Votes

ROUTINE_BEATS = 30  # every so many heartbeats, look for anything left over
IN_DOUBT_BEATS = 10  # … and so many after work ended early: what it left is found once its lease is over
NEAR = 900.0  # seconds to look back when an instance has just died
FAR = 30 * 86_400.0  # … and as a routine: as long as turns are kept
LONGEST_NAME = 255  # characters of a person's name that are kept

log = structlog.get_logger()


class Engine:
    """One instance. Use as a context: it beats inside, drains at the end."""

    def __init__(self, ports: Ports, options: Options) -> None:
        self._ports = ports
        self._options = options
        self._steering = Steering(ports.flags, ports.control, options)
        self._answering = Answering(ports, self._steering, self._spawn, lease_seconds=options.lease_seconds)
        self._votes = Votes(ports, self._spawn)
        self._running: set[Running] = set()
        self._latest: dict[UUID, asyncio.Task[None]] = {}  # the last work begun for a conversation
        self._delivering: set[UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._beats: asyncio.Task[None] | None = None
        self._in_doubt = 0  # beats for which to look for what may have been stored or left without our knowing
        self._stopping = False
        self._rush = Rush()
        self._strangers = LocalLimiter()  # who was told that they may not talk here

    async def __aenter__(self) -> Self:
        self._beats = asyncio.create_task(self._beat_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- accept -------------------------------------------------------------------------------------------

    async def accept(self, inbound: Inbound) -> None:
        """Returns once the message is durable. Raises StoreUnavailable when it is not."""
        if self._stopping:
            raise StoreUnavailable("The agent is stopping. Please send that again in a moment.")
        inbound = replace(inbound, username=_storable(inbound.username))
        # Whoever delivers may be cancelled; what has begun to be stored is still followed to its end.
        take = self._vote if inbound.change in ("vote", "unvote") else self._accept
        await asyncio.shield(self._spawn(take(inbound)))

    async def _vote(self, inbound: Inbound) -> None:
        try:
            await self._votes.take(inbound)
        except AgentError:
            raise
        except Exception as error:  # delivered again and again it would hold up all behind it
            log.exception("vote refused", error=type(error).__name__)

    async def _accept(self, inbound: Inbound) -> None:
        bind_contextvars(turn=str(inbound.turn_id))  # in this task and all that it begins
        try:
            with self._rush.arriving():
                await self._take(inbound)
        except AgentError:
            raise
        except Exception as error:
            # A message that no statement takes would be delivered again and again, and hold up all behind it.
            log.exception("message refused", error=type(error).__name__)
            await self._say_once(inbound, say(Notice("This message can not be stored. Please put it differently.")))

    async def _take(self, inbound: Inbound) -> None:
        refusal, parsed = self._refusal(inbound), parse_command(inbound.text)
        if is_barred(self._ports.control.channel(inbound.address.channel), inbound):
            await self._bar(inbound)
        elif inbound.change != "new":
            await self._edit(inbound)
        elif (refusal or parsed) and (limited := await self._ports.limiter.judge(inbound)):
            await self._hold_off(inbound, limited)
        elif refusal:
            await self._say_once(inbound, say(Notice(refusal)))
        elif parsed:
            await self._command(inbound, *parsed)
        else:
            await self._ask(inbound)

    async def _ask(self, inbound: Inbound, *, retry: bool = False) -> None:
        started, channel = time.monotonic(), inbound.address.channel
        arrival = await self._ports.cache.arrive(inbound)
        await self._ports.control.observe(arrival.epoch)
        if arrival.limited is not None:
            await self._hold_off(inbound, arrival.limited)
            return
        known = arrival.user is not None
        turn = NewTurn(inbound, uuid7(), uuid7(), arrival.user or uuid7(), known, retry)
        accepted = await self._ports.turns.accept(turn)
        if accepted is None:
            self._in_doubt = IN_DOUBT_BEATS  # delivered again, or stored by a statement whose answer got lost
            metrics.duplicates.add(channel)
            log.info("duplicate")
            return
        metrics.turns.add(channel, "open")
        metrics.took(started, channel, "accept")
        log.info("accepted", seq=accepted.seq)
        if accepted.claim is not None:
            self._work(accepted.claim, _arrived(inbound, arrival, accepted))
        elif self._steering.overlap(Audience(accepted.person, channel, inbound.address.chat)) is Overlap.INTERRUPT:
            self._cut(accepted.conversation, Cut.INTERRUPTED)

    async def _bar(self, inbound: Inbound) -> None:
        """Somebody who may not talk here. Their message is not stored."""
        log.info("barred", channel=inbound.address.channel)
        settings = self._ports.control.channel(inbound.address.channel)
        if is_stranger(settings, inbound) and self._strangers.judge([stranger_rule(inbound)]) is None:
            await self._say_once(inbound, say(Notice(stranger_sentence(inbound))))

    async def _hold_off(self, inbound: Inbound, limited: Limited) -> None:
        """A message that came too early is not stored; its author hears so once in the limit's window."""
        log.info("limited", scope=limited.scope)
        metrics.limited.add(inbound.address.channel, limited.scope)
        if limited.tell:
            await self._say_once(inbound, say(Notice(limited.sentence)))

    def _refusal(self, inbound: Inbound) -> str | None:
        """Why a text can not be stored exactly as it was written."""
        text = inbound.text
        if len(text) > self._options.max_message_chars:
            return (
                f"This message has {len(text)} characters; at most {self._options.max_message_chars} are possible. "
                "Please send it in parts."
            )
        if not text.strip():
            return "This message has no text."
        if "\0" in text:
            return "This message has a NUL character in it and can not be stored. Please remove it."
        if any("\ud800" <= character <= "\udfff" for character in text):
            return "This message is not valid Unicode (half a surrogate pair) and can not be stored."
        return None

    async def _edit(self, inbound: Inbound) -> None:
        if inbound.change == "edit" and self._refusal(inbound):
            return
        conversation = await self._ports.desk.edit(inbound)
        if conversation is not None:
            self._cut(conversation, Cut.EDITED, covering=inbound.turn_id)

    async def _command(self, inbound: Inbound, command: Command, argument: str) -> None:
        if command.name == "retry":
            last = (await self._ports.desk.standing(inbound)).last_text
            if last:
                await self._ask(replace(inbound, text=last), retry=True)
            else:
                await self._say_once(inbound, say("There is nothing to answer again yet."))
            return
        where = inbound.address.channel, inbound.address.chat
        channel = self._ports.control.channel(where[0])
        if command.name == "model" and argument not in ("", "default") and not permits(channel, argument):
            await self._say_once(inbound, say(model_refusal(channel, argument)))
            return
        made = await plan(
            command, argument, inbound,
            desk=self._ports.desk, models=self._ports.models,
            default_model=lambda person: self._steering.model(Audience(person, *where)),
        )  # fmt: skip
        await self._say_once(inbound, made)
        if isinstance(made.effect, StopAnswer):
            for running in self._running:
                if running.key == inbound.address.key and running.writer is not None:
                    running.cut_short(Cut.STOPPED)

    async def _say_once(self, inbound: Inbound, made: Plan) -> None:
        """Does and answers something that is no message. Once: a repeated delivery finds its turn there."""
        text = await self._ports.desk.once(inbound, made.effect, made.reply)
        if text is not None:
            metrics.turns.add(inbound.address.channel, "open")
            self._spawn(self._deliver(Undelivered((inbound.turn_id,), inbound.address, None, text), repeat=False))

    # --- answer -------------------------------------------------------------------------------------------

    def _work(self, claim: Claim, loaded: Loaded | None, *, recovered: bool = False) -> None:
        running = Running(claim, claim.conversation, claim.key)
        before = self._latest.get(claim.conversation)
        self._running.add(running)
        task = self._spawn(self._answer(running, loaded, before, recovered=recovered))
        self._latest[claim.conversation] = task

    async def _answer(
        self, running: Running, loaded: Loaded | None, before: asyncio.Task[None] | None, *, recovered: bool
    ) -> None:
        try:
            await self._rush.admit()
            if before is not None:  # its answer is stored but still on its way: answers arrive in order
                await asyncio.wait({before})
            if running.cut is not None:  # edited meanwhile, or to be answered with a newer message
                loaded = None
            await self._answering.run(running, loaded, recovered=recovered)
        finally:
            self._running.discard(running)
            if self._latest.get(running.conversation) is asyncio.current_task():
                del self._latest[running.conversation]

    def _cut(self, conversation: UUID, why: Cut, *, covering: UUID | None = None) -> None:
        for running in self._running:
            covers = covering is None or covering in running.turns or not running.turns
            if running.conversation == conversation and covers:
                running.cut_short(why)

    # --- deliver what others left ---------------------------------------------------------------------------

    async def _deliver(self, answer: Undelivered, *, repeat: bool = True) -> None:
        lead = answer.turns[-1]
        bind_contextvars(turn=str(lead))
        if not answer.text:  # deleted before it was answered
            await self._ports.deliveries.done(answer.turns, None)
            return
        channel = self._ports.channels[answer.address.channel]
        reply = channel.reply(answer.address, answer.placed, lead, repeat=repeat)
        self._delivering.add(lead)
        try:
            await deliver(
                self._ports.deliveries,
                reply,
                answer.turns,
                answer.text,
                self._spawn,
                channel=channel.name,
                attempts=answer.attempts,
            )
        finally:
            self._delivering.discard(lead)

    # --- the instance ---------------------------------------------------------------------------------------

    async def _beat_for_ever(self) -> None:
        beats = 0
        while True:
            try:
                beat = await self._beat()
                routine = beats % ROUTINE_BEATS == 0
                if routine or beat.bereaved or self._in_doubt:
                    self._in_doubt = max(0, self._in_doubt - 1)
                    await self._sweep(FAR if routine else NEAR)
                await self._ports.control.observe(beat.epoch)
                beats += 1
            except StoreUnavailable as error:
                log.warning("no heartbeat", reason=error.sentence)
            except Exception as error:  # whatever it is: an instance that stops beating loses all its work
                log.exception("heartbeat failed", error=type(error).__name__)
            await asyncio.sleep(self._options.beat_seconds)

    async def _beat(self) -> Beat:
        claims = {running.claim.fence: running for running in self._running if running.claim is not None}
        began = time.monotonic()
        leads = [running.turns[-1] for running in self._running if running.turns]
        beat = await self._ports.leases.beat(
            [running.claim for running in claims.values() if running.claim],
            [*leads, *self._delivering],
            self._ports.control.epoch,
        )
        for fence, running in claims.items():
            if running.claim is None or running.claim.fence != fence:
                continue  # it went on while the heartbeat was under way
            running.held_at = began if fence in beat.held else running.held_at
            if fence not in beat.held:
                running.cut_short(Cut.LOST)
            elif running.writer is not None:
                self._heed(running, fence, beat)
        return beat

    def _heed(self, running: Running, fence: UUID, beat: Beat) -> None:
        """What another instance accepted while this answer is written: a `/stop`, a message, an edit."""
        if fence in beat.stopped:
            running.cut_short(Cut.STOPPED)
        elif beat.held[fence] > running.covers and self._steering.overlap(running.audience) is Overlap.INTERRUPT:
            running.cut_short(Cut.INTERRUPTED)
        elif beat.edited[fence] > running.seen and running.heeds_edits:
            self._spawn(self._answering.look_again(running))

    async def _sweep(self, look_back: float) -> None:
        for claim in await self._ports.leases.take_over(look_back=look_back):
            self._work(claim, None, recovered=True)
        for answer in await self._ports.leases.take_deliveries(look_back=look_back):
            self._spawn(self._deliver(answer))

    async def stop(self) -> None:
        """Takes nothing more in, lets answers finish for a while, then hands the rest to other instances."""
        self._stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.drain_seconds):
                while self._tasks:  # each may begin another: what is delivered is then recorded
                    await asyncio.wait(self._tasks)
        if self._beats is not None:
            self._beats.cancel()
            await asyncio.wait({self._beats})
        left = [running.claim for running in self._running if running.claim is not None]
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        try:
            await self._ports.leases.hand_back(left)
        except StoreUnavailable:
            log.warning("leases not handed back", count=len(left))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        context = copy_context()  # what the work binds to its log lines is true at its end, too
        task = asyncio.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended, context=context)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._in_doubt = IN_DOUBT_BEATS  # what it left is found by its expired lease or its open turn
        if isinstance(error, AgentError):
            log.warning("work ended early", reason=error.sentence)
        else:
            log.error("work ended early", error=type(error).__name__, exc_info=error)


def _storable(name: str | None) -> str | None:
    """A name as Postgres can keep it, whole or not; people choose strange ones."""
    return (name or "").replace("\0", "").encode("utf-8", "replace").decode()[:LONGEST_NAME] or None


def _arrived(inbound: Inbound, arrival: Arrival, accepted: Accepted) -> Loaded | None:
    """What the claim needs to know, when the cached window is exactly one version behind; else None: read it."""
    window = Window(0, ()) if accepted.seq == 1 else arrival.window
    ours = accepted.seq == 1 or arrival.conversation == accepted.conversation
    if window is None or not ours or window.version != accepted.seq - 1:
        return None
    author = None if inbound.direct else inbound.username
    asked = Message(accepted.seq, "user", inbound.text, author=author)
    waiting = Waiting(
        accepted.seq, accepted.turn, inbound.address, accepted.user, inbound.user_id,
        direct=inbound.direct, person=accepted.person,
    )  # fmt: skip
    return Loaded(Window(accepted.seq, (*window.messages, asked)), (waiting,), accepted.model)
