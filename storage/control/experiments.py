"""Everything an operator does with experiments: each a function that the command line and
the console call.

Each change is one transaction with its audit row and the next epoch. `expected` is the
version of the experiment that the operator saw: when somebody else changed it since,
nothing is changed and Conflict says what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.control.experiments import Experiment, Stage, check, definition_of
from agent.control.flags import DECLARED
from agent.core.errors import Rejected
from agent.ports import LanguageModels
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
from storage.control.experiment_rows import ExperimentRow, read_experiments
from storage.control.flags import checked_value, flag_of
from storage.control.targets import RuleTarget, audience_of
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction


@dataclass(frozen=True, slots=True)
class ExperimentView:
    """An experiment as an operator sees it."""

    row: ExperimentRow
    version: int  # of its last change
    busy: str | None = (
        None  # of a draft: another experiment runs on its flag, so it can not start
    )

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
        return (
            self.stage is Stage.DRAFTED
            and starts is not None
            and starts <= self.row.now
        )


class ExperimentAdmin:
    """The operator's side of experiments."""

    def __init__(
        self, database: Database, pipe: RedisPipe, models: LanguageModels
    ) -> None:
        self._database = database
        self._pipe = pipe
        self._models = models

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
        """Drafts an experiment. Nobody takes part until it is started, by an operator or by
        its plan.
        """
        check(experiment)
        async with changing(self._database, self._pipe, author) as change:
            made = await self._checked(change.connection, experiment)
            await _refuse_the_past(change.connection, made)
            if await change.connection.scalar(
                text(STATEMENTS["experiment_exists"]), {"name": made.name}
            ):
                raise Rejected(
                    f"There is an experiment {made.name} already. Choose another name."
                )
            definition = definition_of(made)
            await change.connection.execute(
                text(STATEMENTS["create_experiment"]),
                {"name": made.name, "definition": as_json(definition)},
            )
            drafted = {"definition": definition, "stage": Stage.DRAFTED}
            return await _recorded(change, "experiment.create", made.name, {}, drafted)

    async def start(
        self, name: str, author: Author, *, expected: int | None = None
    ) -> ExperimentView:
        """Begins a drafted experiment, for good: it does not change any more, and ends once."""
        async with changing(self._database, self._pipe, author) as change:
            view = await _locked(change, name, expected)
            if view.stage is not Stage.DRAFTED:
                raise Rejected(
                    f"{name} {_SAID[view.stage]}; an experiment starts once. Create another."
                )
            if view.busy is not None:
                flag = view.experiment.flag
                raise Rejected(
                    f"{view.busy} runs on {flag}, and a flag has one experiment "
                    "at a time. Stop it first."
                )
            await self._checked(change.connection, view.experiment)
            await _refuse_the_past(
                change.connection, replace(view.experiment, starts=None)
            )
            await change.connection.execute(
                text(STATEMENTS["start_experiment"]), {"name": name}
            )
            return await _recorded(
                change, "experiment.start", name, *_moved(Stage.DRAFTED, Stage.RUNNING)
            )

    async def stop(
        self, name: str, author: Author, *, expected: int | None = None
    ) -> ExperimentView:
        """Ends a running experiment, for good: the next rules decide for everybody. It
        stays for its report.
        """
        async with changing(self._database, self._pipe, author) as change:
            view = await _locked(change, name, expected)
            if view.stage is not Stage.RUNNING:
                raise Rejected(
                    f"{name} {_SAID[view.stage]}; only one that runs can be stopped."
                )
            await change.connection.execute(
                text(STATEMENTS["stop_experiment"]), {"name": name}
            )
            return await _recorded(
                change, "experiment.stop", name, *_moved(Stage.RUNNING, Stage.ENDED)
            )

    async def remove(
        self, name: str, author: Author, *, expected: int | None = None
    ) -> None:
        """Forgets a draft. One that was started stays: answers were given under it."""
        async with changing(self._database, self._pipe, author) as change:
            view = await _locked(change, name, expected)
            if view.stage is not Stage.DRAFTED:
                raise Rejected(
                    f"{name} {_SAID[view.stage]} and stays for its report. Only "
                    "a draft can be removed."
                )
            await change.connection.execute(
                text(STATEMENTS["remove_experiment"]), {"name": name}
            )
            before = {
                "definition": definition_of(view.experiment),
                "stage": Stage.DRAFTED,
            }
            await change.record(
                "experiment.remove", _subject(name), before=before, after={}
            )

    async def _checked(
        self, connection: AsyncConnection, experiment: Experiment
    ) -> Experiment:
        """With its values as they are stored. Raises Rejected for a flag, a value or a
        channel that is none.
        """
        flag = await flag_of(connection, experiment.flag)
        if flag is None:
            raise Rejected(
                "There is no flag of this name. There are: "
                f"{', '.join(DECLARED)}, and those of your own."
            )
        for channel in sorted(experiment.channels):
            await audience_of(connection, RuleTarget(channel=channel))
        variants = [
            variant
            if variant.value is None
            else replace(
                variant, value=checked_value(flag, variant.value, self._models)
            )
            for variant in experiment.variants
        ]
        return replace(experiment, variants=tuple(variants))


_SAID = {
    Stage.DRAFTED: "has not started",
    Stage.RUNNING: "runs",
    Stage.ENDED: "has ended",
}


def _moved(before: Stage, after: Stage) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"stage": before}, {"stage": after}


async def _recorded(
    change: Change,
    action: str,
    name: str,
    before: dict[str, Any],
    after: dict[str, Any],
) -> ExperimentView:
    await change.record(action, _subject(name), before=before, after=after)
    return await _view(change.connection, name)


async def _locked(change: Change, name: str, expected: int | None) -> ExperimentView:
    """The experiment as it is, while nobody else can change one."""
    await expect(change.connection, _subject(name), expected)
    return await _view(change.connection, name)


async def _refuse_the_past(connection: AsyncConnection, experiment: Experiment) -> None:
    """By the database's clock, as everything planned."""
    for what, moment in (("start", experiment.starts), ("end", experiment.ends)):
        if moment is not None and await connection.scalar(
            text(STATEMENTS["is_past"]), {"moment": moment}
        ):
            raise Rejected(
                f"The planned {what} of {experiment.name} is past. Create it "
                "with another, or without."
            )


async def _views(connection: AsyncConnection) -> list[ExperimentView]:
    rows, known = (
        await read_experiments(connection),
        await versions(connection, "experiment"),
    )
    return [
        _seen(row, known.get(_subject(row.experiment.name), 0), rows) for row in rows
    ]


async def _view(connection: AsyncConnection, name: str) -> ExperimentView:
    rows = await read_experiments(connection)
    found = next((row for row in rows if row.experiment.name == name), None)
    if found is None:
        known = ", ".join(row.experiment.name for row in rows) or "none yet"
        raise Rejected(f"There is no experiment of this name. There are: {known}.")
    return _seen(found, await version_of(connection, _subject(name)), rows)


def _seen(
    row: ExperimentRow, version: int, rows: Sequence[ExperimentRow]
) -> ExperimentView:
    running = (one.experiment for one in rows if one.stage is Stage.RUNNING)
    others = (one.name for one in running if one.flag == row.experiment.flag)
    return ExperimentView(
        row, version, next(others, None) if row.stage is Stage.DRAFTED else None
    )


def _subject(name: str) -> str:
    return f"experiment:{name}"
