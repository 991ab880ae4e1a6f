"""A claim that this instance works on: what its answer covers, which texts it was made
from, and why it is cut.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from uuid import UUID

from agent.control.rules import EVERYBODY, Audience
from agent.conversation.policy import AnswerPolicy
from agent.core.messages import Placed
from agent.core.turns import Claim, Loaded, Waiting

MOST_EDITS = 5
"""So often an answer is begun anew for an edit. Then it is written to its end, so that who
edits for ever gets one.
"""


class CancelReason(enum.Enum):
    """Why an answer ends before the model does."""

    INTERRUPTED = "interrupted by your next message"
    STOPPED = "stopped"
    EDITED = "the message was edited"
    LEASE_LOST = "another instance answers"


@dataclass(slots=True, eq=False)
class ActiveAnswer:
    """A claim being worked on by this instance."""

    claim: Claim | None
    conversation: UUID
    key: tuple[str, str, str]
    covers: int = 0  # seq of the last message that the answer being written covers
    author: UUID | None = None  # of the message that leads: the budget is theirs
    opening: str = ""  # stands before the answer's first word
    turns: tuple[UUID, ...] = ()  # all it covers; the last one leads
    texts: Mapping[int, str] = field(
        default_factory=dict
    )  # of the messages it covers, by seq
    seen: int = 0  # version of the conversation up to which these texts are the newest
    edits: int = 0  # how often it was begun anew for one
    attempted: frozenset[UUID] = (
        frozenset()
    )  # turns whose attempt by this instance is counted
    draft: tuple[UUID, Placed] | None = (
        None  # where the answer being written stands, by the first turn it covers
    )
    audience: Audience = EVERYBODY
    terms: AnswerPolicy = field(init=False)  # of the answer being written
    cut: CancelReason | None = None
    writer: asyncio.Task[None] | None = None
    quarantine_stack: AsyncExitStack = field(
        default_factory=AsyncExitStack
    )  # keeps other suspects waiting until it is stored
    held_at: float = field(
        default_factory=time.monotonic
    )  # when the claim was last known to be ours

    @property
    def heeds_edits(self) -> bool:
        """Whether an edit still begins it anew."""
        return self.edits < MOST_EDITS

    def begin(self, loaded: Loaded, batch: Sequence[Waiting]) -> None:
        """The next answer is to these messages, as they were read."""
        self.turns = tuple(waiting.turn for waiting in batch)
        self.covers = batch[-1].seq if batch else loaded.window.version
        self.author = batch[-1].user if batch else None
        asked = {waiting.seq for waiting in batch}
        self.texts = {
            message.seq: message.content
            for message in loaded.window.messages
            if message.seq in asked
        }
        self.seen = loaded.window.version

    def still_reads(self, loaded: Loaded) -> bool:
        """Whether all it covers still has the same text; if so, edits up to this version do
        not concern it.
        """
        now = {message.seq: message.content for message in loaded.window.messages}
        same = all(now.get(seq) == text for seq, text in self.texts.items())
        if same:
            self.seen = max(self.seen, loaded.window.version)
        return same

    def cut_short(self, why: CancelReason) -> None:
        """Ends the writing; what is being stored is not disturbed."""
        if why is CancelReason.EDITED and not self.heeds_edits:
            return
        if self.cut is not CancelReason.LEASE_LOST:
            self.cut = why
        if self.writer is not None:
            self.writer.cancel()

    def existing_draft(self, first: Waiting) -> Placed | None:
        """What stands already, known here perhaps before it is recorded."""
        return (
            self.draft[1]
            if self.draft and self.draft[0] == first.turn
            else first.placed
        )
