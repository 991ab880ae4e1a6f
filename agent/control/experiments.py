"""Experiments compare values of a flag: which serves people better. Pure: no clock, no store."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from itertools import accumulate, pairwise
from typing import Any
from uuid import UUID

from msgspec import Struct

from agent.control.buckets import BUCKETS, bucket_of, edge
from agent.control.flags import NAME, Flag
from agent.core.errors import Rejected
from agent.core.remedies import Run

MAX_VARIANTS = 10
"""Variants of one experiment."""

MAX_WEIGHT = 1_000_000
"""The weight of one variant."""


class Stage(enum.StrEnum):
    """The stages of an experiment. It goes through each once, in this order."""

    DRAFTED = "drafted"
    RUNNING = "running"
    ENDED = "ended"


class Variant(Struct, frozen=True):
    """One of the values that are compared."""

    name: str
    weight: float
    """Relative to the others."""
    value: Any = None
    """Of the flag. None: as if there were no experiment."""


class Experiment(Struct, frozen=True):
    """What is compared, among whom and for how long. Fixed once it has begun."""

    name: str
    flag: str
    """The flag whose value differs."""
    salt: str
    variants: tuple[Variant, ...]
    """The first is the control that the others are compared with."""
    channels: frozenset[str] = frozenset()
    """Empty: all channels."""
    share: float = 100.0
    """Percent of all people that take part."""
    starts: datetime | None = None
    """Planned. None: when an operator says so."""
    ends: datetime | None = None
    detect: float = 0.1
    """The smallest relative difference worth knowing."""

    def variant_for(self, person: UUID, channel: str | None) -> Variant | None:
        """The variant of a person, always the same one. None: they do not take part.

        The share is decided with another salt than the variant, so that it splits as the
        whole does.
        """
        if self.channels and channel not in self.channels:
            return None
        if self.share < 100 and self.share_bucket(person) >= edge(self.share):
            return None

        bucket = bucket_of(self.salt, person)
        ends = zip(self.variants, self.edges(), strict=True)
        return next(variant for variant, end in ends if bucket < end)

    def share_bucket(self, person: UUID) -> int:
        """The bucket that decides whether a person is in the share."""
        return bucket_of(f"{self.salt}:share", person)

    def edges(self) -> list[int]:
        """For each variant, the bucket after its last one. Halves are rounded to even numbers."""
        sums = list(accumulate(variant.weight for variant in self.variants))
        return [round(BUCKETS * reached / sums[-1]) for reached in sums]


def check(experiment: Experiment) -> None:
    """Raises Rejected with a sentence that says what is allowed.

    Raises TypeError for something that was never an experiment.
    """
    if not NAME.fullmatch(experiment.name):
        raise Rejected(
            "An experiment's name is a-z, 0-9 and _, begins with a letter and "
            "has at most 63 characters."
        )
    if not NAME.fullmatch(experiment.flag):
        raise Rejected(
            "There is no flag of this name.", Run("flags list", "shows all")
        )

    _check_variants(experiment)
    _check_people(experiment)
    _check_plan(experiment)


def _check_variants(experiment: Experiment) -> None:
    names = [variant.name for variant in experiment.variants]
    if not all(map(NAME.fullmatch, names)):
        raise Rejected(
            "A variant's name is a-z, 0-9 and _, begins with a letter and has at "
            "most 63 characters."
        )
    if not 2 <= len(set(names)) == len(names) <= MAX_VARIANTS:
        raise Rejected(
            f"An experiment has 2 to {MAX_VARIANTS} variants, each with a name of its own."
        )
    if not _all_are_reached(experiment):
        raise Rejected(
            "A variant's weight is above 0, and not so small beside the others "
            "that nobody would get it."
        )


def _check_people(experiment: Experiment) -> None:
    share = experiment.share
    if not (0 < len(experiment.salt) <= 100 and experiment.salt.isprintable()):
        raise Rejected("A salt has 1 to 100 printable characters.")
    if not 0 < share <= 100 or round(share, 3) != share:
        raise Rejected(
            "The share of people who take part is above 0 and at most 100, with "
            "at most three decimals."
        )
    if not 0 < experiment.detect <= 1:
        raise Rejected(
            "The smallest difference worth knowing is above 0 and at most 1: 0.1 "
            "is a tenth more or less."
        )


def _check_plan(experiment: Experiment) -> None:
    starts, ends = experiment.starts, experiment.ends
    if any(moment and moment.tzinfo is None for moment in (starts, ends)):
        raise Rejected(
            "A planned start or end has a time zone. Add it, as in 2026-03-01T14:00+01:00."
        )
    if starts and ends and starts >= ends:
        raise Rejected("An experiment ends after it starts. Correct one of the two.")


def audience_of(experiment: Experiment) -> str:
    """Who takes part, for people."""
    share = experiment.share
    people = "everybody" if share == 100 else f"{share:g} % of all people"
    if not experiment.channels:
        return people

    return f"{people} on {', '.join(sorted(experiment.channels))}"


def typed_variant(
    flag: Flag[Any],
    name: str,
    weight: str | None,
    value: str | None,
) -> Variant:
    """A variant as an operator types it; an empty weight is 1. Raises Rejected."""
    parsed = None if value is None else flag.parsed(value)

    try:
        return Variant(name, float(weight or 1), parsed)
    except ValueError:
        raise Rejected(
            "A variant is written NAME, NAME=VALUE or NAME:WEIGHT=VALUE; a weight is a number."
        ) from None


def _all_are_reached(experiment: Experiment) -> bool:
    if not all(0 < variant.weight <= MAX_WEIGHT for variant in experiment.variants):
        return False

    return all(before < end for before, end in pairwise([0, *experiment.edges()]))


def definition_of(experiment: Experiment) -> dict[str, Any]:
    """What is stored of it. Its name, start and end have columns of their own."""
    starts, ends = experiment.starts, experiment.ends

    return {
        "flag": experiment.flag,
        "salt": experiment.salt,
        "variants": [
            {"name": v.name, "weight": v.weight, "value": v.value}
            for v in experiment.variants
        ],
        "channels": sorted(experiment.channels),
        "share": experiment.share,
        "starts": starts.isoformat() if starts else None,
        "ends": ends.isoformat() if ends else None,
        "detect": experiment.detect,
    }


def read_experiment(name: str, definition: Mapping[str, Any]) -> Experiment:
    """An experiment from its definition. Raises ValueError if this version cannot read it."""
    try:
        experiment = _read(name, definition)
        check(experiment)
    except (KeyError, TypeError, ValueError, AttributeError, Rejected) as error:
        raise ValueError(
            f"The experiment {name} is of another version, or was written by hand."
        ) from error

    return experiment


def _read(name: str, definition: Mapping[str, Any]) -> Experiment:
    starts, ends = definition["starts"], definition["ends"]
    variants = [
        Variant(each["name"], each["weight"], each["value"])
        for each in definition["variants"]
    ]

    return Experiment(
        name,
        definition["flag"],
        definition["salt"],
        tuple(variants),
        frozenset(definition["channels"]),
        definition["share"],
        datetime.fromisoformat(starts) if starts else None,
        datetime.fromisoformat(ends) if ends else None,
        definition["detect"],
    )
