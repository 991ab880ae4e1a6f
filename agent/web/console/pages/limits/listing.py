"""`/limits`: all budgets with what is used of them, and all limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

from starlette.responses import Response

from agent.core.limits import PER_PERSON
from agent.web.console.page import PageContext
from agent.web.console.services import Services
from storage.limits.budget_admin import (
    SETTLING_SECONDS,
    Aside,
    BudgetAdmin,
    BudgetView,
)
from storage.limits.budgets import ANYONE
from storage.limits.limit_admin import (
    LimitAdmin,
    LimitView,
)

MOST = 200
"""Rows of one table; a search finds the others."""

EACH = {
    "person": "each person without one of their own",
    "channel": "each channel without its own",
}

STEPS = ((100, "bad"), (80, "fair"))
"""From so many percent on, a budget looks so."""


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A budget in the list."""

    view: BudgetView
    whose: str
    path: str

    @property
    def is_set(
        self,
    ) -> bool:
        """False: it is counted because of the one for each."""
        return self.view.tokens is not None or self.view.usd is not None

    @property
    def percent(
        self,
    ) -> int | None:
        """Used of the half that is nearer to its end; None: no bound."""
        view = self.view
        halves: tuple[tuple[Decimal | int, Decimal | int | None], ...] = (
            (view.used_tokens, view.tokens),
            (view.used_usd, view.usd),
        )
        shares = [
            _percent(used, bound) for used, bound in halves if bound is not None
        ]

        return max(shares, default=None)

    @property
    def mark(
        self,
    ) -> str:
        """How it looks; the percentage stands beside it."""
        percent = self.percent or 0

        return next((mark for step, mark in STEPS if percent >= step), "good")

    @property
    def asides(
        self,
    ) -> Sequence[tuple[str, Aside]]:
        """What is set aside, if anything is."""
        named = (
            ("under way", self.view.under_way),
            ("never settled", self.view.unsettled),
        )

        return [(name, aside) for name, aside in named if aside.calls]


async def show(
    context: PageContext,
) -> Response:
    services = context.services
    wanted = context.query["q"].lower()
    budgets, limits = await asyncio.gather(
        budget_admin(services).list(), limit_admin(services).list()
    )
    rows = [budget_row(view) for view in budgets]
    rows = [row for row in rows if wanted in _words(row)]
    people = [view for view in limits if ":" in view.subject]
    people = [view for view in people if wanted in view.subject.lower()]

    return context.render(
        "limits/list.html",
        rows=rows[:MOST],
        more=max(0, len(rows) - MOST),
        channels=_channels(limits),
        people=people[:MOST],
        more_people=max(0, len(people) - MOST),
        per_person=PER_PERSON,
        q=context.query["q"],
    )


def budget_admin(
    services: Services,
) -> BudgetAdmin:
    stores = services.stores
    patience = services.settings.model_total_timeout + SETTLING_SECONDS

    return BudgetAdmin(
        stores.database,
        stores.pipe,
        patience,
    )


def limit_admin(
    services: Services,
) -> LimitAdmin:
    return LimitAdmin(services.stores.database, services.stores.pipe)


def budget_row(
    view: BudgetView,
) -> BudgetRow:
    own = view.accounts or view.subject
    whose = EACH[view.scope] if view.subject == ANYONE else own
    named = {
        "scope": view.scope,
        "period": view.period,
        "subject": view.subject,
    }

    return BudgetRow(
        view,
        whose,
        f"/limits/budget?{urlencode(named)}",
    )


def _words(
    row: BudgetRow,
) -> str:
    return f"{row.whose} {row.view.subject} {row.view.scope}".lower()


def _percent(
    used: Decimal | int,
    bound: Decimal | int,
) -> int:
    """A budget of nothing is used up."""
    return int(100 * used / bound) if bound else 100


def _channels(
    limits: Sequence[LimitView],
) -> Sequence[tuple[str, Sequence[LimitView]]]:
    """By channel, those for each person, each chat, and all together."""
    of_channels = [view for view in limits if ":" not in view.subject]
    names = dict.fromkeys(view.subject for view in of_channels)

    return [
        (name, [view for view in of_channels if view.subject == name])
        for name in names
    ]
