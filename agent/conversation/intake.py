"""What happens to what arrives: messages wait for an answer, commands run, edits are kept.

Whatever it is, accepting it returns once it is durable. People are told once what is refused.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import structlog
from msgspec.structs import replace
from structlog.contextvars import bind_contextvars
from uuid_utils.compat import uuid7

from agent import metrics
from agent.control.rules import Audience
from agent.conversation.active_answer import CancelReason
from agent.conversation.admission import AdmissionControl
from agent.conversation.background import BackgroundTasks
from agent.conversation.commands import command_outcome
from agent.conversation.commands.pressing import NOTED, objection, wording
from agent.conversation.commands.rules import ChatRules
from agent.conversation.feedback import VoteIntake
from agent.conversation.policy import (
    PolicyEvaluator,
    is_blocked,
    is_unlisted,
    model_refusal,
    permits,
    unlisted_rule,
    unlisted_sentence,
)
from agent.conversation.worker import Worker
from agent.core.channel import SendsFiles
from agent.core.commands import (
    Command,
    bare_command,
    mistyped_command,
    parse_command,
)
from agent.core.effects import CommandOutcome, StopAnswer, say
from agent.core.errors import AgentError, Ignored
from agent.core.limits import Limited, LocalLimiter
from agent.core.messages import (
    Edited,
    Inbound,
    Notice,
    Overlap,
    Pressed,
    Reacted,
    Revision,
    Said,
)
from agent.core.options import Options
from agent.core.text import storable_name, unstorable
from agent.core.turns import Accepted, Arrival, NewTurn, Undelivered, loaded_with
from agent.core.words.buttons import THUMBS, read_press
from agent.ports import Ports

Answering = Coroutine[Any, Any, None]
"""What answers a message that is stored, and delivers the answer."""

log = structlog.get_logger()


class Intake:
    """Accepts what people do, and says what follows from it."""

    def __init__(
        self,
        ports: Ports,
        options: Options,
        policy: PolicyEvaluator,
        worker: Worker,
        admission: AdmissionControl,
        background: BackgroundTasks,
    ) -> None:
        self._ports = ports
        self._options = options
        self._policy = policy
        self._worker = worker
        self._admission = admission
        self._background = background
        self._votes = VoteIntake(ports, background.spawn)
        # Limits how often unlisted people are told so.
        self._unlisted = LocalLimiter()

    async def accept(self, inbound: Inbound) -> Answering | None:
        """Returns once it is durable, with what is to be awaited next, if anything follows.

        Raises Ignored, StoreUnavailable; see `agent.ports.Accept`.
        """
        name = storable_name(inbound.username)
        if name != inbound.username:
            inbound = replace(inbound, username=name)
        if isinstance(inbound, Reacted):
            await self._vote(inbound)
            return None

        return await self._accept(inbound)

    async def _vote(self, reaction: Reacted) -> None:
        try:
            await self._votes.take(reaction)
        except AgentError:
            raise
        except Exception as error:
            # Delivered again and again, it would hold up everything behind it.
            log.exception("vote refused", error=type(error).__name__)

    async def _accept(self, inbound: Said | Revision | Pressed) -> Answering | None:
        # Bound in this task and all that it starts.
        bind_contextvars(turn=str(inbound.turn_id))
        try:
            with self._admission:
                return await self._take(inbound)
        except AgentError:
            raise
        except Exception as error:
            # A message that no statement takes would be delivered again and again, and hold
            # up everything behind it.
            log.exception("message refused", error=type(error).__name__)
            sentence = "This message cannot be stored. Please rephrase it."
            await self._say_once(inbound, say(Notice(sentence)))
            return None

    async def _take(self, inbound: Said | Revision | Pressed) -> Answering | None:
        if is_blocked(self._ports.control.channel(inbound.address.channel), inbound):
            await self._block(inbound)
            return None
        if isinstance(inbound, Said):
            return await self._hear(inbound)
        if isinstance(inbound, Pressed):
            return await self._press(inbound)

        return await self._revise(inbound)

    async def _hear(self, inbound: Said) -> Answering | None:
        text = inbound.text
        refusal = unstorable(text, self._options.max_message_chars)
        parsed = parse_command(text) or bare_command(text, direct=inbound.direct)
        if not refusal and not parsed:
            refusal = mistyped_command(text, direct=inbound.direct)
        if not refusal and not parsed:
            return await self._ask(inbound)

        if limited := await self._ports.limiter.judge(inbound):
            await self._limit(inbound, limited)
        elif refusal:
            await self._say_once(inbound, say(Notice(refusal)))
        elif parsed:
            return await self._command(inbound, *parsed)

        return None

    async def _ask(self, inbound: Said, *, retry: bool = False) -> Answering | None:
        started, channel = time.monotonic(), inbound.address.channel
        arrival = await self._ports.cache.arrive(inbound)
        await self._ports.control_updates.observe(arrival.epoch)
        if arrival.limited is not None:
            await self._limit(inbound, arrival.limited)
            return None

        user, is_known = arrival.user or uuid7(), arrival.user is not None
        message = uuid7()  # a new conversation has the id of its first message
        turn = NewTurn(inbound, message, message, user, is_known, retry)
        accepted = await self._ports.turns.accept(turn)
        if accepted is None:
            # Delivered again, or stored by a statement whose answer was lost.
            self._background.request_sweep()
            metrics.duplicates.add(channel)
            log.info("duplicate")
            return None

        metrics.turns.add(channel, "open")
        metrics.took(started, channel, "accept")
        log.debug("accepted", seq=accepted.seq)
        return self._start(inbound, arrival, accepted)

    def _start(
        self, inbound: Said, arrival: Arrival, accepted: Accepted
    ) -> Answering | None:
        if accepted.claim is not None:
            return self._worker.begin(
                accepted.claim,
                loaded_with(inbound, arrival, accepted),
                more_follows=inbound.more_follows,
            )

        address = inbound.address
        audience = Audience(accepted.person, address.channel, address.chat)
        if self._policy.overlap(audience) is Overlap.INTERRUPT:
            self._worker.cancel(accepted.conversation, CancelReason.INTERRUPTED)

        return None

    async def _block(self, inbound: Said | Revision | Pressed) -> None:
        """Someone who may not talk here. Their message is not stored.

        Raises Ignored when they are told nothing.
        """
        log.info("barred", channel=inbound.address.channel)
        settings = self._ports.control.channel(inbound.address.channel)
        if not is_unlisted(settings, inbound):
            raise Ignored
        if self._unlisted.judge([unlisted_rule(inbound)]) is not None:
            raise Ignored

        await self._say_once(inbound, say(Notice(unlisted_sentence(inbound))))

    async def _limit(self, inbound: Said, limited: Limited) -> None:
        """A message over a limit is not stored; its author is told once in the limit's window.

        Raises Ignored if they were told before.
        """
        log.info("limited", scope=limited.scope)
        metrics.limited.add(inbound.address.channel, limited.scope)
        if not limited.tell:
            raise Ignored

        await self._say_once(inbound, say(Notice(limited.sentence)))

    async def _revise(self, revision: Revision) -> Answering | None:
        maximum = self._options.max_message_chars
        if isinstance(revision, Edited) and unstorable(revision.text, maximum):
            return None

        conversation = await self._ports.edits.edit(revision)
        if conversation is not None:
            turn = revision.turn_id
            self._worker.cancel(conversation, CancelReason.EDITED, covering=turn)
        elif isinstance(revision, Edited) and revision.may_be_new:
            # The edit may have added the mention. What has a turn already is known by it.
            return await self._hear(revision.said())

        return None

    async def _command(
        self, inbound: Said, command: Command, argument: str
    ) -> Answering | None:
        if command.name == "retry":
            return await self._retry(inbound)

        settings = self._ports.control.channel(inbound.address.channel)
        chooses_model = command.name == "model" and argument not in ("", "default")
        if chooses_model and not permits(settings, argument):
            await self._say_once(inbound, say(model_refusal(settings, argument)))
            return None

        outcome = await command_outcome(
            command,
            argument,
            inbound,
            commands=self._ports.commands,
            records=self._ports.records,
            models=self._ports.models,
            rules=self._rules(inbound, settings.allowed_models),
        )
        await self._say_once(inbound, outcome)
        if isinstance(outcome.effect, StopAnswer):
            self._worker.stop_writing(inbound.address.key)

        return None

    def _rules(self, inbound: Said, allowed: Sequence[str]) -> ChatRules:
        address, policy = inbound.address, self._policy
        audience = partial(Audience, channel=address.channel, chat=address.chat)

        return ChatRules(
            default_model=lambda person: policy.model(audience(person)),
            buttons=lambda person: policy.buttons(audience(person)),
            instructions=lambda person: policy.own_instructions(audience(person)),
            menu=policy.has_menu(address.channel),
            files=isinstance(self._ports.channels[address.channel], SendsFiles),
            allowed_models=allowed,
        )

    async def _press(self, pressed: Pressed) -> Answering | None:
        """A button does what its command or its reaction does, while its answer is kept.

        Raises Ignored when it is none of ours.
        """
        press = read_press(pressed.data)
        if press is None:
            raise Ignored

        said = pressed.said(wording(press))
        if limited := await self._ports.limiter.judge(said):
            await self._limit(said, limited)
        elif why := await objection(press, pressed, self._ports.commands):
            await self._say_once(said, say(Notice(why)))
        elif why is None:
            log.info("duplicate")
        elif press.act in THUMBS:
            await self._vote(pressed.reacted(THUMBS[press.act]))
            await self._say_once(said, say(NOTED))
        elif parsed := parse_command(said.text):
            return await self._command(said, *parsed)

        return None

    async def _retry(self, inbound: Said) -> Answering | None:
        context = await self._ports.commands.chat_context(inbound)
        if context.last_text:
            again = replace(inbound, text=context.last_text)
            return await self._ask(again, retry=True)

        nothing = say("There is nothing to answer again yet.")
        await self._say_once(inbound, nothing)

        return None

    async def _say_once(
        self, inbound: Said | Revision | Pressed, outcome: CommandOutcome
    ) -> None:
        """Does and answers something that is no message, once: a repeat finds its turn there."""
        commands = self._ports.commands
        text = await commands.once(inbound, outcome.effect, outcome.reply)
        if text is None:
            return

        metrics.turns.add(inbound.address.channel, "open")
        answer = Undelivered((inbound.turn_id,), inbound.address, None, text)
        work = self._worker.deliver(answer, repeat=False, file=outcome.file)
        self._background.spawn(work)
