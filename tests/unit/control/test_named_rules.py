"""Rules with several conditions, a start or an end: who they are for, and when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any
from uuid import UUID

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import Reason

from agent.control.evaluation import RuleFlags
from agent.control.flags import REPLIES, Flag, Kind
from agent.control.named_rules import (
    Conditions,
    NamedRule,
    check_named,
    definition_of,
    described,
    read_named,
)
from agent.control.openfeature import FlagProvider
from agent.control.rules import Audience, Outcome, percentage_rule, resolve, steps
from agent.core.errors import Rejected
from storage.control.state import ControlSnapshot, ControlState, state
from tests.unit.control.sources import Fixed

UNTIL = "2026-11-28T12:00:00+00:00"

FLAG: Flag[str] = Flag("look", Kind.STRING, "default", "How it looks.")
ADA = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
BOB = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADA_ON_SLACK = Audience(ADA, "slack", "town")


def prepared(rules: dict[str, Any], flag: str = "replies") -> ControlState:
    """As an instance holds them after it read them from a store."""
    rows = [(scope, flag, value) for scope, value in rules.items()]
    return state(ControlSnapshot(1, "", json.loads(json.dumps(rows)), [], []))


def decided(rules: dict[str, Any], audience: Audience, now: datetime = NOW) -> Any:
    asked = prepared(rules, "look").rules_of("look")
    return resolve(FLAG, asked, audience, lambda: now).value


def stored(value: Any, **conditions: Any) -> dict[str, Any]:
    return definition_of(NamedRule("any", value, Conditions(**conditions)))


def person(number: int) -> UUID:
    return UUID(bytes=md5(str(number).encode(), usedforsecurity=False).digest())


PLACES: list[tuple[dict[str, Any], Audience, bool]] = [
    ({}, Audience(), True),
    ({"kill": True}, Audience(), True),
    ({"people": frozenset({ADA, BOB})}, ADA_ON_SLACK, True),
    ({"people": frozenset({BOB})}, ADA_ON_SLACK, False),
    ({"people": frozenset({ADA})}, Audience(None, "slack"), False),
    ({"channels": frozenset({"slack", "discord"})}, ADA_ON_SLACK, True),
    ({"channels": frozenset({"discord"})}, ADA_ON_SLACK, False),
    ({"channels": frozenset({"discord"})}, Audience(ADA), False),
    ({"channels": frozenset({"slack"}), "chat": "town"}, ADA_ON_SLACK, True),
    ({"channels": frozenset({"slack"}), "chat": "hall"}, ADA_ON_SLACK, False),
    (
        {"channels": frozenset({"slack"}), "chat": "town"},
        Audience(ADA, "slack"),
        False,
    ),
    (
        {"people": frozenset({ADA}), "channels": frozenset({"slack"})},
        ADA_ON_SLACK,
        True,
    ),
    (
        {"people": frozenset({ADA}), "channels": frozenset({"discord"})},
        ADA_ON_SLACK,
        False,
    ),
    (
        {"channels": frozenset({"slack"}), "share": 100.0, "salt": "s"},
        ADA_ON_SLACK,
        True,
    ),
    ({"share": 0.001, "salt": "s"}, ADA_ON_SLACK, False),
    ({"share": 100.0, "salt": "s"}, Audience(None, "slack"), False),
]


@pytest.mark.parametrize(("conditions", "audience", "holds"), PLACES)
def test_all_conditions_of_a_rule_must_hold(
    conditions: dict[str, Any], audience: Audience, holds: bool
) -> None:
    rules = {"rule:any": stored("named", **conditions)}

    assert ("named" if holds else "default") == decided(rules, audience)


@pytest.mark.parametrize(
    ("starts", "ends", "holds"),
    [
        (None, NOW + HOUR, True),
        (None, NOW, False),
        (NOW, None, True),
        (NOW + HOUR, None, False),
        (NOW - HOUR, NOW + HOUR, True),
        (NOW - 2 * HOUR, NOW - HOUR, False),
    ],
)
def test_a_rule_holds_from_its_start_until_its_end(
    starts: datetime | None, ends: datetime | None, holds: bool
) -> None:
    """By the clock alone: nobody writes anything at that moment."""
    rules = {"rule:any": stored("named", starts=starts, ends=ends), "global": "all"}

    assert ("named" if holds else "all") == decided(rules, ADA_ON_SLACK)


LEVELS: list[tuple[dict[str, Any], str]] = [
    ({"kill": True}, "kill"),
    ({"people": frozenset({ADA}), "channels": frozenset({"slack"})}, "person"),
    ({"channels": frozenset({"slack"}), "chat": "town"}, "chat:slack:town"),
    (
        {"channels": frozenset({"slack"}), "share": 100.0, "salt": "s"},
        "channel:slack",
    ),
    ({"share": 100.0, "salt": "s", "ends": NOW + HOUR}, "percentage"),
    ({"ends": NOW + HOUR}, "global"),
]


@pytest.mark.parametrize("at", range(len(LEVELS)))
def test_a_named_rule_comes_directly_before_the_plain_rule_of_its_narrowest_condition(
    at: int,
) -> None:
    plain: dict[str, Any] = {
        "kill": "kill",
        f"person:{ADA}": "person",
        "chat:slack:town": "chat:slack:town",
        "channel:slack": "channel:slack",
        "percentage": percentage_rule(100, "s", "percentage"),
        "global": "global",
    }
    conditions, level = LEVELS[at]
    rules = {"rule:any": stored("named", **conditions)}
    wider = dict(list(plain.items())[at:])
    narrower = dict(list(plain.items())[:at])

    assert "named" == decided({**rules, **wider}, ADA_ON_SLACK)
    if narrower:
        assert "named" != decided({**rules, **narrower}, ADA_ON_SLACK)
    asked = prepared(rules, "look").rules_of("look")
    order = [step.scope for step in steps(FLAG, asked, ADA_ON_SLACK, lambda: NOW)]
    following = order[order.index("rule:any") + 1]
    assert following == (level if level != "person" else f"person:{ADA}")


def test_a_percentage_inside_a_channel_is_that_share_of_its_people() -> None:
    rule = stored("in", channels=frozenset({"slack"}), share=25.0, salt="spring")
    rules = {"rule:some": rule}
    count = 8000
    on_slack = [decided(rules, Audience(person(n), "slack")) for n in range(count)]
    elsewhere = {decided(rules, Audience(person(n), "discord")) for n in range(99)}

    assert 0.23 < on_slack.count("in") / count < 0.27
    assert {"default"} == elsewhere


WRONG: list[tuple[str, Conditions, str]] = [
    ("any", Conditions(share=0.0, salt="s"), "with 0 it would never hold."),
    ("any", Conditions(share=101.0, salt="s"), "at most 100 percent"),
    ("any", Conditions(share=0.0001, salt="s"), "at most three decimals"),
    ("any", Conditions(share=1.0, salt=""), "A salt has 1 to 100"),
    ("any", Conditions(starts=NOW + HOUR, ends=NOW + HOUR), "starts after its end."),
    (
        "any",
        Conditions(starts=NOW + 2 * HOUR, ends=NOW + HOUR),
        "starts after its end.",
    ),
    ("any", Conditions(ends=NOW), "The end of the rule is past"),
    ("any", Conditions(ends=NOW.replace(tzinfo=None)), "has a time zone."),
    ("any", Conditions(kill=True, people=frozenset({ADA})), "is for everybody."),
    ("any", Conditions(kill=True, share=5.0, salt="s"), "is for everybody."),
    ("any", Conditions(chat="town"), "with its one channel."),
    (
        "any",
        Conditions(chat="town", channels=frozenset({"slack", "discord"})),
        "with its one channel.",
    ),
    ("Any", Conditions(), "A rule's name is a-z, 0-9 and _"),
    ("", Conditions(), "A rule's name is a-z, 0-9 and _"),
    (
        "any",
        Conditions(people=frozenset(person(n) for n in range(1001))),
        "at most 1000 people.",
    ),
]


@pytest.mark.parametrize(("name", "conditions", "sentence"), WRONG)
def test_a_rule_that_cannot_be_or_never_holds_is_refused_in_one_sentence(
    name: str, conditions: Conditions, sentence: str
) -> None:
    with pytest.raises(Rejected) as refused:
        check_named(NamedRule(name, "x", conditions), NOW)

    assert sentence in refused.value.sentence


UNREADABLE: list[Any] = [
    None,
    7,
    "on",
    [],
    {},
    {"value": "x", "people": "ada"},
    {"value": "x", "people": ["ada"]},
    {"value": "x", "channels": [7]},
    {"value": "x", "share": "5"},
    {"value": "x", "share": True},
    {"value": "x", "salt": 1},
    {"value": "x", "chat": 1},
    {"value": "x", "ends": "soon"},
    {"value": "x", "ends": "2026-03-01T12:00"},
    {"value": "x", "weather": "sunny"},
]


@pytest.mark.parametrize("raw", UNREADABLE)
def test_a_rule_of_another_version_decides_nothing_and_says_so(raw: Any) -> None:
    """A condition that is not understood could only be overlooked: the rule is."""
    asked = prepared({"rule:any": raw, "global": "all"}, "look").rules_of("look")
    found = list(steps(FLAG, asked, ADA_ON_SLACK))

    assert Outcome.INVALID in [s.outcome for s in found if s.scope == "rule:any"]
    assert "all" == resolve(FLAG, asked, ADA_ON_SLACK).value


@pytest.mark.parametrize(("conditions", "_"), LEVELS)
def test_what_is_stored_is_read_back_as_it_was(
    conditions: dict[str, Any], _: str
) -> None:
    rule = NamedRule("any", "x", Conditions(**conditions))

    assert rule == read_named("any", json.loads(json.dumps(definition_of(rule))))


def test_a_kill_switch_that_ends_needs_no_value() -> None:
    rules = {"rule:any": stored(None, kill=True, ends=NOW + HOUR), "global": "all"}

    assert "default" == decided(rules, ADA_ON_SLACK)
    assert "all" == decided(rules, ADA_ON_SLACK, NOW + HOUR)


def test_start_and_end_are_in_force_for_the_agent_and_for_openfeature_alike() -> None:
    """One state, read once: only the clock moves."""
    clock = [NOW]
    off = stored(
        False, channels=frozenset({"slack"}), starts=NOW + HOUR, ends=NOW + 2 * HOUR
    )
    source = Fixed(prepared({"rule:night": off}))
    flags = RuleFlags(source, lambda: clock[0])
    provider = FlagProvider(source, lambda: clock[0])
    context = EvaluationContext(str(ADA), {"channel": "slack"})
    seen = []

    for hours in range(4):
        clock[0] = NOW + hours * HOUR
        details = provider.resolve_boolean_details("replies", True, context)
        seen.append(
            (flags.value(REPLIES, ADA_ON_SLACK), details.value, details.reason)
        )

    here = (False, False, Reason.TARGETING_MATCH)
    assert [
        (True, True, Reason.DEFAULT),
        here,
        (True, True, Reason.DEFAULT),
        (True, True, Reason.DEFAULT),
    ] == seen
    api.shutdown()


def test_a_share_by_openfeature_is_a_split() -> None:
    rule = stored(False, channels=frozenset({"slack"}), share=100.0, salt="s")
    provider = FlagProvider(Fixed(prepared({"rule:some": rule})))
    context = EvaluationContext(str(ADA), {"channel": "slack"})
    found = provider.resolve_boolean_details("replies", True, context)

    assert (False, Reason.SPLIT, "rule:some") == (
        found.value,
        found.reason,
        found.flag_metadata["rule"],
    )


def test_old_rows_are_read_as_before() -> None:
    """Rows as the first version wrote them, in the state of this one: no rule is added."""
    rows = {
        "kill": None,
        f"person:{ADA}": False,
        "chat:slack:town": True,
        "channel:slack": False,
        "percentage": {"share": 25.0, "salt": "replies", "value": False},
        "global": True,
    }
    asked = prepared(rows).rules_of("replies")

    assert rows == asked
    assert [
        "kill",
        "person",
        "chat",
        "channel",
        "experiment",
        "percentage",
        "global",
        "default",
    ] == [step.rule for step in steps(REPLIES, asked, ADA_ON_SLACK)]
    decides = resolve(REPLIES, asked, ADA_ON_SLACK)
    assert ("kill", True) == (decides.rule, decides.value)


def test_a_flag_without_rules_is_not_even_looked_for() -> None:
    """The path that nearly all evaluations take: no step is made, no clock is read."""

    def no_clock() -> datetime:
        raise AssertionError("nobody needs the time")

    source = Fixed(prepared({"channel:discord": False}, "streaming"))

    assert RuleFlags(source, no_clock).value(REPLIES, ADA_ON_SLACK)
    assert {"replies"} == {use.name for use in source.uses.take()}


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"value": 1}, "everybody"),
        ({"value": 1, "ends": UNTIL}, "everybody until 2026-11-28 12:00+00:00"),
        (
            {"value": 1, "channels": ["slack"], "ends": UNTIL},
            "on slack until 2026-11-28 12:00+00:00",
        ),
        ({"value": 1, "kill": True}, "kill"),
        ({"value": 1, "other": 2}, "of another version"),
    ],
)
def test_conditions_are_told_in_words(stored: dict[str, Any], words: str) -> None:
    assert words == described(stored)


@pytest.mark.parametrize(
    ("rule", "is_remembered"),
    [
        ({"value": False, "channels": ["slack"]}, True),
        ({"value": False, "channels": ["slack"], "ends": UNTIL}, False),
        ({"value": False, "starts": UNTIL}, False),
    ],
)
def test_evaluations_are_remembered_unless_the_clock_alone_may_change_them(
    rule: dict[str, Any], is_remembered: bool
) -> None:
    """`RuleFlags.version` is what others remember evaluations by."""
    snapshot = ControlSnapshot(1, "", [("rule:a", "replies", rule)], [], [])
    flags = RuleFlags(Fixed(state(snapshot)))

    assert is_remembered == (flags.version is not None)
    assert flags.version is flags.version
