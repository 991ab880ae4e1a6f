"""What a command does, and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from agent.core.channel import OutgoingFile
from agent.core.messages import Role

MAX_INSTRUCTION_CHARS = 1000
"""Characters of what a person asks for in every answer: it is sent along with each."""

MAX_TITLE_CHARS = 80
"""Characters of a conversation's name."""


class NewConversation(Struct, frozen=True):
    """Effect of `/new`: the active conversation ends and is kept."""

    title: str | None = None
    """The name of the new one, which then begins at once."""


class ContinueConversation(Struct, frozen=True):
    """Effect of `/conversations NUMBER`: an earlier one of this chat is the active one."""

    conversation: UUID


class ChooseModel(Struct, frozen=True):
    """Effect of `/model`: for the person in a direct chat, else for the conversation."""

    model: str | None
    """None: the default."""


class SetInstruction(Struct, frozen=True):
    """Effect of `/system`: what the person asks for in every answer of the conversation."""

    text: str | None
    """None: nothing any more."""


class StopAnswer:
    """Effect of `/stop`: the answer being written in this chat stops."""


class OfferLink(Struct, frozen=True):
    """Effect of `/link`: this account can be joined with the code for ten minutes."""

    code: str

    KEPT: ClassVar[str] = (
        "Your code could not be shown in time. Write `/link` again for a new one."
    )
    """What is stored instead of the reply, and said if the reply itself never arrived: the
    code is nowhere in plain.
    """


class AcceptLink(Struct, frozen=True):
    """Effect of `/link CODE`: this account joins the person that offered the code."""

    code: str


class HandOver:
    """Effect of `/export`: a file follows, which is stored nowhere."""

    KEPT: ClassVar[str] = (
        "Your file may not have arrived. Write `/export` again if it is missing."
    )
    """What is stored instead of the reply: another instance could only say this."""


class ForgetMe:
    """Effect of `/forget me now`: the person is erased, which takes a moment."""


class SetConsent(Struct, frozen=True):
    """Effect of `/consent on|off`: whether the person's messages may train a model."""

    given: bool


Effect = (
    NewConversation
    | ContinueConversation
    | ChooseModel
    | SetInstruction
    | StopAnswer
    | OfferLink
    | AcceptLink
    | HandOver
    | ForgetMe
    | SetConsent
)

Outcome = bool
"""Whether the effect found something to change: a conversation, an answer, a valid code."""


MakeFile = Callable[[int], AbstractAsyncContextManager[OutgoingFile]]
"""Makes a file when it is sent, for a chat that takes so many bytes. It goes with the block."""


class CommandOutcome(Struct, frozen=True):
    """What a command will do, and what it will say once that is known."""

    reply: Callable[[Outcome], str]
    effect: Effect | None = None
    file: MakeFile | None = None
    """Arrives before the reply."""


def say(text: str) -> CommandOutcome:
    """Says something and changes nothing."""
    return CommandOutcome(lambda _: text)


class ChatContext(Struct, frozen=True):
    """What is true of a person in a chat, for commands."""

    override: str | None = None
    """The conversation's model."""
    preferred: str | None = None
    """The person's model."""
    last_text: str | None = None
    """The last message that a person wrote here."""
    person: UUID | None = None
    """None: they never wrote."""
    instruction: str | None = None
    """What they ask for in every answer of this conversation."""


class AnswerState(Struct, frozen=True):
    """What has become of an answer, for a button under it."""

    is_last: bool
    """Its conversation is the active one, and nobody asked since."""
    is_written: bool
    """It is still being written."""
    is_repeated: bool
    """This press was taken before."""


class ConversationEntry(Struct, frozen=True):
    """One line of `/conversations`."""

    number: int
    """1 is the first of the chat. It stays."""
    id: UUID
    title: str | None
    first_words: str | None
    """Of a person; None: nothing was said yet."""
    last_activity: datetime
    is_active: bool


class HistoryEntry(Struct, frozen=True):
    """One line of `/history`."""

    role: Role
    content: str
    timestamp: datetime
    author: str | None = None


class UsageTotal(Struct, frozen=True):
    """What `/usage` reports: sums over the answers of a conversation or a person."""

    answers: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal
    """Sum of the known costs."""
    unpriced: int
    """Answers whose cost is unknown."""
    estimated: int
    """Answers whose tokens were estimated."""
    models: Sequence[str] = ()
