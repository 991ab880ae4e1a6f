"""For whom an operator sets a flag, as typed and as stored."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from agent.control.named_rules import PREFIX
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
from agent.core.remedies import Amend
from agent.core.text import did_you_mean, is_text
from storage.connecting.connection import Connection
from storage.control import STATEMENTS
from storage.control.channel_settings import CHANNELS


class RuleTarget(Struct, frozen=True):
    """The scope of a rule as an operator names it. Nothing named: everybody."""

    person: str | None = None
    """An account as `channel:id`, or the id of a person."""
    channel: str | None = None
    chat: str | None = None
    """Goes with `channel`."""
    percentage: float | None = None
    """Of all people, split by `salt`."""
    salt: str | None = None
    kill: bool = False
    rule: str | None = None
    """The name of a named rule (storage/control/named_targets.py makes them)."""


def check_rule(target: RuleTarget) -> None:
    """Raises Rejected for anything but one scope; asks no store."""
    _check_chat(target)
    named = [
        target.person is not None,
        target.channel is not None,
        target.percentage is not None,
        target.kill,
        target.rule is not None,
    ]

    if sum(named) > 1:
        raise Rejected(
            "A rule has one scope.",
            Amend("choose", ("person", "channel", "percentage", "kill", "rule")),
        )
    if target.salt is not None and target.percentage is None:
        raise Rejected("A salt goes with a percentage. Name both.")


async def scope_of(connection: Connection, target: RuleTarget) -> str:
    """The scope as it is stored.

    Raises Rejected for more than one, and for an unknown channel or person.
    """
    check_rule(target)
    audience = await audience_of(connection, target)

    if audience.person is not None:
        return person_scope(audience.person)
    if audience.channel is not None and audience.chat is not None:
        return chat_scope(audience.channel, audience.chat)
    if audience.channel is not None:
        return channel_scope(audience.channel)
    if target.kill:
        return KILL
    if target.rule is not None:
        return PREFIX + target.rule

    return GLOBAL if target.percentage is None else PERCENTAGE


def target_of(scope: str) -> RuleTarget:
    """The target whose rule is stored under this scope. Raises Rejected for no scope."""
    kind, _, rest = scope.partition(":")
    place = rest.partition(":")

    match kind:
        case "person" if rest:
            return RuleTarget(person=rest)
        case "chat" if place[2]:
            return RuleTarget(channel=place[0], chat=place[2])
        case "channel" if rest:
            return RuleTarget(channel=rest)
        case "rule" if rest:
            return RuleTarget(rule=rest)

    plain = {
        KILL: RuleTarget(kill=True),
        PERCENTAGE: RuleTarget(percentage=0.0),
        GLOBAL: RuleTarget(),
    }
    if scope not in plain:
        raise Rejected("There is no such rule.")

    return plain[scope]


async def audience_of(connection: Connection, target: RuleTarget) -> Audience:
    """The people whom the target names. Raises Rejected for an unknown person or channel."""
    _check_chat(target)
    if target.channel is not None:
        await _check_channel(connection, target.channel)

    person = (
        None if target.person is None else await _person(connection, target.person)
    )

    return Audience(person, target.channel, target.chat)


def _check_chat(target: RuleTarget) -> None:
    if target.chat is None:
        return
    if target.channel is None:
        raise Rejected(
            "A chat is named with its channel.", Amend("add", ("channel",))
        )
    if not 0 < len(target.chat) <= 255 or not target.chat.isprintable():
        raise Rejected(
            "A chat is named by the platform's id of it, at most 255 characters."
        )


async def _check_channel(connection: Connection, channel: str) -> None:
    stored = await connection.scalars(STATEMENTS["known_channels"])
    known = {*CHANNELS, *stored}

    if channel not in known:
        raise Rejected(
            f"There is no such channel.{did_you_mean(channel, known)} "
            f"There are: {', '.join(sorted(known))}."
        )


async def _person(connection: Connection, named: str) -> UUID:
    channel, _, account = named.partition(":")
    try:
        identifier = UUID(named)
    except ValueError:
        identifier = UUID(int=0)
    if not is_text(named):
        raise Rejected(_NOBODY)

    wanted = {"id": identifier, "channel": channel, "account": account}
    found = await connection.scalar(STATEMENTS["find_person"], wanted)
    if found is None and account:
        await _check_channel(connection, channel)
    if found is None:
        raise Rejected(_NOBODY)

    return UUID(str(found))


_NOBODY = (
    "No such person has sent a message. Name a person by an account, as in "
    "discord:80351110224678912, or by the id."
)


def moment(typed: str) -> datetime:
    """A moment as an operator types it, in their time zone if it names none. Raises Rejected."""
    try:
        return datetime.fromisoformat(typed).astimezone()
    except (ValueError, OverflowError, OSError):
        raise Rejected(
            "A moment looks like 2026-03-01T14:00, with +01:00 or Z for a time zone."
        ) from None
