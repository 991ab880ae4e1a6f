"""`/budgets`: what people and channels may use up in a day or a month."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal, cast, get_args

from fastapi import Query, Response
from pydantic import BaseModel, Field

from agent.control.permissions import Permission
from agent.web.api.protocol.amounts import Dollars
from agent.web.api.protocol.caller import Asking, Caller
from agent.web.api.protocol.paging import (
    Page,
    Paging,
    Reason,
    Sent,
    Text,
    WhyRemoved,
    page_until,
    text,
)
from agent.web.api.protocol.problems import finding
from agent.web.api.protocol.routing import CHANGES, MISSING, TAGGED, needs, routes
from agent.web.api.protocol.versions import Expected, tag
from storage.limits.budget_admin import (
    MAX_TOKENS,
    MAX_USD,
    SETTLING_SECONDS,
    USD_DECIMALS,
    Budget,
    BudgetAdmin,
)
from storage.limits.budget_views import BudgetView, Key, Period, Scope

router = routes("budgets")

PATH = "/budgets/{scope}/{period}/{subject}"


class AsideOut(BaseModel):
    """What is set aside for calls to a model."""

    calls: int
    tokens: int
    usd: Dollars


class BudgetOut(BaseModel):
    """A budget, or what was used without one. Amounts of money are texts."""

    scope: Scope
    subject: str = Field(description="A person's id, a channel, or * for each.")
    period: Period
    tokens: int | None = Field(description="null: no bound.")
    usd: Dollars | None = Field(description="null: no bound.")
    used_tokens: int
    used_usd: Dollars
    accounts: str | None
    under_way: AsideOut
    unsettled: AsideOut
    version: int
    alerted: int = Field(description="Percent that operators were told of.")


class BudgetIn(Sent):
    """Both halves, or one; `none`: no bound, null: it stays as it is."""

    tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] | Literal["none"] | None = None
    usd: (
        Annotated[
            Decimal,
            Field(ge=0, le=MAX_USD, decimal_places=USD_DECIMALS, strict=False),
        ]
        | Literal["none"]
        | None
    ) = None
    reason: Reason = None


class SetOut(BaseModel):
    """A budget after a change; null: no bound."""

    tokens: int | None
    usd: Dollars | None
    version: int


@router.get("/budgets")
@needs(Permission.SEE)
async def list_budgets(
    caller: Asking,
    asked: Annotated[Paging, Query()],
) -> Page[BudgetOut]:
    """All budgets, and all who used something today that a budget counted."""
    after = asked.after(_scope, text, _period)
    found = await _admin(caller).page(asked.limit, after=cast(Key | None, after))

    return page_until(found.rows, found.next, _shown)


@router.put(PATH, responses=MISSING | CHANGES | TAGGED)
@needs(Permission.CHANGE)
async def set_budget(
    caller: Asking,
    scope: Scope,
    period: Period,
    subject: Text,
    sent: BudgetIn,
    version: Expected,
    response: Response,
) -> SetOut:
    """`subject`: a channel, a person as channel:id or by id, or * for each."""
    admin = _admin(caller)
    async with finding():
        await admin.version(scope, subject, period)
    made = await admin.set(
        scope,
        subject,
        sent.tokens,
        sent.usd,
        caller.author(sent.reason),
        expected=version,
        period=period,
    )

    return _made(made, response)


@router.delete(PATH, responses=MISSING | CHANGES | TAGGED)
@needs(Permission.CHANGE)
async def remove_budget(
    caller: Asking,
    scope: Scope,
    period: Period,
    subject: Text,
    sent: Annotated[WhyRemoved, Query()],
    version: Expected,
    response: Response,
) -> SetOut:
    """Then the one for * holds, if there is one."""
    admin = _admin(caller)
    async with finding():
        await admin.version(scope, subject, period)
    author = caller.author(sent.reason)
    made = await admin.unset(scope, subject, author, expected=version, period=period)

    return _made(made, response)


def _scope(part: object) -> str:
    """A part of a cursor. Raises ValueError."""
    return _one_of(get_args(Scope), part)


def _period(part: object) -> str:
    """The same."""
    return _one_of(get_args(Period), part)


def _one_of(
    known: Sequence[str],
    part: object,
) -> str:
    if part in known:
        return str(part)

    raise ValueError


def _admin(caller: Caller) -> BudgetAdmin:
    services = caller.services
    patience = services.settings.model_total_timeout + SETTLING_SECONDS

    return BudgetAdmin(services.stores.database, services.stores.pipe, patience)


def _made(
    budget: Budget,
    response: Response,
) -> SetOut:
    tag(response, budget.version)

    return SetOut(tokens=budget.tokens, usd=budget.usd, version=budget.version)


def _shown(view: BudgetView) -> BudgetOut:
    return BudgetOut.model_validate(view, from_attributes=True)
