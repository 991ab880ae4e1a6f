"""Operators are told when 50, 80 and 100 % of a budget are used: once for each step and period.

Looked after apart from turns: a turn only notes which counters it touched. 100 % also means
that a call was refused, since the worst case of a call seldom fits exactly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import structlog
from msgspec import Struct

from agent import metrics
from agent.core.background import run_in_background
from agent.core.errors import StoreUnavailable
from storage.limits import STATEMENTS
from storage.limits.noted import TouchedCounters
from storage.postgres import Database, columns
from storage.transaction import transaction

EVERY_SECONDS = 10.0

log = structlog.get_logger()


class Alert(Struct, frozen=True):
    """A budget of which this much is used."""

    scope: str
    subject: str
    period: str
    step: int
    """Percent."""

    def __str__(self) -> str:
        return f"{self.scope} {self.subject} at {self.step} % of the {self.period}"


class BudgetAlerts:
    """What one instance tells."""

    def __init__(
        self,
        database: Database,
        touched: TouchedCounters,
        call_seconds: float,
    ) -> None:
        """`call_seconds`: how long a call to a model lasts at most, with its settlement."""
        self._database = database
        self._touched = touched
        self._call_seconds = call_seconds

    async def look(self) -> list[Alert]:
        """Tells of each step that was reached since. Raises StoreUnavailable."""
        rows = self._touched.rows()
        if not rows:
            return []

        names = ("scopes", "subjects", "periods", "refused")
        values = {
            **dict(zip(names, columns(rows), strict=True)),
            "call_seconds": self._call_seconds,
        }
        async with transaction(self._database) as connection:
            found = await connection.execute(STATEMENTS["alert"], values)

        alerts = [Alert(*row) for row in found]
        for alert in alerts:
            self._tell(alert)

        return alerts

    def _tell(self, alert: Alert) -> None:
        if alert.step == 100:
            self._touched.told((alert.scope, alert.subject, alert.period))
        metrics.budget_alerts.add(alert.scope, alert.period, str(alert.step))
        log.warning(
            "a budget is nearly used up"
            if alert.step < 100
            else "a budget is used up",
            scope=alert.scope,
            subject=alert.subject,
            period=alert.period,
            percent=alert.step,
        )


async def alerted_budgets(database: Database) -> Sequence[Alert]:
    """Those of today and this month of which operators were told, the fullest first."""
    async with transaction(database) as connection:
        rows = await connection.execute(STATEMENTS["alerts_now"])

    return [Alert(*row) for row in rows]


def run_alerts(alerts: BudgetAlerts) -> AbstractAsyncContextManager[None]:
    """Inside, budgets are looked at every few seconds."""
    return run_in_background(_look_forever, alerts)


async def _look_forever(alerts: BudgetAlerts) -> None:
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        try:
            await alerts.look()
        except StoreUnavailable:
            pass  # the heartbeat logs it
        # whatever it is: a loop that ends would tell of nothing any more
        except Exception as error:
            log.exception("budgets were not looked at", error=type(error).__name__)
