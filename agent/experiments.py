"""Experiments: which of several values of a flag serves people better. Pure: no clock, no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any
from uuid import UUID

from agent.buckets import BUCKETS, bucket_of, edge


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

        Who takes part is decided by another salt than the variant, so that a share splits as the whole does.
        """
        if self.channels and channel not in self.channels:
            return None
        if bucket_of(f"{self.salt}:share", person) >= edge(self.share):
            return None
        bucket = bucket_of(self.salt, person)
        return next(variant for variant, end in zip(self.variants, self._ends(), strict=True) if bucket < end)

    def _ends(self) -> list[int]:
        """For each variant, the bucket after its last one."""
        sums = list(accumulate(variant.weight for variant in self.variants))
        return [round(BUCKETS * reached / sums[-1]) for reached in sums]


def definition_of(experiment: Experiment) -> dict[str, Any]:
    """What is stored of it; its name, beginning and end have columns of their own."""
    return {
        "flag": experiment.flag,
        "salt": experiment.salt,
        "variants": [{"name": v.name, "weight": v.weight, "value": v.value} for v in experiment.variants],
        "channels": sorted(experiment.channels),
        "share": experiment.share,
        "starts": experiment.starts.isoformat() if experiment.starts else None,
        "ends": experiment.ends.isoformat() if experiment.ends else None,
        "detect": experiment.detect,
    }


def read_experiment(name: str, definition: Mapping[str, Any]) -> Experiment:
    """The experiment as `definition_of` told it. Raises KeyError, TypeError or ValueError when it is none."""
    starts, ends = definition["starts"], definition["ends"]
    return Experiment(
        name,
        definition["flag"],
        definition["salt"],
        tuple(Variant(each["name"], each["weight"], each["value"]) for each in definition["variants"]),
        frozenset(definition["channels"]),
        definition["share"],
        datetime.fromisoformat(starts) if starts else None,
        datetime.fromisoformat(ends) if ends else None,
        definition["detect"],
    )
