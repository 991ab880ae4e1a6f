"""Flags as an operator sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from agent.control.about import about_in
from agent.control.experiments import Experiment
from agent.control.flags import DECLARED, Flag
from agent.control.rules import Audience, Outcome, Rules, Step
from agent.core.errors import Rejected
from storage.control.flag_rules import read_flag, subject_of


class FlagView(Struct, frozen=True):
    """A flag as an operator sees it."""

    flag: Flag[Any]
    rules: Rules
    version: int
    """Of its last change; 0: never changed."""
    applied: int
    """Number of live instances on which its last change is in force."""
    instances: int
    """Number of live instances."""
    experiment: Experiment | None = None
    """The one that runs on it."""

    @property
    def owner(self) -> str | None:
        return about_in(self.rules).owner

    @property
    def tags(self) -> tuple[str, ...]:
        return about_in(self.rules).tags

    @property
    def declared(self) -> bool:
        return self.flag.name in DECLARED


class Changed(Struct, frozen=True):
    """What a change did. An empty mapping: nothing was set before, or nothing is set now."""

    name: str
    before: Rules
    after: Rules
    epoch: int | None
    """None: everything was so already."""
    version: int


class Explanation(Struct, frozen=True):
    """All rules of a flag for one audience; the first that matched decides."""

    flag: Flag[Any]
    audience: Audience
    steps: Sequence[Step]
    at: datetime | None
    """None: now."""

    @property
    def decided(self) -> Step:
        return next(step for step in self.steps if step.outcome is Outcome.MATCHED)


def views_of(
    rules: Mapping[str, Rules],
    versions: Mapping[str, tuple[int, int]],
    epochs: Sequence[int],
    running: Mapping[str, Experiment],
) -> Iterator[FlagView]:
    for name, scopes in sorted(rules.items()):
        try:
            flag = read_flag(name, scopes)
        except Rejected:
            continue  # a newer version's flag is no reason to hide the others
        if flag is None:
            continue

        version, epoch = versions.get(subject_of(name), (0, 0))
        applied = sum(each >= epoch for each in epochs)
        yield FlagView(flag, scopes, version, applied, len(epochs), running.get(name))
