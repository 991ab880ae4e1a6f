"""`/people/<id>/erase` and `/people/erasures`: forgetting a person, and how far it is."""

from __future__ import annotations

from uuid import UUID

from starlette.responses import Response

from agent.core.errors import Rejected
from agent.web.console.errors import Stopped, described, status_of
from agent.web.console.page import PageContext
from agent.web.console.pages.people.one import NOBODY, people_admin, person_of
from storage.lifecycle.jobs import STEPS
from storage.people.listing import accounts_of
from storage.reports.status import live_instances

MISTYPED = "That is none of this person's accounts; nothing was erased. Type one as it is shown."


async def show(context: PageContext) -> Response:
    """Asks for one of their accounts, so that nobody is erased by a slip."""
    return await _asked(context)


async def act(context: PageContext) -> Response:
    """Begins the erasure. Instances go on with it, whatever becomes of this page."""
    services, person = context.services, person_of(context)
    accounts = await accounts_of(services.stores.database, person)
    names = {f"{one.channel}:{one.account}" for one in accounts}
    if context.form["account"] not in names:
        return await _asked(context, MISTYPED, 422)

    try:
        made = await people_admin(services).erase(str(person), context.author())
    except Rejected as error:
        return await _asked(context, described(error), status_of(error))

    return context.redirect(f"/people/erasures/{made}")


async def show_all(context: PageContext) -> Response:
    """The newest 50."""
    found = await people_admin(context.services).erasures()

    return context.render("people/erasures.html", erasures=found)


async def show_one(context: PageContext) -> Response:
    """Renews itself until it is done."""
    try:
        number = UUID(context.address["id"])
        view = await people_admin(context.services).erasure(number)
    except (ValueError, Rejected):
        raise Stopped(404, "There is no such erasure.") from None

    instances = await live_instances(context.services.stores.database)

    return context.render(
        "people/erasure.html",
        erasure=view,
        steps=STEPS,
        done=STEPS.index(view.step),
        is_waiting=view.step != "done" and not instances,
    )


async def _asked(
    context: PageContext, problem: str = "", status: int = 200
) -> Response:
    services, person = context.services, person_of(context)
    accounts = await accounts_of(services.stores.database, person)
    if not accounts:
        raise Stopped(404, NOBODY)

    view = await people_admin(services).show(str(person))

    return context.render(
        "people/erase.html",
        status,
        person=view,
        accounts=accounts,
        path=f"/people/{person}",
        problem=problem,
    )
