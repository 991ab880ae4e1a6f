"""Messages of people and of the agent, and where they stand."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Literal, TypeVar
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import force_setattr

Role = Literal["user", "assistant", "system"]
Turned = TypeVar("Turned")


class Overlap(enum.StrEnum):
    """What happens to messages that arrive while an answer is being written."""

    MERGE = "merge"  # answered together afterwards
    QUEUE = "queue"  # answered one by one
    INTERRUPT = "interrupt"  # the running answer is cut and kept; a new one sees both


class Thumb(enum.StrEnum):
    """What a person thinks of an answer, as a reaction tells it."""

    UP = "+1"
    DOWN = "-1"


class Address(Struct, frozen=True):
    """Where an answer goes. Stored with the turn, so that any instance can deliver it."""

    channel: str
    chat: str
    thread: str = ""
    message: str = ""
    """The platform's id of the message that is answered, if there is one."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """What only the channel understands."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Names the conversation: at most one is active for each key."""
        return (self.channel, self.chat, self.thread)


class _Sent(Struct, frozen=True):
    """What names something that a person does in a chat."""

    address: Address
    message_id: str
    """The platform's own id. With channel and chat it names the turn."""
    user_id: str
    """The platform's id of the person."""


class _FromPerson(_Sent, frozen=True, kw_only=True):
    """What everything that a person does in a chat has in common."""

    username: str | None = None
    direct: bool = True
    """False in groups and threads, where the prompt names authors."""
    turn_id: UUID = UUID(int=0)
    """The same platform message always has the same turn: 128 bits of a hash of its name. It
    follows from the other fields, whatever is given.

    Two of 10⁹ turns collide with probability 10⁻²¹.
    """

    def __post_init__(self) -> None:
        name = "\0".join((self.address.channel, self.address.chat, self.message_id))
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16)
        # Once: a turn asks for it many times.
        force_setattr(self, "turn_id", UUID(bytes=digest.digest()))

    def _turned(
        self, kind: Callable[..., Turned], *rest: object, of: str | None = None
    ) -> Turned:
        """Something else that the same person does there, to the message `of`; None: this one."""
        return kind(
            self.address,
            self.message_id if of is None else of,
            self.user_id,
            *rest,
            username=self.username,
            direct=self.direct,
        )


class Said(_FromPerson, frozen=True):
    """A new message of a person."""

    text: str
    more_follows: bool = False
    """It is probably a part: of an album, or of a text that the person's client cut in two.
    The rest is waited for a moment, and answered together with it.
    """
    part_of: str = ""
    """Names the whole in its chat: parts with one name are one message, whatever the overlap."""

    def edited(self, text: str) -> Edited:
        """The edit that gives this message another text."""
        return self._turned(Edited, text)

    def deleted(self) -> Deleted:
        """The deletion of this message."""
        return self._turned(Deleted)


class Edited(_FromPerson, frozen=True):
    """A new text for the person's message with this id. Counts until it is answered.

    In a group it is a new message when the agent has not heard this one yet: an edit can
    add the mention.
    """

    text: str
    replaces: str | None = None
    """Counts only while the message has this text. None: whatever it has."""

    @property
    def may_be_new(self) -> bool:
        """Whether it is a message of its own where the agent has not heard this one."""
        return not self.direct and self.replaces is None

    def said(self) -> Said:
        """The message as it is now."""
        return self._turned(Said, self.text)


class Deleted(_FromPerson, frozen=True):
    """The person's message with this id is gone. Counts until it is answered."""


class Reacted(_FromPerson, frozen=True):
    """A thumb on the agent's message with this id. The address may lack the thread."""

    thumb: Thumb
    taken_back: bool = False


class Pressed(_FromPerson, frozen=True):
    """A button under the agent's message `on`. `message_id` is the platform's id of the press."""

    data: str
    """What the button carries; see `agent.core.words.buttons`."""
    on: str

    def said(self, text: str) -> Said:
        """The command that the button stands for."""
        return self._turned(Said, text)

    def reacted(self, thumb: Thumb) -> Reacted:
        """The reaction that the button stands for."""
        return self._turned(Reacted, thumb, of=self.on)


Revision = Edited | Deleted
"""What a person changes about a message that they sent before."""

Inbound = Said | Revision | Reacted | Pressed
"""What a person does, as a channel hands it to the core."""


class Placed(Struct, frozen=True):
    """Where an answer stands on the platform: enough for any instance to edit it later."""

    ids: tuple[str, ...]
    """The platform's message ids, in reading order."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """What only the channel understands."""
    pending: bool = False
    """A draft is being shown: more may stand there than these ids name."""


class Message(Struct, frozen=True, array_like=True, gc=False):
    """One stored message of a conversation, in the order of fields in which caches keep it."""

    seq: int
    """The conversation's version at which it was written."""
    role: Role
    content: str
    answers: int | None = None
    """Of the agent's messages: seq of the last message that it answers."""
    author: str | None = None
    """Of people's messages: the name shown in the prompt of a group."""
    notice: bool = False
    """The agent speaks about itself (an error, a stop): not part of the prompt."""
    undelivered: bool = False
    """An answer that never reached its chat; such a message is a notice, too."""

    @property
    def reading_order(self) -> tuple[int, int]:
        """Sorts a message that waited after the answer it waited for.

        Its seq is smaller than that of the answer.
        """
        return (self.seq, 0) if self.answers is None else (self.answers, 1)


NOT_PROMPTED = {"notice", "offline", "set_aside", "undelivered"}
"""Metadata of messages that prompts leave out. `offline`: a sentence of the offline model, which
is an answer to its person, and nothing that a real model should believe it said.
"""


def is_prompted(metadata: Mapping[str, Any]) -> bool:
    """Whether a message with this metadata belongs into later prompts."""
    return metadata.keys().isdisjoint(NOT_PROMPTED)


class Notice(str):
    """What a person gets if there is no whole answer. A channel may mark it as such."""

    __slots__ = ()


def delivered(content: str, metadata: Mapping[str, Any]) -> str:
    """A stored answer as the person sees it: one that was cut says why it ends."""
    note = metadata.get("note")
    if note:
        return Notice(f"{content}\n\n*({note})*")

    return Notice(content) if metadata.get("notice") else content


class Window(Struct, frozen=True):
    """The last messages of a conversation in reading order, and the version they are true at."""

    version: int
    messages: tuple[Message, ...]
