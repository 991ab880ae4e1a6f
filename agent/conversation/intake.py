"""What becomes of what arrives: a message waits for its answer, a command is obeyed, an
edit or a thumb is kept.

Whatever it is, accepting it returns once it is durable. What is refused is told so, once.
"""

from __future__ import annotations

import time
from dataclasses import replace

import structlog
from structlog.contextvars import bind_contextvars
from uuid_utils.compat import uuid7

from agent import metrics
from agent.control.rules import Audience
from agent.conversation.access import (
    is_blocked,
    is_unlisted,
    model_refusal,
    permits,
    unlisted_rule,
    unlisted_sentence,
)
from agent.conversation.active_answer import CancelReason
from agent.conversation.admission import AdmissionControl
from agent.conversation.background import BackgroundTasks
from agent.conversation.commands import CommandOutcome, command_outcome, say
from agent.conversation.feedback import Votes
from agent.conversation.policy import PolicyEvaluator
from agent.conversation.worker import Worker
from agent.core.commands import Command, parse_command
from agent.core.effects import StopAnswer
from agent.core.errors import AgentError, Ignored
from agent.core.limits import Limited, LocalLimiter
from agent.core.messages import (
    Deleted,
    Edited,
    Inbound,
    Message,
    Notice,
    Overlap,
    Reacted,
    Said,
    Window,
)
from agent.core.options import Options
from agent.core.text import is_unicode
from agent.core.turns import Accepted, Arrival, Loaded, NewTurn, Undelivered, Waiting
from agent.ports import Ports

LONGEST_NAME = 255  # characters of a person's name that are kept

log = structlog.get_logger()


class Intake:
    """Of one instance."""

    def __init__(
        self,
        ports: Ports,
        options: Options,
        steering: PolicyEvaluator,
        worker: Worker,
        rush: AdmissionControl,
        tasks: BackgroundTasks,
    ) -> None:
        self._ports = ports
        self._options = options
        self._steering = steering
        self._worker = worker
        self._rush = rush
        self._tasks = tasks
        self._votes = Votes(ports, tasks.spawn)
        self._strangers = LocalLimiter()  # who was told that they may not talk here

    async def accept(self, inbound: Inbound) -> bool:
        """See `agent.ports.Accept`."""
        inbound = replace(inbound, username=_storable(inbound.username))
        try:
            if isinstance(inbound, Reacted):
                await self._vote(inbound)
            else:
                await self._accept(inbound)
        except Ignored:
            return False
        return True

    async def _vote(self, reaction: Reacted) -> None:
        try:
            await self._votes.take(reaction)
        except AgentError:
            raise
        except (
            Exception
        ) as error:  # delivered again and again it would hold up all behind it
            log.exception("vote refused", error=type(error).__name__)

    async def _accept(self, inbound: Said | Edited | Deleted) -> None:
        bind_contextvars(
            turn=str(inbound.turn_id)
        )  # in this task and all that it begins
        try:
            with self._rush.ingesting():
                await self._take(inbound)
        except AgentError:
            raise
        except Exception as error:
            # A message that no statement takes would be delivered again and again, and hold
            # up all behind it.
            log.exception("message refused", error=type(error).__name__)
            await self._say_once(
                inbound,
                say(
                    Notice("This message can not be stored. Please put it differently.")
                ),
            )

    async def _take(self, inbound: Said | Edited | Deleted) -> None:
        if is_blocked(self._ports.control.channel(inbound.address.channel), inbound):
            await self._bar(inbound)
        elif isinstance(inbound, Said):
            await self._hear(inbound)
        else:
            await self._change(inbound)

    async def _hear(self, inbound: Said) -> None:
        refusal, parsed = self._refusal(inbound.text), parse_command(inbound.text)
        if (refusal or parsed) and (
            limited := await self._ports.limiter.judge(inbound)
        ):
            await self._hold_off(inbound, limited)
        elif refusal:
            await self._say_once(inbound, say(Notice(refusal)))
        elif parsed:
            await self._command(inbound, *parsed)
        else:
            await self._ask(inbound)

    async def _ask(self, inbound: Said, *, retry: bool = False) -> None:
        started, channel = time.monotonic(), inbound.address.channel
        arrival = await self._ports.cache.arrive(inbound)
        await self._ports.control_updates.observe(arrival.epoch)
        if arrival.limited is not None:
            await self._hold_off(inbound, arrival.limited)
            return
        known = arrival.user is not None
        turn = NewTurn(inbound, uuid7(), uuid7(), arrival.user or uuid7(), known, retry)
        accepted = await self._ports.turns.accept(turn)
        if accepted is None:
            self._tasks.request_sweep()  # delivered again, or stored by a statement whose answer got lost
            metrics.duplicates.add(channel)
            log.info("duplicate")
            return
        metrics.turns.add(channel, "open")
        metrics.took(started, channel, "accept")
        log.info("accepted", seq=accepted.seq)
        if accepted.claim is not None:
            self._worker.begin(accepted.claim, _arrived(inbound, arrival, accepted))
        elif (
            self._steering.overlap(
                Audience(accepted.person, channel, inbound.address.chat)
            )
            is Overlap.INTERRUPT
        ):
            self._worker.cut(accepted.conversation, CancelReason.INTERRUPTED)

    async def _bar(self, inbound: Inbound) -> None:
        """Somebody who may not talk here. Their message is not stored. Raises PassedOver
        when they hear nothing.
        """
        log.info("barred", channel=inbound.address.channel)
        settings = self._ports.control.channel(inbound.address.channel)
        if (
            not is_unlisted(settings, inbound)
            or self._strangers.judge([unlisted_rule(inbound)]) is not None
        ):
            raise Ignored
        await self._say_once(inbound, say(Notice(unlisted_sentence(inbound))))

    async def _hold_off(self, inbound: Inbound, limited: Limited) -> None:
        """A message that came too early is not stored; its author hears so once in the
        limit's window.

        Raises PassedOver when they did before.
        """
        log.info("limited", scope=limited.scope)
        metrics.limited.add(inbound.address.channel, limited.scope)
        if not limited.tell:
            raise Ignored
        await self._say_once(inbound, say(Notice(limited.sentence)))

    def _refusal(self, text: str) -> str | None:
        """Why a text can not be stored exactly as it was written."""
        if len(text) > self._options.max_message_chars:
            return (
                f"This message has {len(text)} characters; at most "
                f"{self._options.max_message_chars} are possible. "
                "Please send it in parts."
            )
        if not text.strip():
            return "This message has no text."
        if "\0" in text:
            return "This message has a NUL character in it and can not be stored. Please remove it."
        if not is_unicode(text):
            return (
                "This message is not valid Unicode (half a surrogate pair) "
                "and can not be stored."
            )
        return None

    async def _change(self, change: Edited | Deleted) -> None:
        if isinstance(change, Edited) and self._refusal(change.text):
            return

        conversation = await self._ports.edits.edit(change)
        if conversation is not None:
            self._worker.cut(conversation, CancelReason.EDITED, covering=change.turn_id)

    async def _command(self, inbound: Said, command: Command, argument: str) -> None:
        if command.name == "retry":
            last = (await self._ports.commands.chat_context(inbound)).last_text
            if last:
                await self._ask(replace(inbound, text=last), retry=True)
            else:
                await self._say_once(
                    inbound, say("There is nothing to answer again yet.")
                )
            return
        where = inbound.address.channel, inbound.address.chat
        channel = self._ports.control.channel(where[0])
        if (
            command.name == "model"
            and argument not in ("", "default")
            and not permits(channel, argument)
        ):
            await self._say_once(inbound, say(model_refusal(channel, argument)))
            return
        made = await command_outcome(
            command,
            argument,
            inbound,
            commands=self._ports.commands,
            records=self._ports.records,
            models=self._ports.models,
            default_model=lambda person: self._steering.model(Audience(person, *where)),
        )
        await self._say_once(inbound, made)
        if isinstance(made.effect, StopAnswer):
            self._worker.stop_writing(inbound.address.key)

    async def _say_once(self, inbound: Inbound, made: CommandOutcome) -> None:
        """Does and answers something that is no message. Once: a repeated delivery finds
        its turn there.
        """
        text = await self._ports.commands.once(inbound, made.effect, made.reply)
        if text is not None:
            metrics.turns.add(inbound.address.channel, "open")
            said = Undelivered((inbound.turn_id,), inbound.address, None, text)
            self._tasks.spawn(self._worker.deliver(said, repeat=False))


def _storable(name: str | None) -> str | None:
    """A name as Postgres can keep it, whole or not; people choose strange ones."""
    return (name or "").replace("\0", "").encode("utf-8", "replace").decode()[
        :LONGEST_NAME
    ] or None


def _arrived(inbound: Said, arrival: Arrival, accepted: Accepted) -> Loaded | None:
    """What the claim needs to know, when the cached window is exactly one version behind;
    else None: read it.
    """
    window = Window(0, ()) if accepted.seq == 1 else arrival.window
    ours = accepted.seq == 1 or arrival.conversation == accepted.conversation
    if window is None or not ours or window.version != accepted.seq - 1:
        return None
    author = None if inbound.direct else inbound.username
    asked = Message(accepted.seq, "user", inbound.text, author=author)
    waiting = Waiting(
        accepted.seq,
        accepted.turn,
        inbound.address,
        accepted.user,
        inbound.user_id,
        direct=inbound.direct,
        person=accepted.person,
        model=accepted.model,
    )
    return Loaded(Window(accepted.seq, (*window.messages, asked)), (waiting,))
