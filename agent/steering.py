"""What operators want for one audience: a flag's rules over the channel's settings over the environment."""

from __future__ import annotations

from collections.abc import Sequence

from agent import flags
from agent.access import default_model
from agent.models import ChannelSettings, Message, Overlap, Waiting
from agent.ports import Control, Flags, Options
from agent.resolution import Audience


def audience(key: tuple[str, str, str], waiting: Sequence[Waiting]) -> Audience:
    """For whom an answer is: the chat, and the author of the last message that waits in it."""
    return Audience(waiting[-1].person if waiting else None, key[0], key[1])


class Steering:
    """Asked in the process at each turn, so that a change is obeyed from the next turn on."""

    def __init__(self, flags: Flags, control: Control, options: Options) -> None:
        self._flags = flags
        self._control = control
        self._options = options

    def overlap(self, who: Audience) -> Overlap:
        """What happens to messages that arrive during an answer."""
        return Overlap(self._flags.value(flags.OVERLAP, who, self._channel(who).overlap.value))

    def silence(self, who: Audience) -> str | None:
        """What is said instead of an answer ("": nothing); None: the model is asked."""
        if self._flags.value(flags.REPLIES, who):
            return None
        return self._flags.value(flags.MAINTENANCE_MESSAGE, who)

    def streams(self, who: Audience) -> bool:
        """Whether an answer is shown while it is being written."""
        return self._flags.value(flags.STREAMING, who)

    def model(self, who: Audience) -> str:
        """The model where neither conversation nor person chose one."""
        return self._flags.value(
            flags.DEFAULT_MODEL, who, default_model(self._channel(who), self._options.default_model)
        )

    def fallback_model(self, who: Audience) -> str:
        """Asked when all others failed before the first word; "": none."""
        return self._flags.value(flags.FALLBACK_MODEL, who)

    def system_prompt(self, who: Audience) -> str:
        return self._flags.value(
            flags.SYSTEM_PROMPT, who, self._channel(who).system_prompt or self._options.system_prompt
        )

    def shown(self, who: Audience, messages: Sequence[Message], upto: int) -> tuple[Message, ...]:
        """The messages of a window that the model may see; `upto` is the seq of the last one to be answered."""
        known = [message for message in messages if message.role != "user" or message.seq <= upto]
        return tuple(known[-self._flags.value(flags.MAX_CONVERSATION_LENGTH, who, len(known) or 1) :])

    def _channel(self, who: Audience) -> ChannelSettings:
        return self._control.channel(who.channel or "")
