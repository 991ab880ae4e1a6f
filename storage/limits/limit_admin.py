"""Everything an operator does with people's rate limits; the command line and the console
call it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Rejected, StoreUnavailable
from agent.core.limits import PER_PERSON, Allowance, Limit, Rule
from agent.core.text import is_text
from storage.connecting.connection import Connection
from storage.control.audit import Author
from storage.control.changes import changing, expect, version_of
from storage.control.channel_settings import CHANNELS, read_settings
from storage.control.targets import RuleTarget, audience_of
from storage.limits import STATEMENTS
from storage.limits.limiter import OWN_MACHINE, allowance, personal_rules
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction


class LimitView(Struct, frozen=True):
    """One limit as it holds."""

    scope: str
    """user, chat or channel."""
    subject: str
    """A channel, or an account as `channel:id`."""
    limit: Allowance
    """"off": none."""
    default: bool
    """Whether nobody set it."""
    used: int | None = None
    """Of an account's limit, now; None: Redis did not answer."""
    version: int | None = None
    """Of the person's limit, where one person was asked for."""


class LimitChanged(Struct, frozen=True):
    """A person's own limit before and after a change; None: the channel's holds."""

    before: str | None
    after: str | None
    version: int


class LimitAdmin:
    """The operator's side of rate limits."""

    def __init__(
        self,
        database: Database,
        pipe: RedisPipe,
        per_person: Limit = PER_PERSON,
    ) -> None:
        """`per_person` holds where nothing is set."""
        self._database = database
        self._pipe = pipe
        self._per_person = per_person

    async def list(
        self,
        *,
        words: str = "",
        most: int | None = None,
    ) -> Sequence[LimitView]:
        """What holds on each channel, and for people who have a limit of their own.

        `words`: only people with this in their account. `most`: people at most; None: all.
        """
        known = is_text(words)
        values = {
            "words": words.lower() or None if known else None,
            "most": most if known else 0,
        }
        async with transaction(self._database) as connection:
            channels = await self._channels(connection)
            listed = STATEMENTS["listed_personal_limits"]
            rows = await connection.execute(listed, values)
            people = [
                LimitView(
                    "user", f"{channel}:{account}", allowance(own), default=False
                )
                for channel, account, own in rows
            ]

        return [*channels, *people]

    async def person(self, named: str) -> Sequence[LimitView]:
        """What holds for each account of a person, and how much of it is used now.

        Raises Rejected for an unknown person.
        """
        person, views = await self._accounts(named)
        counted = []

        for view in views:
            rules = personal_rules(view.subject, person, view.limit)
            counted.append(replace(view, used=await self._used(rules)))

        return counted

    async def set(
        self,
        named: str,
        wanted: str | None,
        author: Author,
        *,
        expected: int | None = None,
    ) -> LimitChanged:
        """Sets the limit of a person on all their accounts (`10/minute`, `off`).

        None: the channel's holds again. Raises Rejected, and Conflict when the person's
        limit is no longer at version `expected`.
        """
        limit = _parsed(wanted)

        async with changing(self._database, self._pipe, author) as change:
            person = await _person(change.connection, named)
            subject, called = _subject(person), f"The limit of {named}"
            await expect(change.connection, subject, expected, called=called)

            lock = STATEMENTS["lock_limits_of_person"]
            rows = await change.connection.execute(lock, {"person": person})
            before = next((row[2] for row in rows if row[2]), None)
            after = str(limit) if limit else None

            if any(row[2] != after for row in rows):
                values = {"person": person, "limit": after}
                write = STATEMENTS["set_limit_of_person"]
                await change.connection.execute(write, values)
                await change.record("limit.set", subject, before=before, after=after)
            version = await version_of(change.connection, subject)

            return LimitChanged(before, after, version)

    async def reset(self, named: str, author: Author) -> None:
        """Lets a person speak again at once.

        Raises Rejected for an unknown person, and StoreUnavailable when Redis is away.
        """
        person, views = await self._accounts(named)
        rules = [
            rule
            for view in views
            for rule in personal_rules(view.subject, person, view.limit)
        ]
        keys = [key for rule in rules for key in (rule.key, rule.told_key)]

        # the change's epoch clears the shadow counts of all instances
        async with changing(self._database, self._pipe, author) as change:
            if keys and await self._pipe.send(("DEL", *keys)) is None:
                raise StoreUnavailable(
                    "Redis does not answer; nothing was reset. Try again when it is back."
                )
            subject = _subject(person)
            await change.record("limit.reset", subject, before=None, after=None)

    async def _channels(self, connection: Connection) -> Sequence[LimitView]:
        found = await connection.execute(STATEMENTS["settings_of_channels"])
        rows = {row[0]: read_settings(row[1], row[2]) for row in found}
        views = []

        for name in sorted({*CHANNELS, *rows}):
            settings = rows.get(name) or read_settings(None, {})
            default: Allowance = "off" if name == OWN_MACHINE else self._per_person
            limits: tuple[tuple[str, Allowance, Allowance], ...] = (
                ("user", settings.user_limit, default),
                ("chat", settings.chat_limit, "off"),
                ("channel", settings.channel_limit, "off"),
            )
            views += [
                LimitView(scope, name, limit or fallback, default=not limit)
                for scope, limit, fallback in limits
            ]

        return views

    async def _accounts(self, named: str) -> tuple[UUID, Sequence[LimitView]]:
        """A person and what holds for each of their accounts.

        Raises Rejected for an unknown person.
        """
        async with transaction(self._database) as connection:
            channels = {
                view.subject: view.limit
                for view in await self._channels(connection)
                if view.scope == "user"
            }
            person = await _person(connection, named)
            own_limits = STATEMENTS["limits_of_person"]
            rows = await connection.execute(own_limits, {"person": person})
            version = await version_of(connection, _subject(person))

        views = []
        for channel, account, stored in rows:
            own = allowance(stored)
            view = LimitView(
                "user",
                f"{channel}:{account}",
                own or channels.get(channel, self._per_person),
                default=own is None,
                version=version,
            )
            views.append(view)

        return person, views

    async def _used(self, rules: Sequence[Rule]) -> int | None:
        """How much is used of the rule that is used most; None: Redis did not answer."""
        reads = [("GET", rule.key) for rule in rules]
        replies = await self._pipe.send(("TIME",), *reads)
        if replies is None:
            return None

        (seconds, micros), *moments = replies
        now = int(seconds) + int(micros) / 1e6
        used = (
            ((int(at) / 1e6 if at else now) - now) / rule.limit.interval
            for rule, at in zip(rules, moments, strict=True)
        )

        return max([0, *map(math.ceil, used)])


async def _person(connection: Connection, named: str) -> UUID:
    audience = await audience_of(connection, RuleTarget(person=named))

    return UUID(str(audience.person))


def _subject(person: UUID) -> str:
    return f"person:{person}"


def _parsed(wanted: str | None) -> Allowance:
    if wanted is None:
        return None
    if wanted.strip().lower() == "off":
        return "off"

    try:
        return Limit.parse(wanted)
    except ValueError as error:
        raise Rejected(
            f"{wanted!r} is no limit: {error}. Correct it, or say off."
        ) from None
