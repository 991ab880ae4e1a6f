"""Rules with a name: several conditions at once, or a start or an end. Pure: the caller brings
the clock.

A named rule is asked directly before the plain rule of its narrowest condition, so that the
narrowest rule decides as ever. Several of one place are asked by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from agent.control.buckets import bucket_of, edge
from agent.control.flags import NAME
from agent.core.errors import Rejected

PREFIX = "rule:"
"""Scopes of named rules: `rule:<name>`."""

NAMED = "named"
"""The key of a flag's named rules, ready to be asked. It has no row among the flags."""

MAX_NAMED_RULES = 20
"""Named rules of one flag: each is looked at when the flag is asked."""

MAX_PEOPLE = 1000
"""People in the list of one rule."""


class Conditions(Struct, frozen=True):
    """For whom and when a rule is. All of them must hold."""

    kill: bool = False
    """Everybody, whatever else is set."""
    people: frozenset[UUID] = frozenset()
    """Empty: all."""
    channels: frozenset[str] = frozenset()
    """Empty: all."""
    chat: str | None = None
    """On the only channel."""
    share: float | None = None
    """Percent of those for whom the rest holds."""
    salt: str = ""
    """Splits people for the share."""
    starts: datetime | None = None
    ends: datetime | None = None
    """The first moment at which it no longer holds."""

    @property
    def level(self) -> str:
        """The plain rule that it is asked before."""
        if self.kill:
            return "kill"
        if self.people:
            return "person"
        if self.chat is not None:
            return "chat"
        if self.channels:
            return "channel"

        return "global" if self.share is None else "percentage"

    @property
    def is_timed(self) -> bool:
        return self.starts is not None or self.ends is not None

    def may_hold(self, person: UUID | None, channel: str | None) -> bool:
        """Whether the other conditions are worth a look: asked of every rule, so it is short."""
        if self.channels and channel not in self.channels:
            return False

        return not self.people or person in self.people

    def missed(self, now: datetime) -> datetime | None:
        """The start that is not reached, or the end that is past; None: it is its time."""
        if self.starts is not None and now < self.starts:
            return self.starts
        if self.ends is not None and now >= self.ends:
            return self.ends

        return None

    def inside(self, person: UUID) -> tuple[int, bool]:
        """The person's bucket, and whether it is in the share."""
        bucket = bucket_of(self.salt, person)

        return bucket, bucket < edge(100.0 if self.share is None else self.share)


class NamedRule(Struct, frozen=True):
    """A value, and the conditions under which it holds."""

    name: str
    value: Any
    conditions: Conditions | None
    """None: of another version, or written by hand. Such a rule never decides."""

    @property
    def scope(self) -> str:
        return PREFIX + self.name

    @property
    def level(self) -> str:
        return self.conditions.level if self.conditions else "global"


NamedRules = Mapping[str, tuple[NamedRule, ...]]
"""By the plain rule that they are asked before."""


def check_named(rule: NamedRule, now: datetime) -> None:
    """Raises Rejected with one sentence when the rule cannot be, or can never hold."""
    conditions = rule.conditions
    if conditions is None or not NAME.fullmatch(rule.name):
        raise Rejected(
            "A rule's name is a-z, 0-9 and _, begins with a letter and has at most "
            "63 characters."
        )

    _check_places(conditions)
    _check_share(conditions)
    _check_times(conditions, now)


def _check_places(conditions: Conditions) -> None:
    narrowed = (
        conditions.people or conditions.channels or conditions.share is not None
    )
    if conditions.kill and narrowed:
        raise Rejected(
            "A kill switch is for everybody. Leave the other conditions out."
        )
    if conditions.chat is not None and len(conditions.channels) != 1:
        raise Rejected("A chat is named with its one channel.")
    if len(conditions.people) > MAX_PEOPLE:
        raise Rejected(
            f"A rule is for at most {MAX_PEOPLE} people. Make a second rule."
        )


def _check_share(conditions: Conditions) -> None:
    share = conditions.share
    if share is None:
        return
    if not 0 < share <= 100 or round(share, 3) != share:
        raise Rejected(
            "The share of a rule is above 0 and at most 100 percent, with at most three "
            "decimals: with 0 it would never hold."
        )
    if not (0 < len(conditions.salt) <= 100 and conditions.salt.isprintable()):
        raise Rejected("A salt has 1 to 100 printable characters.")


def _check_times(conditions: Conditions, now: datetime) -> None:
    starts, ends = conditions.starts, conditions.ends
    if any(moment and moment.tzinfo is None for moment in (starts, ends)):
        raise Rejected(
            "A start or end has a time zone. Add it, as in 2026-03-01T14:00+01:00."
        )
    if ends is None:
        return
    if starts is not None and starts >= ends:
        raise Rejected("The rule starts after its end. Correct one of the two.")
    if ends <= now:
        raise Rejected("The end of the rule is past, so that it would never hold.")


def definition_of(rule: NamedRule) -> dict[str, Any]:
    """What is stored of it, without its name: the value, and the conditions that are set."""
    conditions = rule.conditions or Conditions()
    starts, ends = conditions.starts, conditions.ends
    shared = conditions.share is not None
    parts = {
        "kill": conditions.kill or None,
        "people": sorted(map(str, conditions.people)) or None,
        "channels": sorted(conditions.channels) or None,
        "chat": conditions.chat,
        "share": conditions.share,
        "salt": conditions.salt if shared else None,
        "starts": starts and starts.isoformat(),
        "ends": ends and ends.isoformat(),
    }

    return {
        "value": rule.value,
        **{part: value for part, value in parts.items() if value is not None},
    }


_PARTS = frozenset(
    ("value", "kill", "people", "channels", "chat", "share", "salt", "starts", "ends")
)


def read_named(name: str, stored: Any) -> NamedRule:
    """A rule as it is stored. Without conditions if this version cannot read them."""
    try:
        rule = NamedRule(name, stored["value"], _conditions(stored))
        if set(stored) <= _PARTS:
            return rule
    except (KeyError, TypeError, ValueError, AttributeError):
        pass

    return NamedRule(name, None, None)


def _conditions(stored: Mapping[str, Any]) -> Conditions:
    chat, share, salt = (
        stored.get("chat"),
        stored.get("share"),
        stored.get("salt", ""),
    )
    if not isinstance(chat, str | None) or not isinstance(salt, str):
        raise TypeError
    if isinstance(share, bool) or not isinstance(share, int | float | None):
        raise TypeError

    return Conditions(
        stored.get("kill", False) is True,
        frozenset(UUID(person) for person in _texts(stored.get("people", []))),
        frozenset(_texts(stored.get("channels", []))),
        chat,
        None if share is None else float(share),
        salt,
        _moment(stored.get("starts")),
        _moment(stored.get("ends")),
    )


def _texts(values: object) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise TypeError

    return values


def _moment(written: str | None) -> datetime | None:
    if written is None:
        return None

    moment = datetime.fromisoformat(written)
    if moment.tzinfo is None:
        raise ValueError

    return moment


def named_in(rules: Mapping[str, Any]) -> NamedRules:
    """The named rules among a flag's rules; empty for most flags."""
    by_level: dict[str, tuple[NamedRule, ...]] = {}

    for rule in _sorted(rules):
        by_level[rule.level] = (*by_level.get(rule.level, ()), rule)

    return by_level


def has_times(rules: NamedRules) -> bool:
    """Whether one of them has a start or an end."""
    return any(
        rule.conditions is not None and rule.conditions.is_timed
        for level in rules.values()
        for rule in level
    )


def _sorted(rules: Mapping[str, Any]) -> Iterable[NamedRule]:
    for scope in sorted(rules):
        if scope.startswith(PREFIX):
            yield read_named(scope.removeprefix(PREFIX), rules[scope])


def without_person(
    stored: Mapping[str, Any], gone: UUID, stays: UUID
) -> dict[str, Any]:
    """A stored rule after two people became one: `stays` takes the place of `gone`."""
    people = {str(stays) if one == str(gone) else one for one in stored["people"]}

    return {**stored, "people": sorted(people)}


def described(stored: Any) -> str:
    """The conditions of a stored rule, for people."""
    conditions = read_named("rule", stored).conditions
    if conditions is None:
        return "of another version"

    share, chat = conditions.share, conditions.chat
    places = [
        f"{share:g} % (salt {conditions.salt})" if share is not None else "",
        _listed("people", map(str, conditions.people)),
        "on " + ", ".join(sorted(conditions.channels)) if conditions.channels else "",
        f"in chat {chat}" if chat is not None else "",
    ]
    who = " ".join(filter(None, places)) or ("" if conditions.kill else "everybody")
    times = [
        f"from {_shown(conditions.starts)}" if conditions.starts else "",
        f"until {_shown(conditions.ends)}" if conditions.ends else "",
    ]
    kill = "kill" if conditions.kill else ""

    return " ".join(filter(None, [kill, who, *times]))


def _listed(what: str, names: Iterable[str]) -> str:
    listed = sorted(names)
    if len(listed) > 2:
        return f"{len(listed)} {what}"

    return " and ".join(listed)


def _shown(moment: datetime) -> str:
    return moment.astimezone().isoformat(" ", "minutes")
