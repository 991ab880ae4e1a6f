"""`/limits`: all budgets with what is used of them, and all limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from urllib.parse import urlencode

from msgspec import Struct
from starlette.responses import Response

from agent.core.limits import PER_PERSON
from agent.core.text import is_text
from agent.web.console.page import PageContext
from agent.web.console.services import Services
from storage.limits.budget_admin import SETTLING_SECONDS, BudgetAdmin
from storage.limits.budget_views import Aside, BudgetView, Key, Period, Scope
from storage.limits.budgets import ANYONE
from storage.limits.limit_admin import (
    LimitAdmin,
    LimitView,
)

MOST = 200
"""Rows of one table; the next page or a search shows the others."""

SCOPES: tuple[Scope, ...] = ("person", "channel")
PERIODS: tuple[Period, ...] = ("day", "month")

EACH = {
    "person": "each person without one of their own",
    "channel": "each channel without its own",
}

STEPS = ((100, "bad"), (80, "fair"))
"""From so many percent on, a budget looks so."""


class BudgetRow(Struct, frozen=True):
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
    services, wanted = context.services, context.query["q"]
    page, limits = await asyncio.gather(
        budget_admin(services).page(
            MOST,
            after=key_of(context.query["after"]),
            words=wanted,
        ),
        limit_admin(services).list(words=wanted, most=MOST + 1),
    )
    people = [view for view in limits if ":" in view.subject]

    return context.render(
        "limits/list.html",
        rows=[budget_row(view) for view in page.rows],
        next=_next(wanted, page.next),
        channels=_channels(limits),
        people=people[:MOST],
        more_people=len(people) > MOST,
        per_person=PER_PERSON,
        q=wanted,
    )


def key_of(
    typed: str,
) -> Key | None:
    """The key that a page goes on after; None: it is none."""
    scope, _, rest = typed.partition(":")
    period, _, subject = rest.partition(":")
    known = [
        (one, each)
        for one in SCOPES
        for each in PERIODS
        if (one, each) == (scope, period) and is_text(subject)
    ]

    return (known[0][0], subject, known[0][1]) if known else None


def _next(
    words: str,
    key: Key | None,
) -> str:
    """The address of the next page; empty: this is the last."""
    if key is None:
        return ""

    scope, subject, period = key
    kept = [("q", words)] if words else []
    after = ("after", f"{scope}:{period}:{subject}")

    return f"/limits?{urlencode([*kept, after])}"


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
