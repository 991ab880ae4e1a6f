"""What an instance looks after in the background, apart from turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.ports import LanguageModels
from agent.settings import Settings
from storage.control.experiments.admin import ExperimentAdmin
from storage.control.experiments.schedule import ExperimentSchedule, run_schedule
from storage.control.flag_rules import ValueCheck
from storage.control.flags.uses import record_uses
from storage.conversation.housekeeping import housekeeping
from storage.lifecycle.erasure import Stores
from storage.lifecycle.schedule import lifecycle
from storage.limits.budget_admin import SETTLING_SECONDS
from storage.limits.budget_alerts import BudgetAlerts, run_alerts
from storage.limits.noted import Noted
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.reports.rollup import rollup
from storage.reports.search_index import search_index


@asynccontextmanager
async def upkeep(
    settings: Settings,
    database: Database,
    pipe: RedisPipe,
    models: LanguageModels,
    noted: Noted,
) -> AsyncIterator[None]:
    """Inside, all of it is done."""
    experiments = ExperimentAdmin(database, pipe, ValueCheck(models))
    call_seconds = settings.model_total_timeout + SETTLING_SECONDS
    backups = settings.backup_dir or settings.agent_home / "backups"

    async with (
        housekeeping(database),
        run_schedule(ExperimentSchedule(database, experiments)),
        record_uses(database, noted.uses),
        run_alerts(BudgetAlerts(database, noted.touched, call_seconds)),
        rollup(database.url),
        search_index(database.url),
        lifecycle(
            Stores(database, pipe, settings.agent_home),
            backups,
            settings.retention_days,
        ),
    ):
        yield
