"""What operators set for one answer: who may talk, which models answer, what is obeyed.

A flag's rules win over the channel's settings, and those over the environment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from agent.control import flags
from agent.control.rules import Audience
from agent.core.channel import ChannelSettings
from agent.core.commands import plain_list
from agent.core.completion import Tuning
from agent.core.limits import Limit, Rule
from agent.core.messages import Inbound, Overlap, Window
from agent.core.options import Options
from agent.core.turns import Waiting
from agent.ports import Control, Flags

COMMANDS_HERE = "{commands}"
"""In a channel's greeting: the commands that flags allow, in plain words."""

ASKED_FOR = "The person asks for this in all your answers:"

LOST = "*(My answer before this one may not have reached you. Ask again if you need it.)*"

UNLISTED_NOTICES = Limit(1, 3600)
"""How often a person who is not on the allow list is told so."""

REMEMBERED = 10_000
"""Evaluations that are kept at hand."""

VOTES = Limit(60, 60)
"""How many reactions of one person are looked up. Each is a search, so votes have a limit of
their own: they use up no messages, and messages use up none of them."""

_UNSET = -1.0  # no temperature


def is_blocked(settings: ChannelSettings, inbound: Inbound) -> bool:
    """Whether this person may not talk here. The deny list wins over the allow list."""
    account = inbound.user_id
    is_missing = bool(settings.allow) and account not in settings.allow

    return account in settings.deny or is_missing


def is_unlisted(settings: ChannelSettings, inbound: Inbound) -> bool:
    """Whether a blocked person gets a sentence: not on a list yet, in a direct chat.

    People on the deny list get nothing: an answer would tell them that they are heard. In a
    group nobody is told, so that a list does not become noise for everyone else.
    """
    return inbound.direct and inbound.user_id not in settings.deny


def unlisted_rule(inbound: Inbound) -> Rule:
    """Limits how often an unlisted person is told."""
    account = _account(inbound)
    return Rule("stranger", account, UNLISTED_NOTICES, account)


def unlisted_sentence(inbound: Inbound) -> str:
    """What an unlisted person is told."""
    return (
        "I may only talk to people on a list here, and you are not on it yet. "
        f"Please ask whoever runs me to add your id, {inbound.user_id}."
    )


def vote_rule(inbound: Inbound) -> Rule:
    """Keeps somebody who taps a thumb on and off from keeping the database busy."""
    account = _account(inbound)
    return Rule("vote", account, VOTES, account)


def default_model(settings: ChannelSettings, fallback: str) -> str:
    """What answers where nobody chose; `fallback` is DEFAULT_MODEL."""
    if settings.default_model:
        return settings.default_model

    return fallback if permits(settings, fallback) else settings.allowed_models[0]


def permits(settings: ChannelSettings, model: str) -> bool:
    """Whether this model may answer here."""
    return not settings.allowed_models or model in settings.allowed_models


def model_refusal(settings: ChannelSettings, model: str) -> str:
    """What people hear if their model may not answer here."""
    return (
        f"{model} may not be used here; allowed: {', '.join(settings.allowed_models)}. "
        "Choose one with /model, or /model default."
    )


def audience(key: tuple[str, str, str], waiting: Sequence[Waiting]) -> Audience:
    """For whom an answer to these messages is: the chat, and the author of the last one."""
    person = waiting[-1].person if waiting else None
    return Audience(person, key[0], key[1])


def opening_of(
    settings: ChannelSettings, window: Window, off: Collection[str] = ()
) -> str:
    """What stands before the answer: the channel's greeting before the first one of a
    conversation, or that the answer before this one may be lost. `off`: commands that flags
    do not allow.
    """
    messages = window.messages
    for message in reversed(messages):
        if message.role == "assistant":
            return f"{LOST}\n\n" if message.undelivered else ""

    is_first = bool(messages) and messages[0].seq == 1

    if not settings.greeting or not is_first:
        return ""

    # an operator's text may have other braces
    return f"{settings.greeting.replace(COMMANDS_HERE, plain_list(off))}\n\n"


class AnswerPolicy(Struct, frozen=True):
    """What holds for one answer."""

    canned_reply: str | None
    """Sent instead of an answer ("": nothing). None: the model is asked."""
    model: str
    fallback_model: str
    """Asked when all others failed before the first word. "": none."""
    system_prompt: str
    own_instructions: bool
    """Whether the person's own instruction is added to it."""
    streams: bool
    """Whether the answer is shown while it is being written."""
    titles: bool
    """Whether the model titles a new conversation."""
    buttons: bool
    """Whether buttons stand under it."""
    max_messages: int
    """How many of the window's last messages the model may see."""
    tuning: Tuning
    """How the model is asked, where flags say so."""
    record: Mapping[str, Any]
    """Kept with the answer: `epoch`; for people in experiments also `variants` and `person`;
    where earlier texts are kept, the `system_prompt`."""

    def system(self, instruction: str) -> str:
        """The system prompt, with what the person asks for in this conversation."""
        if not instruction or not self.own_instructions:
            return self.system_prompt

        return f"{self.system_prompt}\n\n{ASKED_FOR}\n{instruction}".strip()

    @property
    def switched_off(self) -> frozenset[str]:
        """Commands that flags do not allow."""
        return frozenset() if self.own_instructions else frozenset({"system"})

    def visible(self, window: Window, up_to_seq: int) -> Window:
        """What the model may see, besides messages that still wait: a prompt has none.

        `up_to_seq` is the seq of the last message to be answered.
        """
        if len(window.messages) <= self.max_messages:
            return window

        known = [
            message
            for message in window.messages
            if message.role != "user" or message.seq <= up_to_seq
        ]

        return Window(window.version, tuple(known[-self.max_messages :]))


class PolicyEvaluator:
    """Evaluates flags and settings at each turn, so that a change applies from the next on."""

    def __init__(self, flags: Flags, control: Control, options: Options) -> None:
        self._flags = flags
        self._control = control
        self._options = options
        self._version: object | None = None
        self._known: dict[object, Any] = {}
        """What was evaluated at this version, by what was asked."""

    def answer_policy(self, audience: Audience, chosen: str | None) -> AnswerPolicy:
        """All that one answer obeys. `chosen`: the model of the conversation or the person.

        Read without an await in between: a change by an operator comes before all of it or
        after it. So the record says exactly what was obeyed.
        """
        known = self._remembered()
        policy: AnswerPolicy | None = known.get((audience, chosen))
        if policy is None:
            policy = known[audience, chosen] = self._answer_policy(audience, chosen)

        return policy

    def overlap(self, audience: Audience) -> Overlap:
        """What happens to messages that arrive during an answer."""
        known = self._remembered()
        overlap: Overlap | None = known.get(audience)
        if overlap is None:
            overlap = known[audience] = self._overlap(audience)

        return overlap

    def model(self, audience: Audience) -> str:
        """The model where neither the conversation nor the person chose one.

        An empty flag leaves it to the settings.
        """
        setting = default_model(self._channel(audience), self._options.default_model)
        return self._flags.value(flags.DEFAULT_MODEL, audience, setting) or setting

    def own_instructions(self, audience: Audience) -> bool:
        """Whether they may have an instruction of their own."""
        return self._flags.value(flags.OWN_INSTRUCTIONS, audience)

    def has_menu(self, channel: str) -> bool:
        """Whether the channel's own menu offers commands."""
        return self._flags.value(
            flags.ENABLE_SLASH_COMMANDS, Audience(channel=channel)
        )

    def buttons(self, audience: Audience) -> bool:
        """Whether buttons stand under what is said to them."""
        return self._flags.value(flags.BUTTONS, audience)

    def _remembered(self) -> dict[object, Any]:
        """What is known as long as operators change nothing."""
        version = self._flags.version
        is_same = version is not None and version is self._version
        if not is_same or len(self._known) > REMEMBERED:
            self._version, self._known = version, {}

        return self._known

    def _answer_policy(self, audience: Audience, chosen: str | None) -> AnswerPolicy:
        value = self._flags.value
        prompt = self._channel(audience).system_prompt or self._options.system_prompt
        replies = value(flags.REPLIES, audience)
        message = None if replies else value(flags.MAINTENANCE_MESSAGE, audience)

        system_prompt = value(flags.SYSTEM_PROMPT, audience, prompt)
        record = self._record(audience, (flags.DEFAULT_MODEL.name,) if chosen else ())
        if replies and value(flags.KEEP_EARLIER_TEXTS, audience):
            record["system_prompt"] = system_prompt

        return AnswerPolicy(
            canned_reply=message,
            model=chosen or self.model(audience),
            fallback_model=value(flags.FALLBACK_MODEL, audience),
            system_prompt=system_prompt,
            own_instructions=self.own_instructions(audience),
            streams=value(flags.STREAMING, audience),
            titles=value(flags.TITLES, audience),
            buttons=self.buttons(audience),
            max_messages=value(
                flags.MAX_CONVERSATION_LENGTH, audience, flags.LARGEST
            ),
            tuning=self._tuning(audience),
            record=record,
        )

    def _overlap(self, audience: Audience) -> Overlap:
        setting = self._channel(audience).overlap
        return Overlap(self._flags.value(flags.OVERLAP, audience, setting.value))

    def _tuning(self, audience: Audience) -> Tuning:
        value = self._flags.value
        temperature = value(flags.TEMPERATURE, audience, _UNSET)
        fields = value(flags.REQUEST_FIELDS, audience, {})

        return Tuning(
            temperature=None if temperature == _UNSET else temperature,
            effort=value(flags.REASONING_EFFORT, audience),
            answer=value(flags.ANSWER_TOKENS, audience, 0) or None,
            fields=fields if isinstance(fields, Mapping) else {},
        )

    def _record(
        self, audience: Audience, ignored_flags: Sequence[str]
    ) -> dict[str, Any]:
        variants = self._flags.variants(audience, ignored_flags)
        record: dict[str, Any] = {"epoch": self._control.epoch}
        if variants:
            record |= {"variants": dict(variants), "person": str(audience.person)}

        return record

    def _channel(self, audience: Audience) -> ChannelSettings:
        return self._control.channel(audience.channel or "")


def _account(inbound: Inbound) -> str:
    return f"{inbound.address.channel}:{inbound.user_id}"
