"""Experiments as their table holds them. One that this version cannot read is left out."""

from __future__ import annotations

from datetime import datetime

import msgspec
import structlog
from msgspec import Struct

from agent.control.experiments import Experiment, Stage, read_experiment
from storage.connecting.connection import Connection
from storage.control import STATEMENTS

log = structlog.get_logger()


class StoredExperiment(Struct, frozen=True):
    """An experiment, and how far it is."""

    experiment: Experiment
    started: datetime | None
    ended: datetime | None
    now: datetime
    """By the database's clock."""

    @property
    def stage(self) -> Stage:
        if self.started is None:
            return Stage.DRAFTED

        return Stage.RUNNING if self.ended is None else Stage.ENDED

    def ran(self, at: datetime | None) -> bool:
        """Whether it was running at a past moment; None: now."""
        if at is None:
            return self.stage is Stage.RUNNING
        if self.started is None or at < self.started:
            return False

        return self.ended is None or at < self.ended


async def read_experiments(connection: Connection) -> list[StoredExperiment]:
    """All experiments by name."""
    found = await connection.execute(STATEMENTS["all_experiments"])
    rows = []

    for name, definition, started, ended, now in found:
        try:
            experiment = read_experiment(name, msgspec.json.decode(definition))
        except ValueError as error:
            log.warning("an experiment is left out", reason=str(error))
            continue
        rows.append(StoredExperiment(experiment, started, ended, now))

    return rows


async def running_on(
    connection: Connection,
    flag: str,
    at: datetime | None = None,
) -> Experiment | None:
    """The experiment that runs on a flag, or did at a past moment."""
    for row in await read_experiments(connection):
        if row.experiment.flag == flag and row.ran(at):
            return row.experiment

    return None
