"""Which of a flag's rules decides, and why each other one does not. Pure: no store.

Rules are asked in this order: kill switch, person, chat, channel, experiment, percentage,
global, default. The running experiment of a flag is one of its rules; it decides for a
person if no rule before it matches. A named rule is asked directly before the plain rule of
its narrowest condition (agent/control/named_rules.py).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct

from agent.control.buckets import BUCKETS, bucket_of, edge
from agent.control.experiments import Experiment, Variant
from agent.control.flags import Flag
from agent.control.named_rules import NAMED, Conditions, NamedRule, NamedRules
from agent.core.errors import Rejected

KILL, PERCENTAGE, GLOBAL, DEFINITION = "kill", "percentage", "global", "definition"
"""Scopes with one row per flag. `definition` is no rule: it describes a flag that an operator
made.
"""

ABOUT = "about"
"""The scope of a flag's owner and tags. It is no rule either."""

NO_RULE = (DEFINITION, ABOUT)
"""Scopes that decide nothing."""

EXPERIMENT = "experiment"
"""The scope of a flag's running experiment. It has no row among the flags."""


def person_scope(person: UUID) -> str:
    return f"person:{person}"


def chat_scope(channel: str, chat: str) -> str:
    return f"chat:{channel}:{chat}"


def channel_scope(channel: str) -> str:
    return f"channel:{channel}"


class Audience(Struct, frozen=True, dict=True):
    """The people and places that a flag is evaluated for."""

    person: UUID | None = None
    """One human, whatever account is used."""
    channel: str | None = None
    chat: str | None = None

    @cached_property
    def asked(self) -> tuple[tuple[str, str | None], ...]:
        """The rules in their order, each with its scope. None: person or place is unknown."""
        person, channel, chat = self.person, self.channel, self.chat

        return (
            ("kill", KILL),
            ("person", person_scope(person) if person else None),
            ("chat", chat_scope(channel, chat) if channel and chat else None),
            ("channel", channel_scope(channel) if channel else None),
            ("experiment", EXPERIMENT),
            ("percentage", PERCENTAGE),
            ("global", GLOBAL),
        )


EVERYBODY = Audience()


class Outcome(enum.Enum):
    """What became of a rule."""

    MATCHED = "it matches"
    UNSET = "it is not set"
    UNNAMED = "it needs a person, channel or chat that was not given"
    ELSEWHERE = "it is not for this channel"
    OTHER_CHAT = "it is not for this chat"
    OTHER_PERSON = "it is not for this person"
    EARLY = "it has not started"
    OVER = "it has ended"
    OUTSIDE = "this person is outside the share"
    LEAVES = "this person's variant leaves the flag to the next rules"
    INVALID = "its value is not one of this flag"


class Step(NamedTuple):
    """One rule, and what became of it."""

    rule: str
    """kill, person, chat, channel, experiment, percentage, global, default or named."""
    scope: str
    """The stored scope that was looked up; `experiment:<name>`, `rule:<name>`."""
    outcome: Outcome
    value: Any = None
    bucket: int | None = None
    """Of the person, if there is a share."""
    share: float | None = None
    """Percent of all people."""
    variant: str | None = None
    """Of the person in the flag's experiment, if that was asked."""
    moment: datetime | None = None
    """The start or end of a named rule that does not hold now."""

    @property
    def sentence(self) -> str:
        """Why it matched or did not, for people."""
        outcome = self.outcome.value
        if self.bucket is not None and self.share is not None:
            inside = f"{self.share:g} % are {edge(self.share)}"
            return f"{outcome}: bucket {self.bucket} of {BUCKETS}, {inside}"
        if self.moment is not None:
            return f"{outcome}: {self.moment.astimezone().isoformat(' ', 'seconds')}"

        return f"{outcome}: variant {self.variant}" if self.variant else outcome


Rules = Mapping[str, Any]
"""What operators set for one flag: by scope."""

NO_RULES: Rules = {}


Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def resolve(
    flag: Flag[Any], rules: Rules, audience: Audience, clock: Clock = utc_now
) -> Step:
    """The rule that decides. A value of None leaves it to the caller's own setting.

    Its `variant` is also set if that left the flag to a later rule: such a person takes part
    in the experiment, too.
    """
    variant = None
    named: NamedRules = rules.get(NAMED, NO_RULES)
    for rule, scope in audience.asked:
        if named and rule in named:
            found = _first_named(flag, named[rule], audience, clock)
            if found is not None:
                return _with_variant(found, variant)
        if scope in rules:
            step = _step(flag, rules, audience, rule, scope)
            if step.outcome is Outcome.MATCHED:
                return _with_variant(step, variant)

            variant = step.variant or variant

    return _with_variant(_default(flag), variant)


def _first_named(
    flag: Flag[Any], rules: Sequence[NamedRule], audience: Audience, clock: Clock
) -> Step | None:
    """The first of these rules that matches. A step is made only of one that may."""
    for rule in rules:
        conditions = rule.conditions
        if conditions and conditions.may_hold(audience.person, audience.channel):
            step = _named(flag, rule, audience, clock)
            if step.outcome is Outcome.MATCHED:
                return step

    return None


def steps(
    flag: Flag[Any], rules: Rules, audience: Audience, clock: Clock = utc_now
) -> Iterator[Step]:
    """All rules in their order, also those after the one that decides."""
    named: NamedRules = rules.get(NAMED, {})
    for rule, scope in audience.asked:
        for one in named.get(rule, ()):
            yield _named(flag, one, audience, clock)
        yield _step(flag, rules, audience, rule, scope)

    yield _default(flag)


def _with_variant(step: Step, variant: str | None) -> Step:
    return step if variant is None else step._replace(variant=variant)


def _default(flag: Flag[Any]) -> Step:
    return Step("default", "default", Outcome.MATCHED, flag.default)


def _step(
    flag: Flag[Any], rules: Rules, audience: Audience, rule: str, scope: str | None
) -> Step:
    if scope is None:
        return Step(rule, rule, Outcome.UNNAMED)
    if scope not in rules:
        return Step(rule, scope, Outcome.UNSET)

    value = rules[scope]
    if rule == "percentage":
        return _shared(flag, value, audience.person)
    if rule == "experiment":
        return _tested(flag, value, audience)
    if value is None and rule == "kill":
        return Step(rule, scope, Outcome.MATCHED, flag.default)

    outcome = Outcome.MATCHED if flag.fits(value) else Outcome.INVALID
    return Step(rule, scope, outcome, value)


def _named(
    flag: Flag[Any], rule: NamedRule, audience: Audience, clock: Clock
) -> Step:
    conditions, value = rule.conditions, rule.value
    if conditions is None:
        return Step(NAMED, rule.scope, Outcome.INVALID)
    if value is None and conditions.kill:
        value = flag.default
    elif not flag.fits(value):
        return Step(NAMED, rule.scope, Outcome.INVALID, value)

    step = Step(NAMED, rule.scope, Outcome.MATCHED, value)
    outcome = _place(conditions, audience)
    if outcome is not Outcome.MATCHED:
        return step._replace(outcome=outcome)
    if conditions.is_timed and (moment := conditions.missed(clock())):
        outcome = Outcome.EARLY if moment is conditions.starts else Outcome.OVER
        return step._replace(outcome=outcome, moment=moment)
    if conditions.share is None or audience.person is None:
        return step

    bucket, inside = conditions.inside(audience.person)
    outcome = Outcome.MATCHED if inside else Outcome.OUTSIDE

    return step._replace(outcome=outcome, bucket=bucket, share=conditions.share)


def _place(conditions: Conditions, audience: Audience) -> Outcome:
    """Whether it is for this person and place; their share aside."""
    personal = conditions.people or conditions.share is not None
    if (personal and not audience.person) or (
        conditions.channels and audience.channel is None
    ):
        return Outcome.UNNAMED
    if conditions.channels and audience.channel not in conditions.channels:
        return Outcome.ELSEWHERE
    if conditions.people and audience.person not in conditions.people:
        return Outcome.OTHER_PERSON
    if conditions.chat is None:
        return Outcome.MATCHED
    if audience.chat is None:
        return Outcome.UNNAMED

    same = audience.chat == conditions.chat
    return Outcome.MATCHED if same else Outcome.OTHER_CHAT


def _tested(flag: Flag[Any], experiment: Any, audience: Audience) -> Step:
    """`experiment` may also be anything that somebody wrote among the flags by hand."""
    if not isinstance(experiment, Experiment):
        return Step("experiment", EXPERIMENT, Outcome.INVALID)

    scope = f"{EXPERIMENT}:{experiment.name}"
    if audience.person is None or (experiment.channels and audience.channel is None):
        return Step("experiment", scope, Outcome.UNNAMED)

    variant = experiment.variant_for(audience.person, audience.channel)
    if variant is not None:
        return _variant(flag, scope, variant)
    if experiment.channels and audience.channel not in experiment.channels:
        return Step("experiment", scope, Outcome.ELSEWHERE)

    bucket = experiment.share_bucket(audience.person)
    return Step("experiment", scope, Outcome.OUTSIDE, None, bucket, experiment.share)


def _variant(flag: Flag[Any], scope: str, variant: Variant) -> Step:
    if variant.value is None:
        return Step("experiment", scope, Outcome.LEAVES, variant=variant.name)
    if not flag.fits(variant.value):
        return Step("experiment", scope, Outcome.INVALID, variant.value)

    matched = Step("experiment", scope, Outcome.MATCHED, variant.value)
    return matched._replace(variant=variant.name)


def _shared(flag: Flag[Any], rule: Any, person: UUID | None) -> Step:
    if not _is_share(flag, rule):
        return Step("percentage", PERCENTAGE, Outcome.INVALID, rule)

    share, salt, value = rule["share"], rule["salt"], rule["value"]
    if person is None:
        return Step("percentage", PERCENTAGE, Outcome.UNNAMED, value, None, share)

    bucket = bucket_of(salt, person)
    outcome = Outcome.MATCHED if bucket < edge(share) else Outcome.OUTSIDE

    return Step("percentage", PERCENTAGE, outcome, value, bucket, share)


def _is_share(flag: Flag[Any], rule: object) -> bool:
    if not isinstance(rule, dict):
        return False

    share = rule.get("share")
    return (
        isinstance(share, int | float)
        and 0 <= share <= 100
        and isinstance(rule.get("salt"), str)
        and flag.fits(rule.get("value"))
    )


def percentage_rule(share: float, salt: str, value: object) -> dict[str, Any]:
    """A rule for a share of all people, in percent. Raises Rejected if it cannot be one."""
    if not 0 <= share <= 100 or round(share, 3) != share:
        raise Rejected("A percentage is from 0 to 100, with at most three decimals.")
    if not (0 < len(salt) <= 100 and salt.isprintable()):
        raise Rejected("A salt has 1 to 100 printable characters.")

    return {"share": float(share), "salt": salt, "value": value}
