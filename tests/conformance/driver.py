"""What the conformance suite needs of a platform: people's messages, and a screen that shows
what they see.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from agent.ports import Channel


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person writes: a direct chat, a group, or a thread in it."""

    chat: str
    thread: str = ""
    direct: bool = True


class Driver(Protocol):
    """One platform server on loopback with its people. Made fresh for each test; `start`
    yields it running.

    The real channel class with the real client library talks to the server; nothing here
    reaches around it.
    """

    name: str
    limit: int  # characters that one message of the platform may have, in the platform's own unit

    def start(self) -> AbstractAsyncContextManager[None]:
        """The platform's server, running."""

    def channel(self) -> Channel:
        """A new channel object signed in to the server: one per agent instance; several may
        run at once.
        """

    def direct(self, user: str) -> Place:
        """The direct chat with this person."""

    def group(self, name: str) -> Place:
        """A group that the agent is a member of."""

    def thread(self, group: Place, name: str) -> Place:
        """A thread (or topic) in a group."""

    async def say(
        self,
        place: Place,
        text: str,
        *,
        user: str = "ada",
        mention: bool = False,
        deliver: int = 1,
    ) -> str:
        """A person writes; the platform delivers it `deliver` times. Returns the platform's
        message id.

        While no channel is connected the server keeps it as its platform would (backlog,
        retries, REST history).
        """

    async def redeliver(self, message: str) -> None:
        """The platform delivers an earlier message once more."""

    async def edit(self, message: str, text: str) -> None:
        """The person edits a message."""

    async def command(
        self,
        place: Place,
        name: str,
        argument: str = "",
        *,
        user: str = "ada",
    ) -> None:
        """The person uses the platform's own form of a command (slash command, bot command,
        typed).
        """

    def screen(self, place: Place) -> Sequence[str]:
        """The agent's messages in this place as they stand now, oldest first, text as a
        person reads it (formatting marks may be gone)."""

    def revisions(self, place: Place) -> int:
        """How often the platform showed a new state of the agent's messages here (sends,
        edits, appends).
        """

    def typing(self, place: Place) -> int:
        """How often the agent showed that it is at work here (typing, status)."""

    def limit_chat(
        self,
        place: Place,
        *,
        retry_after: float,
        times: int,
    ) -> None:
        """The next `times` outbound calls to this chat are answered with the platform's
        rate limit.
        """

    def fail_next(self, place: Place, *, times: int = 1) -> None:
        """The next `times` outbound calls to this chat fail with the platform's internal error."""

    def early_calls(self) -> int:
        """How many calls came before a Retry-After was over."""

    def unacknowledged(self) -> int:
        """Deliveries that the agent has not acknowledged yet."""
