"""A variant becomes what the flag is: the experiment ends and the rule is set, in one change."""

from __future__ import annotations

from msgspec import Struct

from agent.control.experiments import Experiment, Stage, Variant
from agent.control.rules import EXPERIMENT, GLOBAL, Rules, channel_scope
from agent.core.errors import Rejected
from agent.core.remedies import Run
from storage.control import STATEMENTS
from storage.control.audit import Author
from storage.control.changes import Change, changing
from storage.control.experiments.admin import (
    STAGES,
    locked,
    moved,
    recorded,
)
from storage.control.flag_rules import ValueCheck, flag_of, replace_rules, rules_of
from storage.postgres import Database
from storage.redis import RedisPipe


class Shipped(Struct, frozen=True):
    """What was done. Empty rules: the flag was so already."""

    experiment: str
    variant: str
    flag: str
    before: Rules
    after: Rules
    stopped: bool
    """Whether it still ran."""


class Shipping:
    """The operator's side of it."""

    def __init__(
        self, database: Database, pipe: RedisPipe, check: ValueCheck
    ) -> None:
        self._database = database
        self._pipe = pipe
        self._check = check

    async def ship(
        self,
        name: str,
        variant: str,
        author: Author,
        *,
        expected: int | None = None,
    ) -> Shipped:
        """Sets the flag to the variant's value for all whom the experiment was for, and ends
        it if it runs. Raises Rejected, and Conflict as every change does.
        """
        async with changing(self._database, self._pipe, author) as change:
            view = await locked(change, name, expected)
            if view.stage is Stage.DRAFTED:
                raise Rejected(
                    f"{name} {STAGES[view.stage]}: nobody had one of its variants.",
                    Run("experiments start", "begins it", target=name),
                )

            flag = view.experiment.flag
            old, new = await self._rules(change, view.experiment, variant)
            runs = view.stage is Stage.RUNNING
            if runs:
                stop = STATEMENTS["stop_experiment"]
                await change.connection.execute(stop, {"name": name})
            rules = await replace_rules(change, "flag.ship", flag, old, new)
            if runs:
                stages = moved(Stage.RUNNING, Stage.ENDED)
                await recorded(change, "experiment.stop", name, *stages)

        return Shipped(name, variant, flag, *rules, runs)

    async def _rules(
        self, change: Change, experiment: Experiment, variant: str
    ) -> tuple[Rules, Rules]:
        """The flag's rules as they are, and with the variant's value."""
        chosen = _variant(experiment, variant)
        flag = await flag_of(change.connection, experiment.flag)
        if flag is None:
            raise Rejected(f"There is no flag {experiment.flag} any more.")

        value = self._check(flag, chosen.value)
        old = await rules_of(change.connection, experiment.flag)

        return old, {**old, **dict.fromkeys(_scopes(experiment), value)}


def _variant(experiment: Experiment, name: str) -> Variant:
    for variant in experiment.variants:
        if variant.name != name:
            continue
        if variant.value is None:
            raise Rejected(
                f"{name} has no value: it is what the flag is without the {EXPERIMENT}.",
                Run("experiments stop", "is enough", target=experiment.name),
            )
        return variant

    known = ", ".join(variant.name for variant in experiment.variants)
    raise Rejected(f"{experiment.name} has no such variant. It has: {known}.")


def _scopes(experiment: Experiment) -> list[str]:
    """Where the rule is set: for everybody, or on the experiment's channels."""
    return [channel_scope(one) for one in sorted(experiment.channels)] or [GLOBAL]
