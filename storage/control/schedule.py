"""Planned starts and ends of experiments: kept by whichever instance looks first, by the
database's clock.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from agent.control.experiments import read_experiment
from agent.core.errors import Conflict, Rejected, StoreUnavailable
from storage.background import run_in_background
from storage.control import STATEMENTS
from storage.control.audit import Itself
from storage.control.experiments import ExperimentAdmin
from storage.postgres import Database
from storage.transaction import transaction

EVERY_SECONDS = 5.0

log = structlog.get_logger()


class ExperimentSchedule:
    """What one instance does about them."""

    def __init__(self, database: Database, desk: ExperimentAdmin) -> None:
        self._database = database
        self._desk = desk
        self._author = Itself(
            origin=f"instance on {socket.gethostname()}", reason="planned"
        )
        self._told: dict[
            str, str
        ] = {}  # by experiment, why it could not be kept: each reason is logged once

    async def keep(self) -> None:
        """Starts and ends what is due. Safe on several instances at once: the first one's
        change is the only one.

        An experiment that can not start stays a draft that is late, and is tried again.
        Raises StoreUnavailable.
        """
        async with transaction(self._database) as connection:
            rows = (
                await connection.execute(text(STATEMENTS["planned_experiments"]))
            ).all()
        for row in filter(self._due, rows):
            change = self._desk.start if row.begins else self._desk.stop
            try:
                await change(row.name, self._author, expected=row.version)
            except Conflict:
                continue  # somebody was faster
            except Rejected as refusal:
                self._tell(row.name, refusal.sentence)
            else:
                said = (
                    "experiment started by plan"
                    if row.begins
                    else "experiment ended by plan"
                )
                log.info(said, experiment=row.name)

    def _due(self, row: Any) -> bool:
        """Whether its planned moment has come. Not where nobody can read the plan."""
        try:
            experiment = read_experiment(row.name, msgspec.json.decode(row.definition))
        except ValueError as error:
            self._tell(row.name, str(error))
            return False
        moment = experiment.starts if row.begins else experiment.ends
        return moment is not None and moment <= row.now

    def _tell(self, name: str, reason: str) -> None:
        if self._told.get(name) != reason:
            log.warning(
                "a plan could not be kept; it is tried again",
                experiment=name,
                reason=reason,
            )
        self._told[name] = reason


def run_schedule(plans: ExperimentSchedule) -> AbstractAsyncContextManager[None]:
    """Inside, plans are kept every few seconds."""
    return run_in_background(_keep_for_ever, plans)


async def _keep_for_ever(plans: ExperimentSchedule) -> None:
    while True:
        try:
            await plans.keep()
        except StoreUnavailable:
            pass  # the heartbeat says so
        except SQLAlchemyError as error:
            log.warning(
                "plans of experiments were not kept; it is tried again",
                error=type(error).__name__,
            )
        except (
            Exception
        ) as error:  # whatever it is: a loop that ends keeps no plan any more
            log.exception(
                "plans of experiments were not kept; it is tried again",
                error=type(error).__name__,
            )
        await asyncio.sleep(EVERY_SECONDS)
