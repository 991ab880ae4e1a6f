"""The values that travel through the core. Frozen, plain, and known to no library."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from agent.limits import Allowance, Limited

Role = Literal["user", "assistant", "system"]


class Overlap(enum.StrEnum):
    """What happens to messages that arrive while an answer is being written."""

    MERGE = "merge"  # answered together afterwards
    QUEUE = "queue"  # answered one by one
    INTERRUPT = "interrupt"  # the running answer is cut and kept; a new one sees both


class Thumb(enum.StrEnum):
    """What a person thinks of an answer, as a reaction says it."""

    UP = "+1"
    DOWN = "-1"


@dataclass(frozen=True, slots=True)
class Address:
    """Where an answer goes. Stored with the turn, so that any instance can deliver it."""

    channel: str
    chat: str
    thread: str = ""
    message: str = ""  # the platform's id of the message answered to, "" when there is none
    extra: Mapping[str, str] = field(default_factory=dict)  # what only the channel understands

    @property
    def key(self) -> tuple[str, str, str]:
        """Names the conversation: at most one is active for each key."""
        return (self.channel, self.chat, self.thread)


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message of a person, as a channel hands it to the core."""

    address: Address
    message_id: str  # the platform's own id; with channel and chat it names the turn
    user_id: str  # the platform's id of the author
    text: str
    username: str | None = None
    direct: bool = True  # False in groups and threads, where the prompt names authors
    change: Literal["new", "edit", "delete", "vote", "unvote"] = "new"
    """`edit` and `delete`: of the person's message with this id, as long as it is not answered. `vote` and `unvote`:
    `text` is the Thumb that was given to, or taken from, the agent's message with this id; `thread` may be unknown.
    """

    @property
    def turn_id(self) -> UUID:
        """The same platform message always has the same turn: 128 bits of a hash of its name.

        Two of 10⁹ turns collide with probability 10⁻²¹.
        """
        name = "\0".join((self.address.channel, self.address.chat, self.message_id))
        return UUID(bytes=blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest())


@dataclass(frozen=True, slots=True)
class Placed:
    """What already stands on the platform for an answer: enough to edit it later, from any instance."""

    ids: tuple[str, ...]  # the platform's message ids, in reading order
    extra: Mapping[str, str] = field(default_factory=dict)  # what only the channel understands


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message of a conversation."""

    seq: int  # the conversation's version at which it was written
    role: Role
    content: str
    answers: int | None = None  # assistant: seq of the last message it answers
    author: str | None = None  # user: shown in the prompt of a group
    notice: bool = False  # said by the agent about itself (an error, a stop): not part of the prompt

    @property
    def reading_order(self) -> tuple[int, int]:
        """A message that waited has a smaller seq than the answer it waited for, yet is read after it."""
        return (self.seq, 0) if self.answers is None else (self.answers, 1)


class Notice(str):
    """What a person gets when there is no (whole) answer. A text like any other; a channel may show it apart."""

    __slots__ = ()


def delivered(content: str, metadata: Mapping[str, Any]) -> str:
    """A stored answer as the person sees it: one that was cut says why it ends."""
    note = metadata.get("note")
    if note:
        return Notice(f"{content}\n\n*({note})*")
    return Notice(content) if metadata.get("notice") else content


@dataclass(frozen=True, slots=True)
class Window:
    """The last messages of a conversation in reading order, and the version they are true at."""

    version: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A stored message that no answer covers yet."""

    seq: int
    turn: UUID
    address: Address
    user: UUID
    account: str  # the platform's id of the author
    attempts: int = 0  # how often an instance died over it
    placed: Placed | None = None
    direct: bool = True
    person: UUID | None = None  # whom the author's accounts belong to
    model: str | None = None  # chosen for the conversation, else by its author


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: a system text and alternating messages, oldest first."""

    system: str
    messages: tuple[tuple[Role, str], ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer took. Costs are unknown (None), never zero, when the price is unknown."""

    model: str  # the model that really answered, `provider:model`
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None = None
    estimated: bool = False  # the server reported no usage; tokens were estimated from the text


@dataclass(frozen=True, slots=True)
class Spent:
    """A call to a model that ended before its first text and may have to be paid all the same."""

    usage: Usage | None  # None: the server did not say what it used
    again: bool  # another call is made once the next piece is asked for


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer a conversation: the fence in every later write."""

    conversation: UUID
    fence: UUID
    key: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class NewTurn:
    """What `accept` stores: one message of a person, with ids made for what may be new."""

    inbound: Inbound
    message_id: UUID
    conversation: UUID  # used if the chat has no active conversation
    user: UUID  # the author's row, or the id to use if the author is new
    user_known: bool
    retry: bool = False  # the last message, asked again


@dataclass(frozen=True, slots=True)
class Accepted:
    """The verdict on a stored message. A duplicate has none."""

    turn: UUID
    conversation: UUID
    user: UUID
    seq: int
    claim: Claim | None  # set when this instance is to answer now
    model: str | None  # the conversation's override, else the person's preference
    person: UUID | None = None  # whom the author's accounts belong to


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished (or cut) answer, ready to be stored under its claim."""

    claim: Claim
    next_fence: UUID  # the fence to use if the conversation is handed to the next waiting message
    message_id: UUID
    answers: int  # seq of the last message this answers
    content: str
    usage: Usage | None = None
    latency_ms: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """`note`: why it is cut; `notice`: no answer; and on what terms it was given, as agent.steering records them."""
    seen: int | None = None  # version of the window it was made from; None: edits after it do not matter


@dataclass(frozen=True, slots=True)
class Stored:
    """The verdict on an answer whose claim still held."""

    version: int
    next_claim: Claim | None  # set when messages wait: the claim goes on, under a new fence


@dataclass(frozen=True, slots=True)
class Outdated:
    """The verdict on an answer whose conversation had a message edited since its window: not stored, the claim kept."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A conversation read from Postgres: its window and what waits in it."""

    window: Window
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An answer that was stored but not yet seen to arrive."""

    turns: tuple[UUID, ...]  # all that the answer covers; the last holds the address, the first what is placed
    address: Address
    placed: Placed | None
    text: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat tells."""

    held: Mapping[UUID, int]  # claims still held, by fence: `asked` of the conversation; others are lost
    edited: Mapping[UUID, int]  # the same claims: version that the conversation's last edit made, 0 if none
    stopped: frozenset[UUID]  # fences of answers that a person asked to stop
    bereaved: bool  # another instance stopped beating: look for what it left
    epoch: int  # of flags and channel settings, from Postgres


@dataclass(frozen=True, slots=True)
class Session:
    """What Redis remembers of a person in a chat: hints, each checked before it is believed."""

    key: tuple[str, str, str]  # channel, chat, thread
    account: str  # the platform's id of the person
    user: UUID
    conversation: UUID
    model: str = ""  # what answered last
    person: UUID | None = None  # whom the account belongs to


@dataclass(frozen=True, slots=True)
class Arrival:
    """All that one Redis round trip tells about an arriving message. Everything may be missing."""

    user: UUID | None = None
    conversation: UUID | None = None  # the one the window belongs to
    window: Window | None = None
    epoch: int | None = None  # of flags and channel settings; 0: Redis has none, None: it did not answer
    limited: Limited | None = None  # the message came too early


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What an operator sets for one channel."""

    default_model: str | None = None
    system_prompt: str | None = None
    overlap: Overlap = Overlap.MERGE
    greeting: str = ""  # stands before the first answer of a conversation
    allowed_models: tuple[str, ...] = ()  # empty: all
    allow: frozenset[str] = frozenset()  # platform ids of those who may talk to the agent; empty: all
    deny: frozenset[str] = frozenset()
    user_limit: Allowance = None  # None: the default
    chat_limit: Allowance = None
    channel_limit: Allowance = None


class NewConversation:
    """Effect of `/new`: the active conversation ends and is kept."""


@dataclass(frozen=True, slots=True)
class ChooseModel:
    """Effect of `/model`: for the person in a direct chat, else for the conversation. None: the default."""

    model: str | None


class StopAnswer:
    """Effect of `/stop`: whoever answers this chat stops."""


@dataclass(frozen=True, slots=True)
class OfferLink:
    """Effect of `/link`: this account can be joined with the code for ten minutes."""

    code: str


@dataclass(frozen=True, slots=True)
class AcceptLink:
    """Effect of `/link CODE`: this account joins the person who has the code."""

    code: str


Effect = NewConversation | ChooseModel | StopAnswer | OfferLink | AcceptLink

Outcome = bool
"""Whether the effect found something to change (a conversation to end, an answer to stop, a valid code)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is true of a person in a chat, for commands."""

    override: str | None = None  # the conversation's model
    preferred: str | None = None  # the person's model
    last_text: str | None = None  # the last message that a person wrote here
    person: UUID | None = None  # None: they never wrote


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of `/history`."""

    role: Role
    content: str
    timestamp: datetime
    author: str | None = None


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What `/usage` reports: sums over the answers of a conversation or a person."""

    answers: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal  # sum of the known costs
    unpriced: int  # answers whose cost is unknown
    estimated: int  # answers whose tokens were estimated
    models: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """What a webhook answers to its platform."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `agent doctor` found wrong, as one sentence, and what mends it (a command or a page)."""

    part: str
    problem: str
    remedy: str
