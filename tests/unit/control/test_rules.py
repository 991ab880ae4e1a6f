"""Which rule decides: the same everywhere and in every release."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import md5
from math import inf, nan
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.buckets import BUCKETS, bucket_of
from agent.control.experiments import Experiment, Variant
from agent.control.flags import Flag, Kind
from agent.control.rules import (
    EVERYBODY,
    Audience,
    Outcome,
    percentage_rule,
    resolve,
    steps,
)
from agent.core.errors import Rejected

FLAG: Flag[str] = Flag("look", Kind.STRING, "default", "How it looks.")
PERSON = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
HERE = Audience(PERSON, "discord", "town")
ORDER = {
    "kill": "kill",
    "person": f"person:{PERSON}",
    "chat": "chat:discord:town",
    "channel": "channel:discord",
    "experiment": "experiment",
    "percentage": "percentage",
    "global": "global",
}
GOLDEN = json.loads((Path(__file__).parent / "golden_buckets.json").read_text())
CRITICAL = 148.23
"""Chi-square with 99 degrees of freedom, p = 0.001: NIST/SEMATECH e-Handbook of Statistical
Methods, 1.3.6.7.4.
"""


def rules(*names: str) -> dict[str, Any]:
    """These rules, each giving its own name; the share is everybody, and both variants give
    the same.
    """
    values: dict[str, Any] = {ORDER[name]: name for name in names}
    shared = {
        "percentage": percentage_rule(100, "salt", "percentage"),
        "experiment": trial("experiment"),
    }

    return values | {name: rule for name, rule in shared.items() if name in names}


def trial(value: str | int | None, **rest: Any) -> Experiment:
    """An experiment in which everybody has this value."""
    return Experiment(
        "colours",
        "look",
        "salt",
        (Variant("one", 1, value), Variant("two", 1, value)),
        **rest,
    )


def person(number: int) -> UUID:
    """The same on every machine, spread like real ids."""
    return UUID(bytes=md5(str(number).encode(), usedforsecurity=False).digest())


@given(st.sets(st.sampled_from(list(ORDER))))
def test_the_first_rule_that_is_set_decides(names: set[str]) -> None:
    """Kill, person, chat, channel, experiment, percentage, global, default: in this order,
    whatever else is set.
    """
    expected = next((name for name in ORDER if name in names), "default")
    found = resolve(FLAG, rules(*names), HERE)

    assert expected == found.rule
    assert expected == found.value


@given(st.sets(st.sampled_from(list(ORDER))))
def test_an_explanation_tells_of_every_rule_and_decides_the_same(
    names: set[str],
) -> None:
    told = list(steps(FLAG, rules(*names), HERE))
    assert [*ORDER, "default"] == [step.rule for step in told]
    assert {*names, "default"} == {
        step.rule for step in told if step.outcome is Outcome.MATCHED
    }
    assert resolve(FLAG, rules(*names), HERE) == next(
        s for s in told if s.outcome is Outcome.MATCHED
    )


def test_rules_for_others_do_not_match() -> None:
    """Another person, channel or chat is not meant."""
    others = Audience(person(1), "slack", "village")
    assert resolve(FLAG, rules("person", "chat", "channel"), others).rule == "default"


def test_a_chat_is_of_one_channel() -> None:
    """Two platforms may give two chats the same id."""
    assert (
        resolve(FLAG, rules("chat"), Audience(None, "slack", "town")).rule
        == "default"
    )


def test_who_is_not_named_has_the_global_value() -> None:
    assert (
        resolve(
            FLAG,
            rules("person", "channel", "experiment", "percentage", "global"),
            EVERYBODY,
        ).value
        == "global"
    )


def test_a_kill_switch_without_a_value_means_the_default() -> None:
    found = resolve(FLAG, {"kill": None, **rules("person", "global")}, HERE)
    assert found.rule == "kill"
    assert found.value == "default"


def test_a_stored_value_that_is_none_of_the_flags_is_passed_over() -> None:
    """A newer or older version may have stored it: the next rule decides, and the
    explanation says so.
    """
    told = list(steps(FLAG, {"channel:discord": 3, "global": "fine"}, HERE))
    assert (
        resolve(FLAG, {"channel:discord": 3, "global": "fine"}, HERE).value == "fine"
    )
    assert told[3].outcome is Outcome.INVALID


@pytest.mark.parametrize(
    "share", [10**400, inf, nan, -1, 100.001], ids=lambda share: f"{share}"[:7]
)
def test_a_stored_share_that_is_none_is_passed_over(share: float) -> None:
    """Written by hand: Postgres keeps 1e400, too."""
    stored = {
        "percentage": {"share": share, "salt": "salt", "value": "in"},
        "global": "next",
    }
    step = next(
        step for step in steps(FLAG, stored, HERE) if step.rule == "percentage"
    )

    assert Outcome.INVALID == step.outcome
    assert "next" == resolve(FLAG, stored, HERE).value


EXPLAINED: list[tuple[Any, Audience, Outcome, str]] = [
    (trial("x"), HERE, Outcome.MATCHED, "it matches: variant one"),
    (
        trial(None),
        HERE,
        Outcome.LEAVES,
        "this person's variant leaves the flag to the next rules: variant one",
    ),
    (
        trial("x", channels=frozenset({"slack"})),
        HERE,
        Outcome.ELSEWHERE,
        "it is not for this channel",
    ),
    (
        trial("x", share=1),
        HERE,
        Outcome.OUTSIDE,
        "this person is outside the share: bucket 97502 of 100000, 1 % are 1000",
    ),
    (
        trial("x"),
        Audience(None, "discord"),
        Outcome.UNNAMED,
        "it needs a person, channel or chat that was not given",
    ),
    (
        trial("x", channels=frozenset({"slack"})),
        Audience(PERSON),
        Outcome.UNNAMED,
        "it needs a person, channel or chat that was not given",
    ),
    (trial(3), HERE, Outcome.INVALID, "its value is not one of this flag"),
    ("by hand", HERE, Outcome.INVALID, "its value is not one of this flag"),
]


@pytest.mark.parametrize(("experiment", "audience", "outcome", "sentence"), EXPLAINED)
def test_an_experiment_says_why_it_decides_or_not(
    experiment: Any, audience: Audience, outcome: Outcome, sentence: str
) -> None:
    """If it does not decide, the next rule does."""
    stored = {"experiment": experiment, "global": "next"}
    step = next(
        step for step in steps(FLAG, stored, audience) if step.rule == "experiment"
    )

    assert outcome == step.outcome
    assert sentence == step.sentence
    assert ("x" if outcome is Outcome.MATCHED else "next") == resolve(
        FLAG, stored, audience
    ).value


@pytest.mark.parametrize(
    ("stored", "variant"),
    [
        ({"experiment": trial("x")}, "one"),
        ({"experiment": trial(None), "global": "next"}, "one"),
        ({"experiment": trial(None)}, "one"),
        ({"experiment": trial("x"), "channel:discord": "narrower"}, None),
        ({"experiment": trial(None), "kill": None}, None),
        ({"experiment": trial(3), "global": "next"}, None),
        ({"experiment": trial("x", share=1)}, None),
        ({"experiment": trial("x"), "channel:discord": 3}, "one"),
    ],
)
def test_a_variant_is_told_when_the_experiment_had_its_say(
    stored: dict[str, Any], variant: str | None
) -> None:
    """Also if a variant without a value left the flag to a later rule; not if an earlier one
    decided.
    """
    assert variant == resolve(FLAG, stored, HERE).variant


@pytest.mark.parametrize("share", [-1, 140, 100.0001, 33.33333])
def test_a_percentage_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(Rejected, match="from 0 to 100"):
        percentage_rule(share, "salt", True)


def test_buckets_are_those_of_every_release() -> None:
    """1,000 golden vectors: they never change, or people would change sides."""
    assert 1000 == len(GOLDEN)
    assert [bucket for _, _, bucket in GOLDEN] == [
        bucket_of(salt, UUID(person_id)) for salt, person_id, _ in GOLDEN
    ]


def matched(share: float, person: UUID) -> bool:
    rule = {"percentage": percentage_rule(share, "salt", "in")}
    return bool(resolve(FLAG, rule, Audience(person)).value == "in")


@pytest.mark.slow
def test_a_share_that_grows_loses_nobody() -> None:
    """From 0 to 100 % in steps: people stay in; at 0 nobody is in, at 100 everybody."""
    people = [person(number) for number in range(2_000)]
    inside: set[UUID] = set()

    for share in [0, 0.001, 0.5, 1, *range(5, 100, 5), 99.999, 100]:
        now = {person for person in people if matched(share, person)}
        assert inside <= now

        inside = now
        if share == 0:
            assert not now

    assert len(people) == len(inside)


@pytest.mark.slow
def test_the_edges_of_a_share_are_exact() -> None:
    """25 % are the buckets below 25,000: the last one in is in, the first one out is out."""
    by_bucket = {
        bucket_of("salt", person(number)): person(number) for number in range(200_000)
    }
    inside = max(b for b in by_bucket if b < 25_000)
    outside = min(b for b in by_bucket if b >= 25_000)

    assert matched(25, by_bucket[inside]) is True
    assert matched(25, by_bucket[outside]) is False

    share = (inside + 1) / 1000
    assert matched(share, by_bucket[inside]) is True
    assert matched(inside / 1000, by_bucket[inside]) is False


def chi_square(salt: str, people: int) -> float:
    """How far 100 equal parts of the buckets are from equally full."""
    expected = people / 100
    parts = Counter(
        bucket_of(salt, person(number)) * 100 // BUCKETS for number in range(people)
    )

    return sum((parts[part] - expected) ** 2 / expected for part in range(100))


def spread_is_even(people: int, salts: int) -> None:
    found = {salt: chi_square(salt, people) for salt in map(str, range(salts))}
    assert {} == {salt: value for salt, value in found.items() if value > CRITICAL}


@pytest.mark.slow
def test_people_are_spread_evenly() -> None:
    """Chi-square over 100 parts is not significant at p = 0.001, for each of 20 salts."""
    spread_is_even(2_000, 20)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_million_people_are_spread_evenly() -> None:
    """The same over 10⁶ people and 20 salts."""
    spread_is_even(1_000_000, 20)


@pytest.mark.slow
def test_two_salts_split_independently() -> None:
    """People are in both halves by chance only: 1,000 of 4,000 ± 5 σ."""
    both = sum(
        bucket_of("a", person(n)) < 50_000 and bucket_of("b", person(n)) < 50_000
        for n in range(4_000)
    )

    assert abs(both - 1_000) < 5 * (4_000 * 0.25 * 0.75) ** 0.5
