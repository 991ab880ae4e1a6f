"""Experiments: which of several values of a flag serves people better. Pure: no clock, no store."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from typing import Any
from uuid import UUID

from agent.control.buckets import BUCKETS, bucket_of, edge
from agent.control.flags import NAME
from agent.core.errors import Rejected

MOST_VARIANTS = 10
HEAVIEST = 1_000_000
"""Of weights."""


class Stage(enum.StrEnum):
    """How far an experiment is. It goes through these once, in this order."""

    DRAFTED = "drafted"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the values that are compared."""

    name: str
    weight: float  # relative to the others
    value: Any = None  # of the flag; None: as if there were no experiment


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is compared, among whom and for how long. It does not change once it began."""

    name: str
    flag: str  # the one whose value differs
    salt: str
    variants: tuple[Variant, ...]  # the others are compared with the first, the control
    channels: frozenset[str] = frozenset()  # empty: all
    share: float = 100.0  # percent of the people who take part
    starts: datetime | None = None  # planned; None: when an operator says so
    ends: datetime | None = None
    detect: float = 0.1  # the smallest relative difference worth knowing

    def variant_for(self, person: UUID, channel: str | None) -> Variant | None:
        """The variant of a person, always the same one; None: they do not take part.

        Who takes part is decided by another salt than the variant, so that a share splits
        as the whole does.
        """
        if self.channels and channel not in self.channels:
            return None
        if self.share < 100 and self.share_bucket(person) >= edge(self.share):
            return None
        bucket = bucket_of(self.salt, person)
        return next(
            variant
            for variant, end in zip(self.variants, self.edges(), strict=True)
            if bucket < end
        )

    def share_bucket(self, person: UUID) -> int:
        """Where a person stands among those of whom a share takes part."""
        return bucket_of(f"{self.salt}:share", person)

    def edges(self) -> list[int]:
        """For each variant, the bucket after its last one; a half is rounded to the even number."""
        sums = list(accumulate(variant.weight for variant in self.variants))
        return [round(BUCKETS * reached / sums[-1]) for reached in sums]


def check(experiment: Experiment) -> None:
    """Raises Rejected with a sentence that names what is possible, or TypeError for what
    was never an experiment.
    """
    if not NAME.fullmatch(experiment.name):
        raise Rejected(
            "An experiment's name is a-z, 0-9 and _, begins with a letter and "
            "has at most 63 characters."
        )
    if not NAME.fullmatch(experiment.flag):
        raise Rejected("There is no flag of this name. `agent flags list` shows all.")
    if not all(NAME.fullmatch(variant.name) for variant in experiment.variants):
        raise Rejected(
            "A variant's name is a-z, 0-9 and _, begins with a letter and has at "
            "most 63 characters."
        )
    if (
        not 2
        <= len({variant.name for variant in experiment.variants})
        == len(experiment.variants)
        <= MOST_VARIANTS
    ):
        raise Rejected(
            f"An experiment has 2 to {MOST_VARIANTS} variants, each with a name of its own."
        )
    if not _all_are_reached(experiment):
        raise Rejected(
            "A variant's weight is above 0, and not so small beside the others "
            "that nobody would get it."
        )
    if not (0 < len(experiment.salt) <= 100 and experiment.salt.isprintable()):
        raise Rejected("A salt has 1 to 100 printable characters.")
    if (
        not 0 < experiment.share <= 100
        or round(experiment.share, 3) != experiment.share
    ):
        raise Rejected(
            "The share of people who take part is above 0 and at most 100, with "
            "at most three decimals."
        )
    if not 0 < experiment.detect <= 1:
        raise Rejected(
            "The smallest difference worth knowing is above 0 and at most 1: 0.1 "
            "is a tenth more or less."
        )
    if any(
        planned and planned.tzinfo is None
        for planned in (experiment.starts, experiment.ends)
    ):
        raise Rejected(
            "A planned start or end has a time zone. Add it, as in 2026-03-01T14:00+01:00."
        )
    if experiment.starts and experiment.ends and experiment.starts >= experiment.ends:
        raise Rejected("An experiment ends after it starts. Correct one of the two.")


def _all_are_reached(experiment: Experiment) -> bool:
    if not all(0 < variant.weight <= HEAVIEST for variant in experiment.variants):
        return False
    return all(before < end for before, end in pairwise([0, *experiment.edges()]))


def definition_of(experiment: Experiment) -> dict[str, Any]:
    """What is stored of it; its name, beginning and end have columns of their own."""
    return {
        "flag": experiment.flag,
        "salt": experiment.salt,
        "variants": [
            {"name": v.name, "weight": v.weight, "value": v.value}
            for v in experiment.variants
        ],
        "channels": sorted(experiment.channels),
        "share": experiment.share,
        "starts": experiment.starts.isoformat() if experiment.starts else None,
        "ends": experiment.ends.isoformat() if experiment.ends else None,
        "detect": experiment.detect,
    }


def read_experiment(name: str, definition: Mapping[str, Any]) -> Experiment:
    """The experiment as `definition_of` told it. Raises ValueError when this version can
    not read it.
    """
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
    return Experiment(
        name,
        definition["flag"],
        definition["salt"],
        tuple(
            Variant(each["name"], each["weight"], each["value"])
            for each in definition["variants"]
        ),
        frozenset(definition["channels"]),
        definition["share"],
        datetime.fromisoformat(starts) if starts else None,
        datetime.fromisoformat(ends) if ends else None,
        definition["detect"],
    )
