"""Everything an operator does with experiments; the command line and the console call it.

Each change is one transaction with its audit row and the next epoch. `expected` is the
version of the experiment that the operator saw. If somebody else changed it since, nothing
is changed and Conflict says what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from agent.control.experiments import Experiment, Stage, Variant, check, definition_of
from agent.control.flags import DECLARED, Flag
from agent.core.errors import Rejected
from agent.core.text import did_you_mean
from storage.connecting.connection import Connection
from storage.control import STATEMENTS
from storage.control.audit import Author
from storage.control.changes import (
    Change,
    as_json,
    changing,
    expect,
    version_of,
    versions,
)
from storage.control.experiments.rows import StoredExperiment, read_experiments
from storage.control.flag_rules import ValueCheck, flag_of
from storage.control.targets import RuleTarget, audience_of
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction


class ExperimentView(Struct, frozen=True):
    """An experiment as an operator sees it."""

    row: StoredExperiment
    version: int
    """Of its last change."""
    busy: str | None = None
    """Of a draft: the experiment that runs on its flag, so that this one cannot start."""

    @property
    def experiment(self) -> Experiment:
        return self.row.experiment

    @property
    def stage(self) -> Stage:
        return self.row.stage

    @property
    def late(self) -> bool:
        """Whether it should have started by its plan."""
        starts = self.experiment.starts
        if self.stage is not Stage.DRAFTED or starts is None:
            return False

        return starts <= self.row.now


class ExperimentAdmin:
    """The operator's side of experiments."""

    def __init__(
        self,
        database: Database,
        pipe: RedisPipe,
        check: ValueCheck,
    ) -> None:
        self._database = database
        self._pipe = pipe
        self._check = check

    # --- reading --------------------------------------------------------------

    async def all(self) -> list[ExperimentView]:
        """All experiments by name."""
        async with transaction(self._database) as connection:
            return await _views(connection)

    async def get(self, name: str) -> ExperimentView:
        """One experiment. Raises Rejected when there is none of this name."""
        async with transaction(self._database) as connection:
            return await _view(connection, name)

    # --- changing -------------------------------------------------------------

    async def create(self, experiment: Experiment, author: Author) -> ExperimentView:
        """Drafts an experiment. Nobody takes part until an operator or its plan starts it."""
        check(experiment)

        async with changing(self._database, self._pipe, author) as change:
            made = await self._checked(change.connection, experiment)
            await _refuse_the_past(change.connection, made)
            await _refuse_taken(change.connection, made.name)

            definition = definition_of(made)
            values = {"name": made.name, "definition": as_json(definition)}
            create = STATEMENTS["create_experiment"]
            await change.connection.execute(create, values)
            drafted = {"definition": definition, "stage": Stage.DRAFTED}

            return await recorded(change, "experiment.create", made.name, {}, drafted)

    async def start(
        self,
        name: str,
        author: Author,
        *,
        expected: int | None = None,
    ) -> ExperimentView:
        """Starts a drafted experiment, for good: from now on it cannot change, and it ends once."""
        async with changing(self._database, self._pipe, author) as change:
            view = await locked(change, name, expected)
            if view.stage is not Stage.DRAFTED:
                raise Rejected(
                    f"{name} {STAGES[view.stage]}; an experiment starts once. Create another."
                )
            if view.busy is not None:
                raise Rejected(
                    f"{view.busy} runs on {view.experiment.flag}, and a flag has one "
                    "experiment at a time. Stop it first."
                )

            await self._checked(change.connection, view.experiment)
            unplanned = replace(view.experiment, starts=None)
            await _refuse_the_past(change.connection, unplanned)
            start = STATEMENTS["start_experiment"]
            await change.connection.execute(start, {"name": name})
            stages = moved(Stage.DRAFTED, Stage.RUNNING)

            return await recorded(change, "experiment.start", name, *stages)

    async def stop(
        self,
        name: str,
        author: Author,
        *,
        expected: int | None = None,
    ) -> ExperimentView:
        """Ends a running experiment, for good: the next rules decide for everybody.

        It stays for its report.
        """
        async with changing(self._database, self._pipe, author) as change:
            view = await locked(change, name, expected)
            if view.stage is not Stage.RUNNING:
                raise Rejected(
                    f"{name} {STAGES[view.stage]}; only one that runs can be stopped."
                )

            stop = STATEMENTS["stop_experiment"]
            await change.connection.execute(stop, {"name": name})
            stages = moved(Stage.RUNNING, Stage.ENDED)

            return await recorded(change, "experiment.stop", name, *stages)

    async def remove(
        self,
        name: str,
        author: Author,
        *,
        expected: int | None = None,
    ) -> None:
        """Forgets a draft. One that was started stays: answers were given under it."""
        async with changing(self._database, self._pipe, author) as change:
            view = await locked(change, name, expected)
            if view.stage is not Stage.DRAFTED:
                raise Rejected(
                    f"{name} {STAGES[view.stage]} and stays for its report. "
                    "Only a draft can be removed."
                )

            remove = STATEMENTS["remove_experiment"]
            await change.connection.execute(remove, {"name": name})
            definition = definition_of(view.experiment)
            before = {"definition": definition, "stage": Stage.DRAFTED}
            subject = subject_of_experiment(name)
            await change.record("experiment.remove", subject, before=before, after={})

    async def _checked(
        self,
        connection: Connection,
        experiment: Experiment,
    ) -> Experiment:
        """The experiment with its values as they are stored.

        Raises Rejected for an unknown flag or channel, and for a value that the flag does
        not take.
        """
        flag = await flag_of(connection, experiment.flag)
        if flag is None:
            raise Rejected(
                f"There is no flag of this name. There are: {', '.join(DECLARED)}, "
                "and those of your own."
            )

        for channel in sorted(experiment.channels):
            await audience_of(connection, RuleTarget(channel=channel))

        variants = tuple(self._stored(flag, each) for each in experiment.variants)

        return replace(experiment, variants=variants)

    def _stored(self, flag: Flag[Any], variant: Variant) -> Variant:
        if variant.value is None:
            return variant

        return replace(variant, value=self._check(flag, variant.value))


STAGES = {
    Stage.DRAFTED: "has not started",
    Stage.RUNNING: "runs",
    Stage.ENDED: "has ended",
}


def moved(before: Stage, after: Stage) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"stage": before}, {"stage": after}


async def recorded(
    change: Change,
    action: str,
    name: str,
    before: dict[str, Any],
    after: dict[str, Any],
) -> ExperimentView:
    await change.record(
        action, subject_of_experiment(name), before=before, after=after
    )

    return await _view(change.connection, name)


async def locked(
    change: Change,
    name: str,
    expected: int | None,
) -> ExperimentView:
    """The experiment as it is, while nobody else can change one."""
    await expect(change.connection, subject_of_experiment(name), expected)

    return await _view(change.connection, name)


async def _refuse_the_past(connection: Connection, experiment: Experiment) -> None:
    """Raises Rejected for a plan that is over, by the database's clock."""
    is_past = STATEMENTS["is_past"]

    for what, moment in (("start", experiment.starts), ("end", experiment.ends)):
        if moment is None:
            continue
        if await connection.scalar(is_past, {"moment": moment}):
            raise Rejected(
                f"The planned {what} of {experiment.name} is past. "
                "Create it with another, or without."
            )


async def _refuse_taken(connection: Connection, name: str) -> None:
    if await connection.scalar(STATEMENTS["experiment_exists"], {"name": name}):
        raise Rejected(f"There is an experiment {name} already. Choose another name.")


async def _views(connection: Connection) -> list[ExperimentView]:
    rows = await read_experiments(connection)
    known = await versions(connection, "experiment")

    return [
        _seen(row, known.get(subject_of_experiment(row.experiment.name), 0), rows)
        for row in rows
    ]


async def _view(connection: Connection, name: str) -> ExperimentView:
    rows = await read_experiments(connection)

    for row in rows:
        if row.experiment.name == name:
            return _seen(
                row, await version_of(connection, subject_of_experiment(name)), rows
            )

    known = [row.experiment.name for row in rows]
    raise Rejected(
        f"There is no experiment of this name.{did_you_mean(name, known)} "
        f"There are: {', '.join(known) or 'none yet'}."
    )


def _seen(
    row: StoredExperiment,
    version: int,
    rows: Sequence[StoredExperiment],
) -> ExperimentView:
    running = (each.experiment for each in rows if each.stage is Stage.RUNNING)
    busy = next(
        (one.name for one in running if one.flag == row.experiment.flag), None
    )

    return ExperimentView(row, version, busy if row.stage is Stage.DRAFTED else None)


def subject_of_experiment(name: str) -> str:
    return f"experiment:{name}"
