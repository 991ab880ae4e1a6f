"""A turn: a message from its acceptance until its answer is stored and delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from agent.core.completion import Usage
from agent.core.limits import Limited
from agent.core.messages import Address, Placed, Said, Window


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
class Claim:
    """The right to answer a conversation: the fence in every later write."""

    conversation: UUID
    fence: UUID
    key: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class NewTurn:
    """What `accept` stores: one message of a person, with ids made for what may be new."""

    inbound: Said
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
    """`note`: why it is cut; `notice`: no answer; and on what terms it was given,
    as agent.conversation.policy records them."""
    seen: int | None = (
        None  # version of the window it was made from; None: edits after it do not matter
    )


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The verdict on an answer whose claim still held."""

    version: int
    next_claim: (
        Claim | None
    )  # set when messages wait: the claim goes on, under a new fence


@dataclass(frozen=True, slots=True)
class Outdated:
    """The verdict on an answer whose conversation had a message edited since its window:
    not stored, the claim kept.
    """


@dataclass(frozen=True, slots=True)
class Loaded:
    """A conversation read from Postgres: its window and what waits in it."""

    window: Window
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An answer that was stored but not yet seen to arrive."""

    turns: tuple[
        UUID, ...
    ]  # all that the answer covers; the last holds the address, the first what is placed
    address: Address
    placed: Placed | None
    text: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat tells."""

    held: Mapping[
        UUID, int
    ]  # claims still held, by fence: `asked` of the conversation; others are lost
    edited: Mapping[
        UUID, int
    ]  # the same claims: version that the conversation's last edit made, 0 if none
    stopped: frozenset[UUID]  # fences of answers that a person asked to stop
    peer_died: bool  # another instance stopped beating: look for what it left
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
    epoch: int | None = (
        None  # of flags and channel settings; 0: Redis has none, None: it did not answer
    )
    limited: Limited | None = None  # the message came too early
