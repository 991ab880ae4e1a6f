"""What Slack is asked about people and threads, and how long the answer is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.core.errors import DeliveryError
from channels.pacing import RateLimited
from channels.slack.api import GONE, ApiError, Recent, SlackApi
from channels.slack.text import mentioned

_PEOPLE = 10_000
_THREADS = 10_000
_NAME_S = 3600.0
_NO_NAME_S = 60.0
# a name is worth less than the acknowledgement, which is due within 3 s
_NAME_WAIT_S = 1.0
_PART_S = 24 * 3600.0
_NO_PART_S = 60.0  # another instance may have been mentioned in the meantime
_REPLIES = 100


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the agent is in this workspace, from auth.test."""

    user: str
    bot: str
    team: str


@dataclass(frozen=True, slots=True)
class Person:
    """What Slack says of an account; all that is unknown when it does not say so at once."""

    name: str = ""
    bot: bool = False


class Directory:
    """Display names, and who is none of the people."""

    def __init__(self, api: SlackApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._people: Recent[Person] = Recent(_PEOPLE, clock)

    async def person(self, user: str) -> Person:
        """Who this is."""
        known = self._people.get(user)
        if known is None:
            known = await self._ask(user)
            self._people.put(user, known, _NAME_S if known.name else _NO_NAME_S)

        return known

    async def name(self, user: str) -> str | None:
        """How this person is called, None when Slack does not say so at once."""
        return (await self.person(user)).name or None

    async def names(self, users: Sequence[str]) -> Mapping[str, str | None]:
        """The names of several people."""
        found = await asyncio.gather(*(self.name(user) for user in users))
        return dict(zip(users, found, strict=True))

    async def _ask(self, user: str) -> Person:
        try:
            async with asyncio.timeout(_NAME_WAIT_S):
                person = (await self._api.call("users.info", user=user)).get(
                    "user"
                ) or {}
        except (DeliveryError, RateLimited, TimeoutError):
            return Person()

        profile = person.get("profile") or {}
        name = (
            profile.get("display_name")
            or person.get("real_name")
            or person.get("name")
            or ""
        )

        return Person(str(name), bot=bool(person.get("is_bot")))


class Threads:
    """In which threads of channels the agent takes part: there it answers without being
    mentioned.
    """

    def __init__(self, api: SlackApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._known: Recent[bool] = Recent(_THREADS, clock)

    def joined(self, chat: str, thread: str) -> None:
        """The agent was addressed in this thread."""
        self._known.put((chat, thread), True, _PART_S)

    async def taken_part(self, me: Identity, chat: str, thread: str) -> bool:
        """Whether the agent was mentioned or has written in this thread.

        Raises ApiError or RateLimited when Slack cannot be asked: then the message must
        come again.
        """
        known = self._known.get((chat, thread))
        if known is None:
            known = await self._ask(me, chat, thread)
            self._known.put((chat, thread), known, _PART_S if known else _NO_PART_S)

        return known

    async def _ask(self, me: Identity, chat: str, thread: str) -> bool:
        try:
            answer = await self._api.call(
                "conversations.replies", channel=chat, ts=thread, limit=_REPLIES
            )
        except ApiError as error:
            if error.code in GONE or error.code == "missing_scope":
                return False

            raise

        return any(_concerns(me, message) for message in answer.get("messages") or ())


def _concerns(me: Identity, message: Mapping[str, Any]) -> bool:
    return message.get("user") == me.user or me.user in mentioned(
        str(message.get("text") or "")
    )
