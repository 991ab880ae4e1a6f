"""What an instance looks after in the background, apart from turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agent.control.uses import FlagUses
from agent.ports import LanguageModels
from storage.control.experiments.admin import ExperimentAdmin
from storage.control.experiments.schedule import ExperimentSchedule, run_schedule
from storage.control.flag_rules import ValueCheck
from storage.control.flags.uses import record_uses
from storage.conversation.housekeeping import housekeeping
from storage.limits.budget_alerts import BudgetAlerts, TouchedCounters, run_alerts
from storage.postgres import Database
from storage.redis import RedisPipe


@dataclass(frozen=True, slots=True)
class Noted:
    """What turns note in passing; it is written by and by."""

    uses: FlagUses = field(default_factory=FlagUses)
    touched: TouchedCounters = field(default_factory=TouchedCounters)


@asynccontextmanager
async def upkeep(
    database: Database,
    pipe: RedisPipe,
    models: LanguageModels,
    noted: Noted,
    call_seconds: float,
) -> AsyncIterator[None]:
    """Inside, all of it is done. `call_seconds`: how long a call to a model lasts at most."""
    experiments = ExperimentAdmin(database, pipe, ValueCheck(models))
    plans = ExperimentSchedule(database, experiments)
    alerts = BudgetAlerts(database, noted.touched, call_seconds)

    async with (
        housekeeping(database),
        run_schedule(plans),
        record_uses(database, noted.uses),
        run_alerts(alerts),
    ):
        yield
