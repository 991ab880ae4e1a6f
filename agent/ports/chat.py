"""What commands, edits and votes need from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from agent.core.channel import OutgoingFile
from agent.core.effects import (
    AnswerState,
    ChatContext,
    ConversationEntry,
    Effect,
    HistoryEntry,
    Outcome,
    UsageTotal,
)
from agent.core.messages import Inbound, Pressed, Reacted, Revision
from agent.core.words.search import Found, Query


class ChatCommands(Protocol):
    """What commands change, and what they need to know before."""

    async def once(
        self, inbound: Inbound, effect: Effect | None, reply: Callable[[Outcome], str]
    ) -> str | None:
        """Applies the effect and stores the turn with its reply, in one transaction.

        `reply` makes the text from the outcome. Returns it, or None if done before.
        """

    async def chat_context(self, inbound: Inbound) -> ChatContext:
        """What is true of this person and this chat now."""

    async def answer_state(self, press: Pressed, turn: UUID) -> AnswerState | None:
        """What has become of the answer to a turn of this chat. None: it is not kept."""


class Edits(Protocol):
    """Changes of messages that are stored already."""

    async def edit(self, revision: Revision) -> UUID | None:
        """Replaces or empties a message not answered yet. Its conversation if that counted."""

    async def set_aside(self, turns: Sequence[UUID]) -> None:
        """Leaves these messages out of every later prompt."""


class Votes(Protocol):
    """What people think of answers."""

    async def vote(self, reaction: Reacted) -> bool:
        """Counts a person's latest thumb on an answer, or takes it back.

        False: the answer is not stored, or not recorded as delivered, yet."""


class ConversationTitles(Protocol):
    """Names of conversations that nobody named."""

    async def is_missing(self, conversation: UUID) -> bool:
        """Whether it has no name yet."""

    async def give(self, conversation: UUID, title: str) -> None:
        """Names it, unless a person has done so meanwhile."""


class ChatHistory(Protocol):
    """What was said in a chat."""

    async def history(self, inbound: Inbound, count: int) -> Sequence[HistoryEntry]:
        """The last messages of the active conversation, oldest first."""

    async def conversations(
        self, inbound: Inbound, count: int, number: int | None = None
    ) -> Sequence[ConversationEntry]:
        """The last active conversations of this chat, newest first; or the one of `number`."""

    async def search(self, inbound: Inbound, query: Query) -> Sequence[Found]:
        """Best first. In a group: what was said there. Else: what is the person's own."""


class ChatRecords(ChatHistory, ConversationTitles, Protocol):
    """And what was spent, and all that is kept."""

    async def usage(self, inbound: Inbound) -> tuple[UsageTotal, UsageTotal]:
        """Totals of this conversation, and of 30 days of all that this person started."""

    async def export(self, inbound: Inbound) -> str:
        """What is kept of this person, to read; of many messages, the newest."""

    def export_file(
        self, person: UUID, max_bytes: int
    ) -> AbstractAsyncContextManager[OutgoingFile]:
        """All that is kept of this person, as JSON and to read; of too much, the newest.

        No other is made before the block ends. Raises Refused when it cannot be made now.
        """
