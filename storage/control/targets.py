"""For whom an operator sets a flag, as typed and as stored."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.control.rules import (
    GLOBAL,
    KILL,
    PERCENTAGE,
    Audience,
    channel_scope,
    chat_scope,
    person_scope,
)
from agent.core.errors import Rejected
from agent.core.text import is_text
from storage.control import STATEMENTS
from storage.control.channel_settings import CHANNELS


@dataclass(frozen=True, slots=True)
class RuleTarget:
    """One scope of a rule; nothing given: everybody. `chat` goes with `channel`.

    `person` is an account as `channel:id`, or the id of a person. `percentage` is of all
    people, split by `salt`.
    """

    person: str | None = None
    channel: str | None = None
    chat: str | None = None
    percentage: float | None = None
    salt: str | None = None
    kill: bool = False


def check_rule(target: RuleTarget) -> None:
    """Raises Rejected for what is no one scope, whatever the stores know."""
    _check_chat(target)
    given = [
        target.person is not None,
        target.channel is not None,
        target.percentage is not None,
        target.kill,
    ]
    if sum(given) > 1:
        raise Rejected(
            "A rule is for one of --person, --channel, --percentage and --kill. "
            "Set one after the other."
        )
    if target.salt is not None and target.percentage is None:
        raise Rejected("A salt goes with a percentage. Name both.")


async def scope_of(connection: AsyncConnection, target: RuleTarget) -> str:
    """The stored scope. Raises Rejected for more than one, an unknown channel or an unknown
    person.
    """
    check_rule(target)
    who = await audience_of(connection, target)
    if who.person is not None:
        return person_scope(who.person)
    if who.channel is not None:
        return (
            chat_scope(who.channel, who.chat)
            if who.chat is not None
            else channel_scope(who.channel)
        )
    return (
        KILL if target.kill else PERCENTAGE if target.percentage is not None else GLOBAL
    )


async def audience_of(connection: AsyncConnection, target: RuleTarget) -> Audience:
    """Whom the target names. Raises Rejected for who or what is not known."""
    _check_chat(target)
    if target.channel is not None:
        await _check_channel(connection, target.channel)
    person = None if target.person is None else await _person(connection, target.person)
    return Audience(person, target.channel, target.chat)


def _check_chat(target: RuleTarget) -> None:
    if target.chat is not None and target.channel is None:
        raise Rejected("A chat is named with its channel. Add --channel.")
    if target.chat is not None and not (
        0 < len(target.chat) <= 255 and target.chat.isprintable()
    ):
        raise Rejected(
            "A chat is named by the platform's id of it, at most 255 characters."
        )


async def _check_channel(connection: AsyncConnection, channel: str) -> None:
    known = {
        *CHANNELS,
        *(await connection.scalars(text(STATEMENTS["known_channels"]))).all(),
    }
    if channel not in known:
        raise Rejected(
            f"There is no such channel. There are: {', '.join(sorted(known))}."
        )


async def _person(connection: AsyncConnection, named: str) -> UUID:
    channel, _, account = named.partition(":")
    try:
        identifier = UUID(named)
    except ValueError:
        identifier = UUID(int=0)
    if not is_text(named):
        raise Rejected(_NOBODY)
    found = await connection.scalar(
        text(STATEMENTS["find_person"]),
        {"id": identifier, "channel": channel, "account": account},
    )
    if found is None:
        if account:
            await _check_channel(connection, channel)
        raise Rejected(_NOBODY)
    return UUID(str(found))


_NOBODY = (
    "Nobody of this name ever wrote. Name a person by an account, as in "
    "discord:80351110224678912, or by the id."
)
