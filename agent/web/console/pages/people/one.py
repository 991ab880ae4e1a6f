"""`/people/<id>`: one person, on all their accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct
from starlette.responses import Response

from agent.core.errors import Rejected
from agent.reports.usage import Line, Scope
from agent.web.console.errors import Stopped
from agent.web.console.page import PageContext
from agent.web.console.services import Services
from storage.control.channels import ChannelAdmin, ChannelView
from storage.lifecycle.people import PeopleAdmin
from storage.limits.limit_admin import LimitAdmin, LimitView
from storage.people.listing import PersonAccount, accounts_of, budgets_of
from storage.reports.usage import total_if_known

USAGE_DAYS = 30
NOBODY = "There is no such person. They may have been erased."


class AccountRow(Struct, frozen=True):
    """An account, with what holds for it."""

    account: PersonAccount
    limit: LimitView | None
    is_blocked: bool
    is_unlisted: bool
    """The channel has a list of those who may talk, and this account is not on it."""
    version: int | None
    """Of the channel's settings, for the form. None: there is no such channel any more."""


async def show(context: PageContext) -> Response:
    return await render(context)


async def render(
    context: PageContext, *, problem: str = "", status: int = 200
) -> Response:
    """The page; after a refusal with the reason. Raises Stopped when there is nobody."""
    services, person = context.services, person_of(context)
    rows = await account_rows(services, person)
    view, budgets, usage = await asyncio.gather(
        people_admin(services).show(str(person)),
        budgets_of(services.stores.database, person),
        _usage(services, person, context.viewer.now),
    )

    return context.render(
        "people/one.html",
        status,
        person=view,
        rows=rows,
        budgets=budgets,
        usage=usage,
        days=USAGE_DAYS,
        path=f"/people/{person}",
        problem=problem,
    )


def person_of(context: PageContext) -> UUID:
    """Of the address. Raises Stopped."""
    try:
        return UUID(context.address["id"])
    except ValueError:
        raise Stopped(404, NOBODY) from None


def people_admin(services: Services) -> PeopleAdmin:
    return PeopleAdmin(services.stores.database)


def channel_admin(services: Services) -> ChannelAdmin:
    stores = services.stores

    return ChannelAdmin(stores.database, stores.pipe, services.models.check)


async def account_rows(
    services: Services,
    person: UUID,
) -> Sequence[AccountRow]:
    """Raises Stopped when there is no such person."""
    stores = services.stores
    accounts = await accounts_of(stores.database, person)
    if not accounts:
        raise Stopped(404, NOBODY)

    limits = await LimitAdmin(stores.database, stores.pipe).person(str(person))
    names = sorted({one.channel for one in accounts})
    channels = {name: await _channel(services, name) for name in names}
    known = {one.subject: one for one in limits}

    return [
        _row(
            one,
            channels[one.channel],
            known.get(f"{one.channel}:{one.account}"),
        )
        for one in accounts
    ]


async def _channel(
    services: Services,
    name: str,
) -> ChannelView | None:
    """None: no instance runs it, and nothing is set for it."""
    try:
        return await channel_admin(services).get(name)
    except Rejected:
        return None


def _row(
    account: PersonAccount,
    channel: ChannelView | None,
    limit: LimitView | None,
) -> AccountRow:
    if channel is None:
        return AccountRow(account, limit, False, False, None)

    form = channel.form

    return AccountRow(
        account,
        limit,
        account.account in form.deny,
        bool(form.allow) and account.account not in form.allow,
        channel.version,
    )


async def _usage(
    services: Services,
    person: UUID,
    now: datetime,
) -> Line | None:
    """Of full hours, as reports count. None: nobody can say at this moment."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    until = hour + timedelta(hours=1)
    scope = Scope(until - timedelta(days=USAGE_DAYS), until, person=person)

    return await total_if_known(services.stores.database_url, scope)
