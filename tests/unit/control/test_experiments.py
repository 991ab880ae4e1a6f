"""People get the same variant on every instance, in every language and in every release."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.control.experiments import (
    Experiment,
    Variant,
    check,
    definition_of,
    read_experiment,
)
from agent.core.errors import Rejected

GOLDEN = json.loads((Path(__file__).parent / "golden_variants.json").read_text())
"""[salt, weights, share, person, number of the variant or null], made by a program in
JavaScript with nothing of this project: SHA-256 of node:crypto, halves rounded to the even
number."""

CRITICAL = 16.27
"""Chi-square with 3 degrees of freedom, p = 0.001: NIST/SEMATECH e-Handbook of Statistical
Methods, 1.3.6.7.4.
"""

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def split(
    *weights: float, salt: str = "salt", share: float = 100, **rest: Any
) -> Experiment:
    """An experiment whose variants give their number."""
    variants = tuple(
        Variant(f"v{number}", weight, number) for number, weight in enumerate(weights)
    )

    return Experiment("name", "look", salt, variants, share=share, **rest)


def person(number: int) -> UUID:
    """The same on every machine, spread like real ids."""
    return UUID(bytes=md5(str(number).encode(), usedforsecurity=False).digest())


def number_of(
    experiment: Experiment, person: UUID, channel: str | None = None
) -> int | None:
    found = experiment.variant_for(person, channel)
    return None if found is None else found.value


def test_variants_are_those_of_every_release() -> None:
    """More than 1,000 golden vectors, with the edges. They never change: people would change
    sides.
    """
    assert 1_000 <= len(GOLDEN)
    assert [number for *_, number in GOLDEN] == [
        number_of(split(*weights, salt=salt, share=share), UUID(person_id))
        for salt, weights, share, person_id, _ in GOLDEN
    ]


def chi_square(numbers: Sequence[int | None], weights: Sequence[float]) -> float:
    """How far these are from being split by the weights."""
    expected = [len(numbers) * weight / sum(weights) for weight in weights]
    found = Counter(numbers)

    return sum(
        (found[number] - many) ** 2 / many for number, many in enumerate(expected)
    )


def unevenly_split(
    weights: Sequence[float], share: float, people: int, salts: int
) -> dict[str, float]:
    """By salt, where chi-square is significant at p = 0.001."""
    found = {}
    for salt in map(str, range(salts)):
        experiment = split(*weights, salt=salt, share=share)
        numbers = [number_of(experiment, person(one)) for one in range(people)]
        found[salt] = chi_square(
            [number for number in numbers if number is not None], weights
        )

    return {salt: value for salt, value in found.items() if value > CRITICAL}


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (4, 3, 2, 1), (85, 5, 5, 5)])
@pytest.mark.slow
def test_people_are_split_by_the_weights(weights: Sequence[float]) -> None:
    """Chi-square is not significant at p = 0.001, for each of 20 salts."""
    assert {} == unevenly_split(weights, 100, 4_000, 20)


@pytest.mark.slow
def test_a_share_is_split_as_the_whole() -> None:
    """Taking part is independent of the variant: a tenth of all people is split by the
    weights, too.
    """
    assert {} == unevenly_split((4, 3, 2, 1), 10, 20_000, 5)


@pytest.mark.slow
def test_a_share_that_grows_changes_nobodys_variant() -> None:
    """From 0.001 to 100 % in steps: participants keep their variant; at 100 everybody has one."""
    people = [person(number) for number in range(2_000)]
    having: dict[UUID, int] = {}

    for share in [0.001, 0.5, 1, *range(5, 100, 5), 99.999, 100]:
        now = {
            person: number_of(split(2, 1, 1, share=share), person)
            for person in people
        }
        taking_part = {
            person: number for person, number in now.items() if number is not None
        }

        assert having == {person: taking_part.get(person) for person in having}

        having = taking_part

    assert len(people) == len(having)


def test_other_names_of_variants_and_other_values_move_nobody() -> None:
    """Only salt, weights, share and person decide."""
    one = split(1, 2, 3)
    other = replace(
        one,
        name="other",
        variants=tuple(Variant(f"w{n}", n + 1, n) for n in range(3)),
    )

    assert [number_of(one, person(n)) for n in range(500)] == [
        number_of(other, person(n)) for n in range(500)
    ]


@pytest.mark.slow
def test_two_salts_split_independently() -> None:
    """People share the first variant of two experiments by chance only: 1,000 of 4,000 ± 5 σ."""
    a = split(1, 1, salt="a")
    b = split(1, 1, salt="b")
    both = sum(
        number_of(a, person(n)) == number_of(b, person(n)) == 0 for n in range(4_000)
    )

    assert abs(both - 1_000) < 5 * (4_000 * 0.25 * 0.75) ** 0.5


def test_people_elsewhere_take_no_part() -> None:
    """An experiment on some channels has no people from others, and none without a channel."""
    here = split(1, 1, channels=frozenset({"discord", "slack"}))
    found = [
        number_of(here, person(1), channel)
        for channel in ("discord", "slack", "telegram", None)
    ]

    assert found[0] == found[1] is not None
    assert [None, None] == found[2:]


def test_an_experiment_is_the_same_when_read_back() -> None:
    made = split(
        1, 2.5, share=12.5, channels=frozenset({"discord"}), starts=NOON, detect=0.05
    )

    assert made == read_experiment(
        "name", json.loads(json.dumps(definition_of(made)))
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "Big"}, "An experiment's name is a-z"),
    (
        {"variants": (Variant("a", 1), Variant("a", 1))},
        "2 to 10 variants, each with a name of its own",
    ),
    ({"variants": (Variant("a", 1),)}, "2 to 10 variants"),
    ({"variants": tuple(Variant(f"v{n}", 1) for n in range(11))}, "2 to 10 variants"),
    ({"variants": (Variant("a", 1), Variant("B", 1))}, "A variant's name is a-z"),
    (
        {"variants": (Variant("a", 1), Variant("b", 0))},
        "A variant's weight is above 0",
    ),
    (
        {"variants": (Variant("a", 1), Variant("b", -1))},
        "A variant's weight is above 0",
    ),
    (
        {"variants": (Variant("a", 1), Variant("b", float("nan")))},
        "A variant's weight is above 0",
    ),
    ({"variants": (Variant("a", 1), Variant("b", 1e-9))}, "nobody would get it"),
    ({"salt": ""}, "A salt has 1 to 100"),
    ({"salt": "\0"}, "A salt has 1 to 100"),
    ({"share": 0}, "The share of people who take part is above 0 and at most 100"),
    ({"share": 100.1}, "The share of people"),
    ({"share": 33.33333}, "The share of people"),
    ({"share": float("nan")}, "The share of people"),
    ({"detect": 0}, "The smallest difference worth knowing"),
    ({"detect": 1.5}, "The smallest difference worth knowing"),
    ({"starts": NOON, "ends": NOON}, "An experiment ends after it starts."),
    ({"starts": NOON.replace(tzinfo=None)}, "has a time zone"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
def test_what_cannot_be_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Rejected) as refused:
        check(replace(split(1, 1), **change))

    assert sentence in refused.value.sentence


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(sorted(definition_of(split(1, 1)))), ANY),
    st.integers(0, 1),
)
def test_a_definition_that_cannot_be_read_is_an_error_and_one_that_can_gives_a_variant(
    change: dict[str, Any], part: int
) -> None:
    """Whatever another version or a person wrote: it is refused when read, never in an
    evaluation.
    """
    definition = definition_of(split(1, 1))
    definition["variants"][part] |= {
        key: value
        for key, value in change.items()
        if key in definition["variants"][part]
    }

    try:
        found = read_experiment("name", {**definition, **change})
    except ValueError:
        return

    assert {found.flag: number_of(found, person(1), "discord")}[found.flag] in (
        0,
        1,
        None,
        *change.values(),
    )


@pytest.mark.parametrize(
    "definition", [{}, {**definition_of(split(1, 1)), "variants": 3}]
)
def test_what_is_no_definition_is_an_error(definition: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match="of another version, or was written by hand"
    ):
        read_experiment("name", definition)
