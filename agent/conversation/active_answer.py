"""An answer in progress: what it is made from, which is fixed, and how far it has come."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import force_setattr

from agent.control.rules import Audience
from agent.conversation.policy import AnswerPolicy
from agent.core.completion import Prompt
from agent.core.messages import Window
from agent.core.turns import Claim, Loaded, Waiting

MAX_EDIT_RESTARTS = 5
"""Restart an answer at most this often for edits; after that finish it, so that someone who
keeps editing still gets one.
"""


class CancelReason(enum.Enum):
    """Why an answer ends before the model does."""

    INTERRUPTED = "interrupted by your next message"
    STOPPED = "stopped"
    EDITED = "the message was edited"
    LEASE_LOST = "another instance answers"


class AnswerPlan(Struct, frozen=True):
    """What one answer is made from and for. Fixed before the first word is written."""

    key: tuple[str, str, str]
    window: Window
    batch: tuple[Waiting, ...]
    """The messages that it answers, oldest first. The last one leads."""
    audience: Audience
    policy: AnswerPolicy
    opening: str = ""
    """Stands before the answer's first word: the channel's greeting."""
    prompt: Prompt | None = None
    """What the model is asked. None: it is not asked."""
    turns: tuple[UUID, ...] = ()
    """The turns that it answers; the last one leads. They follow from the batch."""

    def __post_init__(self) -> None:
        turns = tuple([waiting.turn for waiting in self.batch])
        # Once: an answer asks for them many times.
        force_setattr(self, "turns", turns)

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self.key[0]

    @property
    def covers(self) -> int:
        """The seq of the last message that it answers."""
        return self.batch[-1].seq if self.batch else self.window.version

    @property
    def asks(self) -> bool:
        """Whether a text is left to be answered: what people deleted is empty."""
        asked = {waiting.seq for waiting in self.batch}

        return any(
            m.content and m.seq in asked for m in reversed(self.window.messages)
        )

    @property
    def texts(self) -> Mapping[int, str]:
        """The texts that it answers, by seq."""
        asked = {waiting.seq for waiting in self.batch}
        messages = self.window.messages

        return {m.seq: m.content for m in messages if m.seq in asked}


class ActiveAnswer(Struct, eq=False):
    """A claim that this instance works on, and the answer being written under it."""

    claim: Claim | None
    """None once the conversation is released."""
    conversation: UUID
    key: tuple[str, str, str]
    died: bool = False
    """Another instance died over this conversation."""
    plan: AnswerPlan | None = None
    """Of the answer being written."""
    seen: int = 0
    """Version of the conversation up to which the plan's texts are the newest."""
    edits: int = 0
    """How often this answer was restarted for an edit."""
    attempted: frozenset[UUID] = frozenset()
    """Turns whose attempt by this instance is counted."""
    writer: asyncio.Task[Any] | None = None
    """The task that answers, while it writes: then it may be cancelled."""
    cancels: int = 0
    """How often the writing was cancelled."""
    cancel_reason: CancelReason | None = None
    held_at: float = field(default_factory=time.monotonic)
    """When the claim was last known to be ours, on the monotonic clock."""
    quarantine_stack: AsyncExitStack | None = None
    """Of a suspect: keeps others waiting until this answer is stored."""

    @property
    def turns(self) -> tuple[UUID, ...]:
        """The turns being answered; none before the first plan."""
        return self.plan.turns if self.plan else ()

    @property
    def heeds_edits(self) -> bool:
        """Whether an edit still restarts the answer."""
        return self.edits < MAX_EDIT_RESTARTS

    def follow(self, plan: AnswerPlan) -> None:
        """From now on this plan is carried out."""
        self.plan = plan
        self.seen = plan.window.version

    def is_current(self, loaded: Loaded) -> bool:
        """Whether all texts being answered are unchanged, so that newer edits do not matter."""
        texts = self.plan.texts if self.plan else {}
        now = {message.seq: message.content for message in loaded.window.messages}
        is_same = all(now.get(seq) == text for seq, text in texts.items())
        if is_same:
            self.seen = max(self.seen, loaded.window.version)

        return is_same

    def begin_writing(self) -> None:
        """From now on a reason to cancel ends what this task awaits."""
        self.writer = asyncio.current_task()

    def end_writing(self) -> bool:
        """Only the writing was cancelled: the task goes on. False: it was told to end, too."""
        writer, self.writer = self.writer, None
        cancels, self.cancels = self.cancels, 0
        assert writer is not None
        for _ in range(cancels):
            writer.uncancel()

        return not writer.cancelling()

    def cancel(self, reason: CancelReason) -> None:
        """Ends the writing. An answer that is being stored is not disturbed."""
        if reason is CancelReason.EDITED and not self.heeds_edits:
            return

        if self.cancel_reason is not CancelReason.LEASE_LOST:
            self.cancel_reason = reason
        if self.writer is not None:
            self.writer.cancel()
            self.cancels += 1
