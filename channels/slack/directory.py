"""What Slack says about people and threads, remembered for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cachetools import LRUCache, TLRUCache
from msgspec import Struct

from agent.core.errors import DeliveryError
from channels.fields import first_text, items, mapping, text
from channels.pacing import RateLimited
from channels.slack.api import GONE, ApiError, SlackApi
from channels.slack.sign_in import Identity
from channels.slack.text import mentioned
from channels.unreadable import READING

_PEOPLE = 10_000
_THREADS = 10_000
_NAME_S = 3600.0
_NO_NAME_S = 60.0
_NAME_WAIT_S = 1.0  # the acknowledgement, which is due within 3 s, matters more
_PART_S = 24 * 3600.0
_NO_PART_S = 60.0  # another instance may be mentioned in the meantime
_REPLIES = 100


class Person(Struct, frozen=True):
    """An account. The defaults stand when Slack does not answer at once."""

    name: str = ""
    bot: bool = False


class Directory:
    """Display names, and which accounts are bots."""

    def __init__(self, api: SlackApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._people: TLRUCache[str, Person] = TLRUCache(
            _PEOPLE, _person_until, clock
        )

    async def person(self, user: str) -> Person:
        """The account with this id."""
        known = self._people.get(user)
        if known is None:
            known = self._people[user] = await self._ask(user)

        return known

    async def name(self, user: str) -> str | None:
        """The person's display name; None when Slack does not answer at once."""
        return (await self.person(user)).name or None

    async def names(self, users: Sequence[str]) -> Mapping[str, str | None]:
        """The names of several people."""
        found = await asyncio.gather(*(self.name(user) for user in users))
        return dict(zip(users, found, strict=True))

    async def _ask(self, user: str) -> Person:
        try:
            async with asyncio.timeout(_NAME_WAIT_S):
                answer = await self._api.call("users.info", user=user)
        except (DeliveryError, RateLimited, TimeoutError, *READING):
            return Person()

        person = mapping(answer, "user")
        name = text(mapping(person, "profile"), "display_name") or first_text(
            person,
            "real_name",
            "name",
        )

        return Person(name, bot=person.get("is_bot") is True)


class Threads:
    """The threads in which the agent takes part: there it answers without a mention."""

    def __init__(self, api: SlackApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._known: TLRUCache[tuple[str, str], bool] = TLRUCache(
            _THREADS, _part_until, clock
        )
        self._first: LRUCache[tuple[str, str], str] = LRUCache(_THREADS)

    def joined(self, chat: str, thread: str, message: str) -> bool:
        """The agent was addressed in this thread. Returns whether this message, which may
        come again, was the first to do so.
        """
        key = chat, thread
        if not self._known.get(key):
            self._first[key] = message
        self._known[key] = True

        return self._first.get(key) == message

    async def taken_part(self, me: Identity, chat: str, thread: str) -> bool:
        """Whether the agent was mentioned or has written in this thread.

        Raises ApiError or RateLimited when Slack cannot be asked: then the message must
        come again.
        """
        known = self._known.get((chat, thread))
        if known is None:
            known = self._known[chat, thread] = await self._ask(me, chat, thread)

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

        return any(concerns(me, message) for message in items(answer, "messages"))


def _person_until(_user: str, person: Person, now: float) -> float:
    return now + (_NAME_S if person.name else _NO_NAME_S)


def _part_until(_thread: tuple[str, str], takes_part: bool, now: float) -> float:
    return now + (_PART_S if takes_part else _NO_PART_S)


def concerns(me: Identity, message: Mapping[str, Any]) -> bool:
    """Whether the agent wrote this, or is mentioned in it."""
    return message.get("user") == me.user or me.user in mentioned(
        text(message, "text")
    )
