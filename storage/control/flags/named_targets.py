"""A named rule as an operator types it, and as it is stored."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from agent.control.named_rules import (
    Conditions,
    NamedRule,
    check_named,
    definition_of,
)
from agent.control.rules import Rules
from agent.core.errors import Rejected
from agent.core.remedies import Amend
from storage.connecting.connection import Connection
from storage.control.targets import RuleTarget, audience_of

_DURATION = re.compile(
    r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,4})m)?(?:(\d{1,6})s)?"
)


class NamedTarget(Struct, frozen=True):
    """Conditions of a rule as an operator names them; all must hold."""

    rule: str | None = None
    """Its name; None: after its conditions."""
    people: tuple[str, ...] = ()
    """Accounts as `channel:id`, or ids of people."""
    channels: tuple[str, ...] = ()
    chat: str | None = None
    """On the only channel."""
    percentage: float | None = None
    salt: str | None = None
    kill: bool = False
    starts: datetime | None = None
    ends: datetime | None = None

    @property
    def plain(self) -> RuleTarget | None:
        """The plain rule that says the same; None: this needs a name."""
        chosen = (
            len(self.people),
            len(self.channels),
            int(self.percentage is not None),
            int(self.kill),
        )
        if self.rule or self.starts or self.ends or sum(chosen) > 1:
            return None

        return RuleTarget(
            next(iter(self.people), None),
            next(iter(self.channels), None),
            self.chat,
            self.percentage,
            self.salt,
            self.kill,
        )


def check_target(target: NamedTarget) -> None:
    """Raises Rejected for what no store is needed to see."""
    if target.salt is not None and target.percentage is None:
        raise Rejected("A salt goes with a percentage. Name both.")
    if target.rule is None and len(target.people) > 1:
        raise Rejected(
            "A rule for several people needs a name.", Amend("add", ("rule",))
        )

    conditions = _conditions(target, frozenset())
    check_named(NamedRule(_name(target), None, conditions), datetime.now(UTC))


def _conditions(target: NamedTarget, people: frozenset[Any]) -> Conditions:
    return Conditions(
        target.kill,
        people,
        frozenset(target.channels),
        target.chat,
        target.percentage,
        target.salt or _name(target),
        target.starts,
        target.ends,
    )


def _name(target: NamedTarget) -> str:
    """Two rules with the same conditions have the same name, so that the later one replaces
    the earlier.
    """
    if target.rule is not None:
        return target.rule

    parts = [
        "kill" if target.kill else "",
        *target.people,
        *sorted(set(target.channels)),
        target.chat or "",
        "share" if target.percentage is not None else "",
    ]
    words = re.sub("[^a-z0-9]+", "_", " ".join(filter(None, parts)).lower())
    name = words.strip("_")[:60] or "everybody"

    return name if name[0].isalpha() else f"r_{name}"


async def named_rule(
    connection: Connection, name: str, target: NamedTarget, value: object
) -> tuple[str, dict[str, Any]]:
    """The scope of the rule of the flag `name`, and what is stored.

    Raises Rejected for an unknown channel or person, and for a rule that can never hold.
    """
    check_target(target)
    for channel in target.channels:
        await audience_of(connection, RuleTarget(channel=channel))

    people = [
        (await audience_of(connection, RuleTarget(person=one))).person
        for one in target.people
    ]
    conditions = _conditions(target, frozenset(filter(None, people)))
    rule = NamedRule(_name(target), value, conditions)
    stored = definition_of(rule)
    if target.percentage is not None and target.salt is None:
        stored["salt"] = f"{name}:{rule.name}"

    return rule.scope, stored


def keeping_salt(scope: str, stored: dict[str, Any], rules: Rules) -> dict[str, Any]:
    """The rule with the salt it had, so that a growing share loses nobody."""
    before = rules.get(scope)
    if not isinstance(before, dict) or not isinstance(before.get("salt"), str):
        return stored

    return {**stored, "salt": before["salt"]} if "salt" in stored else stored


def end_after(typed: str, starts: datetime | None) -> datetime:
    """The end of a duration such as `1h` or `2d12h`. Raises Rejected."""
    found = _DURATION.fullmatch(typed.strip().lower())
    if not found or not any(found.groups()):
        raise Rejected("A duration looks like 30m, 1h or 2d12h.")

    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    lasting = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not lasting:
        raise Rejected("A duration is longer than nothing, such as 30m or 1h.")

    return (starts or datetime.now(UTC)) + lasting
