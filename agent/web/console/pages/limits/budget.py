"""`/limits/budget?scope=…&period=…&subject=…`: one budget, set or not."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlencode
from uuid import UUID

from msgspec import Struct
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
    read_part,
    status_of,
)
from agent.web.console.page import PageContext
from agent.web.console.pages.limits.listing import (
    EACH,
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
from storage.limits.budget_admin import Tokens, Usd
from storage.limits.budget_views import Period, Scope
from storage.limits.budgets import ANYONE
from storage.limits.typed_budgets import (
    amounts,
    set_question,
    typed_tokens,
    typed_usd,
    unset_question,
)
from storage.people.listing import accounts_of
from storage.reports.models import models_in_use
from storage.transaction import transaction

NEVER = "The form does not say what to do. Load the page again."


class Named(Struct, frozen=True):
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

    change = _set if wanted == "set" else _unset
    make = partial(change, context, named)
    try:
        question = _question(context, named)
        if page := await unconfirmed(
            context,
            question,
            named.path,
            make,
        ):
            return page
        told = await make()
    except (Rejected, Conflict) as error:
        problem, status = described(error), status_of(error)
        return await _page(
            context,
            named,
            problem=problem,
            status=status,
        )

    return context.redirect(named.path, told)


def _question(
    context: PageContext,
    named: Named,
) -> str | None:
    """None: it concerns one person. Raises Rejected."""
    if context.form["do"] == "unset":
        return unset_question(named.scope, named.subject, named.period)

    return set_question(named.scope, named.subject, named.period, *_halves(context))


def _halves(
    context: PageContext,
) -> tuple[Tokens, Usd]:
    """As typed; an empty half stays as it is. Raises Rejected."""
    form = context.form

    return typed_tokens(form["tokens"] or None), typed_usd(form["usd"] or None)


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
    whose = await _whose(context, named)

    return context.render(
        "limits/budget.html",
        status,
        named=named,
        row=row,
        whose=whose,
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


async def _whose(
    context: PageContext,
    named: Named,
) -> str:
    """Names and accounts of a person, as people know them."""
    if named.subject == ANYONE:
        return EACH[named.scope]
    if named.scope == "channel":
        return named.subject

    database = context.services.stores.database
    accounts = await accounts_of(database, UUID(named.subject))
    names = dict.fromkeys(one.username for one in accounts if one.username)
    known = ", ".join(f"{one.channel}:{one.account}" for one in accounts)

    return f"{', '.join(names)} ({known})" if names else known or named.subject


async def _unpriced(
    context: PageContext,
) -> list[str]:
    """Models in use that are not asked under a budget in US dollars."""
    services = context.services
    reading = models_in_use(services.settings, services.stores.database)
    names = (await read_part("models", reading)).value or []

    return await without_price(specs_of(services.models, services.settings), names)


async def _set(
    context: PageContext,
    named: Named,
) -> str:
    made = await budget_admin(context.services).set(
        named.scope,
        named.subject,
        *_halves(context),
        context.author(),
        expected=context.form.number("version") or 0,
        period=named.period,
    )

    return f"Set: {amounts(made.tokens, made.usd)} a {named.period}."


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
