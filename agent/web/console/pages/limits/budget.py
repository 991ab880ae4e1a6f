"""`/limits/budget?scope=…&period=…&subject=…`: one budget, set or not."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.responses import Response

from agent.core.errors import (
    Conflict,
    Rejected,
)
from agent.llm.prices.shown import specs_of, without_price
from agent.web.console.confirming import unconfirmed
from agent.web.console.errors import (
    Stopped,
    described,
    not_found,
    status_of,
)
from agent.web.console.page import PageContext
from agent.web.console.pages.limits.listing import (
    PERIODS,
    SCOPES,
    BudgetRow,
    budget_admin,
    budget_row,
)
from storage.control.targets import (
    RuleTarget,
    audience_of,
)
from storage.limits.budget_admin import Budget
from storage.limits.budget_views import Period, Scope
from storage.limits.budgets import ANYONE
from storage.limits.typed_budgets import (
    set_question,
    typed_tokens,
    typed_usd,
    unset_question,
)
from storage.reports.models import models_in_use
from storage.transaction import transaction

NEVER = "The form does not say what to do. Load the page again."


@dataclass(frozen=True, slots=True)
class Named:
    """Whose budget, and for how long."""

    scope: Scope
    period: Period
    subject: str
    """A person by their id, whichever account was named."""

    @property
    def path(
        self,
    ) -> str:
        named = {
            "scope": self.scope,
            "period": self.period,
            "subject": self.subject,
        }

        return f"/limits/budget?{urlencode(named)}"


async def show(
    context: PageContext,
) -> Response:
    return await _page(context, await _named(context))


async def act(
    context: PageContext,
) -> Response:
    named = await _named(context)
    wanted = context.form["do"]
    if wanted not in ("set", "unset"):
        raise Stopped(422, NEVER)

    asked = set_question if wanted == "set" else unset_question
    make = _set if wanted == "set" else _unset
    try:
        question = asked(named.scope, named.subject)
        if page := unconfirmed(
            context,
            question,
            named.path,
        ):
            return page
        told = await make(context, named)
    except (Rejected, Conflict) as error:
        problem, status = described(error), status_of(error)
        return await _page(
            context,
            named,
            problem=problem,
            status=status,
        )

    return context.redirect(named.path, told)


async def _named(
    context: PageContext,
) -> Named:
    """Raises Stopped for somebody nobody knows."""
    query = context.query
    scope = next((one for one in SCOPES if one == query["scope"]), None)
    period = next((one for one in PERIODS if one == query["period"]), None)
    if scope is None or period is None or not query["subject"]:
        raise Stopped(404, "Say whose budget, and whether for a day or a month.")

    with not_found():
        subject = await _subject(
            context,
            scope,
            query["subject"],
        )

    return Named(
        scope,
        period,
        subject,
    )


async def _subject(
    context: PageContext,
    scope: Scope,
    typed: str,
) -> str:
    if typed == ANYONE:
        return typed

    target = RuleTarget(
        person=typed if scope == "person" else None,
        channel=typed if scope == "channel" else None,
    )
    async with transaction(context.services.stores.database) as connection:
        audience = await audience_of(connection, target)

    return str(audience.person) if scope == "person" else typed


async def _page(
    context: PageContext,
    named: Named,
    *,
    problem: str = "",
    status: int = 200,
) -> Response:
    admin = budget_admin(context.services)
    version = await admin.version(
        named.scope,
        named.subject,
        named.period,
    )
    row = await _row(context, named)

    return context.render(
        "limits/budget.html",
        status,
        named=named,
        row=row,
        version=version,
        unpriced=await _unpriced(context) if row and row.view.usd is not None else [],
        typed=context.form,
        problem=problem,
    )


async def _row(
    context: PageContext,
    named: Named,
) -> BudgetRow | None:
    """None: nothing is set, and nothing was counted."""
    view = await budget_admin(context.services).find(
        named.scope,
        named.subject,
        named.period,
    )

    return budget_row(view) if view else None


async def _unpriced(
    context: PageContext,
) -> list[str]:
    """Models in use that are not asked under a budget in US dollars."""
    services = context.services
    names = await models_in_use(services.settings, services.stores.database)

    return await without_price(specs_of(services.models, services.settings), names)


async def _set(
    context: PageContext,
    named: Named,
) -> str:
    """An empty half stays as it is."""
    form = context.form
    made = await budget_admin(context.services).set(
        named.scope,
        named.subject,
        typed_tokens(form["tokens"].replace(",", "") or None),
        typed_usd(form["usd"] or None),
        context.author(),
        expected=form.number("version") or 0,
        period=named.period,
    )

    return f"Set: {_described(made)} a {named.period}."


async def _unset(
    context: PageContext,
    named: Named,
) -> str:
    await budget_admin(context.services).unset(
        named.scope,
        named.subject,
        context.author(),
        expected=context.form.number("version") or 0,
        period=named.period,
    )

    return "The budget is removed."


def _described(
    budget: Budget,
) -> str:
    tokens = "any" if budget.tokens is None else f"{budget.tokens:,}"
    usd = "any" if budget.usd is None else f"${budget.usd.normalize():,f}"

    return f"{tokens} tokens, {usd}"
