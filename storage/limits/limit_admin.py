"""Everything an operator does with people's rate limits: each a function that the command
line and the console call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.errors import Rejected, StoreUnavailable
from agent.core.limits import PER_PERSON, Allowance, Limit, Rule
from storage.control.audit import Author
from storage.control.changes import changing, expect, version_of
from storage.control.channel_settings import CHANNELS, read_settings
from storage.control.targets import RuleTarget, audience_of
from storage.limits import STATEMENTS
from storage.limits.limiter import OWN_MACHINE, allowance, personal_rules
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction


@dataclass(frozen=True, slots=True)
class LimitView:
    """One limit. `limit` is what holds; "off": none."""

    scope: str  # user, chat, channel
    subject: str  # a channel, or an account as channel:id
    limit: Allowance
    default: bool  # nobody set it
    used: int | None = None  # of an account's limit, now; None: Redis did not say
    version: int | None = (
        None  # of the person's limit, where it was asked for one person
    )


@dataclass(frozen=True, slots=True)
class LimitChanged:
    """What a change of a person's own limit did; None: the channel's holds."""

    before: str | None
    after: str | None
    version: int


class LimitAdmin:
    """The operator's side of rate limits. `per_person` holds where nothing is set."""

    def __init__(
        self, database: Database, pipe: RedisPipe, per_person: Limit = PER_PERSON
    ) -> None:
        self._database = database
        self._pipe = pipe
        self._per_person = per_person

    async def list(self) -> Sequence[LimitView]:
        """What holds on each channel, and for people who have a limit of their own."""
        async with transaction(self._database) as connection:
            channels = await self._channels(connection)
            people = [
                LimitView(
                    "user", f"{channel}:{account}", allowance(wanted), default=False
                )
                for channel, account, wanted in await connection.execute(
                    text(STATEMENTS["personal_limits"])
                )
            ]
        return [*channels, *people]

    async def person(self, named: str) -> Sequence[LimitView]:
        """What holds for each account of a person, and how much of it is used now. Raises
        Rejected for nobody.
        """
        person, views = await self._accounts(named)
        return [
            replace(
                view,
                used=await self._used(personal_rules(view.subject, person, view.limit)),
            )
            for view in views
        ]

    async def set(
        self,
        named: str,
        wanted: str | None,
        author: Author,
        *,
        expected: int | None = None,
    ) -> LimitChanged:
        """Sets the limit of a person on all their accounts (`10/minute`, `off`); None: the
        channel's holds again.

        Raises Rejected, and Conflict when the person's limit is no longer at version `expected`.
        """
        limit = _parsed(wanted)
        async with changing(self._database, self._pipe, author) as change:
            person = await _person(change.connection, named)
            await expect(
                change.connection,
                _subject(person),
                expected,
                called=f"The limit of {named}",
            )
            rows = (
                await change.connection.execute(
                    text(STATEMENTS["lock_limits_of_person"]), {"person": person}
                )
            ).all()
            before = next((row[2] for row in rows if row[2]), None)
            after = str(limit) if limit else None
            if any(row[2] != after for row in rows):
                await change.connection.execute(
                    text(STATEMENTS["set_limit_of_person"]),
                    {"person": person, "limit": after},
                )
                await change.record(
                    "limit.set", _subject(person), before=before, after=after
                )
            return LimitChanged(
                before, after, await version_of(change.connection, _subject(person))
            )

    async def reset(self, named: str, author: Author) -> None:
        """Lets a person speak again at once. Raises Rejected for nobody, StoreUnavailable
        when Redis is away.
        """
        person, views = await self._accounts(named)
        rules = [
            rule
            for view in views
            for rule in personal_rules(view.subject, person, view.limit)
        ]
        keys = [key for rule in rules for key in (rule.key, rule.told_key)]
        async with changing(
            self._database, self._pipe, author
        ) as change:  # its epoch clears the instances' shadows
            if keys and await self._pipe.send(("DEL", *keys)) is None:
                raise StoreUnavailable(
                    "Redis does not answer; nothing was reset. Try again when it is back."
                )
            await change.record(
                "limit.reset", _subject(person), before=None, after=None
            )

    async def _channels(self, connection: AsyncConnection) -> Sequence[LimitView]:
        rows = {
            row[0]: read_settings(row[1], row[2])
            for row in await connection.execute(
                text(STATEMENTS["settings_of_channels"])
            )
        }
        views = []
        for name in sorted({*CHANNELS, *rows}):
            settings = rows.get(name) or read_settings(None, {})
            default: Allowance = "off" if name == OWN_MACHINE else self._per_person
            views.append(
                LimitView(
                    "user",
                    name,
                    settings.user_limit or default,
                    default=not settings.user_limit,
                )
            )
            for scope, limit in (
                ("chat", settings.chat_limit),
                ("channel", settings.channel_limit),
            ):
                views.append(LimitView(scope, name, limit or "off", default=not limit))
        return views

    async def _accounts(self, named: str) -> tuple[UUID, Sequence[LimitView]]:
        """A person and what holds for each of their accounts. Raises Rejected for nobody."""
        async with transaction(self._database) as connection:
            channels = {
                view.subject: view.limit
                for view in await self._channels(connection)
                if view.scope == "user"
            }
            person = await _person(connection, named)
            rows = (
                await connection.execute(
                    text(STATEMENTS["limits_of_person"]), {"person": person}
                )
            ).all()
            version = await version_of(connection, _subject(person))
        views = []
        for channel, account, wanted in rows:
            own = allowance(wanted)
            holds = own or channels.get(channel, self._per_person)
            views.append(
                LimitView(
                    "user",
                    f"{channel}:{account}",
                    holds,
                    default=own is None,
                    version=version,
                )
            )
        return person, views

    async def _used(self, rules: Sequence[Rule]) -> int | None:
        """Of the rule of which most is used; None: Redis did not say."""
        replies = await self._pipe.send(
            ("TIME",), *(("GET", rule.key) for rule in rules)
        )
        if replies is None:
            return None
        (seconds, micros), *moments = replies
        now = int(seconds) + int(micros) / 1e6
        used = (
            ((int(at) / 1e6 if at else now) - now) / rule.limit.interval
            for rule, at in zip(rules, moments, strict=True)
        )
        return max([0, *map(math.ceil, used)])


async def _person(connection: AsyncConnection, named: str) -> UUID:
    person: Any = (await audience_of(connection, RuleTarget(person=named))).person
    return UUID(str(person))


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
