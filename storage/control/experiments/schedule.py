"""Planned starts and ends of experiments, by the database's clock.

Every instance looks; the first one carries a plan out.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import msgspec
import structlog

from agent.control.experiments import read_experiment
from agent.core.background import run_in_background
from agent.core.errors import Conflict, Rejected, StoreUnavailable
from storage.control import STATEMENTS
from storage.control.audit import Itself
from storage.control.experiments.admin import ExperimentAdmin
from storage.postgres import Database
from storage.transaction import transaction

EVERY_SECONDS = 5.0

log = structlog.get_logger()


class ExperimentSchedule:
    """The plans of all experiments, as one instance looks after them."""

    def __init__(self, database: Database, experiments: ExperimentAdmin) -> None:
        self._database = database
        self._experiments = experiments
        origin = f"instance on {socket.gethostname()}"
        self._author = Itself(origin=origin, reason="planned")
        self._logged: dict[str, str] = {}
        """By experiment, why its plan could not be carried out: each reason is logged once."""

    async def keep(self) -> None:
        """Starts and ends what is due.

        Safe on several instances at once: only the first one's change counts. An experiment
        that cannot start stays a draft that is late, and is tried again. Raises
        StoreUnavailable.
        """
        async with transaction(self._database) as connection:
            planned = STATEMENTS["planned_experiments"]
            rows = await connection.execute(planned)

        for row in filter(self._due, rows):
            await self._carry_out(row)

    async def _carry_out(self, row: Any) -> None:
        change = self._experiments.start if row.begins else self._experiments.stop

        try:
            await change(row.name, self._author, expected=row.version)
        except Conflict:
            return  # another instance, or an operator, was faster
        except Rejected as refusal:
            self._log_once(row.name, refusal.sentence)
            return

        if row.begins:
            log.info("experiment started by plan", experiment=row.name)
        else:
            log.info("experiment ended by plan", experiment=row.name)

    def _due(self, row: Any) -> bool:
        """Whether its planned moment has come; False for a plan that cannot be read."""
        try:
            experiment = read_experiment(
                row.name, msgspec.json.decode(row.definition)
            )
        except ValueError as error:
            self._log_once(row.name, str(error))
            return False

        moment = experiment.starts if row.begins else experiment.ends

        return moment is not None and moment <= row.now

    def _log_once(self, name: str, reason: str) -> None:
        if self._logged.get(name) != reason:
            log.warning(
                "a plan could not be kept; it is tried again",
                experiment=name,
                reason=reason,
            )

        self._logged[name] = reason


def run_schedule(schedule: ExperimentSchedule) -> AbstractAsyncContextManager[None]:
    """Inside, plans are carried out every few seconds."""
    return run_in_background(_keep_forever, schedule)


async def _keep_forever(schedule: ExperimentSchedule) -> None:
    while True:
        try:
            await schedule.keep()
        except StoreUnavailable:
            pass  # the heartbeat logs it
        except asyncpg.PostgresError as error:
            log.warning(
                "plans of experiments were not kept; it is tried again",
                error=type(error).__name__,
            )
        # whatever it is: a loop that ends would carry out no plan any more
        except Exception as error:
            log.exception(
                "plans of experiments were not kept; it is tried again",
                error=type(error).__name__,
            )

        await asyncio.sleep(EVERY_SECONDS)
