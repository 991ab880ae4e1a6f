"""Messages of people and of the agent, and where they stand."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

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
    message: str = (
        ""  # the platform's id of the message answered to, "" when there is none
    )
    extra: Mapping[str, str] = field(
        default_factory=dict
    )  # what only the channel understands

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
    """`edit` and `delete`: of the person's message with this id, as long as it is not
    answered. `vote` and `unvote`: `text` is the Thumb that was given to, or taken from, the
    agent's message with this id; `thread` may be unknown.
    """

    @property
    def turn_id(self) -> UUID:
        """The same platform message always has the same turn: 128 bits of a hash of its name.

        Two of 10⁹ turns collide with probability 10⁻²¹.
        """
        name = "\0".join((self.address.channel, self.address.chat, self.message_id))
        return UUID(
            bytes=blake2b(
                name.encode("utf-8", "surrogatepass"), digest_size=16
            ).digest()
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """What already stands on the platform for an answer: enough to edit it later, from any
    instance.
    """

    ids: tuple[str, ...]  # the platform's message ids, in reading order
    extra: Mapping[str, str] = field(
        default_factory=dict
    )  # what only the channel understands


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message of a conversation."""

    seq: int  # the conversation's version at which it was written
    role: Role
    content: str
    answers: int | None = None  # assistant: seq of the last message it answers
    author: str | None = None  # user: shown in the prompt of a group
    # said by the agent about itself (an error, a stop): not part of the prompt
    notice: bool = False

    @property
    def reading_order(self) -> tuple[int, int]:
        """A message that waited has a smaller seq than the answer it waited for, yet is
        read after it.
        """
        return (self.seq, 0) if self.answers is None else (self.answers, 1)


class Notice(str):
    """What a person gets when there is no (whole) answer. A text like any other; a channel
    may show it apart.
    """

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
