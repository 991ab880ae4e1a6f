"""What operators want for one audience: a flag's rules over the channel's settings over the
environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.control import flags
from agent.control.rules import Audience
from agent.conversation.access import default_model
from agent.core.channel import ChannelSettings
from agent.core.messages import Message, Overlap
from agent.core.options import Options
from agent.core.turns import Waiting
from agent.ports import Control, Flags


def audience(key: tuple[str, str, str], waiting: Sequence[Waiting]) -> Audience:
    """For whom an answer to these is: the chat, and the author of the last one."""
    return Audience(waiting[-1].person if waiting else None, key[0], key[1])


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """What holds for one answer."""

    canned_reply: (
        str | None
    )  # said instead of an answer ("": nothing); None: the model is asked
    model: str
    fallback_model: str  # asked when all others failed before the first word; "": none
    system_prompt: str
    streams: bool  # whether the answer is shown while it is being written
    max_messages: int  # so many of the window's last messages the model may see
    record: Mapping[
        str, Any
    ]  # kept with the answer: `epoch`; who takes part in anything: `variants`, `person`

    def visible(self, messages: Sequence[Message], upto: int) -> tuple[Message, ...]:
        """The messages of a window that the model may see; `upto` is the seq of the last
        one to be answered.
        """
        known = [
            message
            for message in messages
            if message.role != "user" or message.seq <= upto
        ]
        return tuple(known[-self.max_messages :])


class PolicyEvaluator:
    """Asked in the process at each turn, so that a change is obeyed from the next turn on."""

    def __init__(self, flags: Flags, control: Control, options: Options) -> None:
        self._flags = flags
        self._control = control
        self._options = options

    def terms(self, who: Audience, chosen: str | None) -> AnswerPolicy:
        """All that is obeyed in one answer; `chosen` is the model of the conversation or
        the person, if they have one.

        It is read here, without an await between: what operators do comes before all of it
        or after, never amid, so that the record tells of exactly what was obeyed.
        """
        value, settings = self._flags.value, self._channel(who)
        prompt = settings.system_prompt or self._options.system_prompt
        return AnswerPolicy(
            canned_reply=None
            if value(flags.REPLIES, who)
            else value(flags.MAINTENANCE_MESSAGE, who),
            model=chosen or self.model(who),
            fallback_model=value(flags.FALLBACK_MODEL, who),
            system_prompt=value(flags.SYSTEM_PROMPT, who, prompt),
            streams=value(flags.STREAMING, who),
            max_messages=value(flags.MAX_CONVERSATION_LENGTH, who, flags.LARGEST),
            record=self._record(who, (flags.DEFAULT_MODEL.name,) if chosen else ()),
        )

    def overlap(self, who: Audience) -> Overlap:
        """What happens to messages that arrive during an answer."""
        return Overlap(
            self._flags.value(flags.OVERLAP, who, self._channel(who).overlap.value)
        )

    def model(self, who: Audience) -> str:
        """The model where neither conversation nor person chose one; an empty flag leaves
        it to the settings.
        """
        setting = default_model(self._channel(who), self._options.default_model)
        return self._flags.value(flags.DEFAULT_MODEL, who, setting) or setting

    def _record(self, who: Audience, unasked: Sequence[str]) -> dict[str, Any]:
        variants = self._flags.variants(who, unasked)
        record: dict[str, Any] = {"epoch": self._control.epoch}
        return (
            record | {"variants": dict(variants), "person": str(who.person)}
            if variants
            else record
        )

    def _channel(self, who: Audience) -> ChannelSettings:
        return self._control.channel(who.channel or "")
