"""A turn: a message from its acceptance until its answer is stored and delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any
from uuid import UUID

from msgspec import Struct, field

from agent.core.completion import Usage
from agent.core.limits import Limited
from agent.core.messages import Address, Message, Placed, Said, Window

PARTS_SECONDS = 1.0
"""For this long the rest of an album or of a cut text is waited for. Telegram delivers the parts
of an album within some tenths of a second.
"""


class Waiting(Struct, frozen=True):
    """A stored message that no answer covers yet."""

    seq: int
    turn: UUID
    address: Address
    user: UUID
    account: str
    """The platform's id of the author."""
    attempts: int = 0
    """How many instances died over it."""
    placed: Placed | None = None
    direct: bool = True
    person: UUID | None = None
    """The human that the author's accounts belong to."""
    model: str | None = None
    """Chosen for the conversation, else by its author."""
    part_of: str = ""
    """Names the whole, such as an album, if the message is a part of one."""
    age_seconds: float = inf
    """Since it was stored, by the database's clock. Infinite where nobody asked that."""


class Claim(Struct, frozen=True):
    """The right to answer a conversation: the fence in every later write."""

    conversation: UUID
    fence: UUID
    key: tuple[str, str, str]
    died: bool = False
    """The instance that held it before died; it did not end in good order."""


class NewTurn(Struct, frozen=True):
    """What `accept` stores: one message of a person, with ids for what may be new."""

    inbound: Said
    message_id: UUID
    conversation: UUID
    """Used if the chat has no active conversation."""
    user: UUID
    """The author's row, or the id to use if the author is new."""
    user_known: bool
    retry: bool = False
    """The last message, asked again."""


class Accepted(Struct, frozen=True):
    """The verdict on a stored message. A duplicate has none."""

    turn: UUID
    conversation: UUID
    user: UUID
    seq: int
    claim: Claim | None
    """Set if this instance is to answer now."""
    model: str | None
    """Chosen for the conversation, else by the person."""
    person: UUID | None = None
    """The human that the author's accounts belong to."""
    previous: UUID | None = None
    """As in `Loaded`; only with a claim."""
    instruction: str = ""
    """As in `Loaded`."""


class Answer(Struct, frozen=True):
    """A finished (or cut) answer, ready to be stored under its claim."""

    claim: Claim
    next_fence: UUID
    """The fence to use if the conversation is claimed for the next waiting message."""
    message_id: UUID
    answers: int
    """Seq of the last message that it answers."""
    content: str
    usage: Usage | None = None
    latency_ms: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """`note`: why it is cut; `notice`: no answer; and the policy's record."""
    seen: int | None = None
    """Version of the window it was made from. None: later edits do not matter."""
    first_turn: UUID | None = None
    """The first turn that it answers. It is settled when this turn is closed."""


class StoredAnswer(Struct, frozen=True):
    """The verdict on an answer whose claim still held."""

    version: int
    next_claim: Claim | None
    """Set if messages wait: the claim continues under a new fence."""


class Outdated(Struct, frozen=True):
    """The verdict on an answer to messages edited since its window. Not stored, claim kept."""


class Loaded(Struct, frozen=True):
    """A conversation read from Postgres: its window and what waits in it."""

    window: Window
    waiting: tuple[Waiting, ...]
    previous: UUID | None = None
    """First turn of the answer stored last in this chat, if it may still be on its way."""
    instruction: str = ""
    """What the person asks for in every answer of this conversation."""

    @property
    def first_whole(self) -> tuple[Waiting, ...]:
        """The first message that waits, with all its parts and what came between them."""
        whole = self.waiting[0].part_of if self.waiting else ""
        parts = [at for at, one in enumerate(self.waiting) if one.part_of == whole]

        return self.waiting[: parts[-1] + 1 if whole else 1]

    @property
    def rest_seconds(self) -> float:
        """How long the rest of a message in parts is still waited for. 0.0: not at all.

        A claim that goes on, or is taken over, may come upon the first part alone.
        """
        ages = [one.age_seconds for one in self.waiting if one.part_of]

        return max(0.0, PARTS_SECONDS - min(ages, default=PARTS_SECONDS))


class Undelivered(Struct, frozen=True):
    """An answer that is stored but not known to have arrived."""

    turns: tuple[UUID, ...]
    """All that it answers. The last holds the address, the first what is placed."""
    address: Address
    placed: Placed | None
    text: str
    attempts: int = 1
    age_seconds: float = 0.0
    """Since the answer was stored, by the database's clock."""
    previous: UUID | None = None
    """First turn of the answer before it in this chat, if that one has not arrived either."""


Ending = tuple[Sequence[UUID], Placed | None]
"""The turns of an answer that is settled, and where it stands: None where it never arrived."""


class Beat(Struct, frozen=True):
    """What a heartbeat returns."""

    held: Mapping[UUID, int]
    """Claims still held, by fence: `asked` of the conversation. Others are lost."""
    edited: Mapping[UUID, int]
    """The same claims: version of the conversation's last edit, 0 if there was none."""
    stopped: frozenset[UUID]
    """Fences of answers that a person asked to stop."""
    peer_died: bool
    """Another instance stopped beating: look for what it left."""
    epoch: int
    """Of flags and channel settings, from Postgres."""
    taken: frozenset[UUID] = frozenset()
    """Of the turns being delivered: those that another instance has taken."""


class Session(Struct, frozen=True):
    """What Redis remembers of a person in a chat: hints, each checked before it is used."""

    key: tuple[str, str, str]
    """Channel, chat, thread."""
    account: str
    """The platform's id of the person."""
    user: UUID
    conversation: UUID
    person: UUID | None = None
    """The human that the account belongs to."""


class Arrival(Struct, frozen=True):
    """What one Redis round trip tells about an arriving message. All of it may be missing."""

    user: UUID | None = None
    conversation: UUID | None = None
    """The one that the window belongs to."""
    window: Window | None = None
    epoch: int | None = None
    """Of flags and channel settings. 0: Redis has none. None: it did not answer."""
    limited: Limited | None = None
    """The message came too early."""


def loaded_with(inbound: Said, arrival: Arrival, accepted: Accepted) -> Loaded | None:
    """What the claim needs to know, if the cached window is exactly one version behind.

    None: it must be read.
    """
    is_first = accepted.seq == 1
    window = Window(0, ()) if is_first else arrival.window
    is_same = is_first or arrival.conversation == accepted.conversation
    if window is None or not is_same or window.version != accepted.seq - 1:
        return None

    author = None if inbound.direct else inbound.username
    message = Message(accepted.seq, "user", inbound.text, author=author)
    waiting = Waiting(
        accepted.seq,
        accepted.turn,
        inbound.address,
        accepted.user,
        inbound.user_id,
        direct=inbound.direct,
        person=accepted.person,
        model=accepted.model,
        part_of=inbound.part_of,
    )
    grown = Window(accepted.seq, (*window.messages, message))

    return Loaded(grown, (waiting,), accepted.previous, accepted.instruction)
